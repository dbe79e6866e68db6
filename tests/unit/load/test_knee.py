"""The knee is found where queueing theory, and a simulated queue, have it."""

from __future__ import annotations

import heapq
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.load.arrivals import Pattern, arrivals, steps
from migrator.load.histogram import Histogram
from migrator.load.knee import Bounds, Failure, Step, at_rate, failure, knee
from migrator.load.orders import Count
from migrator.load.run import step_of


def erlang_c(servers: int, load: float) -> float:
    """Share of arrivals of M/M/c that wait; *load* is arrivals over one server's rate (Erlang's second formula)."""
    blocked = 1.0
    for n in range(1, servers + 1):  # Erlang B, without factorials
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def step_of_mmc(rate: float, servers: int, each: float, seconds: float = 60.0) -> Step:
    """What M/M/c with *servers* of rate *each* does with a rate: exact below its capacity, a growing queue above it."""
    capacity = servers * each
    arrived = round(rate * seconds)
    if rate >= capacity:
        waited = (rate / capacity - 1) * seconds * 1000
        return Step(rate, seconds, arrived, rate, capacity, waited / 2, waited, waited)
    waits = erlang_c(servers, rate / each)

    def percentile_ms(share: float) -> float:
        # An upper bound of the response time: that of the wait, and of the service, one after the other.
        tail = 1 - share
        wait = max(math.log(waits / tail), 0.0) / (capacity - rate)
        return (wait + math.log(1 / tail) / each) * 1000

    return Step(rate, seconds, arrived, rate, rate, percentile_ms(0.5), percentile_ms(0.99), percentile_ms(0.999))


@given(st.integers(1, 64), st.floats(5, 2000), st.floats(1.02, 1.5), st.floats(0.1, 0.6))
def test_the_knee_of_a_queue_is_at_its_capacity(servers: int, each: float, ratio: float, begin: float) -> None:
    """The answer is a rate that the queue carries, and the next one of the ramp is one that it does not."""
    capacity = servers * each
    rates = [capacity * begin]
    while rates[-1] < capacity * 1.6:
        rates.append(rates[-1] * ratio)
    bounds = Bounds(p99_ms=1e9)

    found = knee([step_of_mmc(rate, servers, each, 600) for rate in rates], bounds)

    # A rate a little above the capacity queues so slowly that it is within what noise may do.
    assert found.held is not None and found.failed is not None and found.why is Failure.QUEUE
    assert found.saturation_per_s == found.held.rate
    assert found.held.rate <= capacity / 0.94 and found.failed.rate > capacity


@given(st.integers(1, 32), st.floats(50, 2000), st.floats(2, 50))
def test_with_a_limit_of_latency_the_knee_is_where_it_is_passed(servers: int, each: float, times: float) -> None:
    capacity = servers * each
    alone_ms = step_of_mmc(capacity * 0.01, servers, each).p99_ms
    assert alone_ms is not None
    bounds = Bounds(p99_ms=alone_ms * times)
    curve = [step_of_mmc(capacity * n / 50, servers, each) for n in range(1, 60)]

    found = knee(curve, bounds)

    assert found.held is not None and found.held.p99_ms is not None and found.held.p99_ms <= bounds.p99_ms
    assert found.failed is not None and found.why in (Failure.LATENCY, Failure.QUEUE)
    assert found.failed.rate == pytest.approx(found.held.rate + capacity / 50)


@pytest.mark.parametrize("servers", [1, 4, 16])
def test_the_knee_of_a_simulated_queue(servers: int) -> None:
    """Real arrivals, exponential service, counted as the generator counts: the answer is within a step of the truth."""
    each, seconds = 800.0 / servers, 10.0
    made = steps([200, 400, 600, 700, 780, 900, 1100], seconds)
    chance = random.Random(3)
    free = [0.0] * servers
    counts = [Count() for _ in made]
    for one in arrivals(made, Pattern.POISSON, 5):
        begin = max(heapq.heappop(free), one.at_s)
        end = begin + chance.expovariate(each)
        heapq.heappush(free, end)
        counts[one.window].arrived += 1
        counts[one.window].latency.add(round((end - one.at_s) * 1e6))
        answered = next((n for n, w in enumerate(made) if end < w.end_s), None)
        if answered is not None:
            counts[answered].served += 1

    found = knee([step_of(w, c, w.seconds) for w, c in zip(made, counts, strict=True)], Bounds())

    assert found.held is not None and found.failed is not None
    assert (found.held.rate, found.failed.rate) == (780, 900)


def ok(rate: float, **other: float) -> Step:
    values = {"p99_ms": 20.0, "served": rate, "offered": rate, **other}
    return Step(
        rate, 10.0, int(other.get("arrived", 1000)), values["offered"], values["served"], 5.0, values["p99_ms"], 50.0,
        error_share=other.get("error_share", 0.0), generator_cpu=other.get("generator_cpu", 0.1),
        generator_late_ms=other.get("generator_late_ms", 1.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (ok(100), None),
        (ok(100, served=96), None),
        (ok(100, served=90), Failure.QUEUE),
        (ok(100, p99_ms=1500), Failure.LATENCY),
        (ok(100, error_share=0.02), Failure.ERRORS),
        (ok(100, arrived=20), Failure.FEW),
        (ok(100, served=90, generator_cpu=0.95), Failure.GENERATOR),
        (ok(100, p99_ms=1500, generator_late_ms=900), Failure.GENERATOR),
        (ok(100, generator_cpu=0.95), None),
        (ok(100, error_share=0.5, generator_cpu=0.95), Failure.GENERATOR),
        (ok(100, error_share=0.5, generator_late_ms=60), Failure.GENERATOR),
        (ok(100, error_share=0.5, arrived=20, generator_late_ms=60), Failure.FEW),
        (ok(100, error_share=0.01, generator_late_ms=60), None),
    ],
)
def test_why_a_rate_is_not_held(step: Step, why: Failure | None) -> None:
    """A generator at its limit explains what is late and what fails; what was held all the same is held."""
    assert failure(step, Bounds()) is why


@given(
    rate=st.floats(10, 5000),
    served=st.floats(0, 1),
    p99_ms=st.floats(0, 1e5),
    error_share=st.floats(0, 1),
    cpu=st.floats(0, 1),
    late_ms=st.floats(0, 1e4),
)
def test_a_generator_at_its_limit_is_never_the_servers_saturation(
    rate: float, served: float, p99_ms: float, error_share: float, cpu: float, late_ms: float
) -> None:
    """Whatever a rate shows besides: no saturation is read from it. A generator within its limits is not blamed."""
    step = ok(
        rate, served=rate * served, p99_ms=p99_ms, error_share=error_share, generator_cpu=cpu, generator_late_ms=late_ms
    )
    limits = Bounds()
    at_its_limit = cpu > limits.busy or late_ms > limits.late_ms

    found = knee([step], limits)

    if at_its_limit:
        assert found.saturation_per_s is None and found.failed is None
    else:
        assert found.generator is None


def test_nothing_counts_above_the_first_failure() -> None:
    found = knee([ok(100), ok(200, served=120), ok(300)], Bounds())

    assert (found.saturation_per_s, found.held and found.held.rate) == (100, 100)


def test_no_failure_is_no_saturation() -> None:
    assert knee([ok(100), ok(200)], Bounds()).saturation_per_s is None


def test_not_even_the_lowest_rate() -> None:
    found = knee([ok(100, served=50), ok(200, served=50)], Bounds())

    assert found.held is None and found.saturation_per_s == 0.0


def test_a_generator_at_its_limit_says_nothing_of_the_server() -> None:
    found = knee([ok(100), ok(200, served=120, generator_cpu=0.99)], Bounds())

    assert found.saturation_per_s is None and found.generator is not None and found.held is not None


def test_latency_is_that_of_the_peak() -> None:
    curve = [ok(50), ok(100), ok(200), ok(400, served=100)]
    found = knee(curve, Bounds())

    assert [(s := at_rate(curve, rate, found)) and s.rate for rate in (10, 100, 101, 1000)] == [50, 100, 200, 200]
    assert at_rate([], 10, knee([], Bounds())) is None


def test_a_generator_that_is_behind_has_offered_no_less() -> None:
    """What was due counts as arrived, so that a window of which little was begun yet is not taken for held."""
    window = steps([1000], 10)[0]
    latency = Histogram()
    latency.add(1000, 300)
    behind = Count(arrived=300, served=300, latency=latency, cpu_s={0: 9.9})

    assert step_of(window, behind, 10).offered == 960
    assert failure(step_of(window, behind, 10), Bounds()) is Failure.GENERATOR
    assert step_of(window, behind, 10, turns=3).offered == 30, "sessions come when they come"


def test_a_step_has_what_was_counted() -> None:
    window = steps([100], 10)[0]
    latency = Histogram()
    for us in (1000, 2000, 900_000):
        latency.add(us)
    count = Count(arrived=1000, abandoned=2, served=980, errors={"53300": 1}, latency=latency, cpu_s={0: 5.0, 1: 2.0})

    found = step_of(window, count, window.seconds)

    assert (found.offered, found.served, found.abandoned, found.generator_cpu) == (100, 98, 2, 0.5)
    assert found.error_share == pytest.approx(1 / 3) and found.p99_ms == pytest.approx(900, rel=0.01)
