"""Does Limitless let everybody do what classic lets them, now? Asked by provisioning and by the gates.

The answer is kept on classic, with the rights as they were: `status`, which needs classic alone, says what the last
comparison found and what has changed on classic since.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import psycopg

from migrator.rights.compare import differences, lines, unacknowledged
from migrator.rights.read import read, read_with

Connection = psycopg.Connection[Any]


def check(
    classic: Connection,
    limitless: Connection,
    schemas: Sequence[str],
    acknowledged: Collection[str] = (),
    *,
    keep: bool = True,
) -> tuple[str, ...]:
    """Return every difference that nobody has acknowledged, in the operator's words; keep the answer on classic."""
    here = read(classic, schemas)
    there = read(limitless, schemas, roles=here.roles)
    found = unacknowledged(differences(here, there), acknowledged)
    place = classic.execute("SELECT to_regclass('migrator.rights_check') IS NOT NULL").fetchone()
    if keep and place and place[0]:
        classic.execute(
            "INSERT INTO migrator.rights_check (blockers, rights) VALUES (%s, %s) ON CONFLICT (only_one) DO UPDATE"
            " SET at = clock_timestamp(), blockers = EXCLUDED.blockers, rights = EXCLUDED.rights",
            (list(found), sorted(lines(here))),
        )
    return found


def known(cursor: psycopg.Cursor[dict[str, Any]], schemas: Sequence[str]) -> tuple[str, ...]:
    """Return what the last comparison found, and what has changed on classic since, from classic alone."""
    row = cursor.execute("SELECT at, blockers, rights FROM migrator.rights_check").fetchone()
    if row is None:
        return ()
    before, now = frozenset(row["rights"]), lines(read_with(cursor, schemas, effective=False))
    since = f"since rights were last compared, {row['at']:%Y-%m-%d %H:%M}"
    return (
        *row["blockers"],
        *(f"new on classic {since}: {line}" for line in sorted(now - before)),
        *(f"gone from classic {since}: {line}" for line in sorted(before - now)),
    )
