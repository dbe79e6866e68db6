"""Reads the processes that run the shim, and which route changes they have confirmed."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "process.sql")


class Process(NamedTuple):
    """One process. `live`: its heartbeat is within its own staleness limit. `behind`: route changes not yet
    confirmed."""

    label: str
    applied_epoch: int
    live: bool
    behind: int


def processes(conn: Connection) -> list[Process]:
    """Return every process the tool knows, silent ones too, ordered by name."""
    return [Process(*row) for row in conn.execute(_SQL["processes"])]


def forget_silent(conn: Connection, gone_s: float) -> None:
    """Remove processes silent for *gone_s* beyond their own limit: nothing waits for them, but every count has them."""
    conn.execute(_SQL["forget_silent"], {"gone_s": gone_s})
