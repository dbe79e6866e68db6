"""Gates: which of them a person can approve, and what one answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from migrator.errors import UsageError
from migrator.model.blocker import Blocker
from migrator.model.near import unknown
from migrator.model.phase import Phase

GATES = ("audit", "provision", "dual_write", "cutover", "decommission")
_WAVE = re.compile(r"wave-[1-9][0-9]{0,8}")


def gate_of(text: str) -> str:
    """Return the gate that *text* names: one of `GATES`, with dashes or underscores, or wave-N.

    Raises:
        UsageError: there is no such gate; names what is near.
    """
    if _WAVE.fullmatch(text):
        return text
    name = text.replace("-", "_")
    if name not in GATES:
        raise UsageError(unknown("gate", [text], [*GATES, "wave-N"]), hint=f"Gates: {', '.join(GATES)}, wave-N.")
    return name


def gate_behind(phase: Phase) -> str:
    """Return the gate that has to be passed to leave *phase*."""
    return "decommission" if phase is Phase.STABILIZE else phase.value


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What a gate says, and what could change its mind. Fields have defaults, because workflow histories hold it.

    Attributes:
        needs_approval: a person has to agree, by name.
        validate_now: a validation right now could remove a blocker.
        late_tenants: sign-ups that have to be cut over first.
        again: the phase itself has to be done again.
        recheck_s: when to ask again by itself.
        approval_void: why the approval that there is does not count, though the gate says yes.
        notes: what was not asked for, or is accepted: a gate says so when it passes.
    """

    go: bool = False
    blockers: tuple[Blocker, ...] = ()
    needs_approval: bool = False
    validate_now: bool = False
    late_tenants: int = 0
    again: bool = False
    recheck_s: float = 30
    approval_void: str = ""
    notes: tuple[str, ...] = ()
