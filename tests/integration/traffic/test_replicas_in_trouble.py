"""Replicas that lag, freeze, die, are cut off, promoted or of another cluster: nothing acknowledged is missed."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.errors import ReadStale
from migrator.shim import Shim
from migrator.shim.replicas import FAILURES
from migrator.testing import Heard
from tests.fixtures.replica import Standbys
from tests.fixtures.waiting import eventually
from tests.integration.traffic.replicated import HASTY, PATIENT, Replicated, applied, known, where
from tests.integration.traffic.world import QUICK, put

pytestmark = pytest.mark.pg


def test_a_replica_that_stops_replaying_is_taken_out_before_a_write_returns(replicated: Replicated) -> None:
    heard = Heard()
    one, two = replicated.standbys.make(), replicated.standbys.make()
    shim = replicated.shim("web-1", one, two, settings=HASTY, heard=heard)
    other = replicated.shim("web-2", one, two, settings=replace(PATIENT, poll_s=0.3))
    replicated.serving(one, two)
    applied(other, one, two)
    one.pause()

    shim.run_write("t1", put("t1", 1, "after the pause"))

    seen = [other.run_read("t1", where("t1", 1)) for _ in range(8)]
    assert {found for _, found in seen} == {"after the pause"}
    assert one.server.port not in {port for port, _ in seen}
    assert replicated.levels()[one.name] == "out"
    replicated.serving(two)  # if it was too slow as well, it comes back; the one that is paused does not
    eventually(lambda: other.run_read("t1", where("t1", 1))[0] == two.server.port, "the other one is read")
    assert replicated.levels()[one.name] == "out"
    one.resume()
    replicated.serving(one, two)
    applied(other, one, two)
    for each in (one, two):
        read = (each.server.port, "after the pause")
        eventually(lambda read=read: other.run_read("t1", where("t1", 1)) == read, "both are read")  # type: ignore[misc]


def test_a_replica_that_is_cut_off_from_the_writer_serves_nothing_stale(replicated: Replicated) -> None:
    """It answers, and quickly; it only hears of nothing any more."""
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=HASTY)
    other = replicated.shim("web-2", one, settings=PATIENT)
    replicated.serving(one)
    applied(other, one)
    one.stream.cut_off()

    shim.run_write("t1", put("t1", 1, "cut off"))
    port, found = other.run_read("t1", where("t1", 1))

    assert (port, found) != (one.server.port, None)
    assert found == "cut off"
    one.stream.clear_faults()
    one.stream.accept()
    replicated.serving(one)


def test_a_process_that_reaches_replicas_but_not_the_writer_stops_reading_them(
    replicated: Replicated, proxy: Any
) -> None:
    """Its routes run out, and with them its right to read replicas; meanwhile they are taken out of service."""
    one = replicated.standbys.make()
    way = proxy(replicated.world.classic_dsn)
    cut = Shim(way.dsn(replicated.world.classic_dsn), replicated.world.limitless_dsn, "web-1", settings=QUICK,
               readers=[one.dsn], listener=Heard())  # fmt: skip
    with cut:
        shim = replicated.shim("web-2", one, settings=HASTY)
        replicated.serving(one)
        applied(cut, one)
        way.cut_off()
        one.pause()

        shim.run_write("t1", put("t1", 1, "unseen there"))

        with pytest.raises(Exception, match="unavailable"):
            cut.run_read("t1", where("t1", 1))
        one.resume()


def test_a_frozen_replica_holds_up_a_read_for_a_moment_and_comes_back(replicated: Replicated) -> None:
    one, two = replicated.standbys.make(), replicated.standbys.make()
    shim = replicated.shim("web-1", one, two, settings=HASTY)
    replicated.serving(one, two)
    applied(shim, one, two)
    one.server.freeze()

    seen = [shim.run_read("t1", where("t1", 1))[0] for _ in range(6)]
    shim.run_write("t1", put("t1", 1, "frozen"))
    after = [shim.run_read("t1", where("t1", 1)) for _ in range(6)]

    assert one.server.port not in seen
    assert {found for _, found in after} == {"frozen"} and one.server.port not in {port for port, _ in after}
    replicated.serving(two)
    eventually(lambda: shim.run_read("t1", where("t1", 1)) == (two.server.port, "frozen"), "the other one is read")
    one.server.thaw()
    replicated.serving(one)
    eventually(lambda: shim.run_read("t1", where("t1", 1)) == (one.server.port, "frozen"), "it is read again")


def test_a_read_that_was_on_a_replica_when_it_froze_is_answered_elsewhere(replicated: Replicated) -> None:
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=HASTY)
    replicated.serving(one)
    applied(shim, one)
    times: list[int] = []

    def fn(r: Any) -> int:
        port = r.connection.execute("SELECT current_setting('port')::int").fetchone()[0]
        if port == one.server.port:
            one.server.freeze()
        times.append(port)
        r.connection.execute("SELECT count(*) FROM app.note")
        return int(port)

    def answered() -> bool:
        """Whether a read began on the replica; one that takes long to answer is passed over."""
        times.clear()
        assert shim.run_read("t1", fn) != one.server.port
        return times[0] == one.server.port

    eventually(answered, "a read began on the replica")
    assert len(times) == 2
    one.server.thaw()


def test_a_killed_replica_is_another_one_when_it_comes_back(replicated: Replicated) -> None:
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=HASTY)
    replicated.serving(one)
    applied(shim, one)
    one.server.kill()

    shim.run_write("t1", put("t1", 1, "while it is dead"))
    assert shim.run_read("t1", where("t1", 1))[1] == "while it is dead"

    one.server.start()
    replicated.serving(one)
    applied(shim, one)
    eventually(lambda: shim.run_read("t1", where("t1", 1)) == (one.server.port, "while it is dead"), "it is read")
    rows = replicated.world.classic.execute("SELECT count(*) FROM migrator.replica").fetchone()
    assert rows == (2,), "each start is an instance of its own"


def test_a_crash_inside_a_replica_makes_another_instance_of_it(replicated: Replicated) -> None:
    """The postmaster stays; what was replayed and not flushed is replayed again, so it may show an earlier state."""
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=HASTY)
    replicated.serving(one)
    applied(shim, one)
    before = known(shim).endpoints[0].instance
    one.server.crash_session()

    eventually(lambda: known(shim).endpoints[0].instance not in (None, before), "another instance")
    eventually(lambda: known(shim).registry.serves(str(before)) is None, "the earlier one is out")
    replicated.serving(one)


def test_a_promoted_replica_is_not_read(replicated: Replicated) -> None:
    """It takes writes of its own from then on, and reports that it has replayed everything it ever had."""
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=HASTY)
    replicated.serving(one)
    applied(shim, one)

    one.ask("SELECT pg_promote(true)")
    with psycopg.connect(one.dsn, autocommit=True) as conn:
        conn.execute("INSERT INTO app.note VALUES ('t1', 1, 'never on classic')")

    assert shim.run_read("t1", where("t1", 1))[1] is None
    shim.run_write("t1", put("t1", 1, "on classic"))
    assert shim.run_read("t1", where("t1", 1))[1] == "on classic"
    eventually(lambda: replicated.levels()[one.name] == "out", "it is out")


def test_the_writer_given_as_a_replica_is_not_one(replicated: Replicated) -> None:
    shim = replicated.stack.enter_context(
        replicated.world.shim("web-1", PATIENT, readers=[replicated.world.classic_dsn], listener=Heard())
    )
    eventually(lambda: "no replica" in known(shim).endpoints[0].why, "it is told")
    assert replicated.levels() == {}


def test_a_replica_of_another_cluster_never_serves(replicated: Replicated) -> None:
    """Same schema, same names, in recovery, further on in its log; but never the mark of this history's epoch."""
    one = replicated.standbys.make()
    one.ask("SELECT pg_promote(true)")
    with psycopg.connect(one.dsn, autocommit=True) as conn:
        conn.execute("INSERT INTO app.note SELECT 't1', 100 + i, repeat('x', 500) FROM generate_series(1, 20000) i")
    other = Standbys(replace(replicated.standbys.servers, classic=one.server))
    replicated.standbys.others.append(other)
    foreign = other.make()
    shim = replicated.shim("web-1", foreign)
    eventually(
        lambda: "history" in known(shim).endpoints[0].why or replicated.levels().get(foreign.name) == "serving", "told"
    )

    shim.run_write("t1", put("t1", 1, "here"))

    assert shim.run_read("t1", where("t1", 1))[1] == "here"
    assert replicated.levels().get(foreign.name) != "serving"


def test_a_read_cancelled_by_a_recovery_conflict_is_answered_by_the_writer(replicated: Replicated) -> None:
    one = replicated.standbys.make("hot_standby_feedback=off", "max_standby_streaming_delay=0")
    shim = replicated.shim("web-1", one)
    replicated.serving(one)
    applied(shim, one)
    shim.run_write("t1", put("t1", 1, "there"))
    ports: list[int] = []

    def fn(r: Any) -> tuple[int, Any]:
        r.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ports.append(where("t1", 1)(r)[0])
        if ports == [one.server.port]:
            replicated.world.classic.execute("DELETE FROM app.note")
            replicated.world.classic.execute("VACUUM app.note")  # the rows that this snapshot still sees
            end = replicated.world.classic.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            eventually(lambda: one.ask(f"SELECT pg_last_wal_replay_lsn() >= '{end and end[0]}'"), "it is replayed")
        return where("t1", 1)(r)

    port, found = shim.run_read("t1", fn)

    assert ports == [one.server.port, port]
    assert port != one.server.port
    assert found is None


def test_a_read_that_only_a_replica_refuses_is_answered_by_the_writer(replicated: Replicated) -> None:
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one)
    replicated.serving(one)
    applied(shim, one)

    def fn(r: Any) -> int:
        r.connection.execute("LOCK TABLE app.note IN SHARE MODE")  # impossible during recovery
        return int(r.connection.execute("SELECT current_setting('port')::int").fetchone()[0])

    assert shim.run_read("t1", fn) != one.server.port
    with pytest.raises(ReadStale), shim.read("t1") as block:
        fn(block)


def test_a_read_under_way_is_discarded_when_its_replica_is_taken_out(replicated: Replicated) -> None:
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=HASTY)
    reader = replicated.shim("web-2", one)
    replicated.serving(one)
    applied(reader, one)

    with pytest.raises(ReadStale, match="taken out of service"), reader.read("t1") as block:
        assert where("t1", 1)(block) == (one.server.port, None)
        one.pause()
        shim.run_write("t1", put("t1", 1, "meanwhile"))
    one.resume()


def test_a_replica_to_which_this_process_has_no_connection_left_is_not_ejected(replicated: Replicated) -> None:
    """That is the limit of the process' own pool, and says nothing about the server."""
    one = replicated.standbys.make()
    made = replicated.world.shim("web-1", PATIENT, readers=[one.dsn], pool_size=1, listener=Heard())
    shim = replicated.stack.enter_context(made)
    replicated.serving(one)
    applied(shim, one)
    (at,) = known(shim).endpoints
    at.pool._wait_s = 0.05

    with shim.read("t1") as block:
        assert where("t1", 1)(block)[0] == one.server.port
        for _ in range(FAILURES + 1):
            assert shim.run_read("t1", where("t1", 1))[0] != one.server.port

    assert at.health.times == 0
    assert shim.run_read("t1", where("t1", 1))[0] == one.server.port


def test_a_restarted_writer_takes_its_replicas_back_one_step_at_a_time(replicated: Replicated) -> None:
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=replace(PATIENT, staleness_s=3.0))
    replicated.serving(one)
    classic = replicated.standbys.servers.classic
    replicated.world.classic.close()
    classic.kill()
    classic.start()

    eventually(lambda: shim._current.view.valid(shim._current.now_s()), "the routes are read again")
    replicated.world.classic = psycopg.connect(replicated.world.classic_dsn, autocommit=True)
    shim.run_write("t1", put("t1", 1, "after the crash"))
    assert shim.run_read("t1", where("t1", 1))[1] == "after the crash"
    replicated.serving(one)
    applied(shim, one)
    assert shim.run_read("t1", where("t1", 1)) == (one.server.port, "after the crash")
    assert replicated.world.classic.execute(
        "SELECT count(*) FROM migrator.decision WHERE kind = 'replica.out' AND reason LIKE 'the writer was%'"
    ).fetchone() == (1,)


def test_what_was_acknowledged_is_never_missed_while_replicas_come_and_go(replicated: Replicated) -> None:
    """Two processes write and read back through each other; replicas freeze, pause, crash and lose their stream."""
    one, two = replicated.standbys.make(), replicated.standbys.make()
    settings = replace(HASTY, replica_wait_s=0.2)
    shims = [
        replicated.shim("web-1", one, two, settings=settings),
        replicated.shim("web-2", two, one, settings=settings),
    ]
    replicated.serving(one, two)
    missed: list[object] = []
    errors: list[BaseException] = []
    ports: set[int] = set()
    stop = threading.Event()

    def load(tenant: str, writer: Shim, reader: Shim) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                writer.run_write(tenant, put(tenant, number % 5, f"{number}"))
                port, found = reader.run_read(tenant, where(tenant, number % 5))
            except BaseException as error:
                errors.append(error)
                return
            ports.add(port)
            if found != f"{number}":
                missed.append((tenant, number, port, found))

    threads = [
        threading.Thread(target=load, args=("t1", shims[0], shims[1])),
        threading.Thread(target=load, args=("u1", shims[1], shims[0])),
    ]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: {one.server.port, two.server.port} <= ports, "both are read")
        one.pause()
        eventually(lambda: replicated.levels()[one.name] == "out", "paused: out")
        one.resume()
        two.server.freeze()
        eventually(lambda: replicated.levels()[two.name] == "out", "frozen: out")
        two.server.thaw()
        replicated.serving(one, two)
        one.server.crash_session()
        two.stream.cut_off()
        eventually(lambda: replicated.levels()[two.name] == "out", "cut off: out")
        two.stream.clear_faults()
        two.stream.accept()
        replicated.serving(one, two)
    finally:
        stop.set()
        one.server.thaw()
        two.server.thaw()
        for thread in threads:
            thread.join()

    assert not errors
    assert not missed
