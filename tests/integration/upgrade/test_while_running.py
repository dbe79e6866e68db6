"""An upgrade while applications write: nothing waits, nothing passes the journal, and a kill is gone on from."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace

import psycopg
import pytest

from migrator.control import upgrade
from migrator.control.install import VERSION
from migrator.control.upgrade import Step
from migrator.dataplane.capture import watch
from migrator.db.connect import connect
from migrator.shim import Settings, Shim
from migrator.shim.token import Token
from tests.fixtures.waiting import eventually
from tests.integration.upgrade.catalog import catalog, different
from tests.integration.upgrade.earlier import Connection, Earlier, renewal, steps, upgrade_classic, version
from tests.integration.upgrade.shim_of_0_1_0 import OldShim

pytestmark = pytest.mark.pg


async def test_every_acknowledged_write_arrives_once_the_mirrors_of_this_version_run(old: Earlier) -> None:
    """A process with the shim of 0.1.0 polls, measures and writes all the time; none of its statements fails."""
    with OldShim(old.shop.classic_dsn) as app:
        eventually(lambda: app.polls > 20 and len(app.written) > 20, "the old shim is at work")
        done = old.operator("upgrade", "--yes")
        seen = app.polls, len(app.written)
        eventually(lambda: app.polls > seen[0] + 20 and len(app.written) > seen[1] + 20, "it goes on afterwards")
        async with old.shop.mirrors():
            token = await asyncio.to_thread(_write_by_the_new_shim, old)
            await old.shop.caught_up()
            during = app.polls
            eventually(lambda: app.polls > during + 20, "and beside mirrors of this version")
            app.__exit__()
            await old.shop.caught_up()

    assert done.code == 0, done.err
    assert app.problems == []
    assert all(parts for _, parts in app.written), "every write said which partitions it touched"
    assert token is not None and token.parts > 0
    assert watch.problems(old.classic) == []
    here = old.classic.execute("SELECT count(*) FROM shop.line WHERE sku = 'old'").fetchone()
    assert here is not None and here[0] > 40
    assert old.differences() == {}


def _write_by_the_new_shim(old: Earlier) -> Token | None:
    with Shim(old.shop.classic_dsn, old.shop.limitless_dsn, "new", settings=Settings(poll_s=0.1)) as new:
        with new.write("1") as write:
            write.connection.execute("INSERT INTO shop.purchase (id, tenant_id) VALUES (99999, 1)")
    return write.token


async def test_killed_in_the_middle_of_each_step_it_ends_the_same(old: Earlier) -> None:
    """The session dies in every step before its commit, and the next try does everything again."""
    with OldShim(old.shop.classic_dsn) as app:
        for side, dsn in (("limitless", old.shop.limitless_dsn), ("classic", old.shop.classic_dsn)):
            with connect(dsn, "test") as conn:
                count = len(steps(conn, side))
            for number in range(count):
                with connect(dsn, "test") as conn:
                    todo = steps(conn, side)
                    with suppress(psycopg.OperationalError):
                        upgrade.run(conn, side, [*todo[:number], _dying(todo[number])])
                        pytest.fail("it was to die")
                with connect(dsn, "test") as conn:
                    assert version(conn) == 1
        eventually(lambda: app.polls > 5, "the old shim is at work")
        done = old.operator("upgrade", "--yes")
        async with old.shop.mirrors():
            app.__exit__()
            await old.shop.caught_up()

    assert done.code == 0, done.err
    assert app.problems == []
    assert different(catalog(old.classic), catalog(old.fresh)) == {}
    assert watch.problems(old.classic) == []
    assert old.differences() == {}


def _dying(step: Step) -> Step:
    def act(conn: psycopg.Connection[tuple[object, ...]]) -> None:
        step.act(conn)
        conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    return replace(step, act=act)


def test_a_process_that_is_killed_while_it_waits_leaves_nothing_locked(old: Earlier) -> None:
    """It waits for a lock by trying: whoever comes behind it is not held up. The next one goes on."""
    command = [sys.executable, "-m", "migrator", "upgrade", "--yes"]
    with psycopg.connect(old.shop.classic_dsn) as busy:
        busy.execute("SELECT count(*) FROM migrator.tenant").fetchone()  # keeps ALTER TABLE out until it ends
        process = subprocess.Popen(command, env=old.operator.everything({}), cwd=old.operator.home)
        try:
            waits = (
                "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'migrator.tenant'::regclass AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            eventually(lambda: old.classic.execute(waits.encode()).fetchone(), "it waits for the table")
            with psycopg.connect(old.shop.classic_dsn, options="-c statement_timeout=60s") as conn:
                for _ in range(20):
                    conn.execute("SELECT count(*) FROM migrator.tenant").fetchone()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert version(old.classic) == 1

    done = old.operator("upgrade", "--yes")

    assert done.code == 0, done.err
    assert different(catalog(old.classic), catalog(old.fresh)) == {}


def test_two_at_once_take_turns(old: Earlier) -> None:
    """One does everything, the other waits and finds nothing to do."""
    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(old.operator.process, "upgrade", "--yes", "--json") for _ in range(2)]
        done = [one.result() for one in tries]

    assert [d.code for d in done] == [0, 0], [d.err for d in done]
    assert sorted(bool(d.json["done"]) for d in done) == [False, True]
    assert different(catalog(old.classic), catalog(old.fresh)) == {}


def test_while_a_worker_is_at_work_nothing_is_changed(old: Earlier) -> None:
    """Mirrors, copies and validations of an earlier version write what this one reads otherwise: they are named."""
    names = ["migrator copy 7", "migrator mirror 1", "migrator validate 2", "migrator worker"]
    with ExitStack() as stack:
        pids = [
            stack.enter_context(psycopg.connect(old.shop.classic_dsn, application_name=name)).info.backend_pid
            for name in names
        ]
        refused = old.operator("upgrade", "--yes", "--json")
        shown = old.operator("upgrade", "--dry-run")

    named = [f"{name} is connected (pid {pid} from" for name, pid in zip(names, pids, strict=True)]
    assert refused.code == 3 and len(refused.json["blockers"]) == len(named)
    assert all(text in line for text, line in zip(named, refused.json["blockers"], strict=True))
    assert shown.code == 0 and all(text in shown.err for text in named)
    assert version(old.classic) == version(old.limitless) == 1
    eventually(lambda: not upgrade.working(old.classic), "their sessions end")
    assert old.operator("upgrade", "--yes").code == 0


def test_a_worker_that_is_started_while_the_operator_is_asked_is_seen(
    old: Earlier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question may stand for hours; what was true before it counts no longer."""
    with ExitStack() as stack:

        def think(*_: object, **__: object) -> None:
            stack.enter_context(psycopg.connect(old.shop.classic_dsn, application_name="migrator worker"))

        monkeypatch.setattr("migrator.cli.upgrade.confirm", think)
        before = catalog(old.classic)
        refused = old.operator("upgrade", "--json")

    assert refused.code == 3 and "migrator worker is connected" in refused.json["blockers"][0]
    assert different(before, catalog(old.classic)) == {}
    assert version(old.classic) == version(old.limitless) == 1


def test_while_writes_are_closed_nothing_is_changed(old: Earlier) -> None:
    """Applications wait for a hand-over of the earlier release, which only that one can end."""
    old.classic.execute("UPDATE migrator.switch SET write_mode = 'closed'")
    before = catalog(old.classic)
    shown = old.operator("upgrade", "--dry-run")
    refused = old.operator("upgrade", "--yes", "--json")

    assert shown.code == 0 and "migrator decommission reopen" in shown.err
    assert refused.code == 3 and [line.startswith("writes are closed") for line in refused.json["blockers"]] == [True]
    assert different(before, catalog(old.classic)) == {}
    assert version(old.classic) == version(old.limitless) == 1
    old.classic.execute("UPDATE migrator.switch SET write_mode = 'dual'")
    assert old.operator("upgrade", "--yes").code == 0


def test_earlier_workers_are_refused_before_limitless_is_changed(old: Earlier) -> None:
    """One that is started now would write beside the steps there; they wait for a lock while one is."""
    refusing = "SELECT 1 FROM pg_trigger WHERE tgname = 'refuse_earlier' AND tgrelid = 'migrator.heartbeat'::regclass"
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(old.shop.limitless_dsn) as busy:
            busy.execute("SELECT count(*) FROM migrator.mirror_position").fetchone()  # keeps ALTER TABLE out
            running = pool.submit(old.operator.process, "upgrade", "--yes", "--json")
            eventually(lambda: old.classic.execute(refusing.encode()).fetchone(), "classic refuses them")
            assert version(old.limitless) == version(old.classic) == 1
        done = running.result()

    assert done.code == 0, done.err
    assert done.json["done"][0] == "upgrade/classic/2/earlier_workers_are_refused"
    assert done.json["done"].index("upgrade/limitless/recorded") < done.json["done"].index("upgrade/classic/recorded")


def test_a_position_that_was_just_published_is_a_mirror_at_work(alone: Connection, classic_dsn: str) -> None:
    """Its session may not be visible; an application's shim is no worker."""
    assert upgrade.working(alone) == ()
    alone.execute("UPDATE migrator.position SET fresh_at = clock_timestamp() + interval '1 hour' WHERE part = 1")
    with psycopg.connect(classic_dsn, application_name="migrator-shim:web"):
        (found,) = upgrade.working(alone)

    assert found.startswith("mirror partition 1 published its position")


def test_a_mirror_that_begins_meanwhile_is_refused_from_the_first_step_on(alone: Connection, classic_dsn: str) -> None:
    upgrade.run(alone, "classic", steps(alone, "classic")[:1])
    with psycopg.connect(classic_dsn, application_name="migrator mirror 0") as mirror:
        with pytest.raises(psycopg.Error) as refused:
            mirror.execute("UPDATE migrator.heartbeat SET token = gen_random_uuid() WHERE part = 0")
        mirror.rollback()

    assert refused.value.sqlstate == "MG006" and version(alone) == 1
    upgrade_classic(alone)
    assert version(alone) == VERSION


@pytest.mark.parametrize(
    ("damage", "table"),
    [
        ("DROP TRIGGER migrator_capture_update ON shop.purchase", "shop.purchase"),
        ("ALTER TABLE shop.line DISABLE TRIGGER migrator_capture_insert", "shop.line"),
        ("ALTER TABLE shop.visit_2027 ENABLE TRIGGER migrator_capture_delete", "shop.visit_2027"),
        ("DROP TRIGGER migrator_guard ON shop.currency", "shop.currency"),
        ("ALTER TABLE shop.remark RENAME TO remarks", "shop.remark"),
    ],
    ids=["dropped", "disabled", "of a partition", "truncate", "renamed"],
)
def test_capture_that_was_not_whole_before_is_a_loss(alone: Connection, damage: str, table: str) -> None:
    """An earlier version did not notice; this one says so at once, and no mirror moves on."""
    with alone.transaction():
        alone.execute("SET LOCAL migrator.ddl = 'allowed'")
        alone.execute(damage.encode())

    upgrade_classic(alone)

    found = alone.execute("SELECT problems, noticed_by FROM migrator.capture_loss").fetchall()
    assert [(len(problems), by) for problems, by in found] == [(1, "migrator upgrade")]
    assert f"table {table} " in found[0][0][0]
    assert alone.execute("SELECT count(*) FROM migrator.incident WHERE kind = 'capture'").fetchone() == (1,)


def test_commands_are_refused_by_one_guard_or_the_other(alone: Connection, classic_dsn: str) -> None:
    """While capture is renewed, in a transaction that is open, the guard of before still stands; afterwards the new."""
    upgrade.run(alone, "classic", steps(alone, "classic")[:-2])
    with connect(classic_dsn, "test", lock_timeout_s=60) as conn:
        with alone.transaction():
            renewal().act(alone)
            with pytest.raises(psycopg.errors.Error) as before:
                conn.execute("ALTER TABLE shop.purchase ADD COLUMN x int")
            conn.execute("INSERT INTO shop.purchase (id, tenant_id) VALUES (4999, 1)")  # and nobody waits
        with pytest.raises(psycopg.errors.Error) as after:
            conn.execute("ALTER TABLE shop.purchase RENAME COLUMN total TO sum")

    assert (before.value.sqlstate, after.value.sqlstate) == ("MG003", "MG003")


def test_an_earlier_worker_that_was_left_is_refused_but_for_a_rollback(alone: Connection, classic_dsn: str) -> None:
    """It says nothing of a version; sessions of this one do, whatever they are called."""
    upgrade_classic(alone)
    token = "UPDATE migrator.heartbeat SET token = gen_random_uuid()"
    for app, statement, refused in (
        ("migrator mirror 1 control", token, True),
        ("migrator worker", "UPDATE migrator.copy_unit SET state = 'copying'", True),
        ("migrator validate", "INSERT INTO migrator.validation (run_id, kind) VALUES (gen_random_uuid(), 'x')", True),
        ("migrator worker", "UPDATE migrator.route SET level = 'limitless', reads_pct = 100", True),
        ("migrator worker", "UPDATE migrator.route SET level = 'classic'", False),
        ("migrator worker", "UPDATE migrator.switch SET level = 'classic', epoch = epoch + 1", False),
        ("migrator-cli", "UPDATE migrator.route SET level = 'limitless'", False),
        ("psql", token, False),
    ):
        state = None
        with psycopg.connect(classic_dsn, application_name=app) as conn:
            try:
                conn.execute(statement.encode())
            except psycopg.Error as error:
                state = error.sqlstate
            conn.rollback()
        assert (state == "MG006") is refused, (app, statement, state)
        with connect(classic_dsn, app) as ours:
            ours.execute(statement.encode())
