"""The breaker of one process: every short sequence of events, and the thresholds of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from migrator.model.effective import Fallback
from migrator.model.route import FallbackScope, Level
from migrator.model.tenant import TenantId
from migrator.shim.breaker import Breaker, State, admit, half_opened, record
from migrator.shim.breakers import Breakers
from migrator.testing import Heard


@dataclass(frozen=True)
class Limits:
    window_s: float = 5.0
    min_reads: int = 20
    error_ratio: float = 0.2
    p99_ms: float = 1000.0
    failures: int = 3
    open_s: float = 2.0
    probes: int = 2


LIMITS = Limits()
EVENTS = ("ok", "slow", "failed", "late failure", "wait", "ask")


def test_whatever_happens_the_breaker_keeps_its_promises() -> None:
    """Every sequence of six events: it opens only on failures, closes only after enough good probes in a row."""
    for events in product(EVENTS, repeat=6):
        breaker, now = Breaker(), 0.0
        failures = good = 0
        for event in events:
            before = breaker
            match event:
                case "wait":
                    now += LIMITS.open_s
                case "ask":
                    breaker, through = admit(breaker, now, LIMITS)
                    if before.state is State.OPEN:
                        assert through == (now - before.since_s >= LIMITS.open_s), events
                    assert breaker.state is not State.HALF_OPEN or breaker.out + breaker.good <= LIMITS.probes, events
                case "late failure":
                    breaker = record(breaker, breaker.term - 1, False, 1, now, LIMITS)
                    assert breaker == before, "an answer from before the last change of state changes nothing"
                case _:
                    ok = event != "failed"
                    breaker = record(breaker, breaker.term, ok, 5000 if event == "slow" else 1, now, LIMITS)
                    failures = 0 if ok else failures + 1
                    good = good + 1 if event == "ok" and before.state is State.HALF_OPEN else 0
            if before.state is not breaker.state:
                assert breaker.term == before.term + 1, events
                match before.state, breaker.state:
                    case State.CLOSED, State.OPEN:
                        assert failures >= LIMITS.failures, events
                    case State.HALF_OPEN, State.OPEN:
                        assert event in ("failed", "slow"), events
                    case State.HALF_OPEN, State.CLOSED:
                        assert good >= LIMITS.probes, events
                    case State.OPEN, State.HALF_OPEN:
                        assert event == "ask", events
                    case other:
                        raise AssertionError((other, events))
                if breaker.state is not State.HALF_OPEN:
                    failures = good = 0


def run(outcomes: Sequence[tuple[bool, float]], every_s: float = 0.01) -> Breaker:
    breaker, now = Breaker(), 100.0
    for ok, ms in outcomes:
        breaker = record(breaker, breaker.term, ok, ms, now, LIMITS)
        now += every_s
    return breaker


def test_too_few_reads_prove_nothing() -> None:
    assert run([(False, 1), (True, 1)] * 9).state is State.CLOSED


def test_a_share_of_failed_reads_opens_it() -> None:
    opened = run(([(True, 1)] * 3 + [(False, 1)]) * 5)
    assert opened.state is State.OPEN
    assert opened.reason == "5 of 20 reads failed within 5 s (limit 20%)"
    assert run(([(True, 1)] * 9 + [(False, 1)]) * 20).state is State.CLOSED


def test_slow_reads_open_it_and_two_outliers_do_not() -> None:
    assert run([(True, 1)] * 30 + [(True, 2000)] * 2).state is State.CLOSED
    assert run([(True, 1)] * 30 + [(True, 2000)] * 3).state is State.OPEN
    assert run([(True, 1)] * 500 + [(True, 2000)] * 3 + [(True, 1)] * 500).state is State.CLOSED, "below 1 %"


def test_old_reads_leave_the_window() -> None:
    assert run([(False, 1), (True, 1)] * 30, every_s=0.6).state is State.CLOSED, "nine reads in any five seconds"


def test_a_probe_that_never_ended_does_not_keep_it_half_open() -> None:
    breaker = half_opened(Breaker(State.OPEN, 1, 0.0), 10.0)
    for _ in range(LIMITS.probes):
        breaker, through = admit(breaker, 10.0, LIMITS)
        assert through
    assert admit(breaker, 10.0, LIMITS)[1] is False

    assert admit(breaker, 10.0 + LIMITS.open_s, LIMITS)[1] is True


def test_breakers_of_all_scopes_must_agree_and_refused_reads_use_no_probe() -> None:
    now = 0.0
    heard = Heard()
    breakers = Breakers(LIMITS, heard, lambda: now)
    a, b = TenantId("a"), TenantId("b")
    for _ in range(LIMITS.failures):
        ticket = breakers.admit(a, 1)
        assert ticket is not None
        breakers.record(ticket, False, 1)

    assert {key for _, key, _ in breakers.open()} == {"", "1", "a"}
    assert breakers.admit(b, 2) is None, "everything failed, so nothing is read"
    now = LIMITS.open_s
    probe = breakers.admit(b, 2)
    assert probe is not None
    breakers.record(probe, True, 1)
    second = breakers.admit(b, 2)
    assert second is not None
    breakers.record(second, True, 1)
    assert breakers.admit(b, 2) is not None, "good probes of another tenant close the breaker over everything"
    assert {key for _, key, _ in breakers.open()} == {"1", "a"}
    assert heard.names() == ["breaker.opened"] * 3 + ["breaker.closed"]


def test_a_shared_fallback_takes_over() -> None:
    now = 0.0
    breakers = Breakers(LIMITS, Heard(), lambda: now)
    for _ in range(LIMITS.failures):
        ticket = breakers.admit(TenantId("a"), 1)
        assert ticket is not None
        breakers.record(ticket, False, 1)

    breakers.taken_over([Fallback(FallbackScope.ALL, "", Level.CLASSIC, 1)])

    assert breakers.open() == []
    assert set(breakers.states().values()) == {State.HALF_OPEN}
