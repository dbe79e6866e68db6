"""The tool asks a cluster what it can do, and works with what it cannot."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.backfill.copy import copy_unit
from migrator.consistency.run import validate
from migrator.control import answers as kept
from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.decommission import sequences
from migrator.errors import ClusterUnavailable, PreconditionFailed, UsageError
from migrator.local.lacks import LACKS
from migrator.model.capability import Answer, Answers, Capability
from migrator.provision import finalize, provision, verify
from migrator.provision.probing import ask, ensure, probe
from tests.fixtures.postgres import Machines, with_parts
from tests.fixtures.shop import Shop, new_shop

pytestmark = pytest.mark.pg

NEEDED = {
    Capability.TEXT_COPY,
    Capability.UPSERT,
    Capability.SEQUENCE_RESTART,
    Capability.DEFERRED_KEYS,
}


def lacking(dsn: str, *names: str) -> str:
    """The connection string of a Limitless that lacks *names*."""
    return with_parts(dsn, options=f"-c rds_aurora.standin_lacks={','.join(sorted(names))}")


def asked(dsn: str) -> dict[Capability, Answer]:
    with connect(dsn, "test") as limitless:
        return {answer.capability: answer for answer in ask(limitless)}


def schemas(dsn: str) -> list[str]:
    with connect(dsn, "test") as conn:
        rows = conn.execute("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname LIKE 'migrator_probe%'")
        return [str(name) for (name,) in rows]


def test_a_cluster_that_can_do_everything_says_so(limitless_dsn: str) -> None:
    found = asked(limitless_dsn)

    assert found.keys() == set(Capability)
    # The stand-in's sharded tables are partitioned: the one thing it cannot do and Limitless can.
    assert [c for c, answer in found.items() if not answer.works] == [Capability.INDEX_CONCURRENTLY]
    assert found[Capability.INDEX_CONCURRENTLY].kinds == {"reference", "standard"}
    assert schemas(limitless_dsn) == []


@pytest.mark.parametrize("name", sorted(LACKS))
def test_what_a_cluster_lacks_is_found(limitless_dsn: str, name: str) -> None:
    found = asked(lacking(limitless_dsn, name))

    refused = {c.value for c, answer in found.items() if not answer.works} - {"index_concurrently"}
    along = {"sequence_restart": {"sequence_chunks"}}  # whose question needs a restart
    assert refused | {name} == {name} | along.get(name, set())
    assert refused >= {name} - {"index_concurrently"}
    answer = found[Capability(name)]
    assert not answer.works
    assert answer.said
    assert answer.needed == (Capability(name) in NEEDED)
    assert schemas(limitless_dsn) == []


def test_a_probe_leaves_the_session_and_others_as_they_were(limitless_dsn: str) -> None:
    with connect(limitless_dsn, "test", statement_timeout_s=77) as limitless:
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
                "CREATE EVENT TRIGGER ill ON ddl_command_start WHEN tag IN ('CREATE INDEX') EXECUTE FUNCTION public.ill()"
            )
            with pytest.raises(ClusterUnavailable, match="no memory"):
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


def test_classic_is_not_asked(shop: Shop) -> None:
    with pytest.raises(UsageError):
        probe(shop.limitless, shop.classic)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_the_tool_cannot_work_without_is_a_blocker(shop: Shop, name: Capability) -> None:
    with connect(lacking(shop.limitless_dsn, name), "test") as limitless:
        result = provision(shop.classic, limitless, shop.tables, shop.plan, ask=True)

        (blocker,) = result.verdict.blockers
        assert f"lacks {name}" in blocker
        assert "is not supported (0A000)" in blocker
        assert verify(shop.classic, limitless, shop.tables, shop.plan).blockers[:1] == (blocker,)
