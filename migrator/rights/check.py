"""Compares the rights of both sides as they are now, for provisioning and the gates.

The answer is kept on classic, with the rights as they were: `status`, which needs classic alone, says what the last
comparison found and what has changed on classic since.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import psycopg

from migrator.control.provisioned import compared_rights, keep_rights
from migrator.model.blocker import Blocker
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
) -> tuple[Blocker, ...]:
    """Return every difference that is not acknowledged, in the operator's words; keep the answer on classic."""
    here = read(classic, schemas)
    there = read(limitless, schemas, roles=here.roles)
    remaining = unacknowledged(differences(here, there), acknowledged)
    if keep:
        keep_rights(classic, remaining, sorted(lines(here)))
    return remaining


def known(cursor: psycopg.Cursor[dict[str, Any]], schemas: Sequence[str]) -> tuple[str, ...]:
    """Return what the last comparison found, and what has changed on classic since, from classic alone."""
    last = compared_rights(cursor.connection)
    if last is None:
        return ()
    before, now = frozenset(last.rights), lines(read_with(cursor, schemas, effective=False))
    since = f"since rights were last compared, {last.at:%Y-%m-%d %H:%M}"
    return (
        *last.blockers,
        *(f"new on classic {since}: {line}" for line in sorted(now - before)),
        *(f"gone from classic {since}: {line}" for line in sorted(before - now)),
    )
