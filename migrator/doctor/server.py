"""What a PostgreSQL server says of itself, for several groups of checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from migrator.db.named import load
from migrator.doctor.facts import POSTGRES, Section
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]
T = TypeVar("T")

_SQL = load("migrator.doctor", "doctor.sql")

_AURORA_VERSION = "SELECT pg_catalog.aurora_version()"
"""Beside the file, whose statements any PostgreSQL can prepare."""


def rows(conn: Connection, name: str, **values: object) -> list[dict[str, Any]]:
    """Return the rows of one statement of doctor.sql."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def one(conn: Connection, name: str, **values: object) -> dict[str, Any]:
    """Return its one row; empty when there is none."""
    found = rows(conn, name, **values)
    return found[0] if found else {}


def of(kind: type[T], row: Mapping[str, Any]) -> T:
    """Return the dataclass *kind* made of what *row* has of its fields."""
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # a dataclass, which no type says
    return kind(**{name: value for name, value in row.items() if name in names})


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server, role and database it is.

    Attributes:
        system: of the data directory, the same on replicas; None where the server does not say.
        nodes: of Limitless: how many routers and shards.
        collation: of the database.
    """

    version: str
    version_num: int
    limitless: bool
    aurora: bool
    in_recovery: bool
    role: str
    database: str
    encoding: str
    collation: str
    started_s: float
    port: int | None = None
    system: str | None = None
    aurora_version: str = ""
    nodes: tuple[tuple[str, int], ...] = ()


def _identity(conn: Connection, _plan: Plan | None) -> Identity:
    row = one(conn, "identity")
    if row.pop("tells_system"):
        row["system"] = one(conn, "system").get("system")
    if row["aurora"]:
        version = conn.execute(_AURORA_VERSION).fetchone()
        row["aurora_version"] = str(version[0]) if version else ""
    if row["limitless"]:
        row["nodes"] = tuple((r["kind"], r["n"]) for r in rows(conn, "nodes"))
    return of(Identity, row)


IDENTITY: Section[Identity] = Section("what server it is", POSTGRES, _identity)
