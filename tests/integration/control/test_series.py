"""Lines over time come from what is stored, minute by minute: added up with age, with gaps where nothing was seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from migrator.control import samples, series, upkeep, writer_load
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.model.series import Series
from migrator.plan.load import dump
from migrator.plan.schema import Plan
from migrator.runway.sampler import Sampler

pytestmark = pytest.mark.pg

PLAN = Plan.model_validate({"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}})
DAY = timedelta(days=1)


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "migrator worker") as conn:
        install(conn, "shop", "digest", dump(PLAN), {})
        yield conn


def now(conn: psycopg.Connection[Any]) -> datetime:
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    at: datetime = row[0]
    return at.astimezone(UTC)


def read(conn: psycopg.Connection[Any], **asked: Any) -> Series:
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return series.series(conn, **asked)


def states(conn: psycopg.Connection[Any], first: str, last: str, every: str, grain: str = "minute") -> None:
    """Store a state every so often, between two moments so long ago; its lag is the minute of the hour."""
    conn.execute(
        "INSERT INTO migrator.state_sample (grain, at, lag_s, lag_max_s, depth, rows_per_s, pending, copying, mirrored,"
        " quarantined, joining, limitless, held, copied_rows, to_copy_rows, oldest_clean_s, never_validated, divergent,"
        " fallbacks, open_breakers, processes)"
        " SELECT %s, at, extract(minute FROM at), 2 * extract(minute FROM at), 1, 2, 0, 0, 100, 0, 0,"
        "        extract(minute FROM at), 0, 10, 10, 60, 0, 0, extract(minute FROM at) / 30, 0, 4"
        "   FROM generate_series(date_trunc('hour', now(), 'UTC') - %s::interval,"
        "                        date_trunc('hour', now(), 'UTC') - %s::interval, %s::interval) at",
        (grain, first, last, every),
    )


def test_a_minute_says_what_the_migration_is_like(classic: psycopg.Connection[Any]) -> None:
    """By what is in the tables; once, however often it is asked."""
    classic.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state, validated_at, clean_at, divergent) VALUES"
        " ('a', 1, 'mirrored', now(), now() - interval '90 s', 0), ('b', 1, 'mirrored', now(), NULL, 3),"
        " ('c', 2, 'quarantined', NULL, NULL, NULL), ('d', 2, 'pending', NULL, NULL, NULL)"
    )
    classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
        " VALUES ('a', 1, 'limitless', 1, 'cutover', 'wave'), ('b', 1, 'limitless', 1, 'cutover', 'wave')"
    )
    classic.execute(
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
        " VALUES ('tenant', 'b', 'joining', 'slow', 'guard', 2)"
    )
    classic.execute(
        "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, lag_s, depth, rows_per_s)"
        " VALUES (1, 1, '1:1:', now(), 0.5, 10, 100), (2, 1, '1:1:', now(), 40, 5, 50)"
    )
    classic.execute(
        "INSERT INTO migrator.copy_unit (unit_id, part, tenants, rows, copied_rows, superseded)"
        " VALUES ('u', 1, '{a}', 70, 100, false), ('v', 2, '{d}', 50, 0, false), ('w', 2, '{c}', 9, 9, true)"
    )
    series.add(classic)
    series.add(classic)
    found = read(classic)
    newest = {name: line[-1] for name, line in found.values.items()}

    assert classic.execute("SELECT count(*) FROM migrator.state_sample").fetchone() in [(1,), (2,)]
    assert newest.keys() == series.VALUES.keys()
    assert newest["lag_s"] == newest["lag_max_s"] == 40 and newest["depth"] == 15 and newest["rows_per_s"] == 150
    assert [newest[n] for n in ("pending", "copying", "mirrored", "quarantined")] == [1, 0, 2, 1]
    assert [newest[n] for n in ("joining", "limitless", "fallbacks", "divergent")] == [1, 1, 1, 1]
    assert (newest["copied_rows"], newest["to_copy_rows"]) == (100, 150)
    assert newest["never_validated"] == 2 and 90 <= (newest["oldest_clean_s"] or 0) < 150
    assert newest["classic_reads_per_s"] is newest["cpu"] is None, "nobody measured them"


def test_the_watch_of_the_writer_stores_it(classic: psycopg.Connection[Any]) -> None:
    """With everything else that one worker does once a minute, and before anything has begun."""
    at = [1000.0]
    sampler = Sampler(clock=lambda: at[0], look_at=lambda: None)
    sampler.step(classic, PLAN)
    at[0] += 5
    sampler.step(classic, PLAN)
    rows = classic.execute("SELECT lag_s, mirrored FROM migrator.state_sample").fetchall()

    assert rows == [(None, 0)], "a lag that is not known is not zero"


def test_old_minutes_become_hours(classic: psycopg.Connection[Any]) -> None:
    """Means stay means, the most stays the most, of tenants the last number counts; what is younger stays as it was."""
    states(classic, "3 days", "2 days 23 hours 1 minute", "1 minute")
    states(classic, "1 day", "23 hours 30 minutes", "1 minute")
    before = read(classic, points=1000)
    series.add(classic)
    classic.execute("DELETE FROM migrator.state_sample WHERE at > now() - interval '10 minutes'")
    counts = classic.execute("SELECT grain, count(*) FROM migrator.state_sample GROUP BY 1 ORDER BY 1").fetchall()
    hour = classic.execute(
        "SELECT minutes, lag_s, lag_max_s, limitless, fallbacks, processes FROM migrator.state_sample"
        " WHERE grain = 'hour'"
    ).fetchall()
    after = read(classic, points=1000)

    assert counts == [("hour", 1), ("minute", 31)]
    assert hour == [(60, 29.5, 118, 59, 2, 4)]
    assert before.step_s == after.step_s == 3600
    assert all(before.values[name][0] == after.values[name][0] for name in series.STATES)
    assert after.values["lag_s"][0] == 29.5 and set(after.values["lag_s"][1:40]) == {None}, "a gap is a gap"


def test_half_a_year_is_small_and_has_as_many_points_as_asked(classic: psycopg.Connection[Any]) -> None:
    """Hours of 24 weeks and the minutes of two days: less than four megabytes; 100 points or fewer from all of them."""
    states(classic, "168 days", "2 days", "1 hour", "hour")
    states(classic, "2 days", "0 s", "1 minute")
    for side in series.SIDES:
        classic.execute(
            "INSERT INTO migrator.read_hour (at, tenant_id, side, reads, errors, buckets)"
            " SELECT at, NULL, %s, 36000, 36, array_fill(0, ARRAY[20]) || ARRAY[35000, 1000]"
            "   FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '168 days', now(), '1 hour') at",
            (side,),
        )
    classic.execute("ANALYZE migrator.state_sample, migrator.read_hour")
    size = classic.execute(
        "SELECT pg_total_relation_size('migrator.state_sample') + pg_total_relation_size('migrator.read_hour')"
    ).fetchone()
    found = read(classic, points=100)
    hour = now(classic).replace(minute=0, second=0, microsecond=0)
    short = read(classic, since=hour - timedelta(hours=1), until=hour, points=100)

    assert size is not None and size[0] < 6_000_000, size
    assert 80 < len(found.at) <= 100 and found.step_s == 172_800
    assert found.values["lag_max_s"][20] == 0 and found.values["classic_reads_per_s"][20] == pytest.approx(10)
    assert found.values["limitless_error_ratio"][20] == pytest.approx(0.001)
    assert found.values["limitless_p50_ms"][20] == pytest.approx(2.0)
    assert 2.0 < (found.values["limitless_p99_ms"][20] or 0) < 2.5
    assert short.step_s == 60 and len(short.at) <= 62 and short.values["mirrored"][3] == 100
    while upkeep.prune(classic, 1000):
        pass
    again = read(classic, points=100).values
    assert all(again[name][:-1] == line[:-1] for name, line in found.values.items()), "what is drawn is kept"
    classic.execute("UPDATE migrator.state_sample SET at = at - interval '300 days' WHERE grain = 'hour'")
    while upkeep.prune(classic, 1000):
        pass
    assert len(read(classic).at) < len(found.at) * 5
    assert classic.execute("SELECT min(at) > now() - interval '401 days' FROM migrator.state_sample").fetchone() == (
        True,
    )


def test_reads_are_the_same_before_and_after_they_are_added_up(classic: psycopg.Connection[Any]) -> None:
    """Of all tenants, by side; a replica's are within classic's. The last point is as long as it has lasted."""
    for age_s in (5, 100, 1000, 5000, 3 * 86_400):
        for tenant, side in (
            (None, "classic"),
            (None, "limitless"),
            ("t", "limitless"),
            (None, "classic/10.0.0.1:5432"),
        ):
            classic.execute(
                "INSERT INTO migrator.read_sample (at, process_id, tenant_id, side, reads, errors, buckets)"
                " VALUES (now() - make_interval(secs => %s), 'p', %s, %s, 3600, 36, array_fill(0, ARRAY[30]) || 3600)",
                (age_s, tenant, side),
            )
    moment = now(classic)
    before = read(classic, since=moment - 4 * DAY, until=moment)
    while upkeep.add_up(classic):
        pass
    after = read(classic, since=moment - 4 * DAY, until=moment)

    assert samples.sums(classic, None, "limitless", 0)[None].reads == 5 * 3600
    names = [name for name in before.values if "reads" in name or "ratio" in name or "_ms" in name]
    assert len(names) == 8 and {n: before.values[n] for n in names} == {n: after.values[n] for n in names}
    line = after.values["limitless_reads_per_s"]
    assert after.step_s == 3600 and line[0] == 1.0 and line[5] is None
    lengths = [3600] * (len(line) - 1) + [moment.timestamp() % 3600]
    assert sum((v or 0) * s for v, s in zip(line, lengths, strict=True)) == pytest.approx(5 * 3600, rel=1e-6)


def test_of_the_writers_load_the_finest_counts(classic: psycopg.Connection[Any]) -> None:
    """What is stored by the day stands for all of its hours; AWS goes before this machine."""
    day = now(classic).replace(hour=0, minute=0, second=0, microsecond=0) - 10 * DAY
    for grain, at, value in (("day", day, 0.5), ("hour", day + timedelta(hours=7), 0.9), ("day", day + 2 * DAY, 0.2)):
        seconds = 86_400 if grain == "day" else 3600
        classic.execute(
            "INSERT INTO migrator.writer_load (grain, at, metric, total, seconds) VALUES (%s, %s, 'cpu.local', %s, %s)",
            (grain, at, value * seconds, seconds),
        )
    writer_load.put_hours(classic, "cpu.cloudwatch", [(day + timedelta(hours=9), 0.4)])
    states(classic, "15 days", "0 s", "1 hour", "hour")
    found = read(classic, since=day, until=day + 3 * DAY)
    cpu = found.values["cpu"]

    assert found.at[0] == day and found.step_s == 3600
    assert [cpu[n] for n in (0, 7, 8, 9, 23, 24, 47, 48, 71)] == [0.5, 0.9, 0.5, 0.4, 0.5, None, None, 0.2, 0.2]


def test_an_age_without_end_is_not_known(classic: psycopg.Connection[Any]) -> None:
    """As of a position that never was: a line has numbers, and JSON has no infinity."""
    states(classic, "1 hour", "0 s", "1 minute")
    classic.execute("UPDATE migrator.state_sample SET lag_s = 'Infinity', lag_max_s = 'NaN' WHERE lag_s > 30")
    found = read(classic)

    assert found.values["lag_s"][10] == 10 and None in found.values["lag_s"]
    json.dumps(dict(found.values), allow_nan=False)


def test_before_anything_is_stored_there_is_one_empty_point(classic: psycopg.Connection[Any]) -> None:
    """And what is asked for before the beginning, or after now, is cut."""
    found = read(classic)
    assert len(found.at) == 1 and set(found.values.values()) == {(None,)}
    states(classic, "2 hours", "1 hour", "1 minute")
    found = read(classic, since=now(classic) - 900 * DAY, until=now(classic) + 900 * DAY)
    assert found.step_s == 60 and found.until - found.since < 4 * timedelta(hours=1)
    with pytest.raises(ValueError, match="time zone"):
        read(classic, since=datetime(2026, 1, 1))


@pytest.mark.parametrize("points", [2, 3, 60, 400])
@pytest.mark.parametrize("length_s", [0, 59, 3600, 100_000, 2 * 86_400, 2 * 86_400 + 1, 168 * 86_400, 5000 * 86_400])
def test_never_more_points_than_asked(length_s: float, points: int) -> None:
    for now_s in (1.8e9, 1.8e9 + 3599.5):
        step_s = series.step(now_s - length_s, now_s, now_s, points)
        assert now_s // step_s - (now_s - length_s) // step_s + 1 <= points or length_s < step_s
        assert step_s % 3600 == 0 or (length_s <= series.MINUTES_S and step_s >= 60)
