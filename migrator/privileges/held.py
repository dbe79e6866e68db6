"""What a role has of the rights that the tool needs, read from one side's catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrator.db.named import load
from migrator.model.side import Side
from migrator.model.table import qualify

Connection = psycopg.Connection[Any]

_SQL = load("migrator.privileges", "held.sql")


@dataclass(frozen=True, slots=True)
class Role:
    """A role, by itself.

    Attributes:
        version: of the server, as server_version_num.
        creates: schemas in this database.
        has_rds: the engine is Aurora or RDS.
        sets_replica: session_replication_role, in its own sessions.
        control_owner, owns_control: of schema migrator; None while there is none.
        has_guards, uses_guards: an administrator's functions that make event triggers; see guards.sql.
    """

    role: str
    exists: bool = False
    version: int = 150000
    database: str = ""
    superuser: bool = False
    creates_roles: bool = False
    inherits: bool = True
    passes_policies: bool = False
    creates: bool = False
    has_rds: bool = False
    rds_superuser: bool = False
    monitors: bool = False
    sets_replica: bool = False
    control_owner: str | None = None
    owns_control: bool | None = None
    has_guards: bool = False
    uses_guards: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of the plan. open: the role may make objects in it."""

    name: str
    usable: bool
    open: bool


@dataclass(frozen=True, slots=True)
class Owned:
    """A table of the plan's schemas, and whether the role has its owner's rights.

    Attributes:
        member: of the owner; a member without its rights does not inherit them.
        forced: row security, also for the owner.
    """

    name: str
    owner: str
    owned: bool
    member: bool = False
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """The plan's schemas on one side. absent: schemas that are not there; unread: sequences that it may not read."""

    absent: tuple[str, ...] = ()
    schemas: tuple[Schema, ...] = ()
    tables: tuple[Owned, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def closed(self) -> tuple[str, ...]:
        """Return the schemas that the role may not use."""
        return tuple(schema.name for schema in self.schemas if not schema.usable)


@dataclass(frozen=True, slots=True)
class Held:
    """A role and what it reaches, on one side."""

    side: Side
    role: Role
    reach: Reach


def read_role(conn: Connection, name: str | None = None) -> Role:
    """Return the role of *name*, which need not exist; without a name that of the session."""
    found = _rows(conn, "role", role=name)[0]
    me = name if name is not None else str(_rows(conn, "me")[0]["role"])
    known = {f.name for f in fields(Role)}
    return Role(role=me, **{key: value for key, value in found.items() if key in known})


def read_reach(
    conn: Connection, schemas: Sequence[str], excluded: Collection[str], *, leaves: bool, name: str | None = None
) -> Reach:
    """Return what a role may do in *schemas*.

    Args:
        excluded: qualified tables that the plan leaves out.
        leaves: partitions too.
    """
    there = [Schema(**row) for row in _rows(conn, "schemas", role=name, schemas=list(schemas))]
    rows = _rows(conn, "owners", role=name, schemas=list(schemas), leaves=leaves)
    tables = [(qualify(str(row.pop("schema")), str(row.pop("name"))), row) for row in rows]
    unread = _rows(conn, "sequences", role=name, schemas=list(schemas))
    return Reach(
        tuple(name for name in schemas if name not in {schema.name for schema in there}),
        tuple(there),
        tuple(Owned(table, **row) for table, row in tables if table not in excluded),
        tuple((row["schema"], row["name"]) for row in unread),
    )


def read(
    conn: Connection, side: Side, schemas: Sequence[str], excluded: Collection[str] = (), name: str | None = None
) -> Held:
    """Return what the role of *name*, or of the session, has on *side*."""
    reach = read_reach(conn, schemas, excluded, leaves=side is Side.CLASSIC, name=name)
    return Held(side, read_role(conn, name), reach)


def excluded(entries: Mapping[str, Any]) -> frozenset[str]:
    """Return the tables that a plan's entries leave out."""
    return frozenset(name for name, entry in entries.items() if entry.kind == "excluded")


def of_nobody(conn: Connection, side: Side, schemas: Sequence[str], excluded: Collection[str], name: str) -> Held:
    """Return what a role of *name* would have when it was just made: what it needs is then all there is to grant."""
    found = read(conn, side, schemas, excluded, "")  # no role has this name
    return replace(found, role=replace(found.role, role=name))


def _rows(conn: Connection, name: str, **values: object) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()
