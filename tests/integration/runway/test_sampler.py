"""What the tool costs classic is read from real statistics, part by part, and what cannot be seen is said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.control import writer_load
from migrator.control.install import install
from migrator.control.measured import totals
from migrator.db.connect import connect
from migrator.model.status import WriterCost
from migrator.plan.load import dump
from migrator.plan.schema import Plan
from migrator.runway.cost import current_cost
from migrator.runway.forecast import CLOUDWATCH, facts
from migrator.runway.sampler import REPORT, Sampler
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.waiting import eventually, until
from workflows import sampling
from workflows.activities.base import Context

pytestmark = pytest.mark.pg
Connection = psycopg.Connection[Any]

PLAN = Plan.model_validate({"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}})


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "migrator worker") as conn:
        install(conn, "shop", "digest", dump(PLAN), {})
        conn.execute("CREATE TABLE public.orders (id int PRIMARY KEY, tenant_id int)")
        yield conn


class Clock:
    """This process's clock, which the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def sampled(conn: Connection, between: Callable[[], object], seconds: float = 60.0) -> WriterCost:
    """The cost that a minute shows in which *between* happened."""
    clock = Clock()
    sampler = Sampler(clock=clock)
    sampler.sample(conn)
    between()
    conn.execute("SELECT pg_stat_force_next_flush()")
    clock.now_s += seconds
    sampler.sample(conn)
    found = current_cost(conn)
    assert found is not None
    return found


def test_a_minute_of_an_application(classic: Connection, classic_dsn: str) -> None:
    """Its rows are counted, the tool's own are not; transactions and WAL are the server's."""

    def application() -> None:
        with psycopg.connect(classic_dsn, autocommit=True) as conn:
            conn.execute("INSERT INTO public.orders SELECT g, 1 FROM generate_series(1, 600) g")
            conn.execute("INSERT INTO migrator.report (kind, body) SELECT 'x', '{}' FROM generate_series(1, 900)")
            conn.execute("SELECT pg_stat_force_next_flush()")

    found = sampled(classic, application)

    assert found.row_writes_per_s == pytest.approx(10.0)
    assert found.transactions_per_s is not None and found.transactions_per_s > 0
    assert found.wal_bytes_per_s is not None and found.wal_bytes_per_s > 1000
    assert found.journal_bytes_per_s == 0 and found.age_s < 120


def test_tables_that_come_and_go_do_not_hide_the_load(classic: Connection, classic_dsn: str) -> None:
    """A staging table that is dropped, temporary tables that end with their sessions: the rest counts all the same."""
    for text in ("CREATE TABLE public.staging (id int)", "INSERT INTO public.staging SELECT generate_series(1, 5000)"):
        classic.execute(text.encode())
    temporary = "CREATE TEMP TABLE t AS SELECT 1 AS n; INSERT INTO t SELECT generate_series(1, 9000)"
    with psycopg.connect(classic_dsn, autocommit=True) as before:
        before.execute(temporary)
        before.execute("SELECT pg_stat_force_next_flush()")

        def work() -> None:
            before.close()
            classic.execute("DROP TABLE public.staging")
            with psycopg.connect(classic_dsn, autocommit=True) as conn:
                conn.execute(temporary)
                conn.execute("INSERT INTO public.orders SELECT g, 1 FROM generate_series(1, 600) g")
                conn.execute("SELECT pg_stat_force_next_flush()")

        found = sampled(classic, work)

    assert found.row_writes_per_s == pytest.approx(10.0) and not any("went back" in line for line in found.unknown)


def test_sessions_by_part_with_their_processor_time(classic: Connection, classic_dsn: str, embedded: bool) -> None:
    """On this machine it is measured, elsewhere estimated; sessions of the application are nobody's part."""
    with (
        connect(classic_dsn, "migrator mirror 1") as mirror,
        connect(classic_dsn, "migrator mirror 1 control"),
        connect(classic_dsn, "migrator copy small-1"),
        psycopg.connect(classic_dsn, application_name="migrator-shim:web"),
        psycopg.connect(classic_dsn, application_name="web"),
    ):
        found = sampled(
            classic, lambda: mirror.execute("SELECT count(*) FROM generate_series(1, 2000000) g WHERE g % 7 = 0"), 10.0
        )

    parts = {part.part: part for part in found.parts}
    assert {name: part.sessions for name, part in parts.items()} == {"mirrors": 2, "backfill": 1, "shims": 1}
    assert parts["shims"].cores is None and "application's statements" in parts["shims"].basis
    if not embedded:
        assert parts["mirrors"].basis.startswith("estimate")
    elif Path("/proc").exists():
        assert parts["mirrors"].cores is not None and parts["mirrors"].cores > 0.005
        assert parts["mirrors"].basis.startswith("measured") and found.vcpus == os.cpu_count()
        assert found.cpu is not None and 0 < found.cpu <= 1
        assert found.own_cores == pytest.approx(sum(p.cores or 0 for p in found.parts))


def test_statements_of_the_tool_are_told_from_the_applications(classic: Connection, classic_dsn: str) -> None:
    """By what they name: the mark, the schema. Reads are told from writes, also behind a comment and in a WITH."""
    classic.execute("CREATE EXTENSION pg_stat_statements SCHEMA public")

    def work() -> None:
        with psycopg.connect(classic_dsn, autocommit=True) as conn:
            for _ in range(30):
                conn.execute("SELECT part FROM migrator.position")
                conn.execute("SELECT 1 AS one /* migrator */")
            conn.execute("/* page: start */ WITH x AS (SELECT pg_sleep(0.45)) SELECT * FROM x")
            conn.execute("WITH x AS (INSERT INTO public.orders VALUES (1, 1) RETURNING pg_sleep(0.3)) SELECT * FROM x")
            conn.execute("SELECT 'migrator', pg_sleep(0.15)")

    found = sampled(classic, work)

    assert found.own_statements_per_s is not None and 1.0 <= found.own_statements_per_s < 2.0
    taken_ms = (
        "SELECT sum(total_exec_time) FILTER (WHERE query NOT LIKE '%INSERT%') / sum(total_exec_time)"
        " FROM public.pg_stat_statements WHERE query LIKE '%pg_sleep%'"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    (expected,) = classic.execute(taken_ms.encode()).fetchone() or (0.0,)
    assert facts(classic, PLAN).read_share == pytest.approx(expected, abs=0.15), "0.6 s of 0.9 s on a quiet machine"


def test_what_is_not_installed_is_not_zero(classic: Connection) -> None:
    found = sampled(classic, lambda: None)

    assert found.own_statements_per_s is None and found.own_ms_per_s is None
    assert any("pg_stat_statements is not installed" in line for line in found.unknown)


def test_statistics_that_are_reset_between_two_readings(classic: Connection) -> None:
    """Rates are left out and named, never negative; the next minute is as always."""
    classic.execute("INSERT INTO public.orders SELECT g, 1 FROM generate_series(1, 600) g")
    classic.execute("SELECT pg_stat_force_next_flush()")

    found = sampled(classic, lambda: classic.execute("SELECT pg_stat_reset()"))

    assert found.row_writes_per_s is None and found.transactions_per_s is None and found.journal_bytes is not None
    assert any("were reset" in line for line in found.unknown)
    assert sampled(classic, lambda: None).row_writes_per_s == 0


def test_a_role_that_sees_little_says_so(classic: Connection, classic_dsn: str) -> None:
    """Neither superuser nor pg_monitor: its own sessions are all it sees, and the other figures are still there."""
    classic.execute("CREATE EXTENSION pg_stat_statements SCHEMA public")
    role, password = fresh_name("tool"), "secret"
    classic.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password))
    try:
        for what in ("USAGE ON SCHEMA migrator", "ALL ON ALL TABLES IN SCHEMA migrator"):
            classic.execute(sql.SQL(f"GRANT {what} TO {{}}").format(sql.Identifier(role)))
        dsn = conninfo.make_conninfo(classic_dsn, user=role, password=password)
        with connect(dsn, "migrator worker") as little, psycopg.connect(dsn, application_name="migrator mirror 1"):
            found = sampled(little, lambda: classic.execute("SELECT 1 + 1"))
    finally:
        classic.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))

    assert any("GRANT pg_monitor" in line for line in found.unknown)
    assert any("texts of statements are hidden" in line for line in found.unknown)
    assert found.row_writes_per_s == 0 and found.own_statements_per_s is None
    assert [part.part for part in found.parts] == ["mirrors"], "its own"


def test_a_server_that_was_restarted_begins_anew(own_machines: Machines) -> None:
    dsn = own_machines.new_classic(fresh_name("classic"))
    clock = Clock()
    sampler = Sampler(clock=clock)
    with connect(dsn, "migrator worker") as conn:
        install(conn, "shop", "digest", dump(PLAN), {})
        sampler.sample(conn)
    assert own_machines.classic is not None
    own_machines.classic.kill()
    own_machines.classic.start()
    with connect(dsn, "migrator worker") as conn:
        clock.now_s += 60
        sampler.sample(conn)
        found = current_cost(conn)
        assert found is not None and found.transactions_per_s is None and found.journal_bytes == 0
        assert any("restarted, or another one is the writer now" in line for line in found.unknown)
        clock.now_s += 60
        sampler.sample(conn)
        again = current_cost(conn)
        assert again is not None and again.transactions_per_s is not None and again.transactions_per_s >= 0


class Aws:
    """CloudWatch of a cluster with a writer of 64 vCPUs that is at 86 % at ten o'clock of each day."""

    asked: list[datetime | None]

    def __init__(self, cluster_id: str, region: str | None) -> None:
        assert (cluster_id, region) == ("orders-classic", None)

    def hours(self, since: datetime | None, now: datetime) -> list[tuple[datetime, float]]:
        self.asked.append(since)
        end = now.replace(minute=0, second=0, microsecond=0)
        hours = [end - timedelta(hours=n) for n in range(24 * 62, 0, -1)]
        return [(at, 0.86 if at.hour == 10 else 0.4) for at in hours if since is None or at > since]

    def vcpus(self) -> int | None:
        return 64


def test_aws_gives_two_months_at_once(classic: Connection) -> None:
    """So the busiest hour is known, and how it grows, before a worker has run for a day; then only what is new."""
    Aws.asked = []
    body = {"writer": "env:A", "cluster_id": "orders-classic"}
    plan = Plan.model_validate({"name": "shop", "classic": body, "limitless": {"dsn": "env:B"}})
    clock = Clock()
    sampler = Sampler(cloudwatch=Aws, clock=clock)  # type: ignore[arg-type]  # plays the factory of clients
    sampler.step(classic, plan)
    clock.now_s += 3601
    sampler.step(classic, plan)

    found = facts(classic, plan)
    assert found.cpu == pytest.approx(0.86) and found.vcpus == 64 and "CloudWatch in 7 days" in found.cpu_source
    assert found.growth.monthly == pytest.approx(0.0) and "CPU in the busiest hour over" in found.growth.source
    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    assert Aws.asked[0] is None and Aws.asked[1] is not None and abs(Aws.asked[1] - last) <= timedelta(hours=1)
    kept = classic.execute("SELECT body FROM migrator.report WHERE kind = %s", (REPORT,)).fetchall()
    assert len(kept) == 1 and kept[0][0]["closes"] is True, "a load that does not grow is never full; kept once a week"


def test_one_session_watches_at_a_time(classic: Connection, classic_dsn: str) -> None:
    with connect(classic_dsn, "migrator worker") as other:
        assert writer_load.take_turn(classic)
        assert not writer_load.take_turn(other)
        classic.close()
        eventually(lambda: writer_load.take_turn(other), "the turn of the session that ended")


def put(conn: Connection, metric: str, value: str, days: int) -> None:
    """Hours of *days* days until now, with *value* by SQL over `at`."""
    conn.execute(
        sql.SQL(
            "INSERT INTO migrator.writer_load (grain, at, metric, total, seconds, peak)"
            " SELECT 'hour', at, {}, v * 3600, 3600, v FROM (SELECT at, ({})::float8 AS v FROM generate_series("
            " date_trunc('hour', clock_timestamp(), 'UTC') - make_interval(days => {}),"
            " date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour', '1 hour') at) h"
        ).format(metric, sql.SQL(value), days)
    )


def test_days_are_the_same_before_and_after_they_are_added_up(classic: Connection) -> None:
    """Hours and minutes of 60 days, with a gap; their number is bounded, and a killed fold loses nothing."""
    put(classic, CLOUDWATCH, "0.5 + 0.3 * (extract(hour FROM at AT TIME ZONE 'UTC') = 10)::int", 60)
    classic.execute(
        "DELETE FROM migrator.writer_load WHERE at BETWEEN now() - interval '40 days' AND now() - interval '38 days'"
    )
    for minutes in range(0, 600, 7):
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        writer_load.add(classic, at, {"row_writes": float(minutes)}, {"row_writes": 60.0})
    before = writer_load.days(classic, [CLOUDWATCH, "row_writes"])
    with pytest.raises(psycopg.errors.QueryCanceled), classic.transaction():
        writer_load.fold(classic)
        classic.execute("SELECT pg_cancel_backend(pg_backend_pid())")
        classic.execute("SELECT pg_sleep(10)")
    assert writer_load.days(classic, [CLOUDWATCH, "row_writes"]) == before

    for _ in range(2):
        writer_load.fold(classic)
        after = writer_load.days(classic, [CLOUDWATCH, "row_writes"])
        assert [d.number for d in after[CLOUDWATCH]] == [d.number for d in before[CLOUDWATCH]]
        for one, other in zip(
            before[CLOUDWATCH] + before["row_writes"], after[CLOUDWATCH] + after["row_writes"], strict=True
        ):
            assert (one.seconds, one.mean) == pytest.approx((other.seconds, other.mean))
            assert one.peak == (None if other.peak is None else pytest.approx(other.peak))
    counts = dict(classic.execute("SELECT grain, count(*) FROM migrator.writer_load GROUP BY 1").fetchall())
    assert counts["hour"] <= 22 * 24 + 12 and counts["day"] <= 60 and counts["minute"] <= 40
    assert len(before[CLOUDWATCH]) in (58, 59, 60) and max(d.peak or 0 for d in before[CLOUDWATCH]) == pytest.approx(
        0.8
    )


def test_what_a_clock_that_was_ahead_left_is_no_present(classic: Connection) -> None:
    """It is not shown as the last minutes, and goes with the next one that is added up."""
    writer_load.add(classic, datetime.now(UTC) + timedelta(days=400), {"row_writes": 5.0}, {"row_writes": 60.0})
    assert current_cost(classic) is None

    writer_load.fold(classic)

    assert classic.execute("SELECT count(*) FROM migrator.writer_load").fetchone() == (0,)


def test_time_in_captures_functions_is_counted_once(classic: Connection) -> None:
    """Where functions are tracked: their own time, not that of one that calls another twice."""
    classic.execute("SET track_functions = 'pl'")
    for name, body in (("inner_one", "PERFORM pg_sleep(0.05)"), ("outer_one", "PERFORM migrator.inner_one()")):
        text = f"CREATE FUNCTION migrator.{name}() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {body}; END $$"
        classic.execute(text.encode())
    clock = Clock()
    sampler = Sampler(clock=clock)
    sampler.sample(classic)
    for _ in range(4):
        classic.execute("SELECT migrator.outer_one()")
    classic.execute("SELECT pg_stat_force_next_flush()")
    clock.now_s += 60
    sampler.sample(classic)

    query = "SELECT sum(self_time), sum(total_time) FROM pg_stat_user_functions WHERE schemaname = 'migrator'"
    own_ms, with_calls_ms = classic.execute(query).fetchone() or (0, 0)
    found = writer_load.recent(classic)["capture_ms"].mean * 60
    assert found == pytest.approx(own_ms) and with_calls_ms > 1.5 * own_ms


def test_one_of_the_workers_watches_while_they_run(
    classic: Connection, classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers: one of them samples, the other takes over when it ends; both end when they are told to."""
    monkeypatch.setattr("migrator.runway.sampler.MINUTE_S", 0.05)
    monkeypatch.setattr(sampling, "LOOK_S", 0.05)
    monkeypatch.setattr(sampling, "TURN_S", 0.05)
    monkeypatch.setenv("TEST_CLASSIC", classic_dsn)
    context = Context(
        PLAN.model_copy(update={"classic": PLAN.classic.model_copy(update={"writer": "env:TEST_CLASSIC"})})
    )

    def minutes() -> float:
        row = classic.execute("SELECT coalesce(sum(seconds), 0) FROM migrator.writer_load").fetchone()
        assert row is not None
        return float(row[0])

    async def grows(than: float) -> float:
        async def more() -> bool:
            return await asyncio.to_thread(minutes) > than

        await until(more, "another minute")
        return await asyncio.to_thread(minutes)

    async def work() -> None:
        workers = [asyncio.create_task(sampling.keep_sampled(context)) for _ in range(2)]
        seen = await grows(0)
        for worker in workers:
            worker.cancel()
            await asyncio.wait({worker})
            if worker is workers[0]:
                await grows(seen)

    asyncio.run(work())

    watching = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'migrator:runway'"
    eventually(
        lambda: classic.execute(watching + " AND pid <> pg_backend_pid()").fetchone() == (0,), "their sessions end"
    )


def test_what_a_fleet_measured_is_added_up_while_any_worker_runs(
    classic: Connection, classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a monitor, as before dual write and after an abort: all who look at the state read these rows."""
    monkeypatch.setattr(sampling, "LOOK_S", 0.05)
    monkeypatch.setenv("TEST_CLASSIC", classic_dsn)
    context = Context(
        PLAN.model_copy(update={"classic": PLAN.classic.model_copy(update={"writer": "env:TEST_CLASSIC"})})
    )
    classic.execute(
        "INSERT INTO migrator.read_sample (at, process_id, side, reads, errors, buckets)"
        " SELECT date_trunc('second', now()) - make_interval(secs => age), 'p' || p, 'classic', 1, 0, '{0,1}'"
        " FROM generate_series(1, 500) p, unnest(ARRAY[5, 400]) age"
    )

    def rows() -> tuple[int, int]:
        row = classic.execute(
            "SELECT (SELECT count(*) FROM migrator.read_sample), (SELECT count(*) FROM migrator.read_minute)"
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    async def work() -> None:
        worker = asyncio.create_task(sampling.keep_sampled(context))

        async def added_up() -> bool:
            return await asyncio.to_thread(rows) == (1, 1)

        await until(added_up, "500 processes are one row a second")
        worker.cancel()
        await asyncio.wait({worker})

    asyncio.run(work())

    assert totals(classic)["classic"].count == 1000
