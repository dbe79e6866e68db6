"""Reads from Limitless what its nodes hold and run, and on which shard a tenant is. No table of users is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from migrator.db.named import load
from migrator.model.cost import Node, SingleShard
from migrator.model.table import Table

__all__ = ["bytes_of", "nodes", "places", "rates", "single_shard", "statements"]

Connection = psycopg.Connection[Any]

_SQL = load("migrator.capacity", "nodes.sql")

_SHARD = re.compile(r"\bpostgres_s(\d+)\b")
_SLICE = re.compile(r"\b(\w+_fs\d+)\b")
_VALUE = re.compile(r"'(?:[^']|'')*'")
"""A tenant's own name in a plan, which may look like a shard's."""

STATISTICS = "since the statistics of Limitless began, by its limitless_stat_statements, without this tool's"


def nodes(limitless: Connection) -> list[Node]:
    """Return routers and shards with what they have on their disks: one question, answered by the nodes themselves."""
    rows = limitless.execute(_SQL["sizes"]).fetchall()
    return [Node(str(node), str(kind), int(size or 0)) for node, kind, size in sorted(rows, key=_by_number)]


def _by_number(row: tuple[Any, ...]) -> tuple[str, int, str]:
    node = str(row[0])
    return (str(row[1]), int(node) if node.isdigit() else 0, node)


def bytes_of(found: Iterable[Node]) -> int:
    """Return the storage of all nodes: a router's own pg_database_size knows its catalogs only."""
    return sum(node.bytes for node in found)


def statements(limitless: Connection) -> dict[str, float] | None:
    """Return how many statements each node ran since its statistics began; None where Limitless does not count them."""
    if not _has(limitless, "has_statements"):
        return None
    return {str(node): float(calls or 0) for node, calls in limitless.execute(_SQL["statements"])}


def single_shard(limitless: Connection) -> SingleShard | None:
    """Return the share of the application's statements that one shard answered; None where nothing is counted."""
    if not _has(limitless, "has_statements"):
        return None
    row = limitless.execute(_SQL["single_shard"]).fetchone()
    if row is None or not row[0] or row[1] is None:
        return None
    return SingleShard(min(float(row[1]) / float(row[0]), 1.0), STATISTICS)


def _has(limitless: Connection, name: str) -> bool:
    row = limitless.execute(_SQL[name]).fetchone()
    return bool(row and row[0])


def rates(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Return statements a second of each node; without those whose counter went back, or is new."""
    if seconds <= 0:
        return {}
    return {
        node: (count - before[node]) / seconds
        for node, count in now.items()
        if node in before and count >= before[node]
    }


def places(limitless: Connection, table: Table, tenants: Iterable[str]) -> dict[str, str]:
    """Return the shard of each tenant that can be found: Limitless is asked how it would read one, and reads nothing.

    Which hash places a tenant is not documented, so that a plan is the only answer: it names the one shard that it
    asks. A tenant whose plan names none, or several, is left out.

    Args:
        table: a sharded one.
    """
    if table.tenant_column is None:
        return {}
    slices: dict[str, str] = {}
    if _has(limitless, "has_slices"):
        values = {"schema": table.schema, "name": table.name}
        slices = {str(name): str(shard) for name, shard in limitless.execute(_SQL["slices"], values)}
    found = {}
    with limitless.transaction():
        limitless.execute("SET LOCAL rds_aurora.limitless_explain_options = shard_plans /* migrator:capacity */")
        for tenant in tenants:
            place = _place(_plan(limitless, table, tenant), slices)
            if place is not None:
                found[tenant] = place
    return found


def _plan(limitless: Connection, table: Table, tenant: str) -> str:
    assert table.tenant_column is not None
    statement = sql.SQL("EXPLAIN SELECT FROM {} WHERE {} = {}::{} /* migrator:capacity */").format(
        sql.Identifier(table.schema, table.name),
        sql.Identifier(table.tenant_column),
        sql.Literal(tenant),
        sql.SQL(table.tenant_type),
    )
    try:
        with limitless.transaction():
            return "\n".join(str(row[0]) for row in limitless.execute(statement))
    except psycopg.DataError:  # a name that is none of the column's type any more
        return ""


def _place(plan: str, slices: Mapping[str, str]) -> str | None:
    """Return the one shard that *plan* asks; None where it names none, or several."""
    text = _VALUE.sub("''", plan)
    shards = set(_SHARD.findall(text)) or {slices[name] for name in _SLICE.findall(text) if name in slices}
    return shards.pop() if len(shards) == 1 else None
