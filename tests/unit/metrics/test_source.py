"""However many ask and whatever classic does, a scrape is answered, and old values are never passed off as new."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from migrator.errors import ClusterUnavailable, UsageError
from migrator.metrics import catalogue as c
from migrator.metrics.gather import Reading
from migrator.metrics.metric import Metric, Sample
from migrator.metrics.source import FRESH_S, GIVE_UP_S, OLD_S, Seen, Source, exposed, reason_of
from tests.fixtures.waiting import eventually
from tests.unit.metrics.statuses import measured, status


class Classic:
    """Answers, fails or hangs as a test says; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = self.given_up = 0
        self.closed = False
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> Reading:
        self.asked += 1
        self.answers.wait(60)
        if self.error is not None:
            raise self.error
        return Reading(status(), measured())

    def give_up(self) -> None:
        self.given_up += 1
        self.error = psycopg.OperationalError("gone")
        self.answers.set()

    def close(self) -> None:
        self.closed = True


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def classic() -> Iterator[Classic]:
    made = Classic()
    yield made
    made.answers.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def value(samples: list[Sample], metric: Metric, *labels: str) -> float | None:
    return next((s.value for s in samples if s.metric is metric and s.labels == labels), None)


def test_many_scrapes_cost_classic_one_question(classic: Classic, clock: Clock) -> None:
    source = Source(classic, clock=clock)
    for _ in range(10):
        assert value(source.samples(), c.UP) == 1
    assert classic.asked == 1

    clock.at_s += FRESH_S
    source.samples()
    assert classic.asked == 2


def test_scrapes_at_once_share_a_question(classic: Classic) -> None:
    classic.answers.clear()
    source, found = Source(classic), []
    scrapes = [threading.Thread(target=lambda: found.append(value(source.samples(), c.UP))) for _ in range(8)]
    for scrape in scrapes:
        scrape.start()
    eventually(lambda: classic.asked)
    classic.answers.set()
    for scrape in scrapes:
        scrape.join()

    assert (classic.asked, found) == (1, [1.0] * 8)


def test_a_dead_classic_is_down_and_nothing_else_is_said(classic: Classic, clock: Clock) -> None:
    source = Source(classic, "shop", clock=clock)
    source.samples()
    clock.at_s += FRESH_S
    classic.error = ClusterUnavailable("classic", "no answer")
    found = source.samples()

    assert value(found, c.UP) == 0
    assert value(found, c.STATUS_FAILURES, "unreachable") == 1
    assert value(found, c.STATUS_AGE) == FRESH_S
    assert {s.metric.origin for s in found} == {c.UP.origin}
    assert source.plan == "shop"


def test_it_comes_back(classic: Classic, clock: Clock) -> None:
    source = Source(classic, clock=clock)
    classic.error = ClusterUnavailable("classic", "no answer")
    assert value(source.samples(), c.UP) == 0
    classic.error = None
    clock.at_s += FRESH_S

    found = source.samples()
    assert (value(found, c.UP), value(found, c.INSTALLED)) == (1, 1)
    assert value(found, c.STATUS_FAILURES, "unreachable") == 1, "what happened stays counted"


def test_a_classic_that_hangs_is_down_for_who_asks_and_is_asked_once(classic: Classic, clock: Clock) -> None:
    classic.answers.clear()
    source = Source(classic, wait_s=0.01, clock=clock)
    assert value(source.samples(), c.UP) == 0
    clock.at_s += 1
    for _ in range(3):
        assert value(source.samples(), c.UP) == 0
    assert (classic.asked, classic.given_up) == (1, 0)

    clock.at_s += GIVE_UP_S
    source.samples()
    assert classic.given_up == 1
    eventually(lambda: value(source.samples(), c.STATUS_FAILURES, "unreachable"))


def test_an_old_answer_says_nothing() -> None:
    seen = Seen(Reading(status(), measured()), at_s=10.0)

    assert value(exposed(seen, 10.0 + OLD_S), c.UP) == 1
    late = exposed(seen, 10.1 + OLD_S)
    assert (value(late, c.UP), value(late, c.INSTALLED)) == (0, None)
    assert value(exposed(Seen(), 0.0), c.UP) == 0
    assert value(exposed(Seen(), 0.0), c.STATUS_AGE) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ClusterUnavailable("classic", "x"), "unreachable"),
        (psycopg.OperationalError("server closed the connection"), "unreachable"),
        (psycopg.errors.QueryCanceled("statement timeout"), "timeout"),
        (psycopg.errors.InsufficientPrivilege("x"), "refused"),
        (UsageError("the environment variable X is not set"), "refused"),
        (ValueError("x"), "error"),
    ],
)
def test_failures_are_counted_by_a_word(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
