"""Facts about a tenant that decide whether its reads may move, or must stay."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.model.phase import TenantState
from migrator.model.tenant import TenantId


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """One tenant as its gate sees it.

    Attributes:
        lag_s: how far its mirror partition is behind; None without a published position.
        clean_age_s: age of its last validation without divergence; None: never validated clean.
        divergent: rows the last validation found; None: never validated.
        fallbacks: reasons of the fallbacks that cover it now.
        outdated: it was validated clean, but at other schemas than today's.
        held: who holds it on classic by name, and why; None when it is not held.
        problem: why its mirror partition is waiting or stalled, with the partition's number; '' when it is not.
    """

    tenant_id: TenantId
    state: TenantState
    lag_s: float | None
    clean_age_s: float | None
    divergent: int | None
    fallbacks: tuple[str, ...] = ()
    quarantine: str | None = None
    outdated: bool = False
    held: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceFacts:
    """The tables that every tenant reads, as all gates see them; attributes as in `TenantFacts`."""

    clean_age_s: float | None
    divergent: int | None
    outdated: bool = False
    lag_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A tenant that was cut over in *wave* and is back on classic; *who* moved it there and why."""

    tenant_id: TenantId
    wave: int
    who: str
    reason: str
