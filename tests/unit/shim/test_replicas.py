"""Which replicas may be read, what a write waits for, and when a replica is put aside: pure."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as some

from migrator.shim.replica_change import Level
from migrator.shim.replicas import Bucket, Health, Lag, Position, Registry, Replica, Seen, by_turns, too_slow

SERVES = Replica("r1", "db-1", Level.SERVING, 7, "w1", "web-1", 0.0, 0)


def registry(*replicas: Replica, confirmed: int = -1, writer: str = "w1") -> Registry:
    return Registry(writer, {r.instance: r for r in replicas}, confirmed)


def test_only_what_serves_under_this_writer_is_read() -> None:
    assert registry(SERVES).serves("r1") is SERVES
    assert registry(SERVES).serves("r2") is None, "another start of the server"
    assert registry(SERVES, writer="w2").serves("r1") is None, "the writer was restarted or restored"
    assert registry(replace(SERVES, level=Level.JOINING)).serves("r1") is None
    assert registry(replace(SERVES, level=Level.OUT)).serves("r1") is None


def test_a_replica_that_is_out_is_owed_until_every_process_has_applied_it() -> None:
    out = replace(SERVES, level=Level.OUT)

    assert registry(out).owed == (out,), "confirmations were never asked"
    assert registry(out, confirmed=6).owed == (out,)
    assert registry(out, confirmed=7).owed == ()
    assert registry(replace(SERVES, level=Level.JOINING), confirmed=9).owed, "writes wait before it is read"


def test_a_position_of_another_start_of_the_writer_is_held_by_none() -> None:
    assert registry(SERVES).behind(Position("w1", 50), {"r1": 50}) == []
    assert registry(SERVES).behind(Position("w1", 51), {"r1": 50}) == [SERVES]
    assert registry(SERVES).behind(Position("w2", 50), {"r1": 50}) == [SERVES]
    assert registry(SERVES).behind(Position("w1", 0), {}) == [SERVES], "never asked"


def test_what_was_confirmed_in_another_history_counts_for_nothing() -> None:
    row = ("w1", 10, [["r1", "db-1", "out", 7, "w1", "web-1", 0.5, 1]], None)
    before = Registry("w1", {}, 9)

    assert Registry.of(row, before, same_history=True).owed == ()
    assert len(Registry.of(row, before, same_history=False).owed) == 1
    assert Registry.of((*row[:3], 3), before, same_history=True).confirmed == 9, "it never goes back"


def test_answers_of_servers_are_read_as_texts_and_as_values() -> None:
    assert Seen.of(["t", "r1", "5000000000"]) == Seen(True, "r1", 5_000_000_000)
    assert Seen.of([False, "r1", None]) == Seen(False, "r1", -1)
    assert Position.of(["w1", "77"]) == Position("w1", 77)
    assert Position.of([]) is None
    assert Position.of(["w1", None]) is None


def test_lag_is_counted_on_one_clock() -> None:
    lag = Lag()
    for at_s, lsn in ((1.0, 100), (2.0, 100), (3.0, 300), (4.0, 400)):
        lag.wrote(at_s, lsn)

    assert lag.of(400, 9.0) == 0.0
    assert lag.of(350, 9.0) == 5.0, "what was written by 4.0 is missing"
    assert lag.of(99, 9.0) == 8.0
    lag.wrote(10.0, 50)  # another writer, whose log begins lower
    assert lag.of(50, 11.0) == 0.0


def test_lag_is_read_while_another_thread_notes_the_writer() -> None:
    """A read of the application's thread must not fail because the watch has just heard of the writer."""
    lag = Lag()
    for lsn in (100, 200, 300):
        lag.wrote(float(lsn), lsn)

    class Meanwhile(int):
        """A position during whose comparison the watch notes two moments, the second of another writer."""

        def __ge__(self, other: int) -> bool:
            lag.wrote(400.0, 400)
            lag.wrote(500.0, 50)
            return int(self) >= other

    assert lag.of(Meanwhile(150), 1000.0) == 800.0, "by what was known when it was asked"
    assert lag.of(50, 1000.0) == 0.0


def test_failures_eject_for_longer_each_time_and_good_answers_forgive() -> None:
    health = Health()
    for _ in range(2):
        health = health.failed(10.0, 0.5)
    assert health.admits(10.0), "two failures are no reason"
    health = health.failed(10.0, 0.5)
    assert not health.admits(11.9)
    assert health.admits(12.1)
    assert not replace(health, trial=True).admits(12.1), "one read at a time tries"

    again = health.failed(13.0, 0.5)
    assert not again.admits(16.9), "twice as long"
    for _ in range(10):
        again = again.answered(1.0)
    assert not again.half_open
    assert Health().failed(1.0, 0.5, silent=True).half_open, "an answer that never came ejects at once"


def test_the_slow_one_is_put_aside_and_never_the_only_one() -> None:
    def with_mean(ms: float) -> Health:
        health = Health()
        for _ in range(20):
            health = health.answered(ms)
        return health

    assert too_slow(with_mean(400), [with_mean(5), with_mean(6)])
    assert not too_slow(with_mean(400), [])
    assert not too_slow(with_mean(400), [with_mean(300)])
    assert not too_slow(with_mean(40), [with_mean(1)]), "nobody suffers from 40 ms"
    assert not too_slow(with_mean(400), [with_mean(5).ejected(0.0, 0.5)])


@given(some.lists(some.integers(0, 5), unique=True, max_size=5), some.integers(0, 1000))
def test_each_candidate_is_asked_once_and_each_comes_first_in_turn(candidates: list[int], turn: int) -> None:
    assert sorted(by_turns(candidates, turn)) == sorted(candidates)
    firsts = {by_turns(candidates, turn + k)[0] for k in range(len(candidates))}
    assert firsts == set(candidates)


@given(some.floats(1.0, 50.0), some.lists(some.floats(0.0, 0.3), min_size=1, max_size=200))
def test_the_writer_gets_no_more_than_its_rate_and_a_second_at_once(per_s: float, gaps: list[float]) -> None:
    bucket, now, taken = Bucket(per_s), 5.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
    assert taken <= per_s * (now - 5.0 - gaps[0]) + per_s + 1
