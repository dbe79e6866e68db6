"""Django's ORM on the shim: what its users rely on, while tenants are read from either side."""

from __future__ import annotations

import datetime as dt
from typing import Any

import psycopg
import pytest
from django.db import (
    IntegrityError,
    InternalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.db.models import Count, Max
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext, override_settings

from migrator.django import no_tenant, reading, session, shim_of, tenant
from migrator.django.router import Router
from migrator.errors import UsageError
from migrator.testing import MemoryShim
from tests.fixtures.waiting import eventually
from tests.integration.django_backend.models import Note
from tests.integration.django_backend.steps import asked, moved, note, side
from tests.integration.traffic.world import World, body

pytestmark = [pytest.mark.pg, pytest.mark.once]


# -- where statements are answered -----------------------------------------------------------------------


def test_statements_are_routed_within_reading_alone(world: World) -> None:
    moved(world, "t1")
    with tenant("t1"):
        assert side() == "classic"
        with reading():
            assert side() == "limitless"
        with reading("u1"):
            assert side() == "classic", "it never moved"
        assert side() == "classic"
    assert side() == "classic"


def test_what_a_statement_wrote_is_read_from_limitless_when_it_returns(world: World) -> None:
    moved(world, "t1")
    with world.mirror(), tenant("t1"):
        for number in range(5):
            made = note(number)
            made.body = "saved"
            made.save()
            with reading():
                assert side() == "limitless"
                assert Note.objects.get(id=number).body == "saved"


def test_a_writing_transaction_reads_from_the_writer(world: World) -> None:
    moved(world, "t1")
    with world.mirror(), tenant("t1"), transaction.atomic():
        note(1)
        with reading():
            assert side() == "classic"
            assert Note.objects.get(id=1).body == "hello", "not committed yet, and so nowhere else"
            Note.objects.filter(id=1).update(body="written inside reading, in a transaction that writes")


def test_a_transaction_within_reading_is_one_read_on_one_side(world: World) -> None:
    moved(world, "t1")
    with world.mirror(), reading("t1"):
        with transaction.atomic():
            first = asked("SELECT pg_backend_pid()")
            assert (side(), asked("SELECT pg_backend_pid()")) == ("limitless", first)
            assert asked("SELECT current_setting('transaction_read_only')") == "on"
            with transaction.atomic():  # a savepoint
                assert side() == "limitless"
            with pytest.raises(UsageError, match="t1 is asked for tenant u1"), reading("u1"):
                side()


@pytest.mark.parametrize("within", ["statement", "transaction"])
def test_nothing_is_written_within_reading(world: World, within: str) -> None:
    with tenant("t1"):
        note(1)
    with reading("t1"):
        for write in (
            lambda: note(2),
            lambda: Note.objects.filter(id=1).update(body="x"),
            lambda: Note.objects.filter(id=1).delete(),
            lambda: asked("SELECT 1 FROM app.note FOR UPDATE"),
        ):
            with pytest.raises(UsageError, match="read-only"):
                if within == "statement":
                    write()
                else:
                    with transaction.atomic():
                        write()
        assert Note.objects.filter(body__contains="FOR UPDATE").count() == 0, "a text is no clause"
    assert [n.body for n in Note.objects.all()] == ["hello"]


def test_an_alias_and_a_router_send_reads(world: World) -> None:
    moved(world, "t1")
    with world.mirror(), override_settings(DATABASE_ROUTERS=["migrator.django.router.Router"]), tenant("t1"):
        note(1)
        found = Note.objects.get(id=1)
        assert found._state.db == "reads"
        assert side("reads") == "limitless"
        found.body = "saved"
        found.save()
        assert found._state.db == "default", "it was written there"
        with transaction.atomic():
            Note.objects.filter(id=1).update(body="inside")
            assert Note.objects.get(id=1)._state.db == "default"
            assert Note.objects.using("reads").get(id=1).body == "inside", "the writer's transaction answers"
            assert [n.body for n in Note.objects.using("reads").iterator()] == ["inside"]
        with no_tenant():
            assert Note.objects.get(id=1)._state.db == "default"
        with pytest.raises(UsageError, match="read-only"):
            Note.objects.using("reads").update(body="x")
        assert Router().allow_relation(found, Note.objects.using("reads").get(id=1))
    assert side("reads") == "classic", "no tenant is bound"


def test_a_session_reads_its_own_writes_without_a_wait(world: World) -> None:
    shim = moved(world, "t1")
    with tenant("t1"), session(shim.session()) as mine:  # no mirror runs
        note(1)
        with reading():
            assert side() == "classic", "limitless does not hold it yet"
            assert Note.objects.get(id=1).body == "hello"
        assert mine.token
        world.publish()
        with reading():
            eventually(lambda: side() == "limitless", "the process has read the position")
            assert Note.objects.get(id=1).body == "hello"


def test_a_select_that_writes_is_a_write(world: World) -> None:
    world.classic.execute(
        "CREATE FUNCTION app.add() RETURNS int LANGUAGE sql AS"
        " $$ INSERT INTO app.note VALUES ('t1', 1 + (SELECT count(*) FROM app.note), 'x') RETURNING id $$"
    )
    moved(world, "t1")
    with world.mirror(), tenant("t1"):
        for number in (1, 2):
            assert asked("SELECT app.add()") == number
            with reading():
                assert (side(), Note.objects.count()) == ("limitless", number), "it was acknowledged"


def test_sessions_belong_to_their_database(world: World, classic_dsn: str) -> None:
    """One of another alias neither answers nor takes what is said here."""
    with MemoryShim(classic=classic_dsn) as other, tenant("t1"), session(other.session(), "other") as mine:
        note(1)
        assert side() == "classic"
        with reading():
            assert Note.objects.count() == 1
        assert other.heard.blocks == []
        assert mine.token == other.session().token
    assert body(world, "t1", 1) == "hello"


# -- transactions ----------------------------------------------------------------------------------------


def test_hooks_run_when_the_write_is_acknowledged(world: World) -> None:
    moved(world, "t1")
    seen: list[tuple[str, Any]] = []

    def hook() -> None:
        with reading():
            seen.append((side(), Note.objects.get(id=1).body))

    with world.mirror(), tenant("t1"):
        with transaction.atomic():
            note(1, "committed")
            transaction.on_commit(hook)
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                transaction.on_commit(lambda: seen.append(("undone", None)))
                raise ZeroDivisionError
            assert seen == []
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: seen.append(("undone", None)))
            raise ZeroDivisionError

    assert seen == [("limitless", "committed")]


def test_savepoints_and_integrity_errors(world: World) -> None:
    with tenant("t1"):
        note(1)
        with transaction.atomic(durable=True):
            note(2)
            with pytest.raises(IntegrityError) as caught, transaction.atomic():
                note(1)
            assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
            note(3)
        found, made = Note.objects.get_or_create(id=3, tenant_id="t1", defaults={"body": "other"})
        assert (found.body, made) == ("hello", False)
        _, made = Note.objects.update_or_create(id=4, tenant_id="t1", defaults={"body": "new"})
        assert made
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic(), transaction.atomic(durable=True):
            pass
    assert sorted(Note.objects.values_list("id", flat=True)) == [1, 2, 3, 4]


def test_the_loser_of_a_race_gets_what_the_winner_made(world: World) -> None:
    """get_or_create finds nothing, inserts, is refused, and looks once more."""
    with tenant("t1"):
        world.classic.execute("INSERT INTO app.note VALUES ('t1', 1, 'theirs')")
        original = Note.objects.get_queryset().get

        class Blind(type(Note.objects.all())):  # type: ignore[misc] # of Django's own class
            looked = False

            def get(self, *args: Any, **options: Any) -> Any:
                if not Blind.looked:
                    Blind.looked = True
                    raise Note.DoesNotExist
                return original(*args, **options)

        found, made = Blind(Note).get_or_create(id=1, tenant_id="t1", defaults={"body": "mine"})
        assert (found.body, made) == ("theirs", False)


def test_an_error_that_was_swallowed_is_said(world: World) -> None:
    """psycopg alone would roll back at COMMIT and say nothing."""
    with tenant("t1"), pytest.raises(InternalError, match="aborted"), transaction.atomic():
        note(1)
        try:
            asked("SELECT 1/0")
        except Exception:
            connection.set_rollback(False)
    assert body(world, "t1", 1) is None


def test_locks_and_manual_transactions(world: World) -> None:
    with tenant("t1"):
        note(1)
        with transaction.atomic():
            assert Note.objects.select_for_update().get(id=1).body == "hello"
        with pytest.raises(TransactionManagementError):
            Note.objects.select_for_update().get(id=1)

        transaction.set_autocommit(False)
        try:
            note(2)
            transaction.rollback()
            note(3)
            with transaction.atomic():
                note(4)
            transaction.commit()
        finally:
            transaction.set_autocommit(True)
    assert sorted(Note.objects.values_list("id", flat=True)) == [1, 3, 4]


def test_a_connection_that_is_closed_inside_takes_its_transaction_along(world: World) -> None:
    with tenant("t1"):
        with pytest.raises(TransactionManagementError), transaction.atomic():
            note(1)
            connection.close()
            note(2)
        note(3)
    assert [n.id for n in Note.objects.all()] == [3]
    assert len(shim_of()._classic._out) == 0, "the block went back to the pool"


# -- queries ---------------------------------------------------------------------------------------------


def test_many_rows(world: World) -> None:
    with tenant("t1"):
        Note.objects.bulk_create([Note(tenant_id="t1", id=n, body=f"note {n}") for n in range(2500)], batch_size=900)
        with CaptureQueriesContext(connection) as captured, transaction.atomic():
            assert sum(1 for _ in Note.objects.iterator(chunk_size=500)) == 2500
            assert asked("SELECT count(*) FROM pg_cursors") == 0, "the cursor on the server was closed"
        assert any("DECLARE" in q["sql"] or "note" in q["sql"] for q in captured.captured_queries)
        assert sum(1 for _ in Note.objects.iterator(chunk_size=500)) == 2500
        assert Note.objects.aggregate(n=Count("*"), last=Max("id")) == {"n": 2500, "last": 2499}
        assert Note.objects.filter(id__lt=10).exists()
        Note.objects.bulk_update([Note(id=n, body="x") for n in range(3)], ["body"])
        assert Note.objects.filter(body="x").count() == 3
    with reading("t1"), transaction.atomic():
        assert sum(1 for _ in Note.objects.iterator(chunk_size=500)) == 2500


def test_raw_cursors(world: World) -> None:
    with tenant("t1"), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO app.note VALUES ('t1', %s, %s)", ((n, "é%;'") for n in range(4)))
        assert cursor.rowcount == 4
        cursor.execute("SELECT id, body FROM app.note ORDER BY id")
        assert [column.name for column in cursor.description] == ["id", "body"]
        assert (cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()) == (
            (0, "é%;'"),
            [(1, "é%;'"), (2, "é%;'")],
            [(3, "é%;'")],
        )
        cursor.execute("SELECT 1; SELECT 2")
        assert (cursor.fetchall(), cursor.nextset(), cursor.fetchall(), cursor.nextset()) == (
            [(1,)],
            True,
            [(2,)],
            None,
        )
        cursor.callproc("upper", ["a"])
        assert cursor.fetchone() == ("A",)
        with cursor.copy("COPY app.note FROM STDIN") as copy:
            copy.write_row(("t1", 10, "copied"))
        assert body(world, "t1", 10) == "copied", "it was committed with its block"
        with cursor.copy("COPY app.note TO STDOUT") as copy:
            assert len(list(copy.rows())) == 5
        with pytest.raises(psycopg.NotSupportedError):
            list(cursor.stream("SELECT 1"))
        with transaction.atomic():
            assert list(cursor.stream("SELECT id FROM app.note WHERE id = 10")) == [(10,)]
        with pytest.raises(ProgrammingError):
            cursor.execute("SELECT nothing FROM app.note")
        with pytest.raises(ProgrammingError):
            cursor.fetchone()
        assert cursor.mogrify("SELECT %s, %s", ["it's", None]) == "SELECT 'it''s', NULL"


def test_a_cursor_made_before_a_transaction_belongs_to_it(world: World) -> None:
    with tenant("t1"), connection.cursor() as cursor:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            cursor.execute("INSERT INTO app.note VALUES ('t1', 1, 'undone')")
            raise ZeroDivisionError
        cursor.execute("INSERT INTO app.note VALUES ('t1', 2, 'kept')")
    assert (body(world, "t1", 1), body(world, "t1", 2)) == (None, "kept")


def test_times_are_in_the_zone_that_django_wants(world: World) -> None:
    world.classic.execute(f"ALTER DATABASE {world.classic.info.dbname} SET timezone = 'Asia/Tokyo'")
    with tenant("t1"):
        assert asked("SHOW timezone") == "UTC"
        assert asked("SELECT '2026-03-29 01:30:00+00'::timestamptz") == dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
        with transaction.atomic():
            assert asked("SHOW timezone") == "UTC"
        assert asked("SELECT '{\"a\": 1}'::jsonb") == '{"a": 1}', "Django decodes it"


def test_the_log_of_statements_shows_their_parameters(world: World) -> None:
    with tenant("t1"), CaptureQueriesContext(connection) as captured:
        note(1, "shown")
        with transaction.atomic():
            Note.objects.filter(id=1).count()
    texts = [q["sql"] for q in captured.captured_queries]
    assert "VALUES (1, 't1', 'shown')" in texts[0]
    assert [texts[1], texts[-1]] == ["BEGIN", "COMMIT"]
