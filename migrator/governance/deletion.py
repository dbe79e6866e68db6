"""Who may have classic deleted: approvals that are kept on Limitless, since classic does not answer any more. Pure.

Who may approve the decommission may approve this, by a signature of its own over cluster and last copy. OIDC is of the
board, which reads classic: here it takes a token. Workers check every signature again before they delete anything,
against the plan that they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from migrator.errors import NotAuthenticated
from migrator.governance import keys
from migrator.governance.check import may, public_key
from migrator.plan.schema import Plan

ACT = "decommission"
"""What of the plan's acts it counts as."""

STATEMENT = "delete_classic"
"""What is signed, so that no approval of another gate is one of this."""


def approval(plan: Plan, name: str, token: str | None, evidence: str, at: datetime) -> dict[str, Any]:
    """Return the approval of *evidence* by *name*, as it is kept.

    Raises:
        NotAuthenticated: the plan asks for approvers, and it is not known that this is one who may.
    """
    kept = {"approver": name, "evidence": evidence, "at": at.isoformat()}
    if token is None or not (plan.governance.required or name in plan.governance.approver):
        if plan.governance.required:
            raise NotAuthenticated(
                f"{name} has to show who they are: a name alone does not count",
                hint="Give the token by reference: --token env:NAME or file:PATH, or MIGRATOR_APPROVER_TOKEN.",
            )
        return {**kept, "how": "none", "signature": ""}
    said = keys.statement(plan.name, STATEMENT, evidence, name, at)
    kept = {**kept, "how": "token", "signature": keys.sign(token, said)}
    if not holds(plan, kept, evidence):
        raise NotAuthenticated(
            f"that is not the token of {name}, or {name} may not approve the {ACT} (not shown)",
            hint="The plan says who may: migrator approver list",
        )
    return kept


def holds(plan: Plan, kept: Mapping[str, Any], evidence: str) -> bool:
    """Return whether an approval that is kept is of *evidence*, and by who it says, against *plan* as it is."""
    if kept.get("evidence") != evidence:
        return False
    if kept.get("how") != "token":
        return not plan.governance.required
    name, at = str(kept.get("approver")), datetime.fromisoformat(str(kept.get("at")))
    approver = plan.governance.approver.get(name)
    if approver is None or not may(plan, name, ACT) or not approver.may_on(at.astimezone(UTC).date()):
        return False
    key = public_key(approver)
    said = keys.statement(plan.name, STATEMENT, evidence, name, at)
    return key is not None and keys.is_signed(key, said, str(kept.get("signature")))


def approvers(plan: Plan, kept: Iterable[Mapping[str, Any]], evidence: str) -> tuple[str, ...]:
    """Return who approved *evidence*, each once, in the order in which they did; a key counts once, too."""
    found: dict[str, str] = {}
    for one in kept:
        if holds(plan, one, evidence):
            name = str(one["approver"])
            approver = plan.governance.approver.get(name) if one.get("how") == "token" else None
            found.setdefault((approver and public_key(approver)) or f"name {name}", name)
    return tuple(dict.fromkeys(found.values()))


def enough(plan: Plan, names: Iterable[str]) -> bool:
    """Return whether so many people are what *plan* asks for."""
    return len(set(names)) >= plan.governance.eyes(ACT)
