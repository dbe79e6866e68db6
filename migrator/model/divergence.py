"""Divergences and verdicts: how a row can differ, and what a validation reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from migrator.model.tenant import TenantId


class DivergenceKind(StrEnum):
    """Seen from the mirror: Limitless against classic."""

    MISSING = "missing"  # classic has the row, limitless does not
    EXTRA = "extra"  # limitless has a row that classic does not
    MISMATCHED = "mismatched"  # both have it, with other values


@dataclass(frozen=True, slots=True)
class Divergence:
    """One row that differs, or all rows of a tenant that should have none.

    Attributes:
        tenant_id: None for a row of a reference table.
        key: key column to its text form, on classic's key; where *rows* is set, words.
        columns: names of the columns that differ (mismatched only).
        values: column to (classic, limitless) texts; hashes unless values were asked for.
        rows: set where it is about all rows that Limitless has of an unknown tenant: how many.
    """

    table: str
    tenant_id: TenantId | None
    key: tuple[tuple[str, str], ...]
    kind: DivergenceKind
    columns: tuple[str, ...] = ()
    values: tuple[tuple[str, str | None, str | None], ...] = ()
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class TenantVerdict:
    """What one validation found about one tenant (or, with None, the reference tables) at one fence."""

    tenant_id: TenantId | None
    rows: int
    tables: int
    divergent_rows: int
    fence: str  # the pg_snapshot both sides were compared at
    at_epoch_s: float
    generation: int | None = None  # of the copy that was compared, see migrator.control.generation


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Counts for everything, rows for a sample.

    Attributes:
        rows: rows of classic that were compared; limitless_rows: of Limitless.
        fence_pause_ms: how long each mirror partition paused, one number per fence.
        unmirrored: tenants that exist on classic and are not mirrored, so nothing is known about them.
        unmirrored_rows: their rows on classic, where all rows were counted.
        tenantless_rows: orphan rows on classic.
        stray_rows: rows on Limitless of unknown tenants; divergent, too.
        strays: those tenants, or some of them if there are more than ten thousand.
        unknown: what else nothing is known about, each with the reason, in words.
        left: tenants that were to be compared when the budget was used up.
        whole: the reference tables and orphan rows were compared.
        replica: of classic, host:port, that rows were read on; replica_rows: rows that the writer did not read for it,
            each counted for each time it was asked for.
        again_rows: rows that differed there, so the writer read them at the fence.
        replica_notes: why a replica was not read, in words.
    """

    tenants: tuple[TenantVerdict, ...]
    rows: int
    divergent_rows: int
    sample: tuple[Divergence, ...]
    fence_pause_ms: tuple[float, ...]
    seconds: float
    unmirrored: tuple[TenantId, ...] = ()
    tenantless_rows: int = 0
    limitless_rows: int = 0
    unmirrored_rows: int = 0
    stray_rows: int = 0
    left: int = 0
    whole: bool = False
    fingerprint: str = ""
    unknown: tuple[str, ...] = ()
    strays: tuple[TenantId, ...] = ()
    replica: str = ""
    replica_rows: int = 0
    again_rows: int = 0
    replica_notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Nothing differs and nothing is unknown: unknown is never clean."""
        return not (self.divergent_rows or self.unmirrored or self.tenantless_rows or self.left or self.unknown)
