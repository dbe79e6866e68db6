"""Gives Limitless a function or a view as classic prints it: its names are qualified, `*` is written out, where a table
may have more columns on Limitless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog.read import routines
from migrator.catalog.values import Routine
from migrator.dataplane.change.change import Change, Made
from migrator.dataplane.change.create import as_owner
from migrator.dataplane.change.kinds import Kind
from migrator.dataplane.change.names import looked_up_in
from migrator.grammar.parse import parse
from migrator.provision.ddl_sql import drop, routine_step

Connection = psycopg.Connection[Any]


class Unfit(Exception):
    """A function or a view that Limitless cannot have; the text says why."""


def makes_routine(change: Change) -> bool:
    """Whether a change makes a view, a function or a procedure on both sides."""
    return change.kind is Kind.BOTH_SIDES and parse(change.statement)[0].tag in ("CreateFunctionStmt", "ViewStmt")


def printed(classic: Connection, limitless: Connection, schemas: Sequence[str], change: Change) -> Change:
    """Make it on classic in the caller's transaction; return *change* with what Limitless gets for it, and gets back
    when classic refuses it after all.

    Raises:
        psycopg.Error: classic refuses it.
        Unfit: Limitless cannot have it.
    """
    before = _by_identity(routines(classic, schemas))
    with as_owner(classic, change.owner), looked_up_in(classic, change.path):
        classic.execute(sql.SQL(change.statement))
    now = _by_identity(routines(classic, schemas))
    identity = next((key for key, found in now.items() if before.get(key) != found), "")
    if not identity or (now[identity].refused and identity in before):
        return change  # nothing new, or classic's own before and now
    made = now[identity]
    if made.refused:
        raise Unfit(made.refused)
    old = _by_identity(routines(limitless, schemas)).get(identity)
    step = routine_step(made)
    record = step.record
    return replace(
        change,
        before=_replacing(old) if old is not None else drop(record).as_string(None),
        there=(Made(step.label, (record.kind, record.schema, record.name, record.detail), (_replacing(made),), {}),),
    )


def _by_identity(found: Sequence[Routine]) -> dict[str, Routine]:
    return {f"{r.kind} {r.identity}": r for r in found}


def _replacing(routine: Routine) -> str:
    """Return the statement that makes a routine, or puts it in the place of one that is there."""
    if routine.kind == "VIEW":
        return f"CREATE OR REPLACE VIEW {routine.identity} AS {routine.definition}"
    return routine.definition  # CREATE OR REPLACE, as the server prints it
