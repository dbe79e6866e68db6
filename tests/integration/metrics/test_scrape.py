"""A real Prometheus page from a real classic: before installation, while it runs, frozen, dead, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from migrator.control import samples
from migrator.control.history import replace_report
from migrator.control.install import install
from migrator.control.measured import measured, totals
from migrator.db.connect import connect
from migrator.metrics import catalogue as c
from migrator.metrics.metric import Metric
from migrator.metrics.source import Classic, Source
from migrator.model.measured import Total
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.pg


@pytest.fixture
def bare(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        yield conn


@pytest.fixture
def classic(bare: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    install(bare, "shop", "digest", {}, {})
    return bare


@pytest.fixture
def found(classic_dsn: str) -> Iterator[Source]:
    with closing(Source(Classic(lambda: classic_dsn), fresh_s=0.0)) as source:
        yield source


def value(found: Source, metric: Metric, *labels: str) -> float | None:
    return next((s.value for s in found.samples() if s.metric is metric and s.labels == labels), None)


def sampled(conn: psycopg.Connection[Any], side: str, age_s: float, reads: int = 10, tenant: str | None = None) -> None:
    conn.execute(
        "INSERT INTO migrator.read_sample (at, process_id, tenant_id, side, reads, errors, buckets)"
        " VALUES (now() - make_interval(secs => %s), 'p', %s, %s, %s, 1, ARRAY[0, %s])",
        (age_s, tenant, side, reads, reads),
    )


def test_before_installation_it_is_up_and_nothing_is_installed(bare: psycopg.Connection[Any], found: Source) -> None:
    assert (value(found, c.UP), value(found, c.INSTALLED), value(found, c.BLOCKERS)) == (1, 0, None)

    install(bare, "shop", "digest", {}, {})
    assert (value(found, c.INSTALLED), value(found, c.BLOCKERS), found.plan) == (1, 0, "shop")


def test_an_event_counts_exactly_once_whenever_it_is_added_up(classic: psycopg.Connection[Any]) -> None:
    """And for good: minutes and hours are deleted, a counter does not shrink. What no shim writes is not counted."""
    for age_s in (0.0, 100.0, 200.0, 5000.0, 30 * 86400.0):
        sampled(classic, "limitless", age_s)
        sampled(classic, "limitless", age_s, tenant="a")
        sampled(classic, "classic/db-1:5432", age_s)
        sampled(classic, "error/limitless/57", age_s, 2)
        sampled(classic, f"error/<script>/{age_s}", age_s)
    classic.execute("INSERT INTO migrator.shadow_sample SELECT now() - interval '1 hour' * i, 'p', 5, 1, 1, 1"
                    " FROM generate_series(0, 3) i")  # fmt: skip
    wanted = {
        "limitless": Total(50, 5, (0, 50, *[0] * 83)),
        "error/limitless/57": Total(10, 5, (0, 10, *[0] * 83)),
        "shadow": Total(20, 4, (0,) * 85),
    }
    assert totals(classic) == wanted

    for limit in (1, 3, 20_000, 20_000):
        samples.fold(classic, limit)
        assert totals(classic) == wanted
    samples.merge(classic)
    classic.execute(
        "DELETE FROM migrator.read_hour; DELETE FROM migrator.read_minute; DELETE FROM migrator.shadow_hour"
    )
    assert totals(classic) == wanted


def test_the_window_counts_as_its_checks_count_it(classic: psycopg.Connection[Any]) -> None:
    row = classic.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None
    body = {"started_s": 0, "deadline_s": row[0] + 30 * 86_400, "restarts": 2, "paused_s": None, "days": 90,
            "over": False, "text": ""}  # fmt: skip
    replace_report(classic, "stabilize", body)
    window = measured(classic).window
    assert window is not None
    assert window.elapsed_s == pytest.approx(60 * 86_400, abs=60)
    assert (window.needed_s, window.restarts, window.paused) == (90 * 86_400, 2, False)

    replace_report(classic, "stabilize", {**body, "paused_s": row[0] - 86_400})
    paused = measured(classic).window
    assert paused is not None and paused.paused
    assert paused.elapsed_s == pytest.approx(59 * 86_400, abs=60), "a pause does not count"


def test_a_role_that_may_not_read_the_status_is_refused(classic: psycopg.Connection[Any], classic_dsn: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(classic_dsn)["dbname"]
    classic.execute(f"CREATE ROLE outsider_{name} LOGIN PASSWORD 'x'")
    try:
        dsn = psycopg.conninfo.make_conninfo(classic_dsn, user=f"outsider_{name}", password="x")
        found = Source(Classic(lambda: dsn), fresh_s=0.0)
        assert (value(found, c.UP), value(found, c.STATUS_FAILURES, "refused")) == (0, 2)
    finally:
        classic.execute(f"DROP ROLE outsider_{name}")


def test_a_session_that_is_ended_costs_one_scrape(classic: psycopg.Connection[Any], found: Source) -> None:
    assert value(found, c.UP) == 1
    classic.execute(  # and wait until it has ended
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'migrator metrics'"
        " AND datname = current_database()"
    )

    assert value(found, c.UP) == 0
    assert value(found, c.UP) == 1


def test_locks_on_the_tools_tables_end_a_scrape_and_not_the_process(
    classic: psycopg.Connection[Any], found: Source
) -> None:
    assert value(found, c.UP) == 1
    with classic.transaction():
        classic.execute("LOCK TABLE migrator.tenant IN ACCESS EXCLUSIVE MODE")
        assert value(found, c.UP) == 0
        assert value(found, c.STATUS_FAILURES, "timeout") is not None
    eventually(lambda: value(found, c.UP) == 1)


def test_a_classic_that_falls_silent_is_down_until_it_is_heard_again(
    classic: psycopg.Connection[Any], classic_dsn: str, proxy: MakeProxy
) -> None:
    """No scrape waits longer than it may, one session waits however many ask, and it is given up in time."""
    between = proxy(classic_dsn)
    ask = Classic(lambda: between.dsn(classic_dsn))
    with closing(Source(ask, fresh_s=0.0, wait_s=0.3, give_up_s=1.0)) as found:
        eventually(lambda: value(found, c.UP) == 1)
        between.stall()
        samples = found.samples()
        assert {s.metric.origin for s in samples} == {c.UP.origin}, "nothing of before is passed off as new"
        assert value(found, c.UP) == 0
        assert between.connections == 1
        eventually(lambda: value(found, c.STATUS_FAILURES, "unreachable"), "the question is given up")
        between.resume()
        eventually(lambda: value(found, c.UP) == 1, "it is heard again")
