"""Do the votes that are kept approve a gate now? Every signature is checked again, against the plan as it is.

Commands, the board and workflows ask here. A vote of a person who is no approver any more, or whose key is another one,
does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from migrator import settings
from migrator.control import votes as store
from migrator.control.votes import Kept
from migrator.errors import PreconditionFailed, UsageError
from migrator.governance import keys
from migrator.model.approval import How, Rules, Verdict, Vote, difference, digest, judge
from migrator.plan.governance import Approver, act_of, is_key
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]


def rules_of(plan: Plan, gate: str) -> Rules:
    """Return what *plan* asks of an approval of *gate*."""
    return Rules(plan.governance.required, plan.governance.eyes(gate))


def public_key(approver: Approver) -> str | None:
    """Return an approver's public key, looked up where the plan refers to it; None where there is none.

    Raises:
        UsageError: the reference leads nowhere, or to no public key.
    """
    if approver.key is None or approver.key.startswith("ed25519:"):
        return approver.key
    found = settings.secret(approver.key).strip()
    if not is_key(found):
        raise UsageError(
            f"what {approver.key} names is no public key of an approver (not shown)",
            hint="migrator approver token NAME makes one: ed25519:…",
        )
    return found


def may(plan: Plan, name: str, gate: str) -> bool:
    """Return whether the plan knows an approver *name* who may approve *gate*."""
    approver = plan.governance.approver.get(name)
    return approver is not None and act_of(gate) in approver.acts


def proven(plan: Plan, gate: str, found: Iterable[Kept]) -> list[Kept]:
    """Return the votes that are what they say, with what *plan* says of how long they count: their proof holds against
    it as it is. A key is one person, also where the plan finds it under two names."""
    holding = [
        replace(one, vote=replace(one.vote, valid_until=_valid_until(plan, one)))
        for one in found
        if one.facts and digest(one.facts) == one.vote.evidence and _holds(plan, gate, one)
    ]
    first: dict[str, str] = {}
    return [one for one in holding if first.setdefault(person(plan, one.vote), one.vote.approver) == one.vote.approver]


def person(plan: Plan, vote: Vote) -> str:
    """Return what tells the person of a vote from others: the key, where there is one."""
    approver = plan.governance.approver.get(vote.approver)
    if vote.how is not How.TOKEN or approver is None:
        return f"name {vote.approver}"
    return public_key(approver) or f"name {vote.approver}"


def _valid_until(plan: Plan, kept: Kept) -> datetime | None:
    valid_s = plan.governance.approval_valid_s
    return None if valid_s is None else kept.vote.at + timedelta(seconds=valid_s)


def _holds(plan: Plan, gate: str, kept: Kept) -> bool:
    vote = kept.vote
    if vote.how is How.NONE:
        return True
    approver = plan.governance.approver.get(vote.approver)
    if approver is None or not may(plan, vote.approver, gate):
        return False
    if not approver.may_on(vote.at.astimezone(UTC).date()):
        return False
    if vote.how is How.OIDC:
        known = (plan.governance.oidc_issuer, approver.subject)
        return None not in known and (kept.proof.get("issuer"), kept.proof.get("subject")) == known
    key = public_key(approver)
    said = keys.statement(plan.name, gate, vote.evidence, vote.approver, vote.at)
    return key is not None and keys.is_signed(key, said, kept.proof.get("signature", ""))


def standing(conn: Connection, plan: Plan, gate: str, facts: Mapping[str, str]) -> Verdict:
    """Return whether what was said of *gate* approves *facts* now, and who said it."""
    found = proven(plan, gate, store.votes(conn, gate))
    return judge([one.vote for one in found], rules_of(plan, gate), digest(facts), store.now(conn))


def problem(conn: Connection, plan: Plan, gate: str) -> str:
    """Return why the approval of *gate* does not count any more, '' while it does, or where the plan binds none."""
    if not plan.governance.binding:
        return ""
    facts = store.facts_of(conn, gate)
    verdict = standing(conn, plan, gate, facts)
    if verdict.approved:
        return ""
    last = store.votes(conn, gate)
    changed = difference(last[-1].facts, facts) if last else ()
    return verdict.missing + (f": {'; '.join(changed)}" if changed else "")


def require(conn: Connection, plan: Plan, gate: str, approver: str) -> dict[str, Any]:
    """Return what is to be recorded of an approval of *gate* by *approver*, which the votes have to bear out.

    Raises:
        PreconditionFailed: they do not.
    """
    hint = f"Look at it with migrator gate {gate}, then: migrator approve {gate} --as NAME --evidence DIGEST"
    facts = store.facts_of(conn, gate)
    verdict = standing(conn, plan, gate, facts)
    if not verdict.approved:
        raise PreconditionFailed(f"{gate} is not approved: {problem(conn, plan, gate)}", hint=hint)
    if verdict.approver != approver:
        raise PreconditionFailed(f"{gate} was approved by {verdict.approver}, not by {approver}", hint=hint)
    said = {one.vote.approver: one for one in proven(plan, gate, store.votes(conn, gate))}
    by = [
        {"approver": name, "how": said[name].vote.how.value, "at": said[name].vote.at.isoformat()}
        for name in verdict.by
    ]
    return {"evidence": digest(facts), "facts": facts, "by": by}
