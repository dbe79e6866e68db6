"""A look at Limitless on real servers: what it finds on the shards, what it stores, what it says is not known."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.capacity import lines
from migrator.capacity.cloudwatch import CloudWatch, NodeUse
from migrator.capacity.look import AUDITED, is_due, last_found, look
from migrator.capacity.nodes import STATISTICS, places
from migrator.control import cost, plan_change
from migrator.control.cost import Hour
from migrator.control.history import add_report
from migrator.control.install import install
from migrator.control.plan import store
from migrator.control.status import collect
from migrator.dataplane.backfill import plan as backfill_plan
from migrator.dataplane.capture import install as capture
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable
from migrator.model.cost import Against, Basis, Capacity, Prices
from migrator.plan.load import digest, dump, shim_settings
from migrator.plan.schema import Plan
from tests.fixtures.operator import Operator
from tests.fixtures.postgres import Machines, Servers, with_parts
from tests.fixtures.shop import PLAN as SHOP
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import eventually, until
from tests.fixtures.world import World, plan_of
from workflows import measuring
from workflows.activities.base import Context

pytestmark = pytest.mark.pg
Connection = psycopg.Connection[Any]

PRICES = {"acu_hour_usd": 0.2, "storage_gb_month_usd": 0.1, "projected_monthly_usd": 1000}
PLAN = Plan.model_validate(
    {
        "name": "shop",
        "classic": {"writer": "env:A"},
        "limitless": {"dsn": "env:B", "cluster_id": "orders", "shard_group_id": "orders-shards"},
        "cost": PRICES,
    }
)
HERE = PLAN.model_copy(update={"limitless": PLAN.limitless.model_copy(update={"cluster_id": None})})
"""The same plan without AWS."""


class Aws(CloudWatch):
    """What CloudWatch would answer."""

    asked = 0

    def hours(self, last: datetime | None, now: datetime) -> list[Hour]:
        Aws.asked += 1
        return self.answer(now.replace(minute=0, second=0, microsecond=0))

    def nodes(self, now: datetime) -> list[NodeUse]:
        return [NodeUse("2", "shard", 0.9, 0.8)]

    @staticmethod
    def answer(hour: datetime) -> list[Hour]:
        return [Hour(hour - timedelta(hours=1), 40.0, 55.0, 20.0, 2.0**31), Hour(hour - timedelta(hours=2), 30.0)]


class Refusing(Aws):
    def hours(self, last: datetime | None, now: datetime) -> list[Hour]:
        raise ClusterUnavailable("AWS", "it answers AccessDenied", "")


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "migrator worker") as conn:
        install(conn, "shop", digest(PLAN), dump(PLAN), {})
        yield conn


@pytest.fixture
def opened(limitless_dsn: str) -> Callable[[], Connection]:
    return lambda: connect(limitless_dsn, "migrator worker")


def unreachable() -> Connection:
    raise ClusterUnavailable("limitless", "Connection refused")


def hours(conn: Connection) -> list[tuple[Any, ...]]:
    return conn.execute("SELECT acu, standby_acu, bytes, basis FROM migrator.limitless_hour ORDER BY at").fetchall()


# -- shards and tenants ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_shards_and_the_tenants_that_fill_them(shop: Shop) -> None:
    """Sizes are the nodes' own, tenants are where their rows are, and the largest is the one that has most."""
    plan = SHOP.model_copy(update={"cost": PLAN.cost})
    store(shop.classic, "shop", digest(plan), dump(plan), {})
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    big = "INSERT INTO shop.remark (tenant_id, line_id, number, body) SELECT 1, min(line_id), g, repeat('x', 900)"
    shop.limitless.execute(
        f"{big} FROM shop.remark, generate_series(5000, 12000) g WHERE tenant_id = 1 GROUP BY g".encode()
    )

    found = look(shop.classic, lambda: connect(shop.limitless_dsn, "migrator worker"), plan)

    assert [(n.kind, n.node) for n in found.nodes] == [
        ("router", "5"), ("router", "6"), ("shard", "1"), ("shard", "2"), ("shard", "3"), ("shard", "4"),
    ]  # fmt: skip
    assert found.tenants[0].tenant == "1" and found.tenants[0].bytes and 0.2 < found.tenants[0].share < 0.6
    assert len(found.tenants) == 12 and sum(t.share for t in found.tenants) == pytest.approx(1.0)
    where = (
        "SELECT DISTINCT s.subcluster_id FROM shop.tenant p"
        " JOIN rds_aurora.standin_slices s ON s.slice_oid = p.tableoid"
    )
    for tenant in found.tenants:
        place = shop.limitless.execute(f"{where} WHERE p.tenant_id = {tenant.tenant}".encode()).fetchall()
        assert place == [(tenant.shard,)]
    status = collect(shop.classic)
    assert status.capacity is not None and status.capacity.skew is not None and status.capacity.skew > 1.2
    assert [t.tenant for t in status.capacity.cause][:1] == ["1"]
    assert status.bill is not None and status.bill.basis is Basis.MODEL and status.bill.acu == pytest.approx(24.0)
    assert last_found(shop.classic) == found


NAMES = (
    "o'neill",
    "orders_fs00001",
    "postgres_s9",
    "two\nlines",
    "<script>",
    "--16",
    "%s",
    "\\x",
    '"',
    "ünïcode",
    " ",
    "",
)


def test_tenants_may_be_called_anything(classic_dsn: str, limitless_dsn: str) -> None:
    """Each is found where its rows are, or not at all."""
    plan = plan_of("app", tables={"app.orders": {"kind": "sharded"}})
    ddl = "CREATE SCHEMA app; CREATE TABLE app.orders (id int, tenant_id text, PRIMARY KEY (tenant_id, id))"
    with World.made(classic_dsn, limitless_dsn, plan, ddl) as world:
        [table] = world.tables
        for number, name in enumerate(NAMES):
            world.limitless.execute("INSERT INTO app.orders (id, tenant_id) VALUES (%s, %s)", (number, name))
        found = places(world.limitless, table, NAMES)
        rows = world.limitless.execute(
            "SELECT o.tenant_id, s.subcluster_id FROM app.orders o"
            " JOIN rds_aurora.standin_slices s ON s.slice_oid = o.tableoid"
        ).fetchall()

    assert found == dict(rows) and len(found) == len(NAMES)


def test_a_name_that_is_no_value_of_the_column_is_left_out(classic_dsn: str, limitless_dsn: str) -> None:
    plan = plan_of("app", tables={"app.orders": {"kind": "sharded"}})
    ddl = "CREATE SCHEMA app; CREATE TABLE app.orders (id int, tenant_id int, PRIMARY KEY (tenant_id, id))"
    with World.made(classic_dsn, limitless_dsn, plan, ddl) as world:
        assert places(world.limitless, world.tables[0], ["7", "seven", "99999999999999", "8"]).keys() == {"7", "8"}


def counted(machines: Machines, dsn: str, rows: list[tuple[object, ...]], *, grant: bool = True) -> None:
    """Give the stand-in Limitless' statistics of statements, with these rows."""
    if machines.is_real_limitless:
        pytest.skip("Limitless has its own")
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(with_parts(machines.limitless_admin, dbname=str(name)), autocommit=True) as conn:
        values = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, row))) for row in rows)
        conn.execute(
            sql.SQL(
                "CREATE OR REPLACE VIEW rds_aurora.limitless_stat_statements AS SELECT * FROM (VALUES {})"
                " v (subcluster_id, subcluster_type, calls, sso_calls, query)"
            ).format(values)
        )
        if grant:
            conn.execute("GRANT SELECT ON rds_aurora.limitless_stat_statements TO PUBLIC")


def test_statements_by_shard_and_the_share_of_single_ones(
    machines: Machines, classic: Connection, limitless_dsn: str, opened: Callable[[], Connection]
) -> None:
    """Of routers, without the tool's own and without BEGIN; rates are between two looks."""

    def rows(calls: int) -> list[tuple[object, ...]]:
        return [
            ("5", "router", 90, 81, "SELECT * FROM app.orders WHERE tenant_id = $1"),
            ("6", "router", 10, 0, "SELECT count(*) FROM app.orders"),
            ("6", "router", 5000, 0, "begin"),
            ("6", "router", 7000, 0, 'UPDATE "migrator"."mirror_position" SET x = 1'),
            ("1", "shard", calls, 0, "SELECT 1"),
            ("2", "shard", 5, 0, "SELECT 1"),
        ]

    counted(machines, limitless_dsn, rows(100))
    first = look(classic, opened, HERE)
    assert first.single_shard is not None and first.single_shard.share == pytest.approx(0.81)
    assert first.single_shard.basis == STATISTICS and {n.statements_per_s for n in first.nodes} == {None}
    minute_ago = {"at": (first.at - timedelta(seconds=60)).isoformat()}
    classic.execute("UPDATE migrator.report SET body = body || %s WHERE kind = 'capacity'", (json.dumps(minute_ago),))
    counted(machines, limitless_dsn, rows(700))

    shards = {n.node: n.statements_per_s for n in look(classic, opened, HERE).shards}
    assert shards["1"] == pytest.approx(10.0, rel=0.2) and shards["2"] == 0.0 and shards["3"] is None


def test_without_statistics_the_audit_says_it(classic: Connection, opened: Callable[[], Connection]) -> None:
    """Weighted by calls; an audit that saw no call says nothing."""
    audit: dict[str, Any] = {"evidence": {"cross_shard_call_share": 0.0}, "summary": {"statements": {}}}
    add_report(classic, "audit", audit)
    found = look(classic, opened, HERE)
    assert found.single_shard is None and any("single-shard share" in line for line in found.unknown)

    calls = {"single_shard": {"calls": 97.0}, "cross_shard": {"calls": 3.0}}
    add_report(classic, "audit", {"evidence": {"cross_shard_call_share": 0.03}, "summary": {"statements": calls}})
    found = look(classic, opened, HERE)
    assert found.single_shard is not None and found.single_shard.share == pytest.approx(0.97)
    assert found.single_shard.basis == AUDITED


def test_what_cannot_be_answered_takes_nothing_from_the_rest(machines: Machines, shop: Shop) -> None:
    """Statistics that this role may not read: sizes and shards of tenants are found all the same."""
    if machines.is_real_limitless:
        pytest.skip("its statistics are its own")
    store(shop.classic, "shop", digest(SHOP), dump(SHOP), {})
    capture.install(shop.classic, shop.tables, 2, 3)
    backfill_plan.take_inventory(shop.classic, 2, 20)
    counted(machines, shop.limitless_dsn, [("5", "router", 1, 1, "SELECT 1")], grant=False)
    found = look(shop.classic, lambda: connect(shop.limitless_dsn, "migrator worker"), SHOP)

    assert "statements by shard: InsufficientPrivilege (42501)" in found.unknown
    assert len(found.nodes) == 6 and found.tenants and all(t.shard for t in found.tenants)


def test_an_hour_without_an_answer_takes_nothing_of_what_was_known(
    classic: Connection, opened: Callable[[], Connection]
) -> None:
    """It is as of then, and why it is not newer is said."""
    before = look(classic, opened, HERE)
    after = look(classic, unreachable, HERE)
    assert (after.at, after.nodes) == (before.at, before.nodes) and "Limitless: Connection refused" in after.unknown
    assert last_found(classic) == after
    assert look(classic, opened, HERE).at > before.at


# -- hours -----------------------------------------------------------------------------------------------------------


def test_without_aws_the_plan_is_the_model(classic: Connection, opened: Callable[[], Connection]) -> None:
    """min_acu, its standbys, and the storage that is there; another look of the same hour replaces it."""
    for _ in range(2):
        found = look(classic, opened, HERE)

    [(acu, standby, size, basis)] = hours(classic)
    assert (acu, standby, basis) == (16.0, 8.0, "model") and size == sum(n.bytes for n in found.nodes) > 0
    assert any(line.startswith("CloudWatch is not asked") for line in found.unknown)


def test_what_aws_measured_goes_before_the_model(classic: Connection, opened: Callable[[], Connection]) -> None:
    now = cost.seen(classic).now.replace(minute=0, second=0, microsecond=0)
    cost.put(classic, [Hour(now - timedelta(hours=2), 16.0, None, 8.0, 7.0)], Basis.MODEL)
    found = look(classic, opened, PLAN, Aws)
    cost.put(classic, [Hour(now - timedelta(hours=1), 1.0, None, 1.0, 1.0)], Basis.MODEL)

    assert hours(classic)[:2] == [(30.0, None, 7.0, "cloudwatch"), (40.0, 20.0, 2.0**31, "cloudwatch")]
    assert len(hours(classic)) == 2, "the hour that is not over comes later, from CloudWatch"
    assert "CloudWatch has no VolumeBytesUsed of cluster orders: is limitless.cluster_id right?" in found.unknown
    assert next(n for n in found.shards if n.node == "2").cpu == 0.9


def test_aws_is_asked_once_an_hour_and_its_refusal_is_remembered(
    classic: Connection, opened: Callable[[], Connection]
) -> None:
    """However often a Limitless that does not answer is tried."""
    first = look(classic, unreachable, PLAN, Refusing)
    asked, again = Aws.asked, look(classic, unreachable, PLAN, Aws)

    assert Aws.asked == asked
    refused = "CloudWatch: it answers AccessDenied"
    assert refused in first.unknown and refused in again.unknown and "Limitless: Connection refused" in again.unknown
    assert hours(classic) == [], "what is not known is no figure"
    line = lines.cost_line(lines.known(classic, PLAN), PLAN)
    assert line.against is Against.UNKNOWN
    assert line.summary.startswith(f"unknown: Limitless: Connection refused; {refused}")
    assert refused not in look(classic, opened, HERE).unknown


def test_a_look_is_due_once_an_hour(classic: Connection, opened: Callable[[], Connection]) -> None:
    """Earlier where Limitless did not answer; and after classic's clock was set back."""

    def age(seconds: float) -> bool:
        classic.execute("UPDATE migrator.report SET at = clock_timestamp() - make_interval(secs => %s)", (seconds,))
        return is_due(classic)

    assert is_due(classic)
    look(classic, opened, HERE)
    assert [age(s) for s in (0, 3500, 3601, -30)] == [False, False, True, True]
    look(classic, unreachable, HERE)
    assert [age(s) for s in (0, 290, 310)] == [False, False, True]


def test_a_limitless_that_is_none_is_said(classic: Connection, classic_dsn: str) -> None:
    """A plain PostgreSQL has no nodes; a server that stops answering in between leaves what it had said."""
    found = look(classic, lambda: connect(classic_dsn, "migrator worker"), HERE)
    assert found.nodes == () and "Limitless: InvalidSchemaName (3F000)" in " ".join(found.unknown)


def test_a_limitless_that_freezes_is_hung_up_on(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the middle of an answer, and no thread waits for it."""
    monkeypatch.setattr("migrator.capacity.look.ANSWER_S", 0.5)

    def freezing() -> Connection:
        conn = connect(servers.limitless_dsn, "migrator worker")
        servers.limitless.freeze()
        return conn

    with connect(servers.classic_dsn, "migrator worker") as conn:
        install(conn, "shop", digest(HERE), dump(HERE), {})
        found = look(conn, freezing, HERE)
        assert found.nodes == () and "Limitless: no answer within 0.5 s" in found.unknown and hours(conn) == []
        eventually(lambda: "migrator-look" not in {t.name for t in threading.enumerate()}, "the thread ends")
        servers.limitless.thaw()
        monkeypatch.setattr("migrator.capacity.look.ANSWER_S", 60)
        assert len(look(conn, lambda: connect(servers.limitless_dsn, "migrator worker"), HERE).nodes) == 6


# -- days, prices, clocks --------------------------------------------------------------------------------------------


def test_hours_are_added_up_by_day_and_by_price(classic: Connection) -> None:
    """The hour of now as far as it goes, none of a clock that was ahead, none that is too old."""
    now = datetime(2026, 11, 29, 1, 15, tzinfo=UTC)
    at = [now.replace(minute=0) - timedelta(hours=n) for n in range(26)]
    values = [(a, 10.0 + n, 1e9) for n, a in enumerate(at)]
    for when, acu, size in [*values, (now + timedelta(hours=1), 1e6, None)]:
        classic.execute(
            "INSERT INTO migrator.limitless_hour (at, acu, standby_acu, bytes, basis) VALUES (%s, %s, 5, %s, 'model')",
            (when, acu, size),
        )
    change = now.replace(minute=0) - timedelta(hours=3)
    prices = (Prices(0.2, None), Prices(0.3, None, change))
    rows = cost.stored_days(classic, at[-1], now, prices)

    assert [(r.day.day, r.price, r.used.hours) for r in rows] == [(28, 0, 22.0), (28, 1, 2.0), (29, 1, 1.25)]
    assert rows[-1].used.acu_hours == pytest.approx(15 * 0.25 + 16)
    assert rows[-1].used.gb == pytest.approx(1e9 / 2**30) and rows[0].peak_acu is None
    assert cost.stored_days(classic, at[-1], now, prices[:1])[0].used.hours == 24


def test_what_is_stored_is_bounded(classic: Connection) -> None:
    """400 days, whatever the clock was."""
    now = cost.seen(classic).now
    for when in (now - timedelta(days=401), now - timedelta(days=399), now + timedelta(hours=2)):
        classic.execute("INSERT INTO migrator.limitless_hour (at, acu, basis) VALUES (%s, 1, 'model')", (when,))
    cost.put(classic, [], Basis.MODEL)

    kept = classic.execute("SELECT at FROM migrator.limitless_hour").fetchall()
    assert kept == [(now - timedelta(days=399),)]


def test_a_change_of_the_plan_changes_what_comes_after(classic: Connection) -> None:
    """`plan apply` keeps when it was: hours before have the price of then, in every later version too."""

    def changed(acu_hour_usd: float) -> Plan:
        plan = PLAN.model_copy(update={"cost": PLAN.cost.model_copy(update={"acu_hour_usd": acu_hour_usd})})
        seen = plan_change.look(classic, plan)
        plan_change.apply(classic, seen, who="ada", reason="a new price", approver=None, force=False)
        return plan

    store(classic, "shop", digest(PLAN), dump(PLAN), shim_settings(PLAN))
    assert cost.prices(classic, "shop", PLAN.cost.model_dump()) == (Prices(0.2, 0.1),)
    changed(0.3)
    before = cost.seen(classic).now
    last = changed(0.4)
    found = cost.prices(classic, "shop", last.cost.model_dump())

    assert [p.acu_hour_usd for p in found] == [0.2, 0.3, 0.4] and found[0].since is None
    assert found[1].since is not None and found[2].since is not None and found[1].since < before < found[2].since


def test_a_bill_of_26_times_the_projection_is_over(classic: Connection) -> None:
    """Days as CloudWatch has them; the answer is in status, from classic alone."""
    now = cost.seen(classic).now.replace(minute=0, second=0, microsecond=0)
    acu = 26 * 1000 / 730 / 0.2
    cost.put(classic, [Hour(now - timedelta(hours=n), acu, acu, 0.0, 0.0) for n in range(24 * 9)], Basis.CLOUDWATCH)
    line = collect(classic).bill

    assert line is not None and line.against is Against.OVER and line.ratio == pytest.approx(26.0, rel=1e-3)
    assert line.doubts[-1:] == () or "counted from" in line.doubts[-1]
    found = lines.days(classic, PLAN, 3)
    assert [d.hours for d in found[:2]] == [24, 24] and found[0].monthly_usd == pytest.approx(26_000)


# -- the worker ------------------------------------------------------------------------------------------------------


def test_one_of_the_workers_looks(
    classic: Connection, classic_dsn: str, limitless_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, one look; nothing is left open, and both end when they are told to."""
    monkeypatch.setattr(measuring, "TURN_S", 0.05)
    monkeypatch.setenv("A", classic_dsn)
    monkeypatch.setenv("B", limitless_dsn)
    seen: list[Capacity] = []
    monkeypatch.setattr(measuring, "look", lambda *given: seen.append(look(*given)))
    context = Context(HERE)

    async def work() -> None:
        workers = [asyncio.create_task(measuring.keep_measured(context)) for _ in range(2)]

        async def looked() -> bool:
            return bool(seen)

        await until(looked, "a look")
        for worker in workers:
            worker.cancel()
            await asyncio.wait({worker})

    asyncio.run(work())
    eventually(
        lambda: (
            classic.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrator worker'"
                " AND datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            == (0,)
        ),
        "their sessions end",
    )
    assert len(seen) == 1 and [basis for *_, basis in hours(classic)] == ["model"]
    with closing(connect(classic_dsn, "test")) as other:
        assert cost.take_turn(other), "the turn is free again"
    assert replace(seen[0], at=seen[0].at) == last_found(classic)


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_shows_what_is_stored(
    classic: Connection, classic_dsn: str, opened: Callable[[], Connection], tmp_path: Path
) -> None:
    """From classic alone: neither Limitless nor AWS is asked, and no plan file is needed."""
    operator = Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": classic_dsn})
    before = operator("cost", "--json").json
    assert before["bill"]["against"] == "unknown" and before["days"] == [] and before["found"] is None
    look(classic, opened, HERE)

    found = operator("cost", "--json", "--days", "2").json
    assert found["bill"]["basis"] == "model" and found["bill"]["currency"] == "USD"
    assert [day["basis"] for day in found["days"]] == ["model"] and found["capacity"]["shards"] == 4
    assert len(found["found"]["nodes"]) == 6
    text = operator("cost", "--shards")
    assert (text.code, text.err) == (0, "") and text.out.startswith("Bill    at least ")
    assert "model" in text.out and "router" in text.out and "CloudWatch is not asked" in text.out
    assert "Bill" in operator("status").out and operator("status", "--json").json["capacity"]["shards"] == 4


def test_the_command_before_an_installation(classic_dsn: str, tmp_path: Path) -> None:
    done = Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": classic_dsn})("cost", "--json")
    assert done.code == 3 and done.json["error"] == "no plan was started on this classic cluster"
    assert Operator(tmp_path, {})("cost", "--days", "0").code == 2
