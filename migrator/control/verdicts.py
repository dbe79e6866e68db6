"""Reads the history of verdicts and validations from classic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "verdicts.sql")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Equal verdicts in a row.

    Attributes:
        tenant_id: None for the reference tables.
        current: the schemas are still those of these verdicts; otherwise no gate believes them.
    """

    tenant_id: str | None
    first_at: datetime
    last_at: datetime
    clean: bool
    times: int
    rows: int
    divergent: int
    fingerprint: str
    current: bool
    last_fence: str


@dataclass(frozen=True, slots=True)
class Run:
    """One validation; finished_at is None when it runs, or was interrupted."""

    run_id: str
    kind: str
    started_at: datetime
    finished_at: datetime | None
    tenants: int
    rows: int
    divergent: int
    fence_pause_ms: float
    fingerprint: str | None
    whole: bool


def stretches(conn: Connection, tenants: Sequence[str], limit: int) -> list[Stretch]:
    """Return the history of *tenants* (none: of all), the latest first."""
    rows = conn.execute(_SQL["stretches"], {"all": not tenants, "tenants": list(tenants), "limit": limit})
    return [Stretch(*row) for row in rows]


def runs(conn: Connection, limit: int) -> list[Run]:
    """Return the latest validations, the newest first."""
    return [Run(*row) for row in conn.execute(_SQL["runs"], {"limit": limit})]
