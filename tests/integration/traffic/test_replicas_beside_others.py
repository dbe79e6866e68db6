"""No replica is in service beside a process that does not wait for it, in whatever order both come.

Such a process is of an earlier release, or was given no replicas. Here it is what it writes: its heartbeats.
"""

from __future__ import annotations

import threading
from typing import Any

import psycopg

from migrator.shim import replica_sql
from migrator.shim import statements as st
from migrator.shim.replica_change import Level, join, serve, take_out
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import World

REPLICA = "a start of db-1"


def beat(conn: psycopg.Connection[Any], name: str, *, registered_s: float = 60.0) -> None:
    """What every release sends."""
    values = {"process_id": name, "name": name, "epoch": -1, "mark": None, "registered_s": registered_s}
    conn.execute(st.HEARTBEAT, values)


def level(world: World) -> str | None:
    row = world.classic.execute(replica_sql.FIND, {"instance": REPLICA}).fetchone()
    return row and row[0]


def joined(world: World) -> list[str]:
    return join(world.classic, REPLICA, "db-1", by="web-1")


def live(world: World) -> list[str]:
    rows = world.classic.execute(
        "SELECT name FROM migrator.process WHERE clock_timestamp() <= seen_at + make_interval(secs => staleness_s)"
    )
    return [name for (name,) in rows]


class Beside:
    """Runs something in a session of its own, and tells when it has ended or waits for a lock."""

    def __init__(self, world: World, run: Any) -> None:
        self.found: Any = None
        self._world = world
        self._conn = psycopg.connect(world.classic_dsn, autocommit=True)
        self._thread = threading.Thread(target=self._run, args=(run,))
        self._thread.start()
        eventually(lambda: not self._thread.is_alive() or self._waits(), "it has ended, or waits")

    def _run(self, run: Any) -> None:
        self.found = run(self._conn)

    def _waits(self) -> bool:
        pid = self._conn.info.backend_pid
        row = self._world.classic.execute(
            "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", (pid,)
        ).fetchone()
        return bool(row and row[0])

    def end(self) -> Any:
        self._thread.join()
        self._conn.close()
        return self.found


def test_a_process_that_was_silent_takes_replicas_out_when_it_comes_back(world: World) -> None:
    """Frozen, or cut off, for longer than it counted as alive: a replica came into service meanwhile."""
    beat(world.classic, "old", registered_s=0.0)
    assert live(world) == []
    assert joined(world) == []

    beat(world.classic, "old")

    assert live(world) == ["old"]
    assert level(world) == "out"


def test_a_process_that_was_never_silent_is_asked_for_nothing(world: World) -> None:
    world.classic.execute(replica_sql.REACH, {"process_id": "new", "instances": [REPLICA]})
    beat(world.classic, "new", registered_s=0.0)
    assert joined(world) == []
    beat(world.classic, "new")
    beat(world.classic, "new")
    assert level(world) == "joining"


def test_no_replica_joins_while_a_registration_is_about_to_commit(world: World) -> None:
    with psycopg.connect(world.classic_dsn) as registers:
        beat(registers, "old")
        joins = Beside(world, lambda conn: join(conn, REPLICA, "db-1", by="web-1"))
        registers.commit()
        unable = joins.end()

    assert unable == ["old (old)"]
    assert level(world) is None


def test_a_registration_waits_for_a_replica_that_is_about_to_join(world: World) -> None:
    with psycopg.connect(world.classic_dsn) as joins:
        joins.execute(st.LOCK_SWITCH)
        epoch = joins.execute(st.NEXT_EPOCH).fetchone()
        assert epoch is not None
        values = {"instance": REPLICA, "name": "db-1", "epoch": epoch[0], "reason": "test", "by": "web-1"}
        joins.execute(replica_sql.JOIN, values)
        registers = Beside(world, lambda conn: beat(conn, "old"))
        joins.commit()
        registers.end()

    assert live(world) == ["old"]
    assert level(world) == "out"


def test_a_replica_that_joined_beside_a_process_that_does_not_wait_is_not_served(world: World) -> None:
    """However it came to that: here the rows of the register are as a slow heartbeat would have left them."""
    assert joined(world) == []
    row = world.classic.execute(replica_sql.FIND, {"instance": REPLICA}).fetchone()
    assert row is not None
    world.classic.execute("ALTER TABLE migrator.process DISABLE TRIGGER take_replicas_out")
    beat(world.classic, "old")

    assert not serve(world.classic, REPLICA, "db-1", epoch=row[1], by="web-1")

    assert level(world) == Level.OUT
    assert take_out(world.classic, REPLICA, "db-1", by="web-1", reason="test") > row[1], "a change that is confirmed"


PAGE = 8192


def test_the_position_behind_a_commit_is_where_a_replica_ends_that_has_it(world: World) -> None:
    """At the end of a page of the log the next record begins behind a header: a replica does not get that far by
    itself, so a write at night would wait for the next one, and take the replica out for it."""

    def end() -> int:
        row = world.classic.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')").fetchone()
        assert row is not None
        return int(row[0])

    def commit(size: int) -> int:
        """Write and commit *size* bytes; return how much longer the log is."""
        before = end()
        world.classic.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', %s))", (size,))
        return end() - before

    more, written = commit(800) - 800, None
    for _ in range(200):  # others write to the log as well, while we measure too
        left = PAGE - end() % PAGE - more
        size = left if left > 300 else 1_000
        more = min(more, commit(size) - size)
        written = world.classic.execute(replica_sql.written(False)).fetchone()
        if 0 < end() % PAGE <= 40:
            break

    assert 0 < end() % PAGE <= 40, "no commit ended with a page"
    assert written is not None
    assert int(written[1]) % PAGE == 0
