"""What did provisioning make on Limitless?"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "provisioned.sql")


class Made(NamedTuple):
    """One object that provisioning made; `detail`: a constraint's table, a function's identity."""

    kind: str
    schema: str
    name: str
    detail: str


def forget(limitless: Connection, what: Made) -> None:
    """Forget what was dropped, in the transaction that dropped it."""
    limitless.execute(_SQL["forget"], what._asdict())
