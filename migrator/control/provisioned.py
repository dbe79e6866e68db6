"""Stores what provisioning made on Limitless, and the result of the last comparison of rights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
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


class Compared(NamedTuple):
    """The last comparison of rights: its blockers, and classic's rights as lines."""

    at: datetime
    blockers: list[str]
    rights: list[str]


def made(limitless: Connection) -> list[Made]:
    """Return what provisioning made, newest first."""
    return [Made(*row) for row in limitless.execute(_SQL["made"])]


def record(limitless: Connection, what: Made) -> None:
    """Record what was made, in the transaction that made it. Safe to run twice."""
    limitless.execute(_SQL["record"], what._asdict())


def forget(limitless: Connection, what: Made) -> bool:
    """Forget what was dropped, in the transaction that dropped it; return whether it was recorded."""
    return limitless.execute(_SQL["forget"], what._asdict()).rowcount > 0


def only_maker(limitless: Connection) -> None:
    """Lock provisioning on Limitless against other sessions until the caller's transaction ends."""
    limitless.execute(_SQL["only_maker"])


def keep_rights(classic: Connection, blockers: Sequence[str], rights: Sequence[str]) -> None:
    """Keep what a comparison found, in place of the one before; nothing where the tool is not installed."""
    place = classic.execute(_SQL["rights_are_kept"]).fetchone()
    if place and place[0]:
        classic.execute(_SQL["keep_rights"], {"blockers": list(blockers), "rights": list(rights)})


def compared_rights(classic: Connection) -> Compared | None:
    """Return the last comparison of rights; None when there was none, or the tool is not installed."""
    place = classic.execute(_SQL["rights_are_kept"]).fetchone()
    if not place or not place[0]:
        return None
    row = classic.execute(_SQL["rights"]).fetchone()
    return Compared(*row) if row else None
