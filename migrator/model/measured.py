"""What classic counted since the tool was installed, and what else metrics need beside the status: values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ACK = "ack/"
"""Writes by their level of acknowledgement: `ack/everywhere`. Counted with how long they waited for it."""
ERROR = "error/"
"""Reads that failed, by side and the SQLSTATE's class: `error/limitless/57`."""
FELL_BACK = "fell_back"
"""Reads that a process answered from classic after Limitless had failed or been too late."""
SHADOW = "shadow"
"""Reads that were compared on both sides; errors: those that differed."""
SHADOW_UNDECIDED = "shadow_undecided"
"""Reads that were to be compared, and of which nothing is known."""
AT_SERVER = "classic/"
"""Reads of classic by the server that answered: counted in its samples, not in totals, as servers come and go."""

COUNTED = rf"^(classic|limitless|{FELL_BACK}|{ACK}[a-z]{{1,20}}|{ERROR}(classic|limitless)/[0-9A-Z]{{2}})$"
"""What totals are kept of: a bounded number of names, whatever an application's role writes."""


@dataclass(frozen=True, slots=True)
class Total:
    """Of one kind of event. buckets: their durations, see migrator.model.latency; of some kinds there are none."""

    count: int = 0
    errors: int = 0
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowTime:
    """How much of the stabilization window counts, in planned seconds. paused: an incident stopped the clock."""

    elapsed_s: float
    needed_s: float
    restarts: int
    paused: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """Besides the status.

    Attributes:
        totals: by `classic`, `limitless` (reads), and the kinds above.
        fences: validations that a mirror partition pauses for now, or is asked to.
        journal_limit_bytes: the plan's; None before a plan is stored.
    """

    totals: Mapping[str, Total] = field(default_factory=dict)
    fences: int = 0
    journal_limit_bytes: float | None = None
    window: WindowTime | None = None
