"""Levels of acknowledgement: what each waits for, what it promises, and that none weakens another's promise."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.decommission import write_stop
from migrator.errors import UsageError, WritesClosed
from migrator.model.ack import Ack
from migrator.model.route import WriteMode
from migrator.shim import SessionToken, Settings, statements
from migrator.shim.link import Link
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.waiting import eventually
from tests.integration.traffic.levels import PATIENT, WEAKER, moved
from tests.integration.traffic.world import CALM, Heard, Peer, World, body, get, put, up

pytestmark = pytest.mark.pg


@pytest.mark.parametrize("level", WEAKER)
def test_a_weaker_write_waits_for_no_mirror_and_brings_nothing_back(world: World, level: Ack) -> None:
    heard = Heard()
    with moved(world) as shim:
        shim._listener = heard
        shim.run_write("t1", put("t1", 1, "hello"), ack=level)

        assert body(world, "t1", 1) == "hello"
        assert shim._current.view.fallbacks == () and "fallback.raised" not in heard.names()
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", None), "it is not promised to others"
        world.publish()
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", "hello")


@pytest.mark.parametrize(("level", "messages"), [(Ack.EVERYWHERE, 2), (Ack.SESSION, 2), (Ack.NONE, 1)])
def test_how_often_a_write_asks_classic(
    world: World, monkeypatch: pytest.MonkeyPatch, level: Ack, messages: int
) -> None:
    """Besides its own statements, the first of which takes BEGIN along."""
    monkeypatch.setattr("migrator.shim.link.RECENT_S", 60.0)  # on a busy machine too
    sent: list[str] = []
    send = Link._send

    def counted(link: Link, statement: str) -> Any:
        sent.append(statement)
        return send(link, statement)

    with world.shim() as shim:
        shim.run_write("t1", put("t1", 1, "first"))
        monkeypatch.setattr(Link, "_send", counted)
        shim.run_write("t1", put("t1", 1, "hello"), ack=level)

    assert len(sent) == messages, sent


@pytest.mark.parametrize("chosen", ["off", "local", "remote_write", "remote_apply"])
def test_a_write_of_level_none_is_durable_whatever_the_session_says(
    world: World, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    seen: list[bytes | None] = []
    send = Link._send

    def looked_at(link: Link, statement: str) -> Any:
        results = yield from send(link, statement)
        if "SHOW synchronous_commit" in statement:
            seen.extend(r.get_value(0, 0) for r in results[5:6])
        return results

    monkeypatch.setattr(statements, "WITH_COMMIT", (*statements.WITH_COMMIT, "SHOW synchronous_commit"))
    monkeypatch.setattr(Link, "_send", looked_at)
    with world.shim() as shim, shim.write("t1", ack="none") as w:
        put("t1", 1, "hello")(w)
        w.connection.execute(f"SET synchronous_commit = {chosen}".encode())
        w.connection.execute("SET default_transaction_deferrable = on")

    assert seen == [b"remote_apply" if chosen == "remote_apply" else b"on"]


def test_the_plan_names_the_level_of_writes_that_name_none(world: World) -> None:
    with moved(world, replace(PATIENT, ack=Ack.SESSION)) as shim:
        with shim.write("t1") as w:
            put("t1", 1, "hello")(w)

        assert (w.ack, w.committed) == (Ack.SESSION, True)
        assert shim.run_read("t1", get("t1", 1), after=w.token) == ("classic", "hello")
        with pytest.raises(UsageError, match="everywhere, session, none"):
            shim.write("t1", ack="eventually")


def test_a_level_that_this_release_does_not_know_is_the_strongest() -> None:
    assert Settings.of({"ack": "none", "min_reads": 7}) == Settings(ack=Ack.NONE, min_reads=7)
    assert Settings.of({"ack": "quorum"}).ack is Ack.EVERYWHERE
    assert Settings.of({}).ack is Ack.EVERYWHERE


# -- the session


@pytest.mark.parametrize("level", WEAKER)
def test_reads_move_up_past_weaker_writes(world: World, level: Ack) -> None:
    """They do not wait while everybody joins: what they wrote before is part of the snapshot that must be reached."""
    with world.shim(settings=PATIENT) as shim, Peer(world, settings=PATIENT) as peer:
        shim.run_write("t1", put("t1", 1, "before"), ack=level)
        up(world, "t1")

        eventually(lambda: shim.run_read("t1", get("t1", 1)) == ("limitless", "before"), "it is there")
        eventually(lambda: peer.ask("read", "t1", 1) == ["limitless", "before"], "for everybody")


@pytest.mark.parametrize("level", WEAKER)
def test_a_write_for_everybody_speaks_for_weaker_ones_before_it(world: World, level: Ack) -> None:
    with moved(world, CALM) as shim, Peer(world) as peer:
        eventually(lambda: peer.ask("read", "t1", 1)[0] == "limitless", "the peer reads from limitless")
        shim.run_write("t1", put("t1", 1, "weak"), ack=level)
        writer = threading.Thread(target=shim.run_write, args=("t1", put("t1", 2, "strong")))
        writer.start()
        eventually(lambda: shim._current.waiting, "it waits, whatever others do not wait for")
        shim.run_write("t1", put("t1", 3, "weak"), ack=level)
        with world.mirror():
            writer.join()

        assert peer.ask("read", "t1", 2) == ["limitless", "strong"]
        assert peer.ask("read", "t1", 1) == ["limitless", "weak"]


SECOND = "INSERT INTO app.note VALUES ('t1', 2, 'second')"
ENDINGS = (
    ("COMMIT",),
    ("COMMIT", "BEGIN"),
    (f"COMMIT; BEGIN; {SECOND}",),
    ("ROLLBACK", "BEGIN", SECOND),
    ("ROLLBACK AND CHAIN", "ROLLBACK", "BEGIN", SECOND),
    ("PREPARE TRANSACTION 'one'",),
)


@pytest.mark.parametrize("level", WEAKER)
def test_a_transaction_that_was_ended_inside_is_refused(world: World, level: Ack) -> None:
    with world.shim() as shim:
        for number, ending in enumerate(ENDINGS, 10):
            with pytest.raises(UsageError, match="ended inside"), shim.write("t1", ack=level) as w:
                put("t1", number, "first")(w)
                for statement in ending:
                    w.connection.execute(statement.encode())
            assert body(world, "t1", 2) is None, ending
        shim.run_write("t1", put("t1", 3, "and goes on"), ack=level)
    world.classic.execute("ROLLBACK PREPARED 'one'")


MEDDLING = (
    "RESET ALL",
    "COMMIT AND CHAIN",
    "SET LOCAL migrator.parts = '1'",
    "SET statement_timeout = '1ms'",
    "SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'",
    "SET ROLE pg_monitor",
    "SET LOCAL SESSION AUTHORIZATION pg_read_all_data",
    "SET search_path = app, pg_temp",
    "SAVEPOINT one; INSERT INTO app.note VALUES ('t1', 99, 'undone'); ROLLBACK TO one; RELEASE one",
)


@pytest.mark.parametrize("level", WEAKER)
def test_what_an_application_does_to_its_session_does_not_matter(world: World, level: Ack) -> None:
    with world.shim(pool_size=1) as shim:
        for number, meddle in enumerate(MEDDLING):
            with shim.write("t1", ack=level) as w:
                put("t1", number, "hello")(w)
                w.connection.execute(meddle.encode())

            assert w.committed and (w.token is None) is (level is Ack.NONE), meddle
            assert (body(world, "t1", number), body(world, "t1", 99)) == ("hello", None), meddle
            assert shim.run_read("t1", lambda r: r.connection.execute("SHOW statement_timeout").fetchone()) == ("0",)
        with shim.write("t1", ack=level) as w:
            w.connection.execute("SET TRANSACTION NOT DEFERRABLE")
            put("t1", 50, "hello")(w)
        assert body(world, "t1", 50) == "hello"


DEFERRED = """
CREATE FUNCTION app.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON app.note DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION app.late();
"""


@pytest.mark.parametrize("level", WEAKER)
def test_a_deferred_trigger_belongs_to_its_write(world: World, level: Ack) -> None:
    """It may write, it may refuse, and it cannot weaken the commit."""
    late = "INSERT INTO app.note VALUES ('u1', 7, 'late'); PERFORM set_config('synchronous_commit', 'off', true);"
    world.classic.execute(DEFERRED.format(late).encode())
    with moved(world) as shim:
        session = shim.session()
        session.run_write("t1", put("t1", 1, "hello"), ack=level)
        assert body(world, "u1", 7) == "late"
        if level is Ack.SESSION:
            assert session.run_read("u1", get("u1", 7)) == ("classic", "late"), "it wrote in another partition"

        world.classic.execute(
            "CREATE OR REPLACE FUNCTION app.late() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE 'no' USING ERRCODE = '23514'; END $$"
        )
        with pytest.raises(psycopg.errors.CheckViolation), shim.write("t2", ack=level) as w:
            put("t2", 1, "refused")(w)
        assert (w.committed, w.token, body(world, "t2", 1)) == (False, None, None)


@pytest.mark.parametrize("level", WEAKER)
def test_an_error_that_was_swallowed_is_not_committed(world: World, level: Ack) -> None:
    with world.shim() as shim:
        with pytest.raises((UsageError, psycopg.errors.InFailedSqlTransaction)), shim.write("t1", ack=level) as w:
            put("t1", 1, "hello")(w)
            with suppress(psycopg.Error):
                w.connection.execute("SELECT 1 / 0")

        assert (w.committed, body(world, "t1", 1)) == (False, None)


@pytest.mark.parametrize("level", WEAKER)
def test_a_write_that_slipped_through_while_writes_were_closed_is_refused(world: World, level: Ack) -> None:
    """By the triggers that the hand-over puts on every captured table."""
    with world.shim(settings=replace(CALM, poll_s=0.9)) as shim, shim.session() as session:
        with pytest.raises(WritesClosed), session.write("t1", ack=level) as w:
            write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
            with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
                conn.execute(write_stop._FUNCTION.encode())
                conn.execute(
                    "CREATE TRIGGER migrator_closed BEFORE INSERT OR UPDATE OR DELETE ON app.note"
                    " FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_write()"
                )
            put("t1", 1, "late")(w)

        assert (body(world, "t1", 1), SessionToken.parse(session.token).writes) == (None, ())
