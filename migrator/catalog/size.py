"""How large tables are, as the server estimates and counts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.db.named import load

_SQL = load("migrator.catalog", "size.sql")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of several tables together, their partitions included.

    Attributes:
        rows: as the planner estimates them.
        bytes: with TOAST, without indexes.
        unanalysed: tables and partitions that have rows, and whose number was never estimated.
    """

    rows: float
    bytes: float
    unanalysed: int


def sizes(conn: psycopg.Connection[Any], tables: Sequence[tuple[str, str]]) -> Sizes:
    """Return how large *tables* (schema and name) are; cheap, reads no row of them."""
    values = {"schemas": [schema for schema, _ in tables], "names": [name for _, name in tables]}
    row = conn.execute(_SQL["tables"], values).fetchone()
    assert row is not None
    return Sizes(*row)
