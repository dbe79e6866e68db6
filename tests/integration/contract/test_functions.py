"""The functions of the contract: whom they believe, what they refuse, what settings and rights do to them."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.control import grants
from migrator.control.epoch import begin_history
from migrator.control.install import install
from migrator.control.process import processes
from migrator.model.route import FallbackScope, WriteMode
from migrator.shim import statements as st
from migrator.shim.marks import Marks, identity, touched
from migrator.shim.view import ALL_PARTS
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.waiting import eventually
from tests.integration.contract.asking import BEGIN, MARKED, PATIENT, Asking, as_role, dropped, fresh, own, role_of, up
from tests.integration.traffic.world import World, end, get

pytestmark = [pytest.mark.pg, pytest.mark.once]

Connection = psycopg.Connection[Any]

MARKS_ALONE = st.BEFORE_COMMIT[st.BEFORE_COMMIT.index("SELECT pg_catalog.pg_current") :]


@pytest.fixture
def world(shared: World) -> World:
    """One world for all these tests, as it was at first."""
    fresh(shared)
    return shared


def test_a_token_names_what_the_shim_would_name(asking: Asking) -> None:
    with asking.writing():
        row = asking.conn.execute(MARKS_ALONE.encode()).fetchone()
        assert row is not None
        marks = Marks.of([None if value is None else str(value) for value in row])
        token = asking.token()
    wanted = (marks.epoch, marks.history.replace("-", ""), marks.xid, touched(marks, identity(marks, "m")))

    assert token == "w1-{}-{}-{}-{}".format(*wanted)
    assert asking.one("SELECT migrator.client_outcome(%s)", token) == "committed"


def test_a_transaction_that_wrote_nothing_has_no_token(asking: Asking) -> None:
    asking.conn.execute(BEGIN.encode())
    asking.conn.execute(MARKED)
    assert asking.one("SELECT migrator.client_token('m')") is None
    asking.conn.execute("COMMIT")


def test_a_transaction_whose_marks_are_gone_may_have_touched_every_partition(asking: Asking) -> None:
    for number, meddle in enumerate(("RESET ALL", "SET LOCAL migrator.begun = 'x'", "COMMIT AND CHAIN")):
        with asking.writing(number):
            asking.conn.execute(meddle.encode())
            token = asking.token()
        assert token.endswith(f"-{ALL_PARTS}"), meddle


def test_partitions_that_capture_cannot_have_written_are_not_believed(asking: Asking) -> None:
    for number, parts in enumerate(("", "0", "-1", "2 4", "2.0", "99999999999999999999", "zwei")):
        with asking.writing(number):
            asking.one("SELECT set_config('migrator.parts', %s, true)", parts)
            token = asking.token()
        assert token.endswith(f"-{ALL_PARTS}"), parts


def test_another_transaction_than_the_one_that_began_is_refused(asking: Asking) -> None:
    with asking.writing():
        asking.conn.execute("COMMIT")
        asking.conn.execute("BEGIN")
        asking.conn.execute("INSERT INTO app.note VALUES ('t1', 2, 'x')")
        assert asking.refused("SELECT migrator.client_token('m')") == "MG012"


def test_deferred_triggers_run_before_the_token_with_the_rights_of_the_caller(world: World, asking: Asking) -> None:
    """What they write is in it; they find the search path of the session, and not the tool's rights."""
    role = role_of(world)
    world.classic.execute("CREATE TABLE app.late (who text, path text)")
    world.classic.execute(
        "CREATE FUNCTION app.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO app.late VALUES (current_user, current_setting('search_path'));"
        " INSERT INTO app.note VALUES ('u1', 9, 'x') ON CONFLICT DO NOTHING; RETURN NULL; END $$"
    )
    world.classic.execute(
        "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON app.note DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.tenant_id = 't1') EXECUTE FUNCTION app.later()"
    )
    world.classic.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA app TO {}").format(sql.Identifier(role)))
    with as_role(world, role) as conn:
        mine = Asking(conn)
        conn.execute("SET search_path = app, public")
        token = mine.write()

        assert token.endswith("-6"), "partitions 1 and 2"
        assert conn.execute("SELECT * FROM app.late").fetchall() == [(role, "app, public")]
        assert conn.execute("SHOW synchronous_commit").fetchone() == ("on",)
    dropped(world, role)


def test_a_role_that_may_call_the_functions_needs_no_table_and_gets_none(world: World) -> None:
    role = role_of(world)
    with as_role(world, role) as conn:
        mine = Asking(conn)
        token = mine.write()
        mine.one("SELECT migrator.client_trip('p', 'tenant', 't1', 'slow')")
        assert world.classic.execute("SELECT scope_key FROM migrator.open_breaker").fetchall() == [("t1",)]
        assert mine.one("SELECT migrator.client_untrip('p', 'tenant', 't1')") is True
        assert mine.wait(token) == "seen"
        up(world, "t1")
        mine.beat()
        assert mine.side() == ("limitless", "route")
        assert mine.one("SELECT tenants FROM migrator.client_view('p')") == {"t1": [1, 100]}
        assert mine.one("SELECT migrator.client_fall_back('p', %s)", mine.write(2)) == 1
        assert mine.one("SELECT over FROM migrator.client_over()") is False
        assert mine.one("SELECT migrator.client_outcome(%s)", token) == "committed"
        open_to_it = [
            statement
            for statement in (
                "SELECT FROM migrator.route", "SELECT FROM migrator.plan", "INSERT INTO migrator.process SELECT",
                "SELECT migrator.client_judged('p', 'w1-over')", "SELECT migrator.client_bound('staleness_s', 1)",
                "SELECT migrator.seal_decisions(1, true, 'x')", "SELECT migrator.client_parsed('x')",
            )
            if mine.refused(statement) != "42501"
        ]  # fmt: skip
        assert open_to_it == []
        mine.one("SELECT migrator.client_leave('p')")
    assert processes(world.classic) == []
    assert grants.clients(world.classic) == (role,)
    assert grants.lacking(world.classic) == {}
    world.classic.execute(
        sql.SQL("REVOKE EXECUTE ON FUNCTION migrator.client_over() FROM {}").format(sql.Identifier(role))
    )
    assert grants.lacking(world.classic) == {role: ["EXECUTE on client_over"]}
    grants.renew(world.classic)
    assert grants.lacking(world.classic) == {}
    dropped(world, role)


HOSTILE = (
    "SET DateStyle = 'SQL, DMY'", "SET standard_conforming_strings = off", "SET search_path = decoy, pg_catalog",
    "SET array_nulls = off", "SET row_security = off", "SET default_transaction_read_only = on",
    "SET default_transaction_isolation = 'serializable'", "SET default_transaction_deferrable = on",
    "SET extra_float_digits = -15", "SET IntervalStyle = 'iso_8601'", "SET TimeZone = 'Asia/Kathmandu'",
    "SET synchronous_commit = off", "SET plan_cache_mode = force_generic_plan", "SET bytea_output = escape",
)  # fmt: skip


def test_settings_of_the_session_change_nothing(world: World, asking: Asking) -> None:
    world.classic.execute(
        "CREATE SCHEMA decoy;"
        " CREATE FUNCTION decoy.same(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';"
        " CREATE OPERATOR decoy.= (FUNCTION = decoy.same, LEFTARG = bigint, RIGHTARG = bigint);"
        " CREATE FUNCTION decoy.texteq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';"
        " CREATE FUNCTION decoy.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT timestamptz ''epoch'''"
    )
    up(world, "t1")
    for number, setting in enumerate(HOSTILE):
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            conn.execute(setting.encode())
            mine = Asking(conn)
            with own(conn):
                before = mine.side()
            token = mine.write(number)
            with own(conn):
                behind = mine.wait(token), mine.side("t1", token)
            world.publish()
            with own(conn):
                there = mine.wait(token), mine.side("t1", token)

        assert before == ("limitless", "route"), setting
        assert behind == ("behind", ("classic", "not there yet")), setting
        assert there == ("seen", ("limitless", "route")), setting


def test_no_answer_rests_on_an_old_snapshot(asking: Asking) -> None:
    token = asking.write()
    questions = (
        "SELECT migrator.client_side('p', 't1')", "SELECT migrator.client_view('p')", "SELECT migrator.client_over()",
        f"SELECT migrator.client_wait('p', '{token}', 0)", f"SELECT migrator.client_fall_back('p', '{token}')",
    )  # fmt: skip
    for level, question in product(("REPEATABLE READ", "SERIALIZABLE"), questions):
        asking.conn.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        assert asking.refused(question) == "MG015", (level, question)
        asking.conn.execute("ROLLBACK")


def test_a_heartbeat_vouches_for_nothing_before_it_is_committed(world: World) -> None:
    with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
        mine = Asking(conn)
        with own(conn):
            conn.execute(f"SELECT migrator.client_beat('p', 'test'); {PATIENT}".encode())
            assert mine.refused("SELECT migrator.client_side('p', 't1')") == "MG015"
            conn.execute("ROLLBACK")


def test_a_process_that_is_not_registered_reads_classic_and_acknowledges_nothing(world: World, asking: Asking) -> None:
    up(world, "t1")
    token = asking.write()
    world.publish()
    asking.one("SELECT migrator.client_leave('p')")

    assert asking.side() == ("classic", "not registered")
    assert asking.refused("SELECT migrator.client_wait('p', %s, 0)", token) == "MG014"
    assert asking.refused("SELECT migrator.client_fall_back('p', %s)", token) == "MG014"
    assert asking.refused("SELECT migrator.client_trip('p', 'all', '', 'x')") == "MG014"
    assert asking.one("SELECT (migrator.client_view('p')).valid_s") == 0


def test_an_answer_runs_out_before_others_count_the_process_as_silent(world: World, asking: Asking) -> None:
    up(world, "t1")
    asking.one("SELECT migrator.client_leave('p')")
    asking.beat(None, None, 300.0)
    valid_s = asking.one("SELECT valid_s FROM migrator.client_side('p', 't1')")
    row = world.classic.execute(
        "SELECT extract(epoch FROM seen_at + make_interval(secs => staleness_s) - clock_timestamp())"
        " FROM migrator.process"
    ).fetchone()
    assert row is not None
    assert 0 < valid_s <= 300.0
    assert row[0] > valid_s
    world.classic.execute("UPDATE migrator.process SET seen_at = seen_at - interval '300.25 s'")
    assert asking.side() == ("classic", "not registered")
    assert asking.wait(asking.write()) == "behind", "but others still wait for it"
    assert asking.one("SELECT valid_s FROM migrator.client_beat('q', 'test', NULL, NULL, 9999)") == 600, (
        "not the plan's limit"
    )


def test_a_process_confirms_what_it_says_and_nothing_of_another_history(world: World, asking: Asking) -> None:
    def applied() -> int:
        return processes(world.classic)[0].applied_epoch

    epoch, mark = asking.one("SELECT epoch, mark FROM migrator.client_view('p')")
    later = raise_fallback(world.classic, FallbackScope.TENANT, "t1", by="test", reason="test")
    asking.beat(epoch, mark)
    assert (applied(), asking.one("SELECT beat FROM migrator.client_side('p', 't1')")) == (epoch, True)
    asking.beat()
    assert (applied(), asking.one("SELECT beat FROM migrator.client_side('p', 't1')")) == (later, False)
    begin_history(world.classic)
    asking.beat(epoch, mark)
    assert applied() in (0, epoch), "its mark may be kept"
    asking.beat(later, "00000000-0000-0000-0000-000000000000")
    assert applied() == 0


def test_a_write_is_seen_only_when_every_process_has_confirmed(world: World, asking: Asking) -> None:
    """Another one may still read Limitless under the routes that it had."""
    up(world, "t1")
    epoch, mark = asking.one("SELECT epoch, mark FROM migrator.client_view('p')")
    asking.one("SELECT migrator.client_beat('other', 'test', %s, %s)", epoch, mark)
    raise_fallback(world.classic, FallbackScope.PART, "1", by="test", reason="test")
    asking.beat()
    token = asking.write()

    assert asking.wait(token, 0.05) == "behind"
    assert asking.one("SELECT migrator.client_fall_back('p', %s)", token) == 0, "it has fallen back"
    asking.one("SELECT migrator.client_beat('other', 'test')")
    assert asking.wait(token) == "seen"


def test_only_what_is_behind_falls_back_and_only_once(world: World, asking: Asking) -> None:
    up(world, "t1", "u1")
    asking.beat()
    said = "SELECT (SELECT max(id) FROM migrator.decision), (SELECT count(*) FROM migrator.incident)"
    before = asking.one(said)
    with asking.writing(1, "u1"):
        asking.conn.execute("INSERT INTO app.note VALUES ('t1', 1, 'x')")
        token = asking.token()
        running = asking.wait  # a transaction that runs is no write yet
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            other = Asking(conn)
            assert other.wait(token) == "behind"
            assert other.refused("SELECT migrator.client_fall_back('p', %s)", token) == "MG013"
            assert other.one("SELECT migrator.client_outcome(%s)", token) == "in progress"
    world.publish((1,))
    found = [asking.one("SELECT migrator.client_fall_back('p', %s)", token) for _ in range(2)]
    logged = world.classic.execute(
        "SELECT d.subject, f.level, d.login = session_user FROM migrator.decision d JOIN migrator.fallback f"
        " ON d.subject = 'fallback/' || f.scope || '/' || f.scope_key WHERE d.kind = 'fallback.raised' AND d.id > %s",
        (before[0],),
    ).fetchall()
    asking.beat()

    assert found == [1, 0]
    assert logged == [("fallback/part/2", "classic", True)]
    assert asking.one(said)[1] == before[1] + 1
    assert running(token) == "seen"
    assert asking.one("SELECT migrator.client_fall_back('p', %s)", asking.write(3, "nobody")) == 0


def test_a_write_of_another_history_is_never_seen(world: World, asking: Asking) -> None:
    token = asking.write()
    assert asking.wait(token) == "seen", "nobody reads it on limitless"
    forged = re.sub(r"-[0-9a-f]{32}-", f"-{'0' * 32}-", token)
    assert (asking.wait(forged), asking.side("t1", forged)[0]) == ("behind", "classic")
    assert asking.one("SELECT migrator.client_outcome(%s)", forged) == "unknown"
    later = re.sub(r"-[0-9]+-2$", "-999999999-2", token)
    assert (asking.wait(later), asking.one("SELECT migrator.client_outcome(%s)", later)) == ("behind", "unknown")
    for damaged in ("", "w1", token[:-1] + "x", token + "-1", "w1-over.x", "w2" + token[2:], f"{token}; SELECT 1"):
        assert asking.refused("SELECT migrator.client_wait('p', %s, 0)", damaged) == "MG013"
    assert asking.refused("SELECT migrator.client_side('p', 't1', 'w1-over')") == "MG013"
    assert asking.refused("SELECT migrator.client_side('p', 't1', %s)", ".".join([token] * 60)) == "MG013"


def test_tokens_count_for_the_partitions_that_a_tenant_reads(world: World, asking: Asking) -> None:
    up(world, "t1", "u1")
    asking.beat()
    mine, others = asking.write(1, "t1"), asking.write(1, "u1")

    assert asking.side("t1", mine) == ("classic", "not there yet")
    assert asking.side("t1", others) == ("limitless", "route")
    assert asking.side("t1", f"{others}.{mine}") == ("classic", "not there yet")
    world.publish()
    assert asking.side("t1", f"{others}.{mine}") == ("limitless", "route")


def test_closed_writes_get_no_token_and_the_end_is_told(world: World, asking: Asking) -> None:
    write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
    with asking.writing():
        assert asking.refused("SELECT migrator.client_token('m')") == "MG001"
    assert asking.one("SELECT writes FROM migrator.client_side('p', 't1')") == "closed"
    write_mode(world.classic, WriteMode.DUAL, who="test", reason="test")
    token = asking.write(2)
    end(world)
    with asking.writing(3):
        assert asking.refused("SELECT migrator.client_token('m')") == "MG011"
    assert asking.one("SELECT side, valid_s, writes FROM migrator.client_side('p', 't1')") == (
        "limitless",
        None,
        "limitless",
    )
    assert asking.wait(token) == "seen"
    assert asking.one("SELECT over, known_to_all FROM migrator.client_over()") == (True, False)
    asking.beat()
    assert asking.one("SELECT over, known_to_all FROM migrator.client_over()") == (True, True)


def test_replicas_end_with_a_client_and_its_writes_wait_for_that(world: World, asking: Asking) -> None:
    epoch, mark = asking.one("SELECT epoch, mark FROM migrator.client_view('p')")
    asking.one("SELECT migrator.client_leave('p')")
    world.classic.execute(
        "INSERT INTO migrator.replica (instance, name, level, epoch, writer, reason, changed_by)"
        " VALUES ('i', 'r', 'serving', 1, 'w', '', 'test')"
    )
    world.classic.execute("INSERT INTO migrator.replica_reach (process_id, instances) VALUES ('reader', '{i}')")
    asking.one("SELECT migrator.client_beat('reader', 'test', %s, %s)", epoch, mark)
    asking.beat()
    token = asking.write()

    assert world.classic.execute("SELECT level FROM migrator.replica").fetchall() == [("out",)]
    assert asking.wait(token) == "behind", "the reader may still use it"
    asking.one("SELECT migrator.client_beat('reader', 'test')")
    asking.beat()  # taking it out was a change of its own, which it confirms as well
    assert asking.wait(token) == "seen"


CANNOT_BE = (
    "client_beat('', 'x')", "client_beat(NULL, 'x')", "client_beat('p', '')", "client_beat(repeat('x', 201), 'x')",
    "client_beat('p', E'x\\n')", "client_beat(E'\\x1b', 'x')", "client_beat('p', 'x', NULL, NULL, 0.1)",
    "client_side('p', NULL)", "client_side(NULL, 't1')",
    "client_trip('p', 'all', 'x', 'y')", "client_trip('p', 'part', 'one', 'y')", "client_trip('p', 'any', 'x', 'y')",
    "client_trip('p', 'tenant', NULL, 'y')", "client_trip('p', 'tenant', 'x', repeat('y', 1001))",
)  # fmt: skip


def test_an_argument_that_cannot_be_is_named(asking: Asking) -> None:
    assert {call: asking.refused(f"SELECT migrator.{call}") for call in CANNOT_BE} == dict.fromkeys(CANNOT_BE, "MG016")


def test_tenants_have_odd_names(world: World, asking: Asking) -> None:
    names = ("Größe", "select", 'O\'Brien "&"', " ", "a.b", "東京", "%s", "x" * 300)
    for tenant in names:
        world.classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state) VALUES (%s, 2, 'mirrored')", (tenant,)
        )
    up(world, *names)
    asking.beat()

    assert [asking.side(tenant) for tenant in names] == [("limitless", "route")] * len(names)
    assert asking.one("SELECT tenants FROM migrator.client_view('p')") == {name: [2, 100] for name in names}


def test_without_tables_that_are_complete_nothing_is_answered(classic_dsn: str) -> None:
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        install(conn, "test", "digest", {}, {})
        mine = Asking(conn)
        conn.execute("DELETE FROM migrator.switch")
        for question in ("client_side('p', 't1')", "client_view('p')", "client_token()", "client_over()"):
            assert mine.refused(f"SELECT migrator.{question}") == "MG017"


def test_each_question_may_reach_another_session(world: World) -> None:
    """As behind a pooler in transaction mode, where nothing outlives a transaction."""
    up(world, "t1")
    pool = [psycopg.connect(world.classic_dsn, autocommit=True) for _ in range(5)]
    askers = [Asking.__new__(Asking) for _ in pool]
    for asker, conn in zip(askers, pool, strict=True):
        asker.conn = conn
    askers[0].beat()
    token = askers[1].write()
    world.publish()

    assert askers[2].wait(token) == "seen"
    assert askers[3].side("t1", token) == ("limitless", "route")
    assert askers[4].one("SELECT migrator.client_outcome(%s)", token) == "committed"
    for conn in pool:
        conn.close()


def test_a_shim_is_given_a_token_of_the_contract(world: World, asking: Asking) -> None:
    up(world, "t1")
    asking.beat()
    token = asking.write()
    with world.shim() as shim:
        assert shim.session(token).run_read("t1", get("t1", 1)) == ("classic", "x")
        world.publish()
        asking.beat()
        eventually(lambda: shim.session(token).run_read("t1", get("t1", 1))[0] == "limitless", "the mirror has it")
