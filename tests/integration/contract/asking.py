"""A client of the contract by hand, for tests of its functions; its role, and the world it asks in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.control import grants
from tests.integration.traffic import world as worlds
from tests.integration.traffic.world import World

Connection = psycopg.Connection[Any]

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE DEFERRABLE"
MARKED = "SET LOCAL migrator.begun = 'm'; SET LOCAL migrator.parts = '00'"

AS_AT_FIRST = """
DROP SCHEMA IF EXISTS decoy CASCADE;
DROP TABLE IF EXISTS app.late;
DROP FUNCTION IF EXISTS app.later() CASCADE;
DELETE FROM app.note;
DELETE FROM migrator.breaker_trip;
DELETE FROM migrator.process;
DELETE FROM migrator.replica_reach;
DELETE FROM migrator.replica;
DELETE FROM migrator.fallback;
DELETE FROM migrator.route;
DELETE FROM migrator.tenant WHERE tenant_id NOT IN ('t1', 't2', 'u1');
UPDATE migrator.switch SET level = 'limitless', write_mode = 'dual';
UPDATE migrator.plan SET shim = '{"staleness_s": 600, "max_lag_s": 3600}';
"""
"""With bounds within which a busy machine comes from one question to the next."""

PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"
"""Behind a heartbeat, whose transaction the server else ends when its client is held up in it."""


class Asking:
    """A client's connection, of a process that has registered."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.beat()

    def one(self, statement: str, *values: object) -> Any:
        row = self.conn.execute(statement.encode(), values).fetchone()
        return row[0] if row is not None and len(row) == 1 else row

    def beat(self, *values: object) -> None:
        """In one message, as the contract's second rule has it."""
        places = ", ".join(["%s"] * (2 + len(values)))
        psycopg.ClientCursor(self.conn).execute(
            f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT migrator.client_beat({places}); END".encode(),
            ("p", "test", *values),
        )

    def side(self, tenant: str = "t1", tokens: str | None = None) -> tuple[str, str]:
        found = self.one("SELECT side, why FROM migrator.client_side('p', %s, %s)", tenant, tokens)
        return found[0], found[1]

    def write(self, number: int = 1, tenant: str = "t1") -> str:
        with self.writing(number, tenant):
            return self.token()

    @contextmanager
    def writing(self, number: int = 1, tenant: str = "t1") -> Iterator[None]:
        self.conn.execute(BEGIN.encode())
        try:
            self.conn.execute(MARKED)
            self.conn.execute("INSERT INTO app.note VALUES (%s, %s, 'x')", (tenant, number))
            yield
            self.conn.execute("COMMIT")
        finally:
            with suppress(psycopg.Error):
                self.conn.execute("ROLLBACK")

    def token(self) -> str:
        return str(self.one("SELECT migrator.client_token('m')"))

    def wait(self, token: str, at_most_s: float = 0.0) -> str:
        return str(self.one("SELECT migrator.client_wait('p', %s, %s)", token, at_most_s))

    def refused(self, statement: str, *values: object) -> str:
        """Return the SQLSTATE by which it is refused."""
        with pytest.raises(psycopg.Error) as caught:
            self.one(statement, *values)
        return str(caught.value.sqlstate)


def fresh(world: World) -> None:
    """Leave nothing in *world* of what another test did; the log of decisions and the epochs go on."""
    world.classic.execute(AS_AT_FIRST)
    world.limitless.execute("DELETE FROM app.note")
    world.publish()


def up(world: World, *tenants: str) -> None:
    """Move reads of *tenants* to Limitless; processes that ask here send no heartbeats, so none is waited for."""
    world.classic.execute("DELETE FROM migrator.process")
    worlds.up(world, *tenants)


def role_of(world: World) -> str:
    """A new role that may use the application's table and call the functions."""
    role = f"client_{secrets.token_hex(4)}"
    name = sql.Identifier(role)
    world.classic.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
    world.classic.execute(sql.SQL("GRANT USAGE ON SCHEMA app TO {}").format(name))
    world.classic.execute(sql.SQL("GRANT ALL ON app.note TO {}").format(name))
    grants.grant(world.classic, role, grants.client_statements(role))
    return role


def as_role(world: World, role: str) -> Connection:
    return psycopg.connect(conninfo.make_conninfo(world.classic_dsn, user=role, password="secret"), autocommit=True)


def dropped(world: World, role: str) -> None:
    world.classic.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


@contextmanager
def own(conn: Connection) -> Iterator[None]:
    """A transaction of its own, as the contract's second rule has it."""
    conn.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    yield
    conn.execute("COMMIT")
