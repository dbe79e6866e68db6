"""A block without a server does what it does on PostgreSQL, or says that it cannot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from migrator.shim import Read, Write
from tests.integration.traffic.bench import Bench, Fake
from tests.integration.traffic.world import get

pytestmark = pytest.mark.pg

Connection = psycopg.Connection[Any]
INSERT = "INSERT INTO app.note VALUES (%s, %s, %s)"
SELECT = "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s"
KEY = ("t1", 1)


def insert(conn: Connection, number: int) -> psycopg.Cursor[Any]:
    return conn.execute(INSERT, ("t1", number, "x"))


def run(*statements: str) -> Callable[[Connection], object]:
    def fn(conn: Connection) -> None:
        insert(conn, 1)
        for number, statement in enumerate(statements, 2):
            conn.execute(statement.encode())
            insert(conn, number)

    return fn


def by_method(name: str) -> Callable[[Connection], object]:
    def fn(conn: Connection) -> None:
        insert(conn, 1)
        getattr(conn, name)()
        insert(conn, 2)

    return fn


def assign(name: str, value: object) -> Callable[[Connection], object]:
    return lambda conn: setattr(conn, name, value)


def broken(then: Callable[[Connection], object]) -> Callable[[Connection], object]:
    def fn(conn: Connection) -> object:
        insert(conn, 1)
        with suppress(psycopg.Error):
            insert(conn, 1)
        return then(conn)

    return fn


def forced_back(conn: Connection) -> None:
    insert(conn, 1)
    with conn.transaction(force_rollback=True):
        insert(conn, 2)


def rolled_back(conn: Connection) -> None:
    with conn.transaction():
        insert(conn, 1)
        raise psycopg.Rollback
    insert(conn, 2)


def outer_rolled_back(conn: Connection) -> None:
    with conn.transaction() as outer:
        insert(conn, 1)
        with conn.transaction():
            raise psycopg.Rollback(outer)
        insert(conn, 2)


def swallowed_in_savepoint(conn: Connection) -> None:
    with conn.transaction():
        broken(lambda _: None)(conn)


def savepoint(conn: Connection) -> None:
    with conn.transaction():
        insert(conn, 2)


def counts(conn: Connection) -> object:
    cursor = conn.cursor()
    cursor.executemany(INSERT, [("t1", 1, "x"), ("t1", 2, "x")])
    return cursor.rowcount, conn.execute(SELECT, KEY).rowcount, conn.execute(SELECT, ("t1", 9)).rowcount


def fetches(conn: Connection) -> object:
    insert(conn, 1)
    cursor = conn.execute(SELECT, KEY)
    return cursor.fetchone(), cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall(), list(conn.execute(SELECT, KEY))


def closed_cursor(conn: Connection) -> None:
    with conn.cursor() as cursor:
        cursor.execute(SELECT, KEY)
    assert cursor.closed
    cursor.fetchone()


def runs_closed_cursor(conn: Connection) -> None:
    cursor = conn.cursor()
    cursor.close()
    cursor.execute(SELECT, KEY)


CASES: dict[str, Callable[[Connection], object]] = {
    "nothing": lambda conn: None,
    "only reads": lambda conn: conn.execute(SELECT, KEY).fetchall(),
    "locks nothing": lambda conn: conn.execute(f"{SELECT} FOR UPDATE", KEY).fetchall(),
    "COMMIT": run("COMMIT"),
    "COMMIT WORK;": run("COMMIT WORK;"),
    "ROLLBACK": run("ROLLBACK"),
    "COMMIT, BEGIN": run("COMMIT", "BEGIN"),
    "ROLLBACK, BEGIN": run("ROLLBACK", "BEGIN READ WRITE"),
    "COMMIT at once": lambda conn: conn.execute("COMMIT") and insert(conn, 1).rowcount,
    "BEGIN within": run("BEGIN"),
    "SET LOCAL": run("SET LOCAL lock_timeout = '1s'"),
    "commit()": by_method("commit"),
    "rollback()": by_method("rollback"),
    "close()": by_method("close"),
    "leaves an error swallowed": broken(lambda _: None),
    "goes on after an error": broken(lambda conn: insert(conn, 2)),
    "savepoint after an error": broken(savepoint),
    "COMMIT after an error": broken(lambda conn: conn.execute("COMMIT") and None),
    "ROLLBACK after an error": broken(lambda conn: conn.execute("ROLLBACK") and None),
    "status after an error": broken(lambda conn: conn.info.transaction_status.name),
    "status": lambda conn: conn.info.transaction_status.name,
    "force_rollback": forced_back,
    "Rollback": rolled_back,
    "Rollback of the outer one": outer_rolled_back,
    "error swallowed in a savepoint": swallowed_in_savepoint,
    "rowcount": counts,
    "fetches": fetches,
    "fetches nothing": lambda conn: insert(conn, 1).fetchone(),
    "closed cursor": closed_cursor,
    "runs on a closed cursor": runs_closed_cursor,
    "autocommit": assign("autocommit", False),
    "read_only": assign("read_only", True),
    "isolation_level": assign("isolation_level", psycopg.IsolationLevel.SERIALIZABLE),
    "what it is": lambda conn: (conn.autocommit, conn.isolation_level, conn.read_only, conn.closed, conn.broken),
}


def ended(bench: Bench, block: Read | Write, fn: Callable[[Connection], object]) -> tuple[object, ...]:
    """Return what came out of a block, and what it left."""
    came: tuple[object, ...]
    try:
        with block:
            came = (fn(block.connection),)
    except Exception as error:
        came = (type(error), getattr(error, "sqlstate", None))
    about = (block.token is not None, block.committed, block.lost) if isinstance(block, Write) else (block.failed,)
    left = [bench.shim.run_read("t1", get("t1", number, with_side=False)) for number in (1, 2, 3)]
    return came, about, left


@pytest.mark.parametrize("kind", ["write", "read"])
def test_blocks_end_as_on_postgresql(classic_dsn: str, kind: str) -> None:
    real = Fake.on_postgresql(classic_dsn)
    expected, found = {}, {}
    with psycopg.connect(classic_dsn, autocommit=True) as conn, real.shim:
        for what, fn in CASES.items():
            conn.execute("TRUNCATE app.note")
            expected[what] = ended(real, getattr(real.shim, kind)("t1"), fn)
            without = Fake.without_server()
            with without.shim:
                found[what] = ended(without, getattr(without.shim, kind)("t1"), fn)

    assert found == expected
    assert len({repr(outcome) for outcome in expected.values()}) > 5, "they differ among each other"
