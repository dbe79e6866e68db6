"""Is there proof that the mirror has caught up, so that reads may go to Limitless?"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.errors import PreconditionFailed, UsageError
from migrator.model.position import Snapshot
from migrator.model.tenant import REFERENCE_PART


def check_included(conn: psycopg.Connection[Any], parts: set[int], caught_up: Snapshot | None) -> None:
    """Refuse unless the published positions of *parts* and of the reference tables include *caught_up*."""
    if caught_up is None:
        raise UsageError(
            "reads may go to limitless only with proof that the mirror caught up after every process waits for it",
            hint="Use migrator.route.advance.rejoin.",
        )
    behind = behind_of(conn, parts, caught_up)
    if behind:
        raise PreconditionFailed(
            f"the mirror has not caught up in partition{'s' if len(behind) > 1 else ''} {', '.join(map(str, behind))}",
            hint="Try again when the mirror runs; see migrator status.",
        )


def behind_of(conn: psycopg.Connection[Any], parts: set[int], wanted: Snapshot) -> list[int]:
    """Return which of *parts*, the reference partition added, do not include *wanted* yet."""
    rows = conn.execute("SELECT part, snapshot FROM migrator.position").fetchall()
    found = {part: Snapshot.parse(text) for part, text in rows}
    return [p for p in sorted(parts | {REFERENCE_PART}) if p not in found or not found[p].includes(wanted)]


def parts_in_use(conn: psycopg.Connection[Any]) -> set[int]:
    """Return the mirror partitions with a tenant that has left classic."""
    return {row[0] for row in conn.execute("SELECT DISTINCT part FROM migrator.route WHERE level <> 'classic'")}
