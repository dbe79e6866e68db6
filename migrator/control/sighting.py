"""Stores who uses classic beside this tool: sessions as looks found them, and the hours in which somebody looked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load
from migrator.model.own_session import is_own_application, is_shim_of
from migrator.model.status import OthersLine

Connection = psycopg.Connection[Any]

MOST = 2000
"""Sightings that are kept, the newest: addresses of pods have no end."""

KEPT_DAYS = 120
"""Hours are kept for so long: more than the 90 days of the stabilization."""

WRITER = "writer"


_SQL = load("migrator.control", "sighting.sql")


class Who(NamedTuple):
    """Whose session it is, as the server says it."""

    kind: str
    database: str
    role: str
    application: str
    client: str
    active: bool = False  # it ran a statement


@dataclass(frozen=True, slots=True)
class Seen:
    """Sessions of one role and application in one database of one server.

    Attributes:
        server: "writer", or a reader of the plan: "reader 1".
        kind: session or walsender.
        clients: how many addresses it came from; `addresses` are the newest three.
        age_s: since it was last seen.
        active: of the looks, those in which it ran a statement; 0 for what was stored before these were counted.
    """

    server: str
    kind: str
    database: str
    role: str
    application: str
    first_at: datetime
    last_at: datetime
    looks: int
    clients: int
    addresses: tuple[str, ...]
    age_s: float
    active: int = 0


def is_ours(application: str, processes: Collection[str]) -> bool:
    """Return whether a session is this tool's, or of a shim in one of *processes*. Pure."""
    return is_own_application(application) or is_shim_of(application, processes)


@dataclass(frozen=True, slots=True)
class Watched:
    """How long a server was watched. hours: of those asked for, in which somebody looked; last_s: since the beginning
    of the last of all."""

    server: str
    since: datetime
    hours: int
    for_s: float
    last_s: float


def sees_all(conn: Connection) -> bool:
    """Return whether this role sees the sessions of others."""
    row = conn.execute(_SQL["sees_all"]).fetchone()
    return bool(row and row[0])


def look(conn: Connection) -> list[Who]:
    """Return whose sessions there are now, each once."""
    return [Who(*row) for row in conn.execute(_SQL["look"])]


def add(conn: Connection, server: str, seen: Mapping[Who, int], looks: int) -> None:
    """Store what *looks* looks at *server* found, each with the number of looks that found it."""
    values: dict[str, object] = {"server": server, "looks": list(seen.values())}
    for name, column in (("kinds", "kind"), ("databases", "database"), ("roles", "role"),
                         ("applications", "application"), ("clients", "client"), ("actives", "active")):  # fmt: skip
        values[name] = [getattr(who, column) for who in seen]
    with conn.transaction():
        conn.execute(_SQL["add"], values)
        conn.execute(_SQL["add_hour"], {"server": server, "looks": looks})


def forget(conn: Connection) -> None:
    """Delete what is beyond the bounds."""
    conn.execute(_SQL["forget"], {"most": MOST})
    conn.execute(_SQL["forget_hours"], {"days": KEPT_DAYS})


def seen(conn: Connection) -> list[Seen]:
    """Return everybody who was seen, the newest first."""
    rows = conn.execute(_SQL["seen"])
    return [
        Seen(server, kind, database, role, application, first_at, last_at, looks, clients, tuple(addresses), *rest)
        for server, kind, database, role, application, first_at, last_at, looks, clients, addresses, *rest in rows
    ]


def watched(conn: Connection, within_s: float) -> list[Watched]:
    """Return how each server was watched, in the last *within_s* seconds and at all."""
    return [Watched(*row) for row in conn.execute(_SQL["watched"], {"within_s": within_s})]


def process_names(conn: Connection) -> frozenset[str]:
    """Return the names of the processes that run, or ran, the shim."""
    return frozenset(str(name) for (name,) in conn.execute(_SQL["processes"]))


def others(conn: Connection, quiet_s: float) -> OthersLine | None:
    """Return who else uses classic, for the status; None where no look was ever stored."""
    hours = watched(conn, quiet_s)
    if not hours:
        return None
    processes = process_names(conn)
    found = [s for s in seen(conn) if s.age_s <= quiet_s and not is_ours(s.application, processes)]
    names = tuple(dict.fromkeys(f"{one.role}/{one.application or 'unnamed'}" for one in found))
    return OthersLine(len(names), names[:5], max(line.since for line in hours), quiet_s / 86_400)
