"""Requires proof that Limitless holds every acknowledged write before reads may go there.

Positions say how far the mirror is with tenants that are mirrored. About a tenant that is being copied again they say
nothing, however far they are.
"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control.partition import positions
from migrator.control.route import not_mirrored, parts_in_use
from migrator.errors import PreconditionFailed, UsageError
from migrator.model.position import Snapshot
from migrator.model.route import FallbackScope
from migrator.model.tenant import REFERENCE_PART

__all__ = ["behind_of", "check_included", "check_mirrored", "parts_in_use"]

SHOWN = 5
"""An error names at most so many tenants."""


def check_included(conn: psycopg.Connection[Any], parts: set[int], caught_up: Snapshot | None) -> None:
    """Refuse unless the published positions of *parts* and of the reference tables include *caught_up*."""
    if caught_up is None:
        raise UsageError(
            "reads may go to limitless only with proof that the mirror caught up after all confirmed joining",
            hint="Use migrator.traffic.route.promote.promote_reads.",
        )
    behind = behind_of(conn, parts, caught_up)
    if behind:
        raise PreconditionFailed(
            f"the mirror has not caught up in partition{'s' if len(behind) > 1 else ''} {', '.join(map(str, behind))}",
            hint="Run it again when the mirror has caught up: migrator mirror status.",
        )


def check_mirrored(conn: psycopg.Connection[Any], lifted: tuple[FallbackScope, str] | None = None) -> None:
    """Refuse while a tenant whose reads would go to Limitless is not mirrored: being copied again, or quarantined.

    Args:
        lifted: the fallback that is cleared; every other one keeps the reads it covers on classic.
    """
    away = not_mirrored(conn, lifted)
    if away:
        who = ["the reference tables" if tenant is None else f"tenant {tenant}" for tenant in away]
        more = f" and {len(who) - SHOWN} more" if len(who) > SHOWN else ""
        raise PreconditionFailed(
            f"not mirrored, so not readable on limitless: {', '.join(who[:SHOWN])}{more}",
            hint="Wait until all are copied: migrator backfill status.",
        )


def behind_of(conn: psycopg.Connection[Any], parts: set[int], wanted: Snapshot) -> list[int]:
    """Return which of *parts*, the reference partition added, do not include *wanted* yet."""
    published = positions(conn)
    return [p for p in sorted(parts | {REFERENCE_PART}) if p not in published or not published[p].includes(wanted)]
