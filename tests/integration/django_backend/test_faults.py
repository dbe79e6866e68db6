"""What Django's users meet when routes move, servers die and answers are lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from migrator.django import reading, retried, shim_of, tenant, use_shim
from migrator.errors import CommitUnknown, ReadStale, WritesClosed
from migrator.model.ack import Ack
from migrator.model.route import Level, WriteMode
from migrator.model.side import Side
from migrator.shim import CommittedUnconfirmed
from migrator.testing import MemoryShim
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.django_project import databases
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import eventually
from tests.integration.django_backend.conftest import PATIENT, READS, entry
from tests.integration.django_backend.models import Note
from tests.integration.django_backend.steps import asked, moved, side, told
from tests.integration.traffic.world import QUICK, World, body, end

pytestmark = [pytest.mark.pg, pytest.mark.once]


def note(number: int, text: str = "hello") -> None:
    Note.objects.create(id=number, tenant_id="t1", body=text)


def terminate(world: World) -> None:
    """End the session of the block that is open here."""
    world.classic.execute("SELECT pg_terminate_backend(%s, 60000)", (asked("SELECT pg_backend_pid()"),))


# -- routes ----------------------------------------------------------------------------------------------


def test_a_rollback_brings_every_statement_back(world: World) -> None:
    moved(world, "t1")
    with world.mirror(), tenant("t1"), reading():
        assert side() == "limitless"
        roll_back(world.classic, all=True, who="test", reason="test")
        told(world, shim_of())
        assert side() == "classic"
        with transaction.atomic():
            assert side() == "classic"


@pytest.mark.parametrize("outcome", ["left", "raised", "rolled back"])
def test_a_transaction_whose_route_changed_meanwhile_is_stale(world: World, outcome: str) -> None:
    shim = moved(world, "t1")
    with world.mirror(), reading("t1"):
        with pytest.raises(ReadStale), transaction.atomic():
            assert side() == "limitless"
            roll_back(world.classic, all=True, who="test", reason="test")
            told(world, shim)
            if outcome == "raised":
                raise ZeroDivisionError("made of what was read")
            if outcome == "rolled back":
                transaction.set_rollback(True)
        assert side() == "classic"
        assert connection.get_autocommit()


def test_a_stale_statement_is_answered_by_classic(world: World) -> None:
    """The route changes between the statement and the end of its block."""
    with MemoryShim(classic=world.classic_dsn, limitless=world.limitless_dsn) as shim, use_shim(shim):
        shim.move("t1", Level.LIMITLESS)
        shim.run_write("t1", lambda w: w.connection.execute("INSERT INTO app.note VALUES ('t1', 1, 'on classic')"))
        sides = []

        original = MemoryShim.run_read

        def stale_once(self: Any, name: Any, fn: Any, **options: Any) -> Any:
            def then_move(r: Any) -> Any:
                found = fn(r)
                sides.append(r.side)
                shim.move("t1", Level.CLASSIC)
                return found

            return original(self, name, then_move, **options)

        shim.run_read = stale_once.__get__(shim)  # type: ignore[method-assign]  # once
        with reading("t1"):
            assert [n.body for n in Note.objects.all()] == ["on classic"]
    assert sides == [Side.LIMITLESS, Side.CLASSIC]


def test_limitless_dies_and_reads_go_on(breakable: World, servers: Any) -> None:
    moved(breakable, "t1")
    with breakable.mirror(), tenant("t1"):
        note(1)
        servers.limitless.kill()
        with reading():
            for _ in range(3):
                assert (side(), Note.objects.get(id=1).body) == ("classic", "hello")
        note(2)  # waits for the mirror, then for the fallback
        with reading():
            assert Note.objects.filter(id=2).exists()


def test_classic_dies_and_django_says_operational_error(breakable: World, servers: Any) -> None:
    brief = entry(breakable, settings=replace(QUICK, staleness_s=0.5))
    with databases(default=brief, reads=READS), tenant("t1"):
        shim = moved(breakable, "t1")
        servers.classic.kill()
        with pytest.raises(OperationalError):
            asked("SELECT 1")
        eventually(lambda: not shim._current.view.valid(shim._current.now_s()), "its routes have run out")
        with pytest.raises(OperationalError, match="classic"):
            note(1)
        with pytest.raises(OperationalError, match="classic"), transaction.atomic():
            note(1)
        servers.classic.start()

        def written() -> bool:
            try:
                note(1)
            except OperationalError:
                return False
            return True

        def read() -> list[int]:
            try:
                return [n.id for n in Note.objects.all()]
            except OperationalError:  # its routes have run out once more
                return []

        eventually(written, "it is there again")
        assert eventually(read, "what it has written is read") == [1]


def test_the_migration_ends_under_the_orm(world: World) -> None:
    shim = moved(world, "t1")
    with world.mirror(), tenant("t1"):
        note(1)
    end(world, shim)
    with tenant("t1"):
        note(2)
        with transaction.atomic():
            note(3)
            assert side() == "limitless"
        assert [n.id for n in Note.objects.order_by("id")] == [1, 2, 3]
        with reading():
            assert side() == "limitless"
    assert body(world, "t1", 2) is None, "classic is not written any more"


# -- writes that fail ------------------------------------------------------------------------------------


def test_closed_writes_come_through_as_themselves(world: World) -> None:
    brief = entry(world, settings=replace(PATIENT, closed_wait_s=0.3))
    with databases(default=brief, reads=READS), tenant("t1"):
        shim = shim_of()
        note(1)
        with pytest.raises(WritesClosed), transaction.atomic():
            note(2)
            write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        with pytest.raises(WritesClosed):
            told(world, shim)
            note(3)  # waits closed_wait_s
        assert [n.id for n in Note.objects.all()] == [1], "reads need no open writes"
        assert [n.id for n in Note.objects.using("reads").all()] == [1]
        write_mode(world.classic, WriteMode.DUAL, who="test", reason="test")
        told(world, shim)
        note(4)
    assert [body(world, "t1", n) is not None for n in (1, 2, 3, 4)] == [True, False, False, True]


def test_a_transaction_is_run_again_when_nothing_was_committed(world: World) -> None:
    tries, hooks = [], []

    @retried
    def work(*, fails: Callable[[], None]) -> int:
        tries.append(1)
        transaction.on_commit(lambda: hooks.append(len(tries)))
        note(1)
        if len(tries) == 1:
            fails()
        return len(tries)

    def conflict() -> None:
        asked("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$")

    for number, fails in enumerate((lambda: terminate(world), conflict)):
        tries.clear()
        with tenant("t1"):
            assert work(fails=fails) == 2
            Note.objects.all().delete()
        assert len(hooks) == number + 1, "the hook of the try that failed did not run"

    def wrong() -> None:
        asked("SELECT 1/0")

    tries.clear()
    with tenant("t1"), pytest.raises(Exception, match="division by zero"):
        work(fails=wrong)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        work(fails=wrong)
    assert len(tries) == 1


def test_a_hook_that_fails_runs_no_transaction_again(world: World) -> None:
    tries = []

    def hook() -> None:
        raise WritesClosed(0.0)

    @retried(tries=3)
    def work() -> None:
        tries.append(1)
        note(len(tries))
        transaction.on_commit(hook)

    with tenant("t1"), pytest.raises(WritesClosed):
        work()
    assert (len(tries), body(world, "t1", 1)) == (1, "hello")


@pytest.mark.parametrize("how", ["atomic", "retried", "statement"])
def test_a_lost_answer_to_commit_is_said_and_its_hooks_never_run(world: World, proxy: MakeProxy, how: str) -> None:
    between = proxy(world.classic_dsn)
    default = entry(world, classic=between.dsn(world.classic_dsn))
    seen: list[str] = []
    with databases(default=default, reads=READS), tenant("t1"):
        note(1)

        def work() -> None:
            note(2)
            transaction.on_commit(lambda: seen.append("hook"))
            between.lose_reply_to(b"COMMIT;")

        with pytest.raises(CommitUnknown) as caught:
            if how == "statement":
                between.lose_reply_to(b"COMMIT;")
                note(2)
            elif how == "atomic":
                with transaction.atomic():
                    work()
            else:
                retried(work)()

        assert caught.value.xid is not None
        assert shim_of().outcome(caught.value.xid) == "committed"
        assert body(world, "t1", 2) == "hello"
        with transaction.atomic():
            note(3)
        assert seen == [], "nor with the next commit"


def test_what_was_committed_and_not_confirmed_keeps_its_hooks(world: World) -> None:
    seen: list[str] = []
    with MemoryShim(classic=world.classic_dsn, limitless=world.limitless_dsn) as shim, use_shim(shim), tenant("t1"):
        shim.move("t1", Level.LIMITLESS)
        shim.stall_mirror()
        shim.clock.call_later(0.01, lambda: shim.lose(Side.CLASSIC))
        with pytest.raises(CommittedUnconfirmed), transaction.atomic():
            note(1)
            transaction.on_commit(lambda: seen.append("hook"))
        assert seen == []
        connection.run_unconfirmed_hooks()
        connection.run_unconfirmed_hooks()
    assert (seen, body(world, "t1", 1)) == (["hook"], "hello")


def test_a_session_that_ends_inside_a_transaction_is_an_operational_error(world: World) -> None:
    with tenant("t1"):
        with pytest.raises(OperationalError) as caught, transaction.atomic():
            note(1)
            terminate(world)
            note(2)
        assert isinstance(caught.value.__cause__, psycopg.OperationalError)
        note(3)
    assert [body(world, "t1", n) for n in (1, 2, 3)] == [None, None, "hello"]


def test_weaker_levels_do_not_wait(world: World) -> None:
    """No mirror runs, so a write that waits falls back."""
    with databases(default=entry(world, ack="session"), reads=READS):
        moved(world, "t1")
        with tenant("t1"):
            note(1)
            with transaction.atomic():
                note(2)
        assert connection.options.ack is Ack.SESSION
    assert world.classic.execute("SELECT count(*) FROM migrator.fallback").fetchone() == (0,)


def test_the_pool_is_whole_after_everything(world: World) -> None:
    with tenant("t1"):
        for number in range(30):
            for error in (ZeroDivisionError, KeyboardInterrupt):
                with pytest.raises(error), transaction.atomic():
                    note(number)
                    raise error
            with pytest.raises(ZeroDivisionError), reading(), transaction.atomic():
                side()
                raise ZeroDivisionError
    shim = shim_of()
    assert (len(shim._classic._out), len(shim._limitless._out)) == (0, 0)
