"""Reads of classic on real streaming replicas: what was acknowledged is read, on whichever server answers."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.cli.status_processes import replicas as drawn
from migrator.control.status import collect
from migrator.model.tenant import TenantId
from migrator.shim import ReadsBounded
from migrator.testing import Heard
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.replicated import HASTY, PATIENT, Replicated, applied, known, where
from tests.integration.traffic.world import QUICK, Writing, deaf, end, expire, get, put, up

pytestmark = pytest.mark.pg


def test_reads_take_turns_on_replicas_and_see_what_was_acknowledged(replicated: Replicated) -> None:
    one, two = replicated.standbys.make(), replicated.standbys.make()
    shim, other = replicated.shim("web-1", one, two), replicated.shim("web-2", two, one)
    replicated.serving(one, two)
    applied(shim, one, two)
    applied(other, one, two)

    ports = set()
    for number in range(30):
        shim.run_write("t1", put("t1", number, f"body {number}"))
        for reader in (other, shim):
            port, found = reader.run_read("t1", where("t1", number))
            assert found == f"body {number}", f"missed on {port}"
            ports.add(port)

    assert ports == {one.server.port, two.server.port}, "the writer answers nothing while replicas do"


def test_status_says_which_replicas_serve_and_who_answered(replicated: Replicated) -> None:
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one)
    replicated.serving(one)
    applied(shim, one)
    for _ in range(3):
        shim.run_read("t1", where("t1", 1))

    status = eventually(lambda: (found := collect(replicated.world.classic)).classic_reads and found, "samples came")

    assert [(line.name, line.level, line.missing) for line in status.replicas] == [(one.name, "serving", 0)]
    assert {line.endpoint for line in status.classic_reads} == {one.name}


def test_no_replica_is_read_before_every_process_waits_for_it(replicated: Replicated) -> None:
    """A process that is given no replicas, as of an earlier release, does not wait for them: none is in service."""
    one = replicated.standbys.make()
    without = replicated.world.shim("old", PATIENT)
    with without:
        shim = replicated.shim("web-1", one)
        assert shim._replicas is not None
        eventually(lambda: "old" in known(shim).endpoints[0].why, "the process is named")
        without.run_write("t1", put("t1", 1, "hello"))
        assert shim.run_read("t1", where("t1", 1))[1] == "hello"
        assert replicated.levels() == {}
    replicated.serving(one)
    applied(shim, one)

    with replicated.world.shim("old again", PATIENT) as old:
        assert replicated.levels()[one.name] == "out", "in the transaction that registers it"
        one.pause()
        old.run_write("t1", put("t1", 1, "by the old one"))
        eventually(lambda: shim._current.view.epoch >= old._current.view.epoch, "the change is applied")
        assert shim.run_read("t1", where("t1", 1))[1] == "by the old one"
        one.resume()


def test_the_writer_takes_no_more_than_its_share(replicated: Replicated) -> None:
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=replace(PATIENT, writer_reads_per_s=0.01))
    replicated.serving(one)
    applied(shim, one)
    one.server.kill()
    failed = []
    together = threading.Barrier(12, timeout=TIMEOUT_S)

    def read() -> None:
        together.wait()
        try:
            shim.run_read("t1", where("t1", 1))
        except ReadsBounded as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed, "the writer took all"
    assert len(failed) < 12, "the writer took none"
    assert failed[0].retryable
    one.server.start()
    replicated.serving(one)
    applied(shim, one)

    def back() -> bool:
        try:
            return bool(shim.run_read("t1", where("t1", 1))[0] == one.server.port)
        except ReadsBounded:  # it passes the replica over for a moment yet
            return False

    eventually(back, "reads are back on the replica")


def test_the_writer_is_not_bounded_before_a_replica_has_been_in_service(replicated: Replicated) -> None:
    """While replicas are introduced process by process, the writer answers what it has answered all along."""
    one = replicated.standbys.make()
    with replicated.world.shim("not yet restarted", PATIENT):
        shim = replicated.shim("web-1", one, settings=replace(PATIENT, writer_reads_per_s=0.01))
        eventually(lambda: "not yet restarted" in known(shim).endpoints[0].why, "the process is named")
        assert len([shim.run_read("t1", get("t1", 1)) for _ in range(5)]) == 5
        shown = drawn(collect(replicated.world.classic)).plain
        assert "none in service: 1 of 2 live processes were given no replicas (not yet restarted)" in shown
    replicated.serving(one)
    applied(shim, one)

    one.server.kill()
    eventually(lambda: known(shim).endpoints[0].why, "it is gone")
    shim.run_read("t1", get("t1", 1))
    with pytest.raises(ReadsBounded) as refused:
        shim.run_read("t1", get("t1", 1))
    assert "shim.writer_reads_per_s" in refused.value.hint


def test_a_role_whose_transactions_are_serializable_reads_on_the_writer_without_a_bound(
    replicated: Replicated,
) -> None:
    """No standby runs such a transaction, so none is asked each time, and there is none to wait for."""
    replicated.world.classic.execute("ALTER ROLE migrator SET default_transaction_isolation = 'serializable'")
    replicated.stack.callback(_reset, replicated.world.classic_dsn)
    one, heard = replicated.standbys.make(), Heard()
    shim = replicated.shim("web-1", one, settings=replace(PATIENT, writer_reads_per_s=0.01), heard=heard)
    replicated.serving(one)
    applied(shim, one)

    ports = {shim.run_read("t1", where("t1", 1))[0] for _ in range(5)}

    assert one.server.port not in ports
    assert heard.names().count("read.fell_back") == 1
    eventually(lambda: "serializable" in known(shim).endpoints[0].why, "it is told")


def test_a_role_whose_transactions_are_read_only_takes_replicas_into_service(replicated: Replicated) -> None:
    """What the shim writes about a replica says for itself that it writes, also when the replica starts anew."""
    replicated.world.classic.execute("ALTER ROLE migrator SET default_transaction_read_only = on")
    replicated.stack.callback(_reset, replicated.world.classic_dsn)
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one)
    applied(shim, one)
    before = known(shim).endpoints[0].instance

    one.server.kill()
    one.server.start()

    eventually(lambda: known(shim).endpoints[0].instance != before, "another instance")
    applied(shim, one)


def test_what_the_writer_cannot_carry_goes_to_limitless_in_spite_of_an_open_breaker(replicated: Replicated) -> None:
    """A breaker is of one process and about speed; whether Limitless may be read says the route."""
    one = replicated.standbys.make()
    up(replicated.world, "t1")
    shim = replicated.shim("web-1", one, settings=replace(PATIENT, writer_reads_per_s=0.01, open_s=600.0))
    replicated.serving(one)
    applied(shim, one)
    for _ in range(QUICK.failures):
        ticket = shim._breakers.admit(TenantId("t1"), 1)
        assert ticket is not None
        shim._breakers.record(ticket, False, 1.0)
    assert shim.run_read("t1", get("t1", 1))[0] == "classic", "the breaker is open"
    one.server.kill()
    assert shim.run_read("t1", get("t1", 1))[0] == "classic", "the writer has room for one"

    with replicated.world.mirror():
        assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
    with pytest.raises(ReadsBounded):
        shim.run_read("u1", get("u1", 1))


def test_a_session_reads_its_own_write_on_a_replica_only_once_that_has_it(replicated: Replicated) -> None:
    """A write of level session does not wait: its token carries the position, and another process heeds it."""
    one = replicated.standbys.make()
    shim, other = replicated.shim("web-1", one), replicated.shim("web-2", one)
    replicated.serving(one)
    applied(other, one)
    one.pause()

    with shim.write("t1", ack="session") as w:
        put("t1", 1, "of the session")(w)
    assert w.token is not None and w.token.lsn
    port, found = other.run_read("t1", where("t1", 1), after=w.token)

    assert (port, found) != (one.server.port, None)
    assert found == "of the session"
    assert replicated.levels()[one.name] == "serving", "nothing was waited for"
    assert other.run_read("t1", where("t1", 1)) == (one.server.port, None), "others are promised nothing"
    one.resume()
    eventually(
        lambda: other.run_read("t1", where("t1", 1), after=w.token) == (one.server.port, "of the session"), "replayed"
    )


def test_a_session_whose_position_is_not_known_reads_the_writer_or_nothing(replicated: Replicated) -> None:
    """Its token comes from a process that asks for no positions, and the writer has its share of reads already."""
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one)
    other = replicated.shim("web-2", one, settings=replace(PATIENT, writer_reads_per_s=0.01))
    replicated.serving(one)
    applied(other, one)
    one.pause()
    with shim.write("t1", ack="session") as w:
        put("t1", 1, "of the session")(w)
    assert w.token is not None
    token = replace(w.token, lsn=None)

    port, found = other.run_read("t1", where("t1", 1), after=token)
    assert (port != one.server.port, found) == (True, "of the session"), "the writer has room for one"
    with pytest.raises(ReadsBounded):
        other.run_read("t1", where("t1", 1), after=token)
    one.resume()


AURORA = """
CREATE FUNCTION pg_catalog.aurora_db_instance_identifier() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN pg_is_in_recovery() THEN 'reader-1' ELSE 'writer-1' END $$;
CREATE FUNCTION pg_catalog.aurora_replica_status()
RETURNS TABLE (server_id text, session_id text, durable_lsn bigint, current_read_lsn bigint) LANGUAGE sql STABLE AS $$
SELECT 'writer-1', 'MASTER_SESSION_ID',
       CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint END, NULL
UNION ALL
SELECT 'reader-1', 'a-session', NULL,
       CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint END
$$;
"""


def test_positions_come_from_aurora_where_there_is_one(replicated: Replicated) -> None:
    replicated.world.classic.execute("SET allow_system_table_mods = on")
    replicated.world.classic.execute(AURORA)
    one = replicated.standbys.make()
    shim = replicated.shim("web-1", one, settings=HASTY)
    replicated.serving(one)
    applied(shim, one)
    assert known(shim).aurora and known(shim).endpoints[0].aurora

    shim.run_write("t1", put("t1", 1, "on aurora"))
    eventually(lambda: shim.run_read("t1", where("t1", 1)) == (one.server.port, "on aurora"), "the replica answers")
    one.pause()
    shim.run_write("t1", put("t1", 1, "while it lags"))
    port, found = shim.run_read("t1", where("t1", 1))
    assert found == "while it lags"
    assert port != one.server.port
    one.resume()


def test_a_role_with_settings_of_its_own_reads_on_replicas(replicated: Replicated) -> None:
    """What the shim asks depends on none of them, and what cannot run on a standby is answered by the writer."""
    for setting in ("search_path = ''", "DateStyle = 'German'", "TimeZone = 'Asia/Tokyo'", "extra_float_digits = -5",
                    "bytea_output = 'escape'", "default_transaction_isolation = 'serializable'"):  # fmt: skip
        replicated.world.classic.execute(f"ALTER ROLE migrator SET {setting}".encode())
    replicated.stack.callback(_reset, replicated.world.classic_dsn)
    one = replicated.standbys.make()
    shim, other = replicated.shim("web-1", one), replicated.shim("web-2", one)
    replicated.serving(one)
    applied(shim, one)
    applied(other, one)

    shim.run_write("t1", put("t1", 1, "hello"))

    def fn(r: Any) -> tuple[int, Any]:
        r.connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")  # possible: nothing was asked in it
        return where("t1", 1)(r)

    assert other.run_read("t1", fn) == (one.server.port, "hello")
    assert other.run_read("t1", where("t1", 1))[1] == "hello", "serializable: refused by the standby"


def _reset(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET default_transaction_read_only = off")
        conn.execute("ALTER ROLE migrator RESET ALL")


def test_after_the_hand_over_no_replica_answers_for_classic(replicated: Replicated) -> None:
    """A read that must ask the writer whether the migration is over waits for its turn there, whatever changes then."""
    one, turns = replicated.standbys.make(), 0
    shim = replicated.shim("web-1", one)
    other = replicated.shim("web-2", one, settings=replace(PATIENT, writer_reads_per_s=1.0))
    replicated.serving(one)
    applied(shim, one)
    applied(other, one)

    def its_turn(at_s: float) -> bool:
        nonlocal turns
        turns += 1
        if turns == 2:
            hears()
            eventually(
                lambda: other._current.settled and known(other).serving(known(other).endpoints[0], at_s), "again"
            )
        return turns > 3

    with deaf(other) as hears:
        end(replicated.world, shim)
        write = Writing(shim, 1)
        write.committed(replicated.world)
        assert other.run_read("t1", where("t1", 1)) == (one.server.port, None), "its routes are valid, and of before"
        assert write.is_alive(), "what others miss is not acknowledged"
        with other._current.changed:
            other._current.view = replace(other._current.view, valid_until_s=0.0)
        expire(replicated.world, "web-2")
        write.join(TIMEOUT_S)
        assert (write.error, write.is_alive()) == (None, False)
        known(other).writer_may = its_turn  # type: ignore[method-assign]

        assert other.run_read("t1", where("t1", 1))[1] == "hello"
        assert turns == 4
