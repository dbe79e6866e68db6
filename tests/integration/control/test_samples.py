"""What shims measured is added up and thrown away, and every read is counted once at every instant."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control import samples, upkeep
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.model.tenant import TenantId
from migrator.traffic.cutover import facts

pytestmark = pytest.mark.pg

A, B = TenantId("a"), TenantId("")
DAY_S = 86_400.0


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        yield conn


def measured(conn: psycopg.Connection[Any], tenant: str | None, age_s: float, slow: int = 1, errors: int = 0) -> None:
    """100 reads, some of them in the 60th bucket (2 s)."""
    conn.execute(
        "INSERT INTO migrator.read_sample (at, process_id, tenant_id, side, reads, errors, buckets)"
        " SELECT now() - make_interval(secs => %s), 'p', %s, 'limitless', 100, %s,"
        " array_fill(0, ARRAY[20]) || ARRAY[100 - %s] || array_fill(0, ARRAY[39]) || ARRAY[%s]",
        (age_s, tenant, errors, slow, slow),
    )


def sizes(conn: psycopg.Connection[Any]) -> tuple[int, ...]:
    row = conn.execute(
        "SELECT (SELECT count(*) FROM migrator.read_sample), (SELECT count(*) FROM migrator.read_minute),"
        " (SELECT count(*) FROM migrator.read_hour)"
    ).fetchone()
    assert row is not None
    return tuple(row)


def reads(conn: psycopg.Connection[Any], tenant: TenantId | None, since_s: float) -> samples.Sum:
    found = samples.sums(conn, None if tenant is None else [tenant], "limitless", facts.now_s(conn) - since_s)
    return found.get(tenant, samples.Sum())


def test_sums_are_the_same_before_and_after_they_are_added_up(classic: psycopg.Connection[Any]) -> None:
    """Everybody's, a tenant's, and one's whose name is empty; the buckets too, and again when nothing is left to do."""
    for tenant in (None, A, B):
        for age_s in (0.5, 30.0, 100.0, 200.0, 250.0, 3000.0, 9000.0, 9001.0, 2 * DAY_S - 100, 3 * DAY_S, 20 * DAY_S):
            measured(classic, tenant, age_s, errors=1)
    windows = (10.0, 60.0, 1000.0, 20_000.0, 1.5 * DAY_S, 10 * DAY_S, 50 * DAY_S)
    now_s = facts.now_s(classic)

    def look() -> dict[tuple[TenantId | None, float], samples.Sum]:
        return {
            (t, w): samples.sums(classic, None if t is None else [t], "limitless", now_s - w).get(t, samples.Sum())
            for t in (None, A, B)
            for w in windows
        }

    before = look()

    assert (before[A, 60.0].reads, before[A, 1000.0].reads, before[A, 50 * DAY_S].reads) == (200, 500, 1100)
    assert before[A, 50 * DAY_S].errors == 11
    for _ in range(2):
        assert not upkeep.add_up(classic)
        assert look() == before
    raw, minutes, hours = sizes(classic)
    assert raw in (9, 12), "the last minutes of three"
    assert minutes + hours < 33 - raw and hours >= 6


def test_a_fold_is_bounded_and_may_be_killed_at_any_instant(classic: psycopg.Connection[Any]) -> None:
    """Small batches, one of them rolled back, reach the same sums as one."""
    for n in range(50):
        measured(classic, A, 300.0 + n)
    with pytest.raises(psycopg.errors.QueryCanceled), classic.transaction():
        samples.fold(classic, 20)
        classic.execute("SELECT pg_cancel_backend(pg_backend_pid())")
        classic.execute("SELECT pg_sleep(10)")
    assert sizes(classic) == (50, 0, 0)

    batches = [samples.fold(classic, 20) for _ in range(4)]

    assert batches == [20, 20, 10, 0]
    assert reads(classic, A, 7000.0).reads == 5000
    assert sizes(classic)[0] == 0


def test_two_at_once_count_nothing_twice(classic: psycopg.Connection[Any], classic_dsn: str) -> None:
    """While one adds up and processes go on writing, the sum never shrinks and ends exact."""
    for n in range(400):
        measured(classic, A if n % 2 else B, 300.0 + n / 10)
    seen: list[int] = []
    problems: list[BaseException] = []

    def add_up() -> None:
        try:
            with connect(classic_dsn, "test") as conn:
                while samples.fold(conn, 7):
                    pass
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=add_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(reads(classic, A, 7000.0).reads + reads(classic, B, 7000.0).reads)
    for thread in threads:
        thread.join()

    assert problems == []
    assert set(seen) <= {40_000}
    assert (reads(classic, A, 7000.0).reads, reads(classic, B, 7000.0).reads) == (20_000, 20_000)


def test_seconds_of_many_processes_are_merged(classic: psycopg.Connection[Any]) -> None:
    """Every read once, before and after, in windows and in what is added up later; then there is nothing left to do.

    What was measured before a moment never counts as after it.
    """
    for tenant in (None, A, B):
        for age_s in (2.0, 2.3, 2.6, 5.0, 30.0, 30.5, 50.0, 300.0):
            for _ in range(5):
                measured(classic, tenant, age_s, slow=3, errors=2)
    now_s = facts.now_s(classic)

    def look() -> list[samples.Sum]:
        asked = [(tenant, since_s) for tenant in (None, A, B) for since_s in (10, 40, 7000)]
        return [
            samples.sums(classic, None if t is None else [t], "limitless", now_s - s).get(t, samples.Sum())
            for t, s in asked
        ]

    before = look()
    with pytest.raises(psycopg.errors.QueryCanceled), classic.transaction():
        samples.merge(classic)
        classic.execute("SELECT pg_cancel_backend(pg_backend_pid())")
        classic.execute("SELECT pg_sleep(10)")
    assert sizes(classic)[0] == 3 * 8 * 5
    samples.merge(classic, limit=7, times=100)
    merged = sizes(classic)[0]
    samples.merge(classic)

    rows = classic.execute("SELECT date_trunc('second', at) = at FROM migrator.read_sample WHERE process_id = ''")
    assert all(whole for (whole,) in rows)
    assert look() == before and before[0].reads == 4 * 5 * 100
    assert sizes(classic)[0] == merged, "only what is new"
    assert merged < 3 * 8 * 5
    late = reads(classic, A, facts.now_s(classic) - now_s + 2.0)
    assert late.reads <= 5 * 100, "those of 2.3 and 2.6 s ago are no later than they were"
    samples.fold(classic)
    assert look() == before


def test_a_look_reads_a_row_for_each_second_whatever_the_processes(classic: psycopg.Connection[Any]) -> None:
    for _ in range(40):
        measured(classic, A, 3.0)
    samples.merge(classic)

    assert sizes(classic)[0] <= 2, "one, or two where a second began meanwhile"


def test_a_session_in_another_time_zone_counts_the_same_hours(classic: psycopg.Connection[Any]) -> None:
    """India is half an hour off: an hour is one of UTC."""
    measured(classic, A, 5 * 3600.0)
    samples.fold(classic)
    classic.execute("SET TimeZone = 'Asia/Kolkata'")
    measured(classic, A, 5 * 3600.0)
    samples.fold(classic)

    assert sizes(classic) == (0, 0, 1)
    assert reads(classic, A, 9 * 3600.0).reads == 200


def test_shadow_reads_are_added_up_too(classic: psycopg.Connection[Any]) -> None:
    for ms in (1.0, 3.0):
        classic.execute(
            "INSERT INTO migrator.shadow_sample (at, process_id, compared, mismatched, classic_ms, limitless_ms)"
            " VALUES (now() - interval '1 day', 'p', 10, 1, %s, 2)",
            (ms,),
        )
    samples.fold(classic)

    assert classic.execute("SELECT compared, mismatched, classic_ms FROM migrator.shadow_hour").fetchall() == [
        (20, 2, 40.0)
    ]
    assert classic.execute("SELECT count(*) FROM migrator.shadow_sample").fetchone() == (0,)


def happened(conn: psycopg.Connection[Any], kind: str, reason: str, by: str = "web-1") -> None:
    conn.execute("INSERT INTO migrator.incident (kind, reason, reported_by) VALUES (%s, %s, %s)", (kind, reason, by))


def test_incidents_cannot_come_by_the_second(classic: psycopg.Connection[Any]) -> None:
    """The same again is one row with a new number; of a kind there are 20 an hour; what a person says is never lost."""
    for n in range(100):
        happened(classic, "fallback", "the same")
        happened(classic, "divergence", f"{n} rows")
        happened(classic, "reported", f"call {n}", "ana")

    counted = classic.execute(
        "SELECT kind, count(*), sum(times), max(id) > 290 FROM migrator.incident GROUP BY 1"
    ).fetchall()

    assert sorted(counted) == [
        ("divergence", 20, 100, True),
        ("fallback", 1, 100, True),
        ("reported", 100, 100, True),
    ]


def test_what_happens_in_the_next_hour_is_another_incident(classic: psycopg.Connection[Any]) -> None:
    happened(classic, "fallback", "the same")
    classic.execute(
        "UPDATE migrator.incident SET at = at - interval '2 hours', first_at = first_at - interval '2 hours'"
    )
    happened(classic, "fallback", "the same")

    assert classic.execute("SELECT count(*), sum(times) FROM migrator.incident").fetchone() == (2, 2)
