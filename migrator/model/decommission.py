"""How a decommission ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecommissionResult:
    """done: past the point of no return. Otherwise writes are open again, and blockers say why. pause_s: the
    write pause. Fields have defaults, because workflow histories hold it."""

    done: bool = False
    pause_s: float = 0
    blockers: tuple[str, ...] = ()
    text: str = ""
