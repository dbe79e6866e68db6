"""Compares the inventory of both sides for gates, status and the hand-over.

Classic alone suffices to know that a table is not captured. What Limitless holds is stored on classic whenever both
sides were read, so that status can tell when Limitless is unreachable.
"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control import history
from migrator.inventory.compare import compare
from migrator.inventory.facts import Difference, LimitlessFacts
from migrator.inventory.read import SET_ASIDE, not_captured, read_classic, read_limitless
from migrator.model.blocker import Blocker

Connection = psycopg.Connection[Any]

REMEMBERED = "inventory.limitless"
"""Kind of the report that keeps what Limitless held when it was last read; there is one at most."""


def look(classic: Connection, limitless: Connection | None = None) -> tuple[Difference, ...]:
    """Return every difference in the migrated schemas; nothing while no table is captured.

    Args:
        limitless: without it, what is stored about Limitless counts.
    """
    here = read_classic(classic)
    if here is None:
        return ()
    there = read_limitless(limitless, here.scope.schemas) if limitless is not None else _remembered(classic)
    return compare(here, there)


def losses(classic: Connection, limitless: Connection | None = None) -> tuple[Blocker, ...]:
    """Return what would lose rows: a blocker of every gate."""
    return tuple(d.blocker for d in look(classic, limitless) if d.loses_rows)


def remember(classic: Connection, limitless: Connection, schemas: list[str]) -> None:
    """Keep on classic what Limitless holds in *schemas* now."""
    found = read_limitless(limitless, schemas)
    if found == _remembered(classic):
        return
    history.replace_report(classic, REMEMBERED, {"tables": sorted(found.tables), "things": found.things})


def refresh(classic: Connection, limitless: Connection) -> None:
    """Read Limitless again, if anything is captured."""
    here = read_classic(classic)
    if here is not None:
        remember(classic, limitless, sorted(here.scope.schemas))


def set_aside(classic: Connection, captured: set[str], schemas: set[str]) -> None:
    """Keep what is there beside the *captured* tables when capture goes on: whatever comes later is new."""
    history.add_report(classic, SET_ASIDE, not_captured(classic, captured, schemas))


def _remembered(classic: Connection) -> LimitlessFacts | None:
    report = history.newest_report(classic, REMEMBERED)
    return LimitlessFacts(frozenset(report["body"]["tables"]), report["body"]["things"]) if report else None
