"""Stores the plan that runs here: on classic, one per cluster."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "plan.sql")


class Identity(NamedTuple):
    """Which plan it is, and the settings of applications, which may change while a migration runs."""

    plan_id: str
    digest: str
    shim: dict[str, Any]


class Stored(NamedTuple):
    """The same with the plan as JSON."""

    plan_id: str
    digest: str
    shim: dict[str, Any]
    body: dict[str, Any]
    created_at: datetime


class Following(NamedTuple):
    """What workers should run. `earlier`: digests of plans that this one has replaced while its migration runs."""

    plan_id: str
    digest: str
    body: dict[str, Any]
    earlier: list[str]


class Scope(NamedTuple):
    """What is migrated. `tables`: the plan's section as JSON, None before a plan is stored."""

    tables: dict[str, Any] | None
    acknowledged: list[str]
    captured_schemas: list[str]
    captured: list[str]


def identity(conn: Connection) -> Identity | None:
    """Return which plan runs here; None before one was started."""
    row = conn.execute(_SQL["identity"]).fetchone()
    return Identity(*row) if row else None


def stored(conn: Connection) -> Stored | None:
    """Return the plan that runs here; None before one was started."""
    row = conn.execute(_SQL["plan"]).fetchone()
    return Stored(*row) if row else None


def stored_body(conn: Connection) -> dict[str, Any]:
    """Return the plan that runs here as JSON; empty before one was started."""
    found = stored(conn)
    return found.body if found is not None else {}


def store(conn: Connection, plan_id: str, digest: str, body: dict[str, Any], shim: dict[str, Any]) -> None:
    """Store the plan in place of the one before, in the caller's transaction."""
    values = {"plan_id": plan_id, "digest": digest, "body": json.dumps(body), "shim": json.dumps(shim)}
    conn.execute(_SQL["store"], values)


def following(conn: Connection) -> Following | None:
    """Return the plan that workers should run; None before one was started."""
    row = conn.execute(_SQL["following"]).fetchone()
    return Following(*row) if row else None


def locked(conn: Connection) -> Stored | None:
    """Return the plan that runs here, locked until the caller's transaction ends."""
    row = conn.execute(_SQL["lock"]).fetchone()
    return Stored(*row) if row else None


def change(conn: Connection, digest: str, body: dict[str, Any], shim: dict[str, Any]) -> None:
    """Store other values of the same plan; workers that know the ones before take them up."""
    conn.execute(_SQL["change"], {"digest": digest, "body": json.dumps(body), "shim": json.dumps(shim)})


def kept(conn: Connection, plan_id: str) -> list[tuple[datetime, dict[str, Any]]]:
    """Return the versions that were kept when the plan changed: when, and what was kept; the first one first."""
    return [(at, body) for at, body in conn.execute(_SQL["kept"], {"plan_id": plan_id})]


def scope(conn: Connection) -> Scope:
    """Return what the plan and capture say is migrated."""
    row = conn.execute(_SQL["scope"]).fetchone()
    assert row is not None  # an outer join
    return Scope(*row)


def gone_tables(conn: Connection) -> list[str]:
    """Return the tables that the plan says to migrate, and that are captured no more: they were dropped."""
    found = scope(conn)
    entries = (found.tables or {}).get("table") or {}
    named = [name for name, entry in entries.items() if entry.get("kind") != "excluded"]
    return sorted(set(named) - set(found.captured)) if found.captured else []


def planned_schemas(conn: Connection) -> list[str]:
    """Return the schemas that the plan names; none before a plan is stored."""
    row = conn.execute(_SQL["schemas"]).fetchone()
    return list((row and row[0]) or ())
