"""What is written all the time stays small: heartbeats and positions, also after a transaction was open for long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control.compact import LARGE_BYTES, compact
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.shim import statements as st
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.pg

PROCESSES = 200
UPDATED = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'migrator.process'::regclass"
SIZE = "SELECT pg_relation_size('migrator.process')"


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        conn.execute("ALTER TABLE migrator.process SET (autovacuum_enabled = off)")  # so that the test says when
        yield conn


def beat(conn: psycopg.Connection[Any], rounds: int) -> None:
    """Every process is heard of *rounds* times."""
    row = {"name": "web", "epoch": 0, "mark": None, "registered_s": 3.5}
    names = [f"ip-10-0-{n}-7.eu-west-1.compute.internal:{n}:abcdef01" for n in range(PROCESSES)]
    for _ in range(rounds):
        with conn.pipeline():  # each is a transaction of its own
            for name in names:
                conn.execute(st.HEARTBEAT, {**row, "process_id": name})


def one(conn: psycopg.Connection[Any], query: str) -> Any:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row if len(row) > 1 else row[0]


def flushed(conn: psycopg.Connection[Any], updates: int) -> tuple[int, int]:
    conn.execute("SELECT pg_stat_force_next_flush()" if conn.info.server_version >= 150000 else "SELECT")
    eventually(lambda: one(conn, UPDATED)[0] >= updates, "statistics arrive")
    found: tuple[int, int] = one(conn, UPDATED)
    return found


def test_heartbeats_are_updates_in_place_and_their_table_stays_as_it_is(classic: psycopg.Connection[Any]) -> None:
    beat(classic, 20)
    updated, in_place = flushed(classic, 19 * PROCESSES)
    assert in_place >= 0.98 * updated
    assert one(classic, SIZE) < 100_000


def test_what_grew_under_an_open_transaction_becomes_small_again(
    classic: psycopg.Connection[Any], classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrator.control.compact.LARGE_BYTES", 256_000)
    beat(classic, 1)
    with psycopg.connect(classic_dsn) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT").fetchall()
        beat(classic, 30)
        grown = one(classic, SIZE)
        assert grown > 2 * 256_000
        classic.execute("VACUUM migrator.process")
        flushed(classic, 0)
        compact(classic)
        assert one(classic, SIZE) == grown, "as long as old versions are needed, writing it anew would save nothing"
    classic.execute("VACUUM migrator.process")
    flushed(classic, 0)

    with psycopg.connect(classic_dsn) as busy:
        busy.execute("LOCK TABLE migrator.process IN ACCESS SHARE MODE")
        compact(classic)
        assert one(classic, SIZE) >= grown // 2, "whoever reads it is not waited for"
    compact(classic)

    assert one(classic, SIZE) < 100_000
    assert one(classic, "SELECT count(*) FROM migrator.process") == PROCESSES
    assert one(classic, "SELECT current_setting('lock_timeout')") == "0"


def test_what_is_small_is_left_alone(classic: psycopg.Connection[Any]) -> None:
    beat(classic, 3)
    classic.execute("VACUUM migrator.process")
    place = "SELECT pg_relation_filenode('migrator.process')"
    before = one(classic, place)
    compact(classic)
    assert one(classic, SIZE) < LARGE_BYTES
    assert one(classic, place) == before
