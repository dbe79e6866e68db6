"""Takes what a person says of a gate: who they are, which evidence they saw, and whether that approves it.

Commands and the board come here; nothing else keeps a vote. What Temporal is told afterwards is checked again by the
worker, against what is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from migrator.control import votes as store
from migrator.control.log import decide
from migrator.errors import NoGo, NotAuthenticated, PreconditionFailed, UsageError
from migrator.governance import keys
from migrator.governance.check import may, person, proven, public_key, rules_of, standing
from migrator.model.approval import How, Verdict, Vote, difference, digest, may_vote
from migrator.plan.governance import PLAN_CHANGE
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

WRONG = 5
WRONG_S = 60.0
"""After so many refusals of one approver within so many seconds further ones are not recorded.

Who shows the right token is let in all the same: none can be guessed, and else anybody who reaches the board could
keep an approver out with wrong ones."""

_STRANGERS = "approver/(unknown)"
_LONGEST = 80
"""Characters of a name that the plan does not know."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says they are.

    Attributes:
        token: an approver's token; None: there is none.
        issuer, subject: of an OIDC token whose signature was checked (migrator.serve.oidc); '' where there is none.
        via: what they used: "command", "board".
    """

    name: str
    token: str | None = field(default=None, repr=False)
    issuer: str = ""
    subject: str = ""
    via: str = "command"


@dataclass(frozen=True, slots=True)
class Known:
    """Who somebody is, and how that is known. proof: what is recorded of it."""

    approver: str
    how: How
    proof: dict[str, str]


def authenticate(conn: Connection, plan: Plan, claim: Claim, gate: str | None) -> Known:
    """Return who *claim* is; owns its transaction where it records a refusal.

    Args:
        gate: what they want to approve; None: they only sign in.

    Raises:
        NotAuthenticated: it is not known that they are who they say, or they may not approve this. Recorded, without
            the token, unless too many were just now.
    """
    try:
        return prove(plan, claim, gate, store.now(conn))
    except NotAuthenticated as error:
        approver = claim.name in plan.governance.approver
        name, subject = (claim.name, f"approver/{claim.name}") if approver else (_shown(claim.name), _STRANGERS)
        if store.refusals(conn, subject, WRONG_S) < WRONG:
            why = error if approver else f"{name} is no approver of this plan"
            decide(conn, name, "approval.refused", subject, f"{gate or 'sign in'} by {claim.via}: {why}")
        raise


def _shown(name: str) -> str:
    """Return a name that anybody may have made up, as the log takes it."""
    return "".join(c if c.isprintable() else "?" for c in name[:_LONGEST]) or "?"


def prove(plan: Plan, claim: Claim, gate: str | None, now: datetime) -> Known:
    """Return who *claim* is, by *plan* alone: without classic, which may be gone, nothing is recorded or counted.

    Raises:
        NotAuthenticated: see `authenticate`.
    """
    governance = plan.governance
    approver = governance.approver.get(claim.name)
    if approver is None or (claim.token is None and not claim.subject):
        if governance.required or claim.token is not None or claim.subject:
            raise _unknown(plan, claim, approver is not None)
        return Known(claim.name, How.NONE, {})
    if not approver.may_on(now.astimezone(UTC).date()):
        raise NotAuthenticated(
            f"{claim.name} could approve until {approver.until} and no longer",
            hint="The plan says so (governance.approver): migrator plan apply changes it.",
        )
    if claim.subject:
        if (claim.issuer, claim.subject) != (governance.oidc_issuer, approver.subject):
            raise NotAuthenticated(f"the OIDC provider does not say that this is {claim.name}")
        found = Known(claim.name, How.OIDC, {"issuer": claim.issuer, "subject": claim.subject})
    else:
        key = keys.key_of(claim.token or "")
        if key != public_key(approver):
            raise NotAuthenticated(
                f"that is not the token of {claim.name} (not shown)",
                hint="Is it the newest one? The plan holds its public key: migrator approver list",
            )
        found = Known(claim.name, How.TOKEN, {"key": key})
    if gate is not None and not may(plan, claim.name, gate):
        raise NotAuthenticated(
            f"{claim.name} may not approve {gate}", hint="The plan says who may: migrator approver list"
        )
    return found


def _unknown(plan: Plan, claim: Claim, known: bool) -> NotAuthenticated:
    if known:
        return NotAuthenticated(
            f"{claim.name} has to show who they are: a name alone does not count",
            hint="Sign in with your own token (migapp_…), or through the proxy."
            if claim.via == "board"
            else "Give the token by reference: --token env:NAME or file:PATH, or MIGRATOR_APPROVER_TOKEN.",
        )
    names = ", ".join(sorted(plan.governance.approver)) or "none"
    return NotAuthenticated(f"{claim.name[:_LONGEST]} is no approver of this plan", hint=f"Approvers: {names}.")


def cast(
    conn: Connection,
    plan: Plan,
    gate: str,
    claim: Claim,
    evidence: str | None,
    facts: Mapping[str, str] | None = None,
) -> Verdict:
    """Take the vote of *claim* about *gate* and return what the votes say now; owns its transaction.

    The same vote again changes nothing.

    Args:
        evidence: digest of what they saw. None: what is so now, where the plan does not ask for more.
        facts: what a change of the plan is about (`PLAN_CHANGE`); else what is known of the gate.

    Raises:
        NotAuthenticated: see `authenticate`.
        PreconditionFailed: the gate does not wait for an approval, or the second approval is by the same person.
        NoGo: the evidence is another by now; names what changed.
        UsageError: the plan asks for evidence, and none was named.
    """
    known = authenticate(conn, plan, claim, gate)
    if gate != PLAN_CHANGE and not store.waits(conn, gate):
        raise PreconditionFailed(f"{gate} does not wait for an approval", hint="What waits: migrator status")
    if facts is None:
        facts = store.facts_of(conn, gate)
    now_seen = digest(facts)
    if evidence is None and plan.governance.required and gate != PLAN_CHANGE:
        raise UsageError(
            f"an approval of {gate} is about evidence, and none was named",
            hint=f"Look at it with: migrator gate {gate}; then approve with --evidence DIGEST.",
        )
    if evidence is not None and evidence != now_seen:
        hint = f"See what it is now: migrator gate {gate}"
        raise NoGo(f"approve {gate}", _changed(conn, gate, evidence, facts), hint=hint)
    with conn.transaction():
        store.lock(conn)
        return _vote(conn, plan, gate, known, claim, facts)


def _vote(conn: Connection, plan: Plan, gate: str, known: Known, claim: Claim, facts: Mapping[str, str]) -> Verdict:
    verdict = standing(conn, plan, gate, facts)
    if verdict.approved:
        return verdict
    at, evidence, rules = store.now(conn), digest(facts), rules_of(plan, gate)
    before = [one.vote for one in proven(plan, gate, store.votes(conn, gate))]
    if why := may_vote(before, rules, evidence, known.approver, at):
        raise PreconditionFailed(why, hint="Who else may: migrator approver list")
    vote = Vote(known.approver, known.how, evidence, at)
    same = [one.approver for one in before if one.approver != vote.approver and person(plan, one) == person(plan, vote)]
    if same:
        raise PreconditionFailed(
            f"{vote.approver} and {same[0]} have the same token, so they are one person",
            hint="Give each approver a key of their own in the plan: migrator approver token NAME.",
        )
    proof = dict(known.proof)
    if known.how is How.TOKEN:
        said = keys.statement(plan.name, gate, evidence, known.approver, at)
        proof["signature"] = keys.sign(claim.token or "", said)
    store.put(conn, gate, vote, facts, proof)
    told = {"evidence": evidence, "how": known.how.value, "via": claim.via, "facts": dict(facts), "proof": proof}
    decide(conn, known.approver, "approval.given", gate, "approved", after=told)
    return standing(conn, plan, gate, facts)


def _changed(conn: Connection, gate: str, evidence: str, facts: Mapping[str, str]) -> tuple[str, ...]:
    seen = store.shown(conn, gate, evidence)
    if seen is None:
        return (f"no evidence {evidence!r} was ever shown for {gate}; it is {digest(facts)} now",)
    return (f"the evidence changed since it was shown, {evidence} → {digest(facts)}", *difference(seen, facts))
