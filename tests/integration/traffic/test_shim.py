"""One process: routes, acknowledged writes, reads that may be believed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.errors import ClusterUnavailable, UsageError
from migrator.model.latency import merge
from migrator.model.route import Level
from migrator.shim import Settings, Shim, Token
from migrator.traffic.route.confirm import confirmed
from migrator.traffic.route.move import watch
from migrator.traffic.route.promote import Outcome, promote_reads
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import CALM, QUICK, Heard, World, get, ids, put

pytestmark = pytest.mark.pg


def test_a_tenant_that_never_moved_reads_and_writes_classic(world: World) -> None:
    with world.shim() as shim:
        shim.run_write("t1", put("t1", 1, "hello"))

        assert shim.run_read("t1", get("t1", 1)) == ("classic", "hello")


def test_a_write_is_seen_on_limitless_as_soon_as_it_returns(world: World) -> None:
    with world.mirror(), world.shim() as shim:
        moved = promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S)

        assert moved.outcome is Outcome.DONE
        for number in range(20):
            shim.run_write("t1", put("t1", number, "hello"))
            side, body = shim.run_read("t1", get("t1", number))
            assert body == "hello"
        assert side == "limitless"
        assert shim.run_read("u1", get("u1", 1))[0] == "classic"
        assert Level.LIMITLESS is shim._current.view.level(ids("t1")[0])


def test_a_percentage_of_reads_moves(world: World) -> None:
    with world.mirror(), world.shim() as shim:
        assert promote_reads(
            world.classic, tenants=ids("t1"), pct=50, who="test", reason="test", timeout_s=TIMEOUT_S
        ).done
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "some reads moved")
        sides = [shim.run_read("t1", get("t1", 1))[0] for _ in range(200)]
        assert 50 < sides.count("limitless") < 150

        more = promote_reads(world.classic, tenants=ids("t1"), pct=100, who="test", reason="test", timeout_s=TIMEOUT_S)
        assert more.outcome is Outcome.DONE
        eventually(lambda: shim._current.view.epoch >= more.epoch, "the process knows")
        assert {shim.run_read("t1", get("t1", 1))[0] for _ in range(50)} == {"limitless"}
        again = promote_reads(world.classic, tenants=ids("t1"), pct=100, who="test", reason="test", timeout_s=TIMEOUT_S)
        assert again.outcome is Outcome.ALREADY


def test_a_token_carries_the_promise_to_another_process(world: World) -> None:
    """A write whose process does not wait (its tenant never moved) is still seen by a read that was given its token."""
    with world.shim("web-1") as one:
        with world.mirror():
            assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
        with world.shim("web-2") as two:
            eventually(lambda: two.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
            with world.classic.transaction():  # a writer without the shim
                put("t1", 1, "hello")(_As(world.classic))
                xid, parts, epoch, mark = world.classic.execute(
                    "SELECT pg_current_xact_id()::text, current_setting('migrator.parts'), epoch, mark::text"
                    " FROM migrator.switch JOIN migrator.epoch_mark USING (epoch)"
                ).fetchone()  # type: ignore[misc]
            token = Token(int(xid), int(parts), epoch, mark)

            assert two.run_read("t1", get("t1", 1)) == ("limitless", None)
            assert two.run_read("t1", get("t1", 1), after=token) == ("classic", "hello")
            world.publish()
            eventually(lambda: one.run_read("t1", get("t1", 1), after=token) == ("limitless", "hello"), "it is there")


class _As:
    def __init__(self, connection: Any) -> None:
        self.connection = connection


def test_a_write_names_itself(world: World) -> None:
    with world.shim() as shim:
        with shim.write("t1") as w:
            put("t1", 1, "x")(w)
        assert w.token is not None and w.committed
        assert w.token.parts == 2
        assert shim.outcome(w.token.xid) == "committed"

        with shim.write("t1") as nothing:
            nothing.connection.execute("SELECT 1")
        assert nothing.token is None


def test_an_error_in_the_block_rolls_back_and_propagates(world: World) -> None:
    with world.shim() as shim:
        with pytest.raises(ZeroDivisionError), shim.write("t1") as w:
            put("t1", 1, "x")(w)
            raise ZeroDivisionError
        with pytest.raises(psycopg.errors.UniqueViolation):
            shim.run_write("t1", lambda w: w.connection.execute("INSERT INTO app.note VALUES ('t1',2,''),('t1',2,'')"))

        assert shim.run_read("t1", get("t1", 1))[1] is None
        assert shim.run_read("t1", get("t1", 2))[1] is None


def test_savepoints_are_fine_and_ending_the_transaction_is_not(world: World) -> None:
    with world.shim() as shim:
        with shim.write("t1") as w:
            put("t1", 1, "kept")(w)
            with pytest.raises(ZeroDivisionError), w.connection.transaction():
                put("t1", 1, "undone")(w)
                raise ZeroDivisionError
        assert shim.run_read("t1", get("t1", 1))[1] == "kept"

        with pytest.raises(UsageError), shim.write("t1") as w:
            put("t1", 1, "early")(w)
            w.connection.execute("COMMIT")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction), shim.write("t1") as w, suppress(psycopg.Error):
            w.connection.execute("SELECT 1/0")


def test_what_deferred_triggers_write_is_waited_for_too(world: World) -> None:
    """They run at COMMIT, after the application's last statement; their marks must be read all the same."""
    world.classic.execute("""
        CREATE TABLE app.later (id int PRIMARY KEY);
        CREATE FUNCTION app.later() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO app.note VALUES ('t1', NEW.id, 'deferred'); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER later AFTER INSERT ON app.later DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION app.later();
    """)
    with world.mirror(), world.shim() as shim:
        assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")

        for number in range(10):
            with shim.write("t1") as w:
                w.connection.execute("INSERT INTO app.later VALUES (%s)", (number,))
            assert w.token is not None and w.token.parts == 2
            assert shim.run_read("t1", get("t1", number)) == ("limitless", "deferred")


def test_errors_of_the_application_do_not_count(world: World) -> None:
    heard = Heard()
    with world.mirror(), world.shim(listener=heard) as shim:
        assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        for _ in range(10):
            with pytest.raises(psycopg.errors.UndefinedTable):
                shim.run_read("t1", lambda r: r.connection.execute("SELECT * FROM app.missing"))
            with pytest.raises(KeyError):
                shim.run_read("t1", lambda r: dict[str, str]()["missing"])

        assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
        assert "breaker.opened" not in heard.names()


def test_a_statement_that_takes_too_long_on_limitless_is_answered_by_classic(world: World) -> None:
    heard = Heard()
    with world.mirror(), world.shim(listener=heard, settings=replace(CALM, read_timeout_s=0.2)) as shim:
        assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")

        def slow(r: Any) -> str:
            if str(r.side) == "limitless":
                r.connection.execute("SELECT pg_sleep(5)")
            return str(r.side)

        assert shim.run_read("t1", slow) == "classic"
        assert "read.fell_back" in heard.names()


def test_reads_cannot_write(world: World) -> None:
    with world.shim() as shim, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        shim.run_read("t1", put("t1", 1, "x"))


def test_deadlocks_are_run_again(world: World) -> None:
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            w.connection.execute("DO $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END $$")

    with world.shim() as shim:
        shim.run_write("t1", fn)

    assert calls == 3


def test_watched_tenants_are_measured_one_by_one(world: World) -> None:
    watch(world.classic, ids("t1"), True)
    with world.shim() as shim:
        for _ in range(5):
            shim.run_read("t1", get("t1", 1))
            shim.run_read("t2", get("t2", 1))

    rows = world.classic.execute(
        "SELECT tenant_id, side, sum(reads)::int, sum(errors)::int FROM migrator.read_sample GROUP BY 1, 2 ORDER BY 1"
    ).fetchall()
    assert rows == [("t1", "classic", 5, 0), (None, "classic", 10, 0)]
    buckets = [row[0] for row in world.classic.execute("SELECT buckets FROM migrator.read_sample").fetchall()]
    assert sum(merge(buckets)) == 15
    assert world.classic.execute("SELECT count(*) FROM migrator.process").fetchone() == (0,)


def test_shadow_reads_are_compared_and_never_returned(world: World) -> None:
    heard = Heard()
    with world.shim(listener=heard, settings=replace(CALM, shadow_ratio=1.0)) as shim:
        shim.run_write("t1", put("t1", 1, "same"))
        shim.run_write("t1", put("t1", 2, "only on classic"))
        world.limitless.execute("INSERT INTO app.note VALUES ('t1', 1, 'same')")

        assert shim.run_read("t1", get("t1", 1, with_side=False)) == "same"
        assert shim.run_read("t1", get("t1", 2, with_side=False)) == "only on classic"
        eventually(lambda: "shadow.differed" in heard.names(), "the difference is noticed")

    assert world.classic.execute(
        "SELECT sum(compared)::int, sum(mismatched)::int FROM migrator.shadow_sample"
    ).fetchone() == (2, 1)


def test_a_pool_is_bounded(world: World) -> None:
    with world.shim(pool_size=1) as shim:
        shim._classic._wait_s = 0.05
        with shim.read("t1"), pytest.raises(ClusterUnavailable, match="pool"):
            shim.write("t1").__enter__()
        shim.run_write("t1", put("t1", 1, "x"))


def test_a_process_taken_off_the_register_by_mistake_comes_back(world: World) -> None:
    with world.shim(settings=QUICK):
        world.classic.execute("DELETE FROM migrator.process")

        eventually(lambda: confirmed(world.classic, 0).processes == 1, "its next heartbeat registers it again")


def test_settings_come_from_the_plan_on_classic(world: World) -> None:
    world.classic.execute('UPDATE migrator.plan SET shim = \'{"ack_wait_s": 7, "min_reads": 3, "later": true}\'')
    with Shim(world.classic_dsn, world.limitless_dsn, "web") as shim:
        assert shim._settings == Settings(ack_wait_s=7.0, min_reads=3)
