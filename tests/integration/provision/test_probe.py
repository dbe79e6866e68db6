"""The tool asks a cluster what it can do, and works with what it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.control import answers as kept
from migrator.control.install import VERSION, install_limitless, installed_version
from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.decommission import sequences
from migrator.errors import ClusterUnavailable, PreconditionFailed, UsageError
from migrator.local.lacks import LACKS
from migrator.model.action import Action
from migrator.model.capability import Answer, Answers, Capability
from migrator.provision import check, finalize, provision, verify
from migrator.provision.probing import ask, ensure, probe
from tests.fixtures.operator import Operator
from tests.fixtures.postgres import Machines, fresh_name, with_parts
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.waiting import eventually, until

pytestmark = [pytest.mark.pg, pytest.mark.routers]

NEEDED = {
    Capability.TEXT_COPY,
    Capability.UPSERT,
    Capability.SEQUENCE_RESTART,
    Capability.DEFERRED_KEYS,
}


def lacking(dsn: str, *names: str) -> str:
    """The connection string of a Limitless that lacks *names*."""
    return with_parts(dsn, options=f"-c rds_aurora.standin_lacks={','.join(sorted(names))}")


@pytest.fixture(scope="module")
def cluster(machines: Machines) -> Iterator[str]:
    """A Limitless database for questions alone."""
    name = fresh_name("limitless")
    yield machines.new_limitless(name)
    machines.drop(limitless=name)


def asked(dsn: str) -> dict[Capability, Answer]:
    with connect(dsn, "test") as limitless:
        return {answer.capability: answer for answer in ask(limitless)}


def schemas(dsn: str) -> list[str]:
    with connect(dsn, "test") as conn:
        rows = conn.execute("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname LIKE 'migrator_probe%'")
        return [str(name) for (name,) in rows]


def test_a_cluster_that_can_do_everything_says_so(cluster: str) -> None:
    found = asked(cluster)

    assert found.keys() == set(Capability)
    # The stand-in's sharded tables are partitioned: the one thing it cannot do and Limitless can.
    assert [c for c, answer in found.items() if not answer.works] == [Capability.INDEX_CONCURRENTLY]
    assert found[Capability.INDEX_CONCURRENTLY].kinds == {"reference", "standard"}
    assert schemas(cluster) == []


@pytest.mark.parametrize("name", sorted(LACKS))
def test_what_a_cluster_lacks_is_found(cluster: str, name: str) -> None:
    found = asked(lacking(cluster, name))

    refused = {c.value for c, answer in found.items() if not answer.works} - {"index_concurrently"}
    along = {"sequence_restart": {"sequence_chunks"}}  # whose question needs a restart
    assert refused | {name} == {name} | along.get(name, set())
    assert refused >= {name} - {"index_concurrently"}
    answer = found[Capability(name)]
    assert not answer.works
    assert answer.said
    assert answer.needed == (Capability(name) in NEEDED)
    assert schemas(cluster) == []


def test_a_probe_leaves_the_session_as_it_was(cluster: str) -> None:
    with connect(cluster, "test", statement_timeout_s=77) as limitless:
        ask(limitless)

        assert limitless.execute("SHOW statement_timeout").fetchone() == ("77s",)
        assert limitless.execute("SHOW application_name").fetchone() == ("test",)
        with limitless.transaction(), pytest.raises(PreconditionFailed):
            ask(limitless)


def test_what_a_killed_probe_left_goes_and_what_a_running_one_has_stays(limitless_dsn: str) -> None:
    with connect(limitless_dsn, "test") as limitless, connect(limitless_dsn, "migrator_probe_0000000b"):
        for name in ("migrator_probe_0000000a", "migrator_probe_0000000b", "migrator_probed"):
            limitless.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(name)))
        limitless.execute("CREATE TABLE migrator_probe_0000000a.t (id int)")
        ask(limitless)

    assert sorted(schemas(limitless_dsn)) == ["migrator_probe_0000000b", "migrator_probed"]


def test_a_probe_whose_schema_goes_has_no_answers(cluster: str) -> None:
    with connect(cluster, "test") as limitless, connect(cluster, "test") as other:

        def drop(action: Action) -> None:
            if action.id == "probe/upsert":
                (name,) = schemas(cluster)
                other.execute(psycopg.sql.SQL("DROP SCHEMA {} CASCADE").format(psycopg.sql.Identifier(name)))

        with pytest.raises(ClusterUnavailable, match="was dropped while the cluster was asked"):
            ask(limitless, on_step=drop)


def test_a_cluster_that_is_busy_has_answered_nothing(classic_dsn: str, limitless_dsn: str, machines: Machines) -> None:
    """A lock timeout says nothing about abilities: answers of before are kept."""
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        before = probe(classic, limitless)
        row = limitless.execute("SELECT current_database()").fetchone()
        assert row is not None
        with psycopg.connect(with_parts(machines.limitless_admin, dbname=row[0]), autocommit=True) as admin:
            admin.execute(
                "CREATE FUNCTION public.ill() RETURNS event_trigger LANGUAGE plpgsql AS"
                " $$BEGIN RAISE 'no memory' USING ERRCODE = '53200'; END$$"
            )
            admin.execute(
                "CREATE EVENT TRIGGER ill ON ddl_command_start WHEN tag IN ('CREATE INDEX')"
                " EXECUTE FUNCTION public.ill()"
            )
            with pytest.raises(ClusterUnavailable, match="capabilities could not be probed"):
                probe(classic, limitless)

        assert kept.answers(limitless) == before
    assert schemas(limitless_dsn) == []


def test_answers_are_kept_on_both_sides_and_asked_once_per_version(shop: Shop) -> None:
    assert kept.answers(shop.limitless) == Answers()

    first = ensure(shop.classic, shop.limitless)
    again = ensure(shop.classic, shop.limitless)

    assert again == first
    line = collect(shop.classic).limitless
    assert line is not None
    assert (line.version, line.lacking) == (first.version, ("index_concurrently",))
    shop.limitless.execute("UPDATE migrator.probe SET engine_version = '16.4'")
    newer = ensure(shop.classic, shop.limitless)
    assert newer.version == first.version
    assert newer.at is not None
    assert first.at is not None
    assert newer.at > first.at


def test_two_who_ask_at_once_both_keep_their_answers(shop: Shop) -> None:
    """An operator's probe beside that of the phase: the later one waits for the earlier, and its answers stay."""
    ensure(shop.classic, shop.limitless)
    (theirs, mine) = (tuple(replace(a, said=who) for a in kept.answers(shop.limitless).found.values()) for who in "12")
    with connect(shop.limitless_dsn, "test") as other, ThreadPoolExecutor() as threads:
        with other.transaction():
            kept.store(other, theirs, "16.4")
            waiting = threads.submit(kept.store, shop.limitless, mine, "16.4")
            eventually(lambda: blocked(other), "the second waits for the rows of the first")
        waiting.result()

    assert {a.said for a in kept.answers(shop.limitless).found.values()} == {"2"}


def test_two_who_install_at_once_find_one_schema(limitless_dsn: str) -> None:
    with (
        connect(limitless_dsn, "test") as first,
        connect(limitless_dsn, "test") as second,
        ThreadPoolExecutor() as threads,
    ):
        with first.transaction():
            install_limitless(first)
            waiting = threads.submit(install_limitless, second)
            eventually(lambda: blocked(first), "the second waits for the schema of the first")
        waiting.result()

        assert installed_version(second) == VERSION


def blocked(conn: psycopg.Connection[Any]) -> bool:
    """Whether a session waits for a transaction of this database."""
    row = conn.execute(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    ).fetchone()
    return row is not None and row[0] > 0


def test_classic_is_not_asked(shop: Shop) -> None:
    with pytest.raises(UsageError):
        probe(shop.limitless, shop.classic)


def test_what_the_tool_cannot_work_without_is_a_blocker(shop: Shop) -> None:
    with connect(lacking(shop.limitless_dsn, "text_copy"), "test") as limitless:
        result = provision(shop.classic, limitless, shop.tables, shop.plan, ask=True)

        (blocker,) = result.verdict.blockers
        assert "lacks text_copy, without it no row can be copied: sharded tables: TEXT COPY is not supported" in blocker
        assert verify(shop.classic, limitless, shop.tables, shop.plan).blockers == (blocker,)
        assert check(shop.classic, limitless, shop.tables, shop.plan).blockers == (blocker,)
    line = collect(shop.classic).limitless
    assert line is not None
    assert line.blockers == (blocker,)


OPTIONAL = LACKS - NEEDED


@pytest.mark.asyncio
async def test_both_sides_come_out_equal_on_a_cluster_that_lacks_all_it_may(
    classic_dsn: str, limitless_dsn: str
) -> None:
    """Schema, copy, mirror, quarantine, validation, keys and sequences, all without what no document promises."""
    poor = lacking(limitless_dsn, *OPTIONAL)
    with new_shop(classic_dsn, poor, ask=True) as shop:
        found = kept.answers(shop.limitless)
        assert {c for c, answer in found.found.items() if not answer.works} == OPTIONAL
        assert provision(shop.classic, shop.limitless, shop.tables, shop.plan).made == ()  # found, by the records

        await shop.start()
        async with shop.mirrors():
            await shop.copy_all()
            with shop.classic.transaction():  # a unique value swapped: the mirror must know the error for what it is
                for slot, number in ((None, 3), (3, 6), (6, 3)):
                    shop.classic.execute("UPDATE shop.purchase SET slot = %s WHERE id = %s", (slot, number))
            shop.limitless.execute(  # and finds its position again without locking rows
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrator mirror%'"
            )
            shop.classic.execute("DELETE FROM shop.purchase WHERE id = 9")
            shop.classic.execute("UPDATE shop.currency SET rate = 2")
            await shop.caught_up()
            assert shop.differences() == {}

            result = await asyncio.to_thread(finalize, shop.classic, shop.limitless, shop.tables, shop.plan)
            assert result.verdict.go, result.verdict.blockers
            report = await validate(shop.classic_dsn, shop.limitless_dsn)
            assert report.clean

            shop.limitless.execute("ALTER TABLE shop.purchase ADD CONSTRAINT cheap CHECK (total < 5000)")
            shop.classic.execute("UPDATE shop.purchase SET total = 9999 WHERE id = 10")
            await shop.caught_up()
        row = shop.classic.execute("SELECT state, reason FROM migrator.tenant WHERE state <> 'mirrored'").fetchone()
        assert row is not None
        assert row[0] == "quarantined"
        assert "23514" in row[1]


def test_sequences_are_restarted_without_the_views_that_tell_of_them(classic_dsn: str, limitless_dsn: str) -> None:
    poor = lacking(limitless_dsn, "sequence_limits", "sequence_chunks")
    with connect(classic_dsn, "test") as classic, connect(poor, "test") as limitless:
        probe(classic, limitless)
        for side in (classic, limitless):
            side.execute("CREATE SCHEMA s")
            side.execute("CREATE SEQUENCE s.one")
        classic.execute("SELECT nextval('s.one') FROM generate_series(1, 7)")

        (facts,) = sequences.read(classic, limitless, ["s"])

        assert (facts.used, facts.limit) == (7, 2**63 - 1)
        assert sequences.restart(limitless, facts, 100) == 108


@pytest.mark.asyncio
async def test_late_indexes_lock_nobody_out_where_they_can_be_built_concurrently(
    classic_dsn: str, limitless_dsn: str, machines: Machines
) -> None:
    """A writer comes through while the build waits for another one; what a build left invalid is built again."""
    with new_shop(classic_dsn, limitless_dsn, ask=True) as shop:
        shop.classic.execute("CREATE INDEX currency_rate ON shop.currency (rate)")
        shop.classic.execute("CREATE INDEX line_sku ON shop.line (sku)")  # sharded: not concurrently on the stand-in
        with connect(limitless_dsn, "writer") as writer, connect(limitless_dsn, "test") as other:
            with writer.transaction():
                writer.execute("INSERT INTO shop.currency VALUES ('AAA', 1)")
                build = asyncio.create_task(
                    asyncio.to_thread(finalize, shop.classic, shop.limitless, shop.tables, shop.plan)
                )

                async def waits() -> bool:
                    row = other.execute(
                        "SELECT count(*) FROM pg_catalog.pg_stat_activity"
                        " WHERE query LIKE 'CREATE INDEX %currency_rate%' AND wait_event_type = 'Lock'"
                    ).fetchone()
                    return row == (1,)

                await until(waits, "the build waits for the writer")
                other.execute("SELECT set_config('lock_timeout', '2s', false)")
                other.execute("INSERT INTO shop.currency VALUES ('BBB', 1)")
            assert (await build).verdict.go

            row = other.execute("SELECT current_database()").fetchone()
            assert row is not None
            with psycopg.connect(with_parts(machines.limitless_admin, dbname=row[0]), autocommit=True) as admin:
                admin.execute(
                    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.currency_rate'::regclass"
                )
        again = finalize(shop.classic, shop.limitless, shop.tables, shop.plan)
        assert [a.id for a in again.made] == ["provision/index/shop/currency_rate"]
        assert again.verdict.go


def test_the_command_asks_and_shows_the_answers(tmp_path: Path, shop: Shop) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'name = "shop"\n[classic]\nwriter = "env:A"\n[limitless]\ndsn = "env:B"\n[tables]\nschemas = ["shop"]\n'
    )
    poor = lacking(shop.limitless_dsn, "binary_copy")
    operator = Operator(tmp_path, {"A": shop.classic_dsn, "B": poor})

    planned = operator("provision", "--probe", "--plan", str(plan), "--dry-run")
    refused = operator("provision", "--probe", "--plan", str(plan))
    done = operator("provision", "--probe", "--plan", str(plan), "--yes")
    as_json = operator("provision", "--probe", "--plan", str(plan), "--yes", "--json")

    assert (planned.code, done.code, as_json.code) == (0, 0, 0), (planned, done, as_json)
    assert refused.code == 2
    assert "Does ON CONFLICT DO NOTHING work without a conflict target?" in planned.out
    assert "no  binary_copy: " in done.out
    assert "rows are copied as text" in done.out
    answers = {a["capability"]: a["works"] for a in as_json.json["answers"]}
    assert answers["text_copy"] is True
    assert answers["binary_copy"] is False
    status = operator("status", "--plan", str(plan))
    assert "without binary_copy, index_concurrently" in " ".join(status.out.split())
