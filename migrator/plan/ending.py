"""The plan's sections about the end of classic: what is looked at before it, how it ends, what is practised."""

from __future__ import annotations

from pydantic import Field

from migrator.plan.dossiers import Dossiers
from migrator.plan.section import Section


class Preflight(Section):
    """What is looked at before dual write, and before the point of no return (docs/preflight.md)."""

    gate: bool | None = Field(
        None,
        description="Whether gates ask. Without it they do, but for a plan with [rehearsal], whose classic has no "
        "other users.",
    )
    watched_days: float = Field(
        7, ge=0, description="Sessions on classic must have been watched for so long before the point of no return."
    )
    quiet_days: float = Field(7, gt=0, description="Who was last seen on classic longer ago than this counts as gone.")


class Decommission(Dossiers):
    max_pause_s: float = Field(60.0, gt=0, description="Past this the writes reopen on classic (ADR: 30 min a month).")
    sequence_headroom: int = Field(1_000_000, ge=0)
    release_classic: bool = True
    keep_classic_days: float = Field(
        14, ge=0, description="AWS: classic is kept, stopped, for so long after its last copy before it may be deleted."
    )
    keep_snapshot_days: float | None = Field(
        None,
        gt=0,
        description="AWS: the last copy is kept for so long after classic's deletion; without an end by default.",
    )
    restore_drill: bool = Field(
        True,
        description="AWS: classic is deleted only once its last copy was restored and compared (migrator drill "
        "restore).",
    )


class Drill(Section):
    """What is practised in production, and how often (docs/drills.md)."""

    max_age_days: float | None = Field(
        None,
        gt=0,
        description="No wave but the first begins when the last rollback drill that passed is older than this; without "
        "it none is asked for.",
    )
