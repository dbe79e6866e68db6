"""What an application's role may write into the tool's tables is what its shim writes, and decides for no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control.grants import grant
from migrator.control.log import decide
from migrator.model.route import FallbackScope, Level
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.fallback import raise_fallback
from tests.fixtures.roles import Roles
from tests.fixtures.shop import Shop

pytestmark = pytest.mark.pg


@pytest.fixture
def web(shop: Shop, roles: Roles) -> Iterator[psycopg.Connection[Any]]:
    """A session of an application that may use the shim, and make tables of its own; capture is on."""
    role = roles.on_classic("web")
    shop.classic.execute(f"GRANT CREATE ON DATABASE {shop.classic.info.dbname} TO {role}")
    grant(shop.classic, role)
    decide(shop.classic, "ana", "gate.approved", "gate/cutover", "test")
    raise_fallback(shop.classic, FallbackScope.TENANT, "1", by="ana", reason="test", level=Level.CLASSIC, held=True)
    shop.classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
        " VALUES ('1', 1, 'limitless', 1, 'ana', 'test')"
    )
    shop.classic.execute("INSERT INTO migrator.incident (kind, reason, reported_by) VALUES ('fallback', 'x', 'y')")
    with psycopg.connect(roles.dsn(shop.classic_dsn, "web"), autocommit=True) as conn:
        conn.execute(f"CREATE SCHEMA own AUTHORIZATION {role}")
        conn.execute(
            "CREATE TABLE own.t (epoch bigint, process_id text, name text, kind text, reason text, reported_by text,"
            " at timestamptz DEFAULT now(), times int DEFAULT 1, first_at timestamptz, id bigint)"
        )
        yield conn


FORGED = {
    "a route moved": "UPDATE migrator.route SET level = 'limitless'",
    "a route made": "INSERT INTO migrator.route (tenant_id, part, epoch, changed_by, reason)"
    " VALUES ('2', 1, 1, 'a', 'b')",
    "a route deleted": "DELETE FROM migrator.route",
    "the switch": "UPDATE migrator.switch SET level = 'limitless'",
    "the write mode": "UPDATE migrator.switch SET write_mode = 'limitless_only'",
    "an epoch of before": "UPDATE migrator.switch SET epoch = epoch - 1",
    "an epoch far ahead": "UPDATE migrator.switch SET epoch = epoch + 2",
    "the same epoch": "UPDATE migrator.switch SET epoch = epoch",
    "a mark": "UPDATE migrator.epoch_mark SET mark = gen_random_uuid()",
    "a fallback eased": "UPDATE migrator.fallback SET level = 'joining'",
    "a manual fallback released": "UPDATE migrator.fallback SET held = false",
    "a fallback moved to another": "UPDATE migrator.fallback SET scope_key = '2'",
    "a fallback cleared": "DELETE FROM migrator.fallback",
    "a position": "UPDATE migrator.position SET snapshot = '1:1:'",
    "an approval": "INSERT INTO migrator.approval (gate, approver) VALUES ('cutover', 'ana')",
    "a phase": "UPDATE migrator.phase SET state = 'done'",
    "a hold": "DELETE FROM migrator.tenant_hold",
    "the plan's body": "SELECT body FROM migrator.plan",
    "the plan": "UPDATE migrator.plan SET shim = '{}'",
    "an approval in the log": "INSERT INTO migrator.decision (who, kind, subject, reason)"
    " VALUES ('ana', 'gate.approved', 'gate/cutover', 'x')",
    "the log": "DELETE FROM migrator.decision",
    "the log's words": "UPDATE migrator.decision SET who = 'bob'",
    "an incident of a person": "INSERT INTO migrator.incident (kind, reason, reported_by)"
    " VALUES ('reported', 'x', 'ana')",
    "an incident that goes": "DELETE FROM migrator.incident",
    "samples that go": "DELETE FROM migrator.read_sample",
    "samples that change": "UPDATE migrator.shadow_sample SET mismatched = 0",
    "a journal": "INSERT INTO migrator.journal_1 (part, xid) VALUES (1, 1)",
    "a ring": "SELECT setval('migrator.ring', 1)",
    "a validation": "INSERT INTO migrator.validation (run_id, kind) VALUES (gen_random_uuid(), 'gate')",
    "a tenant": "UPDATE migrator.tenant SET divergent = 0",
    "emptied": "TRUNCATE migrator.incident",
    "a lock": "LOCK TABLE migrator.switch IN ACCESS EXCLUSIVE MODE",
    "a guard": "DROP EVENT TRIGGER migrator_guard_ddl",
    "marks taken away": "CREATE TRIGGER x AFTER UPDATE ON own.t EXECUTE FUNCTION migrator.mark_epoch()",
    "replicas taken out": "CREATE TRIGGER x AFTER INSERT ON own.t EXECUTE FUNCTION migrator.take_replicas_out()",
    "incidents joined": "CREATE TRIGGER x BEFORE INSERT ON own.t EXECUTE FUNCTION migrator.join_incidents()",
    "a leaf": "SELECT migrator.capture_1_leaf('own.t'::regclass)",
    "leaves": "SELECT migrator.follow_leaves('shop.tenant')",
    "seals": "SELECT migrator.seal_decisions(1, true, 'x')",
}


async def test_nothing_that_decides_for_others_can_be_written(shop: Shop, web: psycopg.Connection[Any]) -> None:
    """Each is tried; what the tables hold stays, and no function with the tool's rights is anybody's to call."""
    await shop.start()
    before = _everything(shop)
    let = []
    for what, statement in FORGED.items():
        try:
            with web.transaction():
                web.execute(statement.encode())
            let.append(what)
        except psycopg.errors.InsufficientPrivilege:
            pass

    assert let == []
    assert _everything(shop) == before
    open_to_all = shop.classic.execute(
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'migrator'::regnamespace AND p.prosecdef"
        " AND has_function_privilege('public', p.oid, 'EXECUTE') AND p.proname !~ '^(capture_|guard_|refuse_)'"
    ).fetchall()
    assert open_to_all == []
    assert not shop.classic.execute(
        "SELECT FROM pg_proc p WHERE p.pronamespace = 'migrator'::regnamespace AND p.prosecdef"
        " AND has_function_privilege('public', p.oid, 'EXECUTE')"
        " AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)"
    ).fetchall()


async def test_what_shims_write_can_be_written(shop: Shop, web: psycopg.Connection[Any]) -> None:
    """A fallback raised, joined by an incident whose time is classic's, not the writer's."""
    epoch = raise_fallback(web, FallbackScope.PART, "1", by="shim web", reason="test", level=Level.CLASSIC)
    web.execute(
        "INSERT INTO migrator.incident (kind, reason, reported_by, at, times)"
        " VALUES ('fallback', 'an old one', 'shim web', '2001-01-01', 99)"
    )

    assert shop.classic.execute("SELECT epoch FROM migrator.switch").fetchone() == (epoch,)
    row = shop.classic.execute(
        "SELECT at > now() - interval '1 hour', times FROM migrator.incident WHERE reason = 'an old one'"
    ).fetchone()
    assert row == (True, 1)


def _everything(shop: Shop) -> list[Any]:
    """What the forged rows would have changed."""
    tables = (
        "switch",
        "route",
        "epoch_mark",
        "fallback",
        "incident",
        "decision",
        "plan",
        "approval",
        "phase",
        "tenant",
    )
    return [shop.classic.execute(f"SELECT t::text FROM migrator.{table} t ORDER BY 1").fetchall() for table in tables]


async def test_an_application_takes_no_number_that_the_tool_needs(shop: Shop, web: psycopg.Connection[Any]) -> None:
    """Neither the next ones, which a rollback's own entries take, nor one behind which no incident would be seen."""
    await shop.start()
    for table, columns, values in (
        ("decision", "who, kind, subject, reason", "'shim web', 'fallback.raised', 'x', 'y'"),
        ("incident", "kind, reason, reported_by", "'fallback', 'r', 'shim web'"),
    ):
        row = shop.classic.execute(f"SELECT max(id) FROM migrator.{table}".encode()).fetchone()
        assert row is not None
        for number in (*range(row[0] + 1, row[0] + 30), 2**63 - 1):
            web.execute(
                f"INSERT INTO migrator.{table} (id, {columns}) OVERRIDING SYSTEM VALUE"
                f" VALUES ({number}, {values})".encode()
            )

    assert not roll_back(shop.classic, all=True, who="ana", reason="3 a.m.", timeout_s=0).already

    newest = shop.classic.execute("SELECT reported_by FROM migrator.incident ORDER BY id DESC LIMIT 1").fetchone()
    assert newest == ("ana",)
