"""Stores on Limitless what becomes of classic after the hand-over: classic does not answer any more by then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from migrator.db.named import load
from migrator.model.retirement import FinalTable, Retirement

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "retirement.sql")


def read(limitless: Connection) -> Retirement | None:
    """Return what became of classic so far; None before its retirement begins."""
    if not _is_kept(limitless):
        return None
    row = limitless.execute(_SQL["read"]).fetchone()
    return Retirement.of(row[0], row[1]) if row else None


def _is_kept(limitless: Connection) -> bool:
    row = limitless.execute(_SQL["is_kept"]).fetchone()
    return bool(row and row[0])


def lock(limitless: Connection) -> None:
    """Let no one else approve or withdraw until the caller's transaction ends: both write back what they have read."""
    if _is_kept(limitless):
        limitless.execute(_SQL["lock"])


def begin(limitless: Connection, kind: str, cluster: str = "", why: str = "") -> None:
    """Begin the retirement; the first time counts."""
    body = {"kind": kind, "cluster": cluster, "why": why, "events": []}
    limitless.execute(_SQL["begin"], {"body": json.dumps(body)})


def extend(limitless: Connection, who: str, what: str, **values: Any) -> None:
    """Add facts, and say in *what* what happened."""
    limitless.execute(_SQL["extend"], {"values": json.dumps(values), "who": who, "what": what})


def stamp(limitless: Connection, name: str) -> None:
    """Store when *name* was, on Limitless's clock; the first time counts."""
    limitless.execute(_SQL["stamp"], {"name": name})


def forget(limitless: Connection, names: Sequence[str]) -> None:
    """Take facts back: classic runs again, or an approval was withdrawn."""
    limitless.execute(_SQL["forget"], {"names": list(names)})


def tables(limitless: Connection) -> dict[str, FinalTable]:
    """Return what each table of classic held in the end, by its qualified name."""
    return {name: FinalTable(name, int(rows), digest) for name, rows, digest in limitless.execute(_SQL["tables"])}


def put_table(limitless: Connection, table: FinalTable) -> None:
    """Store what a table of classic held in the end; the first time counts."""
    values: Mapping[str, object] = {"name": table.name, "rows": table.rows, "digest": table.digest}
    limitless.execute(_SQL["put_table"], values)
