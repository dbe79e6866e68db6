"""Which processes run the shim, and what have they applied?"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "process.sql")


class Process(NamedTuple):
    """One process. `live`: heard of within its own staleness limit. `behind`: changes of routes not yet applied."""

    label: str
    applied_epoch: int
    live: bool
    behind: int


def processes(conn: Connection) -> list[Process]:
    """Return every process the tool knows, silent ones too, ordered by name."""
    return [Process(*row) for row in conn.execute(_SQL["processes"])]


def forget_silent(conn: Connection, gone_s: float) -> None:
    """Remove processes silent for *gone_s* beyond their own limit: they hold nobody up, but clutter every count."""
    conn.execute(_SQL["forget_silent"], {"gone_s": gone_s})
