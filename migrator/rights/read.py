"""Reads the rights of a side, either one; oids never leave the connection they were read on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.rows import dict_row

from migrator.control.grants import serves_shims
from migrator.db.named import load
from migrator.rights.catalog import PUBLIC, Membership, Policy, Right, Rights, Role, Thing
from migrator.rights.settings import MATTERS

ENGINES_OWN = re.compile(
    r"pg_|rdsadmin$|rdsrepladmin$|rdsproxyadmin$|rdswriteforwarduser$"
    r"|rds_(superuser|replication|iam|password|ad|extension|reserved|aurora_limitless_cluster_admin)$"
)
"""Roles that come with the engine. Source: RDS User Guide, PostgreSQL roles (read 2026-11)."""

IGNORED = frozenset({"TRIGGER", "MAINTAIN", "TEMPORARY"})
"""Privileges without meaning on Limitless: no triggers, no temporary tables; MAINTAIN is newer than its engine."""

_SQL = load("migrator.rights", "read.sql")


def read(
    conn: psycopg.Connection[Any],
    schemas: Sequence[str],
    *,
    roles: Collection[str] | None = None,
    also: Collection[str] = (),
    effective: bool = True,
) -> Rights:
    """Return what *conn*'s side gives in *schemas*, in one snapshot; owns its transaction.

    Args:
        roles: ask about these names (classic's, when Limitless is read) instead of the roles that matter here.
        also: ask about these names too, where roles of that name exist.
        effective: also ask the server what every role may in the end.
    """
    inside = conn.info.transaction_status is not pq.TransactionStatus.IDLE
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        if not inside:  # a caller's transaction, as a dry run's, has its snapshot already
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return read_with(cursor, schemas, roles=roles, also=also, effective=effective)


def sides(
    classic: psycopg.Connection[Any], limitless: psycopg.Connection[Any], schemas: Sequence[str]
) -> tuple[Rights, Rights]:
    """Return the rights of both sides, each asked about the roles that matter on either of them.

    A role that lost its last right on classic, or was dropped there, matters on Limitless for as long as it may do
    something there.
    """
    others = holders(limitless, schemas)
    here = read(classic, schemas, also=others)
    return here, read(limitless, schemas, roles={*here.roles, *others} - here.superusers)


def holders(conn: psycopg.Connection[Any], schemas: Sequence[str]) -> frozenset[str]:
    """Return the roles that hold rights in *schemas* by name, by a policy or as members, without the tool's own."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        return _Reader(cursor, list(schemas)).holders()


def mark(conn: psycopg.Connection[Any], schemas: Sequence[str]) -> str:
    """Return a value that is another one when rights, or the objects that have them, may have changed. Cheap."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["mark"], {"schemas": list(schemas)}).fetchone()
    return str(row["mark"]) if row else ""


def read_with(
    cursor: psycopg.Cursor[dict[str, Any]],
    schemas: Sequence[str],
    *,
    roles: Collection[str] | None = None,
    also: Collection[str] = (),
    effective: bool = True,
) -> Rights:
    """Do the same inside the caller's transaction."""
    cursor.execute("SELECT set_config('search_path', 'pg_catalog', true)")  # identities and expressions: qualified
    return _Reader(cursor, list(schemas)).read(roles, also, effective)


class _Reader:
    def __init__(self, cursor: psycopg.Cursor[dict[str, Any]], schemas: list[str]) -> None:
        self._cursor = cursor
        self._schemas = schemas

    def _rows(self, name: str, **values: object) -> list[dict[str, Any]]:
        self._cursor.execute(_SQL[name], {"schemas": self._schemas, **values})
        return self._cursor.fetchall()

    def read(self, given: Collection[str] | None, also: Collection[str], effective: bool) -> Rights:
        here, entries = self._rows("here")[0], self._rows("things")
        roles = self._roles(entries, here["tool"]) if given is None else self._named(given, inside=False)
        asked = self._named(also, inside=False) if also else {}
        roles = {**{name: role for name, role in asked.items() if not role.superuser}, **roles}
        who = list(roles)
        settings: dict[str, dict[str, str]] = defaultdict(dict)
        of_role: dict[str, set[str]] = defaultdict(set)
        for row in self._rows("settings", roles=who, named=given is not None):
            settings[row["role"]][row["name"]] = row["value"]
            if row["of_role"]:
                of_role[row["role"]].add(row["name"])
        guarded = self._rows("guarded")
        return Rights(
            tool=here["tool"],
            database=here["database"],
            things=frozenset(_thing(row) for row in entries if row["kind"] != "column"),
            columns=frozenset(Thing("column", r["schema"], r["name"], r["column_name"]) for r in self._rows("columns")),
            granted=_granted(row for row in entries if row["grantee"] in roles or row["grantee"] == PUBLIC),
            effective=self._effective([*who, PUBLIC]) if effective else frozenset(),
            roles=roles,
            superusers=frozenset(name for name, role in asked.items() if role.superuser),
            members=frozenset(Membership(**row) for row in self._rows("members", roles=who)),
            settings=settings,
            defaults={
                row["name"]: row["value"]
                for row in self._rows("defaults", names=list(MATTERS))
                if row["value"] is not None
            },
            of_role={role: frozenset(found) for role, found in of_role.items()},
            owners={_thing(row): row["owner"] for row in entries if row["kind"] != "column"},
            definers={_thing(row): row["owner"] for row in entries if row["definer"]},
            guarded=frozenset((row["schema"], row["name"]) for row in guarded),
            unforced=frozenset((row["schema"], row["name"]) for row in guarded if not row["forced"]),
            policies=tuple(
                Policy(
                    (row["schema"], row["table_name"]),
                    row["name"],
                    row["permissive"],
                    row["command"],
                    tuple(row["roles"]),
                    row["using_text"],
                    row["check_text"],
                )
                for row in self._rows("policies")
            ),
            serves_shims=serves_shims(self._cursor.connection),
            notes=tuple(row["note"] for row in self._rows("notes")),
        )

    def _roles(self, entries: list[dict[str, Any]], tool: str) -> dict[str, Role]:
        """Return the roles that matter: superusers need no right, and the engine's own roles are no application's. The
        tool's role counts when it owns tables, since then an application may well log in with it."""
        owners = {row["owner"] for row in entries if row["kind"] == "table"}
        named = _named_by(entries)
        named |= {row["name"] for row in self._rows("seeds", everybody=True)}
        return {
            name: role
            for name, role in self._named(named, inside=True).items()
            if not role.superuser and not ENGINES_OWN.match(name) and (name != tool or name in owners)
        }

    def holders(self) -> frozenset[str]:
        tool, entries = self._rows("here")[0]["tool"], self._rows("things")
        named = _named_by(entries) | {row["name"] for row in self._rows("seeds", everybody=False)}
        found = self._named({n for n in named if n != tool and not ENGINES_OWN.match(n)}, inside=True)
        return frozenset(
            name for name, r in found.items() if not r.superuser and name != tool and not ENGINES_OWN.match(name)
        )

    def _named(self, names: Collection[str], *, inside: bool) -> dict[str, Role]:
        return {row["name"]: Role(**row) for row in self._rows("roles", roles=list(names), inside=inside)}

    def _effective(self, who: list[str]) -> frozenset[Right]:
        return frozenset(
            Right(
                row["grantee"],
                _thing(row),
                row["privilege"],
                row["grantable"],
            )
            for row in self._rows("effective", roles=who)
            if _counts(row)
        )


def _named_by(entries: Iterable[dict[str, Any]]) -> set[str]:
    """Return owners and holders of rights. Owning the database opens nothing in it: as a rule an administrator does."""
    return {
        name
        for row in entries
        for name in (row["owner"], row["grantee"])
        if name and not (row["kind"] == "database" and name == row["owner"])
    }


def _thing(row: dict[str, Any]) -> Thing:
    return Thing(row["kind"], row["schema"], row["name"], row["column_name"])


def _granted(entries: Iterable[dict[str, Any]]) -> frozenset[Right]:
    """Return one right per grantee, thing and privilege: the one that may be handed on, if there are two."""
    found: dict[tuple[str, Thing, str], bool] = {}
    for row in entries:
        if _counts(row):
            key = (row["grantee"], _thing(row), row["privilege"])
            found[key] = found.get(key, False) or row["grantable"]
    return frozenset(Right(*key, grantable) for key, grantable in found.items())


def _counts(row: dict[str, Any]) -> bool:
    """Return whether a right is one that an application on Limitless could need."""
    if row["privilege"] in IGNORED or (row["kind"] == "database" and row["privilege"] != "CONNECT"):
        return False
    # CREATE for everybody is the default of schema public before PostgreSQL 15, which an upgrade keeps.
    return (row["grantee"], row["kind"], row["privilege"]) != (PUBLIC, "schema", "CREATE")
