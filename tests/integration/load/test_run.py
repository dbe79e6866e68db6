"""A ramp against real servers: where it saturates, what stops it, and what the watch of classic sees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.errors import ClusterUnavailable, UsageError
from migrator.load import trial
from migrator.load.arrivals import Pattern, steps
from migrator.load.draw import Deck
from migrator.load.knee import Bounds, Failure
from migrator.load.run import Load, Settings, Target, run_side
from migrator.load.stop import Limits
from migrator.load.watch import Watch
from migrator.load.workload import Statement, Transaction, Workload
from migrator.local.proxy import Proxy
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import eventually
from tests.integration.load.orders import READ

pytestmark = [pytest.mark.pg, pytest.mark.once]

SLEEP = Transaction("sleep", 1, (Statement("SELECT pg_sleep(0.02)"),))
PATIENT = Bounds(p99_ms=60_000, keeps_up=0.7, busy=100, late_ms=1e9)
"""The generator shares this machine with the server and with other tests: what is tested is far from any limit."""

ROOM = Limits(p99_ms=60_000, error_share=1.0, silent_s=600, cpu=2.0, more_active=1000, unseen_s=600)


def unheard(what: str) -> None:
    """What a test tells while it runs."""


def load(*transactions: Transaction) -> Load:
    return Load(transactions, (None,) * len(transactions), {}, 1)


def settings(rates: list[float], seconds: float, **more: Any) -> Settings:
    values = {"connections": 4, "pattern": Pattern.EVEN, "bounds": PATIENT, "limits": ROOM, "refine": 0, **more}
    return Settings(windows=steps(rates, seconds), **values)


def test_a_ramp_finds_what_the_connections_can_carry(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four connections of 20 or 0 ms carry 400 a second at most, on any machine: 1500 are not held, and 2000 are left
    soon after they have begun. What a busy machine does with 60 a second is not asked."""
    monkeypatch.setenv("LOADED", classic_dsn)
    told: list[str] = []
    given = settings([60, 1500, 2000], 1, refine=1)
    last = replace(given.windows[-1], end_s=120.0)
    given = replace(given, windows=(*given.windows[:-1], last))

    found = run_side(Target("classic", "env:LOADED"), load(SLEEP, READ), given, told.append)

    assert found.stopped == "" and found.answer.why in (Failure.QUEUE, Failure.LATENCY)
    assert found.answer.failed is not None and found.seconds < 100
    rates = [step.rate for step in found.steps]
    assert 2000 not in rates and rates[0] == 60
    assert (780 in rates) == (found.answer.held is not None), "between held and failed another one is tried"
    result = found.result(60)
    assert result.saturation_per_s is not None and result.saturation_per_s <= 400 / PATIENT.keeps_up
    assert result.latency is not None and result.latency.p50_ms > 1 and result.errors == {}
    assert {w.statement for w in found.statements} == {"sleep", "read"}
    assert found.generator_per_s is not None and found.generator_per_s > 50
    assert any("/s offered" in line for line in told) and len(found.moments) >= 2


def test_errors_end_a_test(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate at which they came counts as not held."""
    monkeypatch.setenv("LOADED", classic_dsn)
    broken = Transaction("broken", 1, (Statement("SELECT 1 / 0"),))
    limits = Limits(p99_ms=60_000, error_share=0.05)

    found = run_side(Target("Limitless", "env:LOADED"), load(broken), settings([80], 60, limits=limits), unheard)

    assert "were errors" in found.stopped and found.seconds < 30
    assert found.answer.why is Failure.ERRORS and set(found.errors) == {"22012"}
    assert found.result(80).carries_per_s == 0


@contextmanager
def sleepers(dsn: str, many: int, seconds: float = 600) -> Iterator[None]:
    """Sessions of another application that run a statement, until the block is left."""
    conns = [psycopg.connect(dsn, autocommit=True, application_name="web") for _ in range(many)]

    def sleep(conn: psycopg.Connection[Any]) -> None:
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute("SELECT pg_sleep(%s)", (seconds,))

    threads = [threading.Thread(target=sleep, args=(conn,)) for conn in conns]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for conn in conns:
            conn.cancel_safe()
        for thread in threads:
            thread.join()
        for conn in conns:
            conn.close()


def test_sessions_of_others_stop_a_test_on_classic(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's sessions pile up: whatever the reason, the test ends, and blames no rate for it."""
    monkeypatch.setenv("LOADED", classic_dsn)
    limits = Limits(p99_ms=60_000, cpu=2.0, more_active=2)
    with Watch(classic_dsn, before_s=0.2) as watch:
        assert watch.sees_something and "sessions of others" in watch.sources
        with sleepers(classic_dsn, 8):
            eventually(lambda: (watch.seen().active or 0) >= 8, "the watch sees them")
            found = run_side(
                Target("classic", "env:LOADED", watch.seen), load(READ), settings([50], 60, limits=limits), unheard
            )

    assert "sessions of others are active on classic" in found.stopped and found.seconds < 30
    assert found.answer.failed is None and found.answer.saturation_per_s is None


def test_the_watch_counts_no_session_of_the_test(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADED", classic_dsn)
    with Watch(classic_dsn, before_s=0.2) as watch:
        before = watch.seen()
        found = run_side(
            Target("classic", "env:LOADED", watch.seen), load(SLEEP),
            settings([80], 1, limits=Limits(p99_ms=60_000, cpu=2.0, more_active=3), connections=16), unheard,
        )  # fmt: skip

    assert before.cpu is not None and 0 <= before.cpu <= 1, "a server of this machine"
    assert found.stopped == "" and found.errors == {}


def test_a_classic_that_does_not_answer_grows_old(proxy: MakeProxy, classic_dsn: str) -> None:
    """What was seen last is no news; and leaving does not wait for it."""
    through: Proxy = proxy(classic_dsn)
    with Watch(through.dsn(classic_dsn), before_s=0.2) as watch:
        through.stall()
        eventually(lambda: watch.seen().age_s > 1.5, "nothing new is seen")


def test_a_target_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADED", "postgresql://u:geheim@127.0.0.1:1/db")
    with pytest.raises(ClusterUnavailable) as caught:
        run_side(Target("Limitless", "env:LOADED"), load(READ), settings([50], 60), unheard)

    assert "geheim" not in str(caught.value) and "Limitless" in str(caught.value)


def test_pools_are_read_by_tenant(classic_dsn: str) -> None:
    """As PostgreSQL prints values; what does not fit the workload is refused."""
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE thing (tenant_id bigint, id numeric(6, 2), at date)")
        conn.execute(
            "INSERT INTO thing VALUES (7, 1.5, '2026-02-03'), (7, 2, NULL), (8, 3, '2026-02-04'), (NULL, 9, NULL)"
        )

    def pools(sql: str) -> Any:
        return trial.read_pools(classic_dsn, "classic", Workload("w", (READ,), {"things": sql}))

    assert pools("SELECT * FROM thing ORDER BY id") == {
        "things": {"7": [["7", "1.50", "2026-02-03"], ["7", "2.00", None]], "8": [["8", "3.00", "2026-02-04"]]}
    }
    for wrong in (
        "SELECT * FROM thing WHERE false",
        "SELECT * FROM nowhere",
        "DELETE FROM thing RETURNING *",
        "SET x = 1",
    ):
        with pytest.raises(UsageError, match="pool things"):
            pools(wrong)


def test_a_trial_names_each_refused_transaction(classic_dsn: str) -> None:
    transactions = (
        READ,
        Transaction("Größe 'x'", 1, (Statement("SELECT 1 FROM nowhere"),)),
        Transaction("writes", 1, (Statement("CREATE TABLE made ()"),)),
        Transaction("may write", 1, (Statement("CREATE TABLE made ()"),), writes=True),
    )
    found = trial.try_each(classic_dsn, "classic", Deck.of(1, transactions, (None,) * 4, {}))

    assert len(found) == 2
    assert "Größe" in found[0] and "42P01" in found[0]
    assert "writes = true" in found[1]
    with psycopg.connect(classic_dsn) as conn:
        assert conn.execute("SELECT to_regclass('made')").fetchone() == (None,)
