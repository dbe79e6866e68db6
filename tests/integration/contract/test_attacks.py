"""What somebody with the rights of a client alone can do to others: nothing that lasts, and nothing to a rollback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from migrator.control.process import processes
from migrator.local.process import free_port
from migrator.model.route import FallbackScope
from migrator.traffic.route.fallback import raise_fallback
from tests.fixtures.replica import Standbys
from tests.fixtures.waiting import eventually
from tests.integration.contract.asking import BEGIN, MARKED, Asking, fresh, own, up
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]


@pytest.fixture
def world(shared: World) -> World:
    fresh(shared)
    return shared


def applied(world: World) -> int:
    (found,) = processes(world.classic)
    return found.applied_epoch


def fallen_back(world: World, part: int) -> int:
    return raise_fallback(world.classic, FallbackScope.PART, str(part), by="test", reason="test")


def later(world: World, column: str) -> None:
    world.classic.execute(f"UPDATE migrator.process SET {column} = {column} - interval '1 hour'".encode())


def test_a_process_that_goes_on_and_does_not_follow_holds_up_nothing_for_long(world: World, asking: Asking) -> None:
    """What it was told must have run out. One that has lost a read does this, too."""
    asking.beat(None, None, 60)
    told = asking.one("SELECT epoch, mark FROM migrator.client_view('p')")
    first = fallen_back(world, 1)
    asking.beat(*told, 60)
    at_once = applied(world)
    second = fallen_back(world, 2)
    asking.beat(*told, 60)
    assert (at_once, applied(world)) == (told[0], told[0])

    later(world, "behind_at")
    asking.beat(*told, 60)
    assert applied(world) == first, "and not the second, which came while it may have asked"
    asking.beat(*told, 60)
    assert applied(world) == first, "it does not go back"
    later(world, "behind_at")
    asking.beat(*told, 60)
    assert applied(world) == second
    third = fallen_back(world, 0)
    asking.beat(*asking.one("SELECT epoch, mark FROM migrator.client_view('p')"), 60)
    assert applied(world) == third


def test_one_that_was_silent_is_believed_again(world: World, asking: Asking) -> None:
    """As after a restore: what the register says of before is of another time."""
    told = asking.one("SELECT epoch, mark FROM migrator.client_view('p')")
    fallen_back(world, 1)
    asking.beat(*told)
    later(world, "behind_at")
    later(world, "seen_at")
    asking.beat(*told)
    assert applied(world) == told[0]


def test_a_limit_does_not_shrink_while_answers_may_be_acted_on(world: World, asking: Asking) -> None:
    asking.beat(None, None, 60)
    asking.beat(None, None, 0.5)
    assert asking.one("SELECT staleness_s FROM migrator.process") == pytest.approx(660.25)
    later(world, "seen_at")
    asking.beat(None, None, 0.5)
    assert asking.one("SELECT staleness_s FROM migrator.process") == pytest.approx(0.8)


def test_a_client_that_freezes_in_a_transaction_is_ended_before_a_rollback_gives_up(
    world: World, asking: Asking
) -> None:
    with psycopg.connect(world.classic_dsn, autocommit=True) as frozen:
        frozen.execute("BEGIN")
        frozen.execute("SELECT migrator.client_beat('frozen', 'test')")  # its trigger takes the row of the switch
        assert fallen_back(world, 1) > 0
        with pytest.raises(psycopg.Error):
            frozen.execute("SELECT 1")
    cursor = asking.conn.execute(
        "SET idle_in_transaction_session_timeout = '700ms'; BEGIN; SELECT migrator.client_beat('p', 'test');"
        " SHOW idle_in_transaction_session_timeout; END"
    )
    for _ in range(3):
        cursor.nextset()
    assert cursor.fetchone() == ("700ms",), "a stricter one stays"


def test_nothing_is_locked_where_nothing_is_behind(world: World, asking: Asking) -> None:
    token = asking.write()
    with own(asking.conn):
        assert asking.one("SELECT migrator.client_fall_back('p', %s)", token) == 0
        world.classic.execute("SELECT FROM migrator.switch FOR UPDATE NOWAIT")


def test_the_register_is_bounded_for_each_login(world: World, asking: Asking) -> None:
    world.classic.execute(
        "INSERT INTO migrator.process (process_id, name, staleness_s) SELECT g, 'x', 3 FROM generate_series(1, 9999) g"
    )
    assert asking.refused("SELECT migrator.client_beat('new', 'test')") == "MG018"
    asking.beat()  # who is on it stays
    world.classic.execute("UPDATE migrator.process SET login = 'other' WHERE process_id = '1'")
    asking.one("SELECT migrator.client_beat('new', 'test')")
    assert asking.refused("SELECT migrator.client_beat('newer', 'test')") == "MG018"
    world.classic.execute("UPDATE migrator.process SET seen_at = seen_at - interval '1 hour' WHERE name = 'x'")
    asking.one("SELECT migrator.client_beat('newer', 'test')")
    assert asking.one("SELECT count(*) FROM migrator.process") < 9100, "those that had gone are forgotten"


def test_a_process_reports_so_many_breakers(asking: Asking) -> None:
    trip = "SELECT migrator.client_trip('p', 'tenant', %s, 'slow')"
    asking.conn.execute("SELECT migrator.client_trip('p', 'tenant', g::text, 'slow') FROM generate_series(1, 100) g")
    assert asking.refused(trip, "101") == "MG018"
    assert asking.one(trip, "100") == ""
    assert asking.one("SELECT count(*) FROM migrator.open_breaker") == 100


HUGE = "x" * 1_000_000
ANSWERS = (
    ("SELECT side FROM migrator.client_side('p', %s)", HUGE, "classic"),
    ("SELECT side FROM migrator.client_side('p', %s)", "", "classic"),
    ("SELECT why FROM migrator.client_side(%s, 't1')", HUGE, "not registered"),
    ("SELECT side FROM migrator.client_side('p', 't1', %s)", HUGE, "MG013"),
    ("SELECT (migrator.client_view(%s)).valid_s", None, 0),
    ("SELECT migrator.client_beat(%s, 'x')", HUGE, "MG016"),
    ("SELECT migrator.client_beat('p', %s)", HUGE, "MG016"),
    ("SELECT migrator.client_wait('p', %s)", HUGE, "MG013"),
    ("SELECT migrator.client_wait('p', %s)", None, "MG013"),
    ("SELECT migrator.client_wait(%s, 'w1-over', 0)", None, "MG014"),
    ("SELECT migrator.client_fall_back('p', %s)", None, "MG013"),
    ("SELECT migrator.client_fall_back(%s, 'w1-over')", "", "MG014"),
    ("SELECT migrator.client_outcome(%s)", "", "MG013"),
    ("SELECT migrator.client_outcome(%s)", HUGE, "MG013"),
    ("SELECT migrator.client_trip('p', 'tenant', %s, 'x')", HUGE, "MG016"),
    ("SELECT migrator.client_trip('p', 'tenant', 'x', %s)", None, "MG016"),
    ("SELECT migrator.client_untrip('p', 'tenant', %s)", None, False),
    ("SELECT migrator.client_leave(%s)", None, ""),
    ("SELECT migrator.client_leave(%s)", HUGE, ""),
)


def test_values_that_nobody_sends_by_intention(asking: Asking) -> None:
    found = []
    for question, given, _ in ANSWERS:
        try:
            found.append(asking.one(question, given))
        except psycopg.Error as error:
            found.append(error.sqlstate)
    assert found == [wanted for _, _, wanted in ANSWERS]


def test_a_planted_type_changes_nothing(world: World, asking: Asking) -> None:
    world.classic.execute("CREATE SCHEMA decoy; CREATE DOMAIN decoy.text AS int; CREATE DOMAIN decoy.record AS int")
    asking.conn.execute("SET search_path = decoy, pg_catalog")
    asking.conn.execute(BEGIN.encode())
    asking.conn.execute(MARKED)
    assert asking.one("SELECT migrator.client_token('m')") is None
    asking.conn.execute("COMMIT")


def test_a_heartbeat_that_was_taken_back_vouches_for_nothing(world: World, asking: Asking) -> None:
    up(world, "t1")
    with own(asking.conn):
        asking.conn.execute("SAVEPOINT a")
        asking.one("SELECT migrator.client_beat('p', 'test')")
        asking.conn.execute("ROLLBACK TO a")
        assert asking.refused("SELECT migrator.client_side('p', 't1')") == "MG015"
        asking.conn.execute("ROLLBACK")
    asking.conn.execute("BEGIN READ ONLY")
    assert asking.refused("SELECT migrator.client_beat('p', 'test')") == "25006"
    asking.conn.execute("ROLLBACK")


@pytest.mark.slow
def test_no_replica_answers(breakable: World, standbys: Standbys) -> None:
    with psycopg.connect(breakable.classic_dsn, autocommit=True) as conn:
        mine = Asking(conn)
        token = mine.write()
    copy = standbys.make()
    with psycopg.connect(copy.dsn, autocommit=True) as conn:
        there = Asking.__new__(Asking)
        there.conn = conn
        eventually(lambda: there.one("SELECT count(*) FROM migrator.process") == 1, "the replica has the heartbeat")
        questions = (
            "client_side('p', 't1')", "client_view('p')", "client_over()", f"client_wait('p', '{token}', 0)",
            f"client_fall_back('p', '{token}')", f"client_outcome('{token}')",
        )  # fmt: skip
        assert {q: there.refused(f"SELECT migrator.{q}") for q in questions} == dict.fromkeys(questions, "MG015")
        assert there.refused("SELECT migrator.client_beat('p', 'test')") == "25006"


# -- a pooler ----------------------------------------------------------------------------------------------


@pytest.fixture
def pooled(world: World, tmp_path: Path) -> Iterator[str]:
    """The connection string of a PgBouncer in transaction mode, with two sessions on classic."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None or sys.platform != "linux":
        pytest.skip("PgBouncer is not installed")
    parts = {key: str(value) for key, value in conninfo.conninfo_to_dict(world.classic_dsn).items()}
    port = free_port()
    server = " ".join(f"{key}={parts[key]}" for key in ("host", "port", "dbname", "user", "password") if key in parts)
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\nclassic = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n"
        + ("user = nobody\n" if os.geteuid() == 0 else "")
    )
    process = subprocess.Popen(
        [program, "-q", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    dsn = f"host=127.0.0.1 port={port} dbname=classic user=client sslmode=disable gssencmode=disable"

    def answers() -> bool:
        assert process.poll() is None, "PgBouncer ended"
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        eventually(answers, "PgBouncer answers")
        yield dsn
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def test_through_a_pooler_whose_sessions_others_have_set(world: World, pooled: str) -> None:
    up(world, "t1")
    with ExitStack() as stack:

        def client() -> Asking:
            conn = stack.enter_context(psycopg.connect(pooled, autocommit=True, prepare_threshold=None))
            made = Asking.__new__(Asking)
            made.conn = conn
            return made

        others = [client() for _ in range(2)]
        for each in others:  # one in each session
            each.conn.execute("BEGIN")
            each.conn.execute("SET default_transaction_isolation = 'serializable'")
            each.conn.execute("SET default_transaction_read_only = on; SET DateStyle = 'SQL, DMY'")
        for each in others:
            each.conn.execute("COMMIT")
        mine = [client() for _ in range(5)]
        mine[0].beat()
        token = mine[1].write()
        with own(mine[2].conn):
            assert mine[2].wait(token) == "behind"
        world.publish()
        with own(mine[3].conn):
            assert (mine[3].wait(token), mine[3].side("t1", token)) == ("seen", ("limitless", "route"))
        with own(mine[4].conn):
            assert mine[4].one("SELECT migrator.client_outcome(%s)", token) == "committed"
