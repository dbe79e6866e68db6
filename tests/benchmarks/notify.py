"""How long does it take from an event to the message at a receiver, and what does looking cost classic?

    python -m tests.benchmarks.notify [--events 30] [--tenants 10000]

The notifier runs with the bounds of production, in a process of its own; the receivers are a webhook and a pager on
this machine. An event is committed at a random moment of the notifier's second: a wave that is done, a gate, a rollback
of all. The time ends when the request has arrived. What often clears by itself takes `tell_after_s` longer.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.notify.classic import Looker
from migrator.plan.notify import Notify
from tests import ROOT
from tests.benchmarks.common import cpu_s, run_measure
from tests.fixtures.postgres import Machines
from tests.fixtures.receivers import WebReceiver, web_receiver
from tests.fixtures.waiting import eventually
from tests.integration.notify.notifying import begin, plan_with

CHILD = """
import asyncio, sys
from migrator.notify.run import run
asyncio.run(run(asyncio.Event(), lambda: sys.argv[1]))
"""
TENANTS = """
INSERT INTO migrator.tenant (tenant_id, part, state, wave, validated_at, divergent, clean_at)
SELECT 't' || g, 1, CASE WHEN g % 3 = 0 THEN 'quarantined' ELSE 'mirrored' END, 1, now(), 0, now()
  FROM generate_series(1, {0}) g;
INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason, wave)
SELECT 't' || g, 1, 'limitless', 1, 'bench', '', 1 FROM generate_series(1, {0}) g;
"""


def measure_notify(machines: Machines, args: argparse.Namespace) -> None:
    dsn = machines.new_classic("notify")
    conn = connect(dsn, "bench")
    bounds = Notify().model_dump(mode="json", exclude={"receiver", "quiet_start_s", "over_after_s"})
    with web_receiver() as web, web_receiver(202) as pages:
        os.environ["HOOK"], os.environ["KEY"] = f"{web.url}/services", "k" * 32
        receivers = {
            "team": {"kind": "slack", "url": "env:HOOK"},
            "oncall": {"kind": "pagerduty", "key": "env:KEY", "endpoint": pages.url, "severity": "info"},
        }
        begin(conn, plan_with(receivers, **bounds))
        conn.execute(TENANTS.format(args.tenants).encode())
        conn.execute("UPDATE migrator.switch SET write_mode = 'dual'")
        conn.execute("VACUUM ANALYZE")
        child = subprocess.Popen([sys.executable, "-c", CHILD, dsn], env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            _settled(web)
            for what, event in _events(conn).items():
                taken = [_told(event, number, web, pages) for number in range(args.events)]
                first, both = zip(*taken, strict=True)
                print(f"{what}: webhook {seconds(first)}, and pager {seconds(both)}")
        finally:
            child.terminate()
            child.wait()
        looker, pid = Looker("bench"), conn.info.backend_pid
        conn.execute("UPDATE migrator.notifier SET until = '-infinity'")
        looker.look(conn)
        for what, act in (
            ("a look at nothing new", lambda: looker.look(conn)),
            ("a whole look", lambda: collect(conn)),
        ):
            servers, began = cpu_s(pid), time.perf_counter()
            for _ in range(20):
                act()
            spent = (cpu_s(pid) - servers) / 20, (time.perf_counter() - began) / 20
            print(f"{what}: {spent[1] * 1000:.1f} ms, of classic's processor {spent[0] * 1000:.1f} ms")
    print(f"{args.tenants} tenants, load of the machine: {os.getloadavg()[0]:.1f}")


def _events(conn: object) -> dict[str, Callable[[int], None]]:
    from typing import Any, cast

    classic = cast(Any, conn)

    def wave(number: int) -> None:
        decide(classic, "cutover", "wave.finished", f"wave-{number}", "all tenants read from Limitless")

    def gate(number: int) -> None:
        set_phase(classic, "audit", "running" if number % 2 else "blocked")
        set_phase(classic, "audit", "waiting", "waiting for an approval of audit")

    def rollback(number: int) -> None:
        with classic.transaction():
            classic.execute(
                "UPDATE migrator.switch SET epoch = epoch + 1, level = 'classic', changed_at = now() + '2 s'"
            )
            decide(classic, "ann", "switch.moved", "switch", "slow", after={"level": "classic"})

    return {"a wave is done": wave, "a gate waits": gate, "a rollback of all": rollback}


def _told(event: Callable[[int], None], number: int, web: WebReceiver, pages: WebReceiver) -> tuple[float, float]:
    time.sleep(random.uniform(2.0, 3.0))  # at any moment of the notifier's second, and never two at once
    before = len(web.got), len(pages.got)
    began = time.monotonic()
    event(number)
    eventually(lambda: len(web.got) > before[0] and len(pages.got) > before[1], "both are told")
    times = web.got[before[0]].at - began, pages.got[before[1]].at - began
    return times[0], max(times)


def _settled(web: WebReceiver) -> None:
    """What stands from the beginning is told: the quarantined tenants."""
    eventually(lambda: web.got, "the first message")


def seconds(found: tuple[float, ...]) -> str:
    return f"median {statistics.median(found):.2f} s (longest {max(found):.2f})"


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--tenants", type=int, default=10_000)


if __name__ == "__main__":
    run_measure(__doc__, measure_notify, _more)
