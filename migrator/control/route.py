"""Stores where reads and writes go: switch and routes on classic, the terminal route on Limitless."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load
from migrator.model.route import FallbackScope, Level, Route, WriteMode
from migrator.model.tenant import REFERENCE_PART, TenantId

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "route.sql")


def write_mode(conn: Connection) -> WriteMode:
    """Return where writes go."""
    row = conn.execute(_SQL["write_mode"]).fetchone()
    assert row is not None  # inserted by the control schema, never deleted
    return WriteMode(row[0])


def locked_write_mode(conn: Connection) -> WriteMode:
    """Return where writes go, locked until the caller's transaction ends."""
    row = conn.execute(_SQL["locked_write_mode"]).fetchone()
    assert row is not None
    return WriteMode(row[0])


def begin_dual(conn: Connection) -> None:
    """Set the write mode to dual: capture is on; nothing changes when it was."""
    conn.execute(_SQL["begin_dual"])


def end_dual(conn: Connection) -> None:
    """Set the write mode to classic_only: capture is off; not after the hand-over."""
    conn.execute(_SQL["end_dual"])


@dataclass(frozen=True, slots=True)
class Switch:
    """The global switch: the upper bound of every tenant's level, and where writes go."""

    level: Level
    write_mode: WriteMode
    epoch: int
    changed_at: datetime
    changed_by: str
    reason: str


def switch(conn: Connection) -> Switch:
    """Return the switch as it stands."""
    row = conn.execute(_SQL["switch"]).fetchone()
    assert row is not None  # inserted by the control schema, never deleted
    return Switch(Level(row[0]), WriteMode(row[1]), *row[2:])


def lock_switch(conn: Connection) -> None:
    """Lock all routes against other sessions until the caller's transaction ends."""
    conn.execute(_SQL["lock_switch"])


def set_level(conn: Connection, level: Level, who: str, reason: str) -> None:
    """Set the upper bound of every tenant's level."""
    conn.execute(_SQL["set_level"], {"level": level.value, "who": who, "reason": reason})


def set_write_mode(conn: Connection, mode: WriteMode, who: str, reason: str) -> None:
    """Set where writes go."""
    conn.execute(_SQL["set_write_mode"], {"mode": mode.value, "who": who, "reason": reason})


def routes(conn: Connection) -> list[Route]:
    """Return the routes of all tenants that were ever moved, ordered by tenant."""
    rows = conn.execute(_SQL["routes"])
    return [Route(TenantId(t), part, Level(level), pct, epoch) for t, part, level, pct, epoch in rows]


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant's route with who made it and why.

    Attributes:
        epoch: of its last change, whether a move or not.
        wave: the last one that moved it.
        version: another one after every move. Sampling a tenant's reads, which begins and ends at any time, keeps it.
    """

    tenant_id: TenantId
    part: int
    level: Level
    reads_pct: int
    epoch: int
    changed_by: str
    reason: str
    wave: int | None
    version: int

    @property
    def moved(self) -> bool:
        """Whether a wave ever moved it."""
        return self.wave is not None


def _standing(tenant: str, part: int, level: str, *rest: Any) -> Standing:
    return Standing(TenantId(tenant), part, Level(level), *rest)


def standings(conn: Connection, tenants: Sequence[TenantId]) -> dict[TenantId, Standing]:
    """Return the routes of *tenants*; one that was never moved has none."""
    found = (_standing(*row) for row in conn.execute(_SQL["standings"], {"tenants": list(tenants)}))
    return {one.tenant_id: one for one in found}


def off_classic(conn: Connection, tenants: Sequence[str] | None = None) -> list[str]:
    """Return those of *tenants* (None: of all) that have a route that is not classic, ordered by tenant."""
    rows = conn.execute(_SQL["off_classic"], {"all": tenants is None, "tenants": list(tenants or ())})
    return [str(tenant) for (tenant,) in rows]


def count_at(conn: Connection, *levels: Level) -> int:
    """Return how many tenants have a route at one of *levels*, whatever the switch and fallbacks say."""
    row = conn.execute(_SQL["count_at"], {"levels": [level.value for level in levels]}).fetchone()
    return int(row[0]) if row else 0


def put_routes(
    conn: Connection,
    parts: Mapping[TenantId, int],
    level: Level,
    pct: int,
    *,
    wave: int | None,
    epoch: int,
    who: str,
    reason: str,
) -> None:
    """Write the routes of the tenants of *parts*, each with its mirror partition. Without *wave* each keeps its own."""
    values = {"level": level.value, "pct": pct, "wave": wave, "epoch": epoch, "who": who, "reason": reason}
    conn.execute(_SQL["put_routes"], {"tenants": list(parts), "parts": list(parts.values()), **values})


def log_moves(conn: Connection, tenants: Sequence[TenantId], kind: str, after: Any, who: str, reason: str) -> None:
    """Append a decision about each of *tenants*, whose routes the caller is about to change all alike, to *after*."""
    values = {"tenants": list(tenants), "kind": kind, "after": json.dumps(after), "who": who, "reason": reason}
    conn.execute(_SQL["log_moves"], values)


def move_back(conn: Connection, tenants: Sequence[TenantId], epoch: int, who: str, reason: str) -> None:
    """Put the routes of *tenants* on classic; their percentage and wave stay."""
    conn.execute(_SQL["move_back"], {"tenants": list(tenants), "epoch": epoch, "who": who, "reason": reason})


def watch_routes(conn: Connection, parts: Mapping[TenantId, int], on: bool, epoch: int, who: str, reason: str) -> None:
    """Let processes report the tenants of *parts* one by one, or not any more; one without a route gets one."""
    values = {"on": on, "epoch": epoch, "who": who, "reason": reason}
    conn.execute(_SQL["watch_routes"], {"tenants": list(parts), "parts": list(parts.values()), **values})


def unwatched(conn: Connection, tenants: Sequence[TenantId]) -> bool:
    """Return whether processes do not yet report one of *tenants* by itself."""
    row = conn.execute(_SQL["count_watched"], {"tenants": list(tenants)}).fetchone()
    return not row or int(row[0]) < len(set(tenants))


def part_of(conn: Connection, tenant: str) -> int | None:
    """Return the mirror partition on a tenant's route; None when it has no route."""
    row = conn.execute(_SQL["part_of"], {"tenant": tenant}).fetchone()
    return int(row[0]) if row else None


def parts_in_use(conn: Connection) -> set[int]:
    """Return the mirror partitions with a tenant that has left classic."""
    return {int(part) for (part,) in conn.execute(_SQL["parts_in_use"])}


class Settled(NamedTuple):
    """The terminal route on Limitless. `at`: the hand-over."""

    write_mode: str
    at: datetime


def store_settled(limitless: Connection, epoch: int, at: datetime | None, decisions: str, approver: str) -> None:
    """Write the terminal route; *decisions* is the digest of the log. The first one of an epoch stays."""
    limitless.execute(_SQL["store_settled"], {"epoch": epoch, "at": at, "decisions": decisions, "approver": approver})


def settled(limitless: Connection) -> Settled | None:
    """Return the terminal route, None while Limitless holds none."""
    row = limitless.execute(_SQL["settled"]).fetchone()
    return Settled(*row) if row else None


def mark_retiring(limitless: Connection, number: int) -> None:
    """Note beside the terminal route that attempt *number* is about to retire classic."""
    limitless.execute(_SQL["mark_retiring"], {"number": number})


class Retiring(NamedTuple):
    """The attempt that retires classic, as Limitless knows it."""

    number: int
    approver: str


def retiring(limitless: Connection) -> Retiring | None:
    """Return the attempt that retires classic; None when none does, or the control schema is missing there."""
    row = limitless.execute(_SQL["has_settled"]).fetchone()
    if not row or not row[0]:
        return None
    row = limitless.execute(_SQL["retiring"]).fetchone()
    return Retiring(int(row[0]), row[1]) if row else None


def not_mirrored(conn: Connection, lifted: tuple[FallbackScope, str] | None = None) -> list[TenantId | None]:
    """Return the tenants whose reads would go to Limitless without being mirrored there; None stands for the reference
    tables.

    Args:
        lifted: the fallback that is cleared; every other one keeps the reads it covers on classic.
    """
    scope, key = (lifted[0].value, lifted[1]) if lifted else (None, None)
    rows = conn.execute(_SQL["not_mirrored"], {"scope": scope, "key": key, "reference": REFERENCE_PART})
    return [None if tenant is None else TenantId(tenant) for (tenant,) in rows]
