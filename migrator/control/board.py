"""Reads what the board shows on request: pages of the decision log, and of tenants that a search finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import psycopg

from migrator.control.history import tenant_lines
from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "board.sql")


class Show(StrEnum):
    """Which tenants a search may be limited to: a level, an exception made of them, or a state of their rows."""

    ALL = "all"
    LIMITLESS = "limitless"
    JOINING = "joining"
    CLASSIC = "classic"
    HELD = "held"
    ROLLED_BACK = "rolled_back"
    FALLEN_BACK = "fallen_back"
    DIVERGENT = "divergent"
    HOT = "hot"
    PENDING = "pending"
    COPYING = "copying"
    MIRRORED = "mirrored"
    QUARANTINED = "quarantined"


class Line(NamedTuple):
    """A line of the decision log."""

    id: int
    at: datetime
    who: str
    kind: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """The newest first. `older`: there are older lines than the last one."""

    lines: tuple[Line, ...]
    older: bool


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Tenants in the order of their names' bytes, each a line of `history.tenant_lines`. `more`: others follow."""

    tenants: tuple[dict[str, Any], ...]
    more: bool


def log_page(conn: Connection, before: int | None, size: int) -> LogPage:
    """Return up to *size* decisions that are older than number *before*; None: the newest."""
    rows = conn.execute(_SQL["log"], {"before": before, "limit": size + 1}).fetchall()
    return LogPage(tuple(Line(*row) for row in rows[:size]), len(rows) > size)


def tenant_page(conn: Connection, text: str, show: Show, after: str | None, size: int) -> TenantPage:
    """Return up to *size* tenants behind *after* whose names contain *text*, in capitals or not, and that are as *show*
    says."""
    values = {"text": text, "show": show.value, "after": after, "limit": size + 1}
    found = [str(tenant) for (tenant,) in conn.execute(_SQL["tenants"], values)]
    return TenantPage(tuple(tenant_lines(conn, found[:size])), len(found) > size)
