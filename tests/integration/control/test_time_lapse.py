"""Six months in a minute: nothing of the tool's own grows without a bound, and no look costs more at the end.

What happens in a month is written with the product's functions where there are any, dated within that month; then
the upkeep runs as a worker would run it, and all that is stored gets a month older. Costs are counted in pages that
statements touch, not in time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.consistency import store
from migrator.control import samples, sealing, series, upkeep
from migrator.control.install import install
from migrator.control.log import decide
from migrator.control.status import collect
from migrator.db.connect import connect, connect_async
from migrator.decommission import record
from migrator.model.cost import Against, CostLine
from migrator.model.divergence import TenantVerdict
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.traffic.breaker.monitor import MonitorSettings, pass_once
from migrator.traffic.cutover import breach, facts, soak
from migrator.traffic.cutover.guard import GuardLimits, Sample, Watch
from migrator.traffic.route.move import watch

pytestmark = [pytest.mark.pg, pytest.mark.once]

TENANTS = 10_000
WAVE = [TenantId(str(n)) for n in range(1, 101)]
MONTHS = 6
LIMITS = GuardLimits(p99_factor=2.0, p99_floor_ms=50.0, error_ratio=0.01, min_reads=20, patience=6, max_failed=2)
NOWHERE = "host=127.0.0.1 port=1 dbname=none"

# What is kept for good, and how many rows of it six months of this test may leave: evidence grows with what happened.
EVIDENCE = {
    "decision": 3_000,
    "decision_seal": 15_000,
    "incident": 2_000,
    "report": upkeep.REPORTS * 3,
    "schema_change": 0,
}

# What is drawn over the whole migration, an hour a row, is kept for longer than six months: so many rows then.
HOURS = 24 * upkeep.PICTURE_DAYS
DRAWN = {"state_sample": HOURS + 2 * 24 * 60, "read_hour": 2 * HOURS + 2 * len(WAVE) * upkeep.KEPT_DAYS}


class Counting(psycopg.Cursor[Any]):
    """Counts the pages that reading statements touch, while `counted` is set."""

    counted: int | None = None

    def execute(self, query: Any, params: Any = None, **kw: Any) -> Any:
        text = query.as_string(self.connection) if isinstance(query, sql.Composable) else query
        text = text.decode() if isinstance(text, bytes) else text
        if Counting.counted is not None and text.split()[0] in ("SELECT", "WITH"):
            super().execute(("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + text).encode(), params, **kw)
            row = self.fetchone()
            assert row is not None
            plan = (next(iter(row.values())) if isinstance(row, dict) else row[0])[0]["Plan"]
            Counting.counted += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return super().execute(query, params, **kw)


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A cluster in its stabilization: everybody reads from Limitless, and one tenant has fallen back."""
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        conn.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, wave, divergent, clean_at)"
            " SELECT n::text, 1 + n %% 2, 'mirrored', 1 + (n - 1) / 100, 0, now() FROM generate_series(1, %s) n",
            (TENANTS,),
        )
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " SELECT tenant_id, part, 'limitless', wave, 1, 'cutover', 'wave' FROM migrator.tenant"
        )
        conn.execute("INSERT INTO migrator.position (part, epoch, snapshot, fresh_at) SELECT n, 1, '1:1:', now()"
                     " FROM generate_series(0, 2) n")  # fmt: skip
        conn.execute(
            "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch, held)"
            " VALUES ('tenant', '9999', 'classic', 'drill', 'ana', 2, true)"
        )
        conn.cursor_factory = Counting
        yield conn


async def one_month(conn: psycopg.Connection[Any], dsn: str, number: int) -> None:
    for tenants, every in (([None], "20 minutes"), (WAVE, "1 day")):
        for side in ("classic", "limitless"):
            conn.execute(
                "INSERT INTO migrator.read_sample (at, process_id, tenant_id, side, reads, errors, buckets)"
                " SELECT at, 'p', t, %s, 100, 0, array_fill(0, ARRAY[20]) || ARRAY[90, 10]"
                "   FROM unnest(%s::text[]) t,"
                "        generate_series(now() - interval '30 days', now(), %s::interval) at",
                (side, tenants, every),
            )
    conn.execute(
        "INSERT INTO migrator.shadow_sample (at, process_id, compared, mismatched, classic_ms, limitless_ms)"
        " SELECT at, 'p', 10, 0, 1, 2 FROM generate_series(now() - interval '30 days', now(), interval '1 hour') at"
    )
    conn.execute(
        "INSERT INTO migrator.state_sample (grain, at, pending, copying, mirrored, quarantined, joining, limitless,"
        " held, copied_rows, to_copy_rows, never_validated, divergent, fallbacks, open_breakers, processes)"
        " SELECT 'minute', at, 0, 0, 10000, 0, 0, 10000, 0, 9, 9, 0, 0, 1, 0, 4"
        "   FROM generate_series(date_trunc('minute', now(), 'UTC') - interval '30 days', now(), '1 minute') at"
        " ON CONFLICT DO NOTHING"
    )
    series.add(conn)
    watch(conn, WAVE, True)
    conn.execute("UPDATE migrator.tenant SET wave = %s WHERE tenant_id = ANY (%s)", (1000 + number, WAVE))
    facts.keep_baseline(conn, 1000 + number, facts.now_s(conn) - 30 * 86_400)
    decide(conn, "cutover", "wave.finished", f"wave-{1000 + number}", "all of them")
    for n in range(200):  # processes that came and went without a word, with breakers open
        conn.execute(st.HEARTBEAT, {"process_id": uuid.uuid4().hex, "name": f"web-{n}", "epoch": 0,
                                    "mark": str(uuid.uuid4()), "registered_s": 3})  # fmt: skip
    conn.execute("INSERT INTO migrator.breaker_trip SELECT process_id, 'all', '', 'errors' FROM migrator.process")
    conn.execute("UPDATE migrator.process SET seen_at = seen_at - interval '2 hours'")
    conn.execute("UPDATE migrator.breaker_trip SET at = at - interval '2 hours'")
    for day in range(30):
        record.store_cost(conn, CostLine("2026-11", "as every day", Against.WITHIN))
        decide(conn, "breaker monitor", "fallback.raised", "fallback/tenant/9999", f"day {day}")
        record.report_incident(conn, f"month {number}, day {day}", "ana")
    for n in range(200):  # an incident a second
        conn.execute(
            "INSERT INTO migrator.incident (kind, reason, reported_by) VALUES ('fallback', %s, 'web-1')",
            (f"{n} errors",),
        )
    conn.execute(  # what the tool decides anew at every look, as long as the cause stays
        "INSERT INTO migrator.decision (at, who, kind, subject, reason)"
        " SELECT at, who, kind, subject, 'seen at ' || at"
        "   FROM generate_series(now() - interval '30 days', now(), interval '1 hour') at,"
        "        (VALUES ('breaker monitor', 'fallback.raised', 'fallback/part/1'),"
        "                ('validation (scheduled)', 'divergence.found', 'validation'),"
        "                ('cutover', 'wave.deferred', 'wave-7')) v (who, kind, subject)"
    )
    for table, row in (
        ("fence (fence_id, part, pid, requested_at)", "gen_random_uuid(), 1, 1, now() - interval '2 hours'"),
        (
            "copy_snapshot (unit_id, tenant_id, exported, pid, backend_start, at)",
            "gen_random_uuid()::text, '1', 'x', 1, now() - interval '1 day', now() - interval '2 hours'",
        ),
    ):
        insert = f"INSERT INTO migrator.{table} SELECT {row} FROM generate_series(1, 100)"
        conn.execute(insert.encode())
    conn.execute(
        "INSERT INTO migrator.validation (run_id, kind, started_at, finished_at, schema_fingerprint, whole)"
        " SELECT gen_random_uuid(), 'scheduled', at, at, 'a:b', true"
        "   FROM generate_series(now() - interval '30 days', now(), interval '15 minutes') at"
    )
    conn.execute(
        "INSERT INTO migrator.divergence (run_id, found_at, table_name, tenant_id, key, kind, columns, fence)"
        " SELECT gen_random_uuid(), at, 'app.orders', '1', jsonb_build_object('id', n), 'differs', '{}', ''"
        "   FROM generate_series(now() - interval '30 days', now(), interval '1 day') at, generate_series(1, 20) n"
    )
    async with await connect_async(dsn, "test") as control:
        run_id = uuid.uuid4()
        await store.begin(control, run_id, "scheduled")
        cursor = await control.execute("SELECT tenant_id, generation FROM migrator.tenant")
        found = [TenantVerdict(TenantId(t), 1, 1, 0, "", 0.0, generation) for t, generation in await cursor.fetchall()]
        # The schema changed since the month before, so every tenant begins another stretch.
        await store.verdicts(control, run_id, found, datetime.now(UTC), "f", f"fingerprint-{number}")
        await store.end(control, run_id, len(found), len(found), 0, 1.0, True)


def keep(conn: psycopg.Connection[Any]) -> None:
    """What a worker does all the time, until there is nothing left to do; and what PostgreSQL does by itself."""
    pass_once(conn, NOWHERE, MonitorSettings(), datetime.now(UTC))
    while upkeep.add_up(conn):
        pass
    sealing.seal_all(conn)
    while upkeep.prune(conn):
        pass


def columns(conn: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return the columns with a moment, by table."""
    found: dict[str, list[str]] = {}
    for table, column in conn.execute(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'migrator' AND table_type = 'BASE TABLE'"
        " AND data_type = 'timestamp with time zone'"
    ):
        found.setdefault(table, []).append(column)
    return found


def a_month_passes(conn: psycopg.Connection[Any]) -> None:
    """In two steps, because a row may not step on one that has not moved yet."""
    with append_only_lifted(conn):
        a_month_passes_in(conn, columns(conn))


@contextmanager
def append_only_lifted(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """Let the decision log be changed, as only the owner of its tables can."""
    for table in ("decision", "decision_seal"):
        conn.execute(f"ALTER TABLE migrator.{table} DISABLE TRIGGER USER".encode())
    yield
    for table in ("decision", "decision_seal"):
        conn.execute(f"ALTER TABLE migrator.{table} ENABLE ALWAYS TRIGGER refuse_change".encode())
        conn.execute(f"ALTER TABLE migrator.{table} ENABLE ALWAYS TRIGGER refuse_truncate".encode())
    conn.execute("ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER stamp_decision")


def a_month_passes_in(conn: psycopg.Connection[Any], tables: dict[str, list[str]]) -> None:
    for table, names in tables.items():
        for step in ("- interval '1000 years'", "+ interval '1000 years' - interval '30 days'"):
            moves = ", ".join(f"{name} = {name} {step}" for name in names)
            conn.execute(f"UPDATE migrator.{table} SET {moves}".encode())
    conn.execute("UPDATE migrator.position SET fresh_at = now()")


def sizes(conn: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    """Return rows and bytes of every table of the tool."""
    names = [t for (t,) in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'migrator'").fetchall()]
    found = {}
    for name in names:
        conn.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier("migrator", name)))
        row = conn.execute(
            sql.SQL("SELECT count(*), pg_total_relation_size({}) FROM {}").format(
                f"migrator.{name}", sql.Identifier("migrator", name)
            )
        ).fetchone()
        assert row is not None
        found[name] = (int(row[0]), int(row[1]))
    return found


def costs(conn: psycopg.Connection[Any], wave: int) -> dict[str, int]:
    """Return how many pages each look touches."""
    before = {tenant: Sample(100, 0, 10.0) for tenant in WAVE}
    since_s = facts.now_s(conn) - 86_400
    looks: dict[str, Callable[[], object]] = {
        "guard": lambda: soak.watch_wave(conn, wave, Watch(), before, since_s, True, LIMITS),
        "status": lambda: collect(conn),
        "gate": lambda: (facts.tenant_facts(conn, WAVE), facts.reference_facts(conn), facts.waiting(conn)),
        "cutover": lambda: (facts.rolled_back(conn), facts.left_behind(conn), facts.watched_since_s(conn, wave)),
        "monitor": lambda: pass_once(conn, NOWHERE, MonitorSettings(), datetime.now(UTC)),
        "slo": lambda: breach.pass_once(conn, LIMITS, 120.0),
        "add up": lambda: samples.fold(conn),
        "window": lambda: record.incidents_after(conn, record.last_incident(conn)),
    }
    found = {}
    for name, look in looks.items():
        look()  # catalogs are read once
        Counting.counted = 0
        try:
            look()
            found[name] = Counting.counted
        finally:
            Counting.counted = None
    return found


async def test_six_months(classic: psycopg.Connection[Any], classic_dsn: str) -> None:
    grown: list[dict[str, tuple[int, int]]] = []
    paid: list[dict[str, int]] = []
    for number in range(1, MONTHS + 1):
        await one_month(classic, classic_dsn, number)
        keep(classic)
        if number in (1, 4, MONTHS):
            grown.append(sizes(classic))
            paid.append(costs(classic, 1000 + number))
        a_month_passes(classic)

    first, middle, last = grown
    unbounded = {
        table: (first[table], middle[table], last[table])
        for table in last
        if table not in EVIDENCE | DRAWN
        and (last[table][0] > middle[table][0] * 1.05 or last[table][1] > middle[table][1] * 1.1)
    }
    assert unbounded == {}
    assert {t: last[t] for t, most in (EVIDENCE | DRAWN).items() if last[t][0] > most} == {}
    dearer = {look: [p[look] for p in paid] for look in paid[0] if paid[-1][look] > paid[0][look] * 1.2 + 20}
    assert dearer == {}


def test_of_decisions_at_every_look_one_a_day_is_kept(classic: psycopg.Connection[Any]) -> None:
    """Once they are old; whatever a person decided, and every step of the migration, stays."""
    rows = [
        ("slo monitor", "fallback.raised", "fallback/part/1"),
        ("shim web-1", "fallback.raised", "fallback/part/1"),
        ("ana", "fallback.raised", "fallback/part/1"),
        ("cutover", "wave.finished", "wave-1"),
        ("guard", "route.moved", "route/1"),
    ]
    for who, kind, subject in rows:
        for ago in ("120 days", "101 days", "9 days 2 hours", "9 days 1 hour", "9 days", "2 minutes", "1 minute"):
            classic.execute(
                "INSERT INTO migrator.decision (at, who, kind, subject, reason)"
                " VALUES (date_trunc('day', now(), 'UTC') + interval '12 hours' - %s::interval, %s, %s, %s, %s)",
                (ago, who, kind, subject, ago),
            )
    assert not upkeep.prune(classic, 2), "what is not sealed stays"
    sealing.seal_all(classic)
    while upkeep.prune(classic, 2):
        pass
    found = sealing.verify_log(classic)
    assert (found.intact, found.sealed, found.thinned) == (True, 35, 8)
    log = classic.execute("SELECT who, array_agg(reason ORDER BY at) FROM migrator.decision GROUP BY who")
    kept = dict(log.fetchall())

    looks = ["9 days", "2 minutes", "1 minute"]
    assert kept["slo monitor"] == kept["shim web-1"] == looks
    assert {len(kept[who]) for who in ("ana", "cutover", "guard")} == {7}

    with append_only_lifted(classic):
        classic.execute("UPDATE migrator.decision SET at = at - interval '200 days' WHERE who = 'shim web-1'")
    classic.execute("UPDATE migrator.switch SET write_mode = 'limitless_only'")
    assert not upkeep.prune(classic), "its digest was handed over"
    assert kept["shim web-1"] == [
        r for (r,) in classic.execute("SELECT reason FROM migrator.decision WHERE who = 'shim web-1' ORDER BY at")
    ]
