"""Refuses to begin without a right that the tool's role needs, in the words of `migrator doctor`."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.errors import NoGo
from migrator.model.blocker import Blocker
from migrator.model.side import Side
from migrator.plan.schema import Tables
from migrator.privileges import guards, held
from migrator.privileges.needs import missing

Connection = psycopg.Connection[Any]

HINT = "Give the role what it lacks, then try again: docs/privileges.md, migrator doctor."


def blockers(conn: Connection, side: Side, tables: Tables) -> tuple[Blocker, ...]:
    """Return every required right that the session's role lacks on *side*; nothing is changed."""
    found = missing(held.read(conn, side, tables.schemas, held.excluded(tables.table)))
    return tuple(
        Blocker("right.missing", lack.need.key, lack.line)
        for lack in found
        if lack.need.required and not (lack.gap.unsure and guards.may_make(conn))
    )


def require(conn: Connection, side: Side, tables: Tables) -> None:
    """Return when the session's role has on *side* what it needs.

    Raises:
        NoGo: with everything that it lacks; nothing was done.
    """
    if found := blockers(conn, side, tables):
        raise NoGo(f"rights of the tool's role on {side.title()}", found, hint=HINT)
