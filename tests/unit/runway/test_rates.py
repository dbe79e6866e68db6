"""A counter that went back counts nothing and says why; time is this process's, whatever classic's clock does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.runway.counters import Counters, Session, Statements, part_of
from migrator.runway.processor import Used
from migrator.runway.rates import between, cores, of_looks, statements_between

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
BEFORE = Counters(AT, 100.0, 1.0, False, 1_000, 0.0, {1: 500}, 10_000, 2_000.0, 0.0, 30.0, True, 4_000)
NOW = replace(
    BEFORE, at=AT + timedelta(seconds=60), taken_s=160.0, transactions=7_000, row_writes={1: 1_100}, wal_bytes=62_000.0,
    capture_ms=90.0, journal_bytes=1_000, database_bytes=20_000,
)  # fmt: skip


def test_rates_are_a_second_and_sizes_are_as_they_are() -> None:
    found = between(BEFORE, NOW)

    assert found.unknown == () and found.seconds == 60
    assert found.values == {
        "transactions": 100.0, "row_writes": 10.0, "wal_bytes": 1_000.0, "capture_ms": 1.0, "journal_bytes": 1_000.0,
        "journal_growth": -50.0, "database_bytes": 20_000.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said", "gone"),
    [
        ({"database_since_s": 9.0}, "were reset", {"transactions", "row_writes", "capture_ms"}),
        ({"wal_since_s": 9.0}, "statistics of WAL were reset", {"wal_bytes"}),
        ({"transactions": 10}, "went back", {"transactions"}),
        ({"wal_bytes": None}, "", {"wal_bytes"}),
        ({"capture_ms": None}, "", {"capture_ms"}),
        ({"at": AT + timedelta(hours=2)}, "clock jumped by 7140 s", set()),
        ({"at": AT - timedelta(hours=2)}, "clock jumped by 7260 s", set()),
    ],
)
def test_what_cannot_be_said_is_left_out_alone(change: dict[str, object], said: str, gone: set[str]) -> None:
    """A reset of one kind of statistics; a counter that went back; one that there is not; a clock that jumps."""
    found = between(BEFORE, replace(NOW, **change))  # type: ignore[arg-type]

    assert between(BEFORE, NOW).values.keys() - found.values.keys() == gone
    assert said in "; ".join(found.unknown) and bool(found.unknown) is bool(said)
    assert all(v == between(BEFORE, NOW).values[k] for k, v in found.values.items())


def test_another_server_begins_anew() -> None:
    """Restarted, failed over, or a replica behind the writer's name: nothing but sizes, or nothing."""
    restarted = between(BEFORE, replace(NOW, started_s=2.0, transactions=90_000))
    assert restarted.values == {"journal_bytes": 1_000.0, "database_bytes": 20_000.0}
    assert "restarted, or another one is the writer now" in restarted.unknown[0]
    replica = between(BEFORE, replace(NOW, is_replica=True))
    assert replica.values == {} and replica.seconds == 0 and "replica" in replica.unknown[0]
    assert between(replace(BEFORE, is_replica=True), NOW).values == restarted.values


@given(
    st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0, 1e15), st.floats(0, 1e15), st.floats(-100, 1e6),
    st.booleans(),
)  # fmt: skip
def test_no_rate_is_negative(one: int, other: int, wal: float, later: float, seconds: float, same: bool) -> None:
    found = between(
        replace(BEFORE, transactions=one, row_writes={1: other}, wal_bytes=wal),
        replace(
            NOW, transactions=other, row_writes={1: one}, wal_bytes=later, taken_s=100 + seconds,
            started_s=1.0 if same else 2.0,
        ),
    )  # fmt: skip

    assert all(value >= 0 for name, value in found.values.items() if name != "journal_growth")
    assert found.seconds >= 0


def test_tables_come_and_go() -> None:
    """A dropped one lowers nothing, one whose statistics were reset neither, a new one counts from its beginning."""
    before = replace(BEFORE, row_writes={1: 500, 2: 90_000, 3: 700})
    found = between(before, replace(NOW, row_writes={1: 800, 3: 10, 4: 300}))

    assert found.values["row_writes"] == 10.0 and found.unknown == ()


STATEMENTS = Statements((5.0, 0), 100, 10.0, 1_000.0, 300.0, 200.0, 0)


def test_statements() -> None:
    now = replace(STATEMENTS, own_calls=700, own_ms=70.0, own_wal=7_000.0, read_ms=900.0, write_ms=260.0)

    assert statements_between(STATEMENTS, now, 60).values == {
        "own_calls": 10.0, "own_ms": 1.0, "own_wal": 100.0, "read_ms": 10.0, "write_ms": 1.0,
    }  # fmt: skip
    reset = statements_between(STATEMENTS, replace(now, since=(6.0, 0)), 60)
    assert reset.values == {} and "were reset" in reset.unknown[0]
    evicted = statements_between(STATEMENTS, replace(now, since=(5.0, 3), read_ms=1.0), 60)
    assert "read_ms" not in evicted.values and evicted.values["own_calls"] == 10
    assert "pg_stat_statements.max" in evicted.unknown[0] and "went back" in evicted.unknown[1]
    hidden = statements_between(STATEMENTS, replace(now, hidden=4), 60)
    assert hidden.values == {} and hidden.seconds == 0 and "pg_read_all_stats" in hidden.unknown[0]


def test_looks_are_means() -> None:
    """A part without a session has none, which is known; nothing was looked at: nothing is."""
    one = Session(1, "mirrors", 1.0, True, True)
    two = Session(2, "mirrors", 1.0, True, False)
    found = of_looks([(one, two), (two,), (), ()])

    assert (found["sessions.mirrors"], found["active.mirrors"], found["running.mirrors"]) == (0.75, 0.75, 0.25)
    assert found["sessions.backfill"] == 0
    assert of_looks([]) == {}


def test_cores_of_sessions_that_come_and_go() -> None:
    """A session with the number of one that ended is another one; one that ended takes its last seconds with it."""
    stays, new, gone = Used(1, 1.0, "mirrors"), Used(2, 9.0, "mirrors"), Used(2, 1.0, "backfill")
    found = cores({stays: 10.0, gone: 500.0}, {stays: 40.0, new: 6.0}, 60)

    assert found["cores.mirrors"] == pytest.approx(0.6) and found["cores.backfill"] == 0
    assert cores({}, {stays: 1.0}, 0) == {}


@pytest.mark.parametrize(
    ("application", "part"),
    [
        ("migrator mirror 1 control", "mirrors"),
        ("migrator copy small-1 rows", "backfill"),
        ("migrator validate control", "validation"),
        ("migrator-shim:web", "shims"),
        ("migrator worker", "control"),
        ("migrator-cli", "control"),
        ("migrator-shopfront", None),
        ("psql", None),
        ("", None),
        ("immigrator mirror", None),
    ],
)
def test_sessions_are_known_by_their_names(application: str, part: str | None) -> None:
    assert part_of(application) == part
