"""What a process counts: since it began, whatever was flushed in between."""

from __future__ import annotations

import subprocess
import sys

import pytest

from migrator.errors import ClusterUnavailable
from migrator.model.ack import Ack
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.metrics import Metrics
from migrator.shim.stats import stats_of
from migrator.testing import Asked, Level, MemoryShim


def answers(asked: Asked) -> int:
    return 1


def shim() -> MemoryShim:
    return MemoryShim(answers, {})


def test_reads_and_writes_are_counted_by_side_and_level() -> None:
    with shim() as one:
        one.move("a", Level.LIMITLESS)
        for tenant in ("a", "a", "b"):
            one.run_read(tenant, lambda r: r.connection.execute("SELECT 1"))
        for ack in (Ack.EVERYWHERE, Ack.SESSION, Ack.SESSION, Ack.NONE):
            one.run_write("a", lambda w: w.connection.execute("UPDATE x"), ack=ack)
        stats = one.stats()

    assert stats.reads == {"classic": 1, "limitless": 2}
    assert {ack: waits.writes for ack, waits in stats.writes.items()} == {"everywhere": 1, "session": 2, "none": 1}
    assert (stats.failures, stats.fell_back, stats.settled) == ({}, 0, False)
    assert stats.routes_age_s == 0.0 and stats.epoch > 0


def test_a_block_that_says_nothing_is_no_write() -> None:
    with shim() as one:
        with one.write("a"):
            pass
        with pytest.raises(ZeroDivisionError), one.write("a") as w:
            w.connection.execute("UPDATE x")
            raise ZeroDivisionError
        assert one.stats().writes["everywhere"].writes == 0


def test_a_lost_side_is_counted_by_the_class_of_its_errors() -> None:
    with shim() as one:
        one.move("a", Level.LIMITLESS)
        one.lose(Side.LIMITLESS)
        for _ in range(3):
            one.run_read("a", lambda r: r.connection.execute("SELECT 1"))
        stats = one.stats()
        assert stats.failures["limitless", "08"] >= 1
        assert stats.reads["classic"] == 3

        one.lose(Side.CLASSIC)
        with pytest.raises(ClusterUnavailable):
            one.run_read("b", lambda r: r.connection.execute("SELECT 1"))
        assert one.stats().failures["classic", "08"] == 2, (
            "a read without a connection counts, and so does its second try"
        )


def test_a_write_whose_acknowledgement_fails_is_unconfirmed() -> None:
    metrics = Metrics()
    metrics.wrote(Ack.EVERYWHERE, 900.0, unconfirmed=True)
    metrics.wrote(Ack.EVERYWHERE, 3.0, unconfirmed=False)
    waits = stats_of(metrics.counts()).writes["everywhere"]

    assert (waits.writes, waits.unconfirmed) == (2, 1)
    assert 900 <= waits.p99_ms <= 900 * 1.19


def test_a_flush_takes_the_samples_and_leaves_the_counts() -> None:
    metrics, tenant = Metrics(), TenantId("a")
    for _ in range(2):
        metrics.read(tenant, Side.LIMITLESS, 1.0, failed=True, watched=True, state_class="57")
        metrics.endpoint("db-1:5432", 1.0, failed=False)
        metrics.fell_back()
        taken = metrics.take_reads()
        assert taken is not None
        assert [*zip(taken["tenants"], taken["sides"], taken["errors"], strict=True)] == [
            (None, "limitless", 1), ("a", "limitless", 1), (None, "error/limitless/57", 0),
            (None, "classic/db-1:5432", 0), (None, "fell_back", 0),
        ]  # fmt: skip
    assert metrics.take_reads() is None
    stats = stats_of(metrics.counts())

    assert (stats.reads["limitless"], stats.failures, stats.fell_back) == (2, {("limitless", "57"): 2}, 2)


def test_a_process_that_does_not_use_opentelemetry_does_not_load_it() -> None:
    """Though it is installed here: opening the shim, reading and writing import nothing of it."""
    probe = (
        "import sys; from migrator.testing import MemoryShim\n"
        "with MemoryShim(lambda asked: 1, {}) as shim:\n"
        "    shim.run_read('a', lambda r: r.connection.execute('SELECT 1'))\n"
        "    shim.run_write('a', lambda w: w.connection.execute('UPDATE x'))\n"
        "    shim.stats()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
