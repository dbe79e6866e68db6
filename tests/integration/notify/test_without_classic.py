"""The notifier says itself that classic is unreachable, survives being killed, and is silent behind the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control import notify as stored
from migrator.control.install import install_limitless
from migrator.control.log import decide
from migrator.control.route import store_settled
from migrator.db.connect import connect
from migrator.notify import direct, run
from migrator.notify.run import Notifier
from tests import ROOT
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.receivers import Answer, WebReceiver, web_receiver
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.integration.notify.notifying import begin, gate_waits, notifying, pager, plan_with, slack

pytestmark = pytest.mark.pg
Connection = psycopg.Connection[Any]

UNREACHABLE = "migrator shop: CRITICAL: classic is unreachable"
OVER = "migrator shop: OVER: classic is unreachable"


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "test") as conn:
        yield conn


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with web_receiver() as made:
        yield made


async def got(receiver: WebReceiver, count: int) -> None:
    async def there() -> bool:
        return len(receiver.got) >= count

    await until(there, f"{count} messages, not {len(receiver.got)}")


async def sends(notifier: Notifier) -> None:
    async def does() -> bool:
        return notifier.sends

    await until(does, "it has the lease")


@pytest.mark.parametrize("loss", ["cut_off", "stall"])
async def test_an_unreachable_classic_is_said_without_it_and_that_it_is_back(
    loss: str,
    classic: Connection,
    classic_dsn: str,
    proxy: MakeProxy,
    web: WebReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused connections, and sockets on which nothing comes any more: there only a bound of our own helps."""
    monkeypatch.setattr(run, "HANGS_S", TIMEOUT_S)  # however slow this machine is, classic is reached
    way = proxy(classic_dsn)
    plan = plan_with({"team": slack(web, monkeypatch), "oncall": pager(web, monkeypatch)})
    begin(classic, plan)
    async with notifying(way.dsn(classic_dsn)) as notifier:
        await sends(notifier)
        await asyncio.to_thread(getattr(way, loss))
        monkeypatch.setattr(run, "HANGS_S", 1.5)
        await got(web, 2)
        monkeypatch.setattr(run, "HANGS_S", TIMEOUT_S)
        await asyncio.to_thread(way.clear_faults)
        await got(web, 4)
        gate_waits(classic)  # and everything goes on
        await got(web, 5)

    by_path = {path: [g.json for g in web.got if g.path.startswith(path)] for path in ("/services", "/v2")}
    assert [body["text"].partition("\n")[0] for body in by_path["/services"]][:2] == [UNREACHABLE, OVER]
    first, last = by_path["/v2"]
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"] and "password" not in str(first)


async def test_it_is_said_by_one_that_never_reached_classic_under_the_same_key(
    web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is started during the outage; each of several says it, as one alert."""
    monkeypatch.setenv("B", "postgresql://u:hunter2@127.0.0.1:1/y")
    plan = plan_with({"oncall": pager(web, monkeypatch)})
    dsn = "postgresql://u:hunter2@127.0.0.1:1/x"
    async with notifying(dsn, plan), notifying(dsn, plan):
        await got(web, 2)

    assert len({g.json["dedup_key"] for g in web.got}) == 1 and b"hunter2" not in web.got[0].raw
    assert web.got[0].json["payload"]["summary"].startswith(UNREACHABLE)


async def test_one_that_knows_that_another_sends_leaves_it_to_that_one(
    classic: Connection, classic_dsn: str, proxy: MakeProxy, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = proxy(classic_dsn)
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    async with notifying(classic_dsn) as first:
        await sends(first)
        async with notifying(way.dsn(classic_dsn)) as second:

            async def knows() -> bool:
                return second._looked.holder == first.me

            async def fails() -> bool:
                return second._failing is not None and asyncio.get_running_loop().time() - second._failing[0] > 2

            await until(knows)
            await asyncio.to_thread(way.cut_off)
            await until(fails)  # for longer than unreachable_s
            assert web.got == []
            monkeypatch.setattr(direct, "OTHERS_LATER_S", 0.0)
            await got(web, 1)

    assert web.texts()[0] == UNREACHABLE


async def test_behind_the_end_an_unreachable_classic_wakes_nobody(
    classic: Connection, classic_dsn: str, limitless_dsn: str, proxy: MakeProxy, web: WebReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Classic was retired before the notifier looked again: Limitless holds the terminal route."""
    monkeypatch.setenv("B", limitless_dsn)
    way = proxy(classic_dsn)
    plan = plan_with({"team": slack(web, monkeypatch)})
    begin(classic, plan)
    with connect(limitless_dsn, "test") as limitless:
        install_limitless(limitless)
        async with notifying(way.dsn(classic_dsn), plan) as notifier:
            await sends(notifier)
            store_settled(limitless, 9, None, "digest", "ann")
            await asyncio.to_thread(way.cut_off)
            await got(web, 1)

            async def later() -> bool:
                return asyncio.get_running_loop().time() > began + 3

            began = asyncio.get_running_loop().time()
            await until(later)  # longer than unreachable_s: silence is what is looked for

    assert web.texts() == ["migrator shop: INFO: the migration is finished"]


async def test_the_end_is_told_from_classic_while_it_is_there(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    async with notifying(classic_dsn) as notifier:
        await sends(notifier)
        decide(classic, "ann", "write_mode.changed", "switch", "decommission", after={"write_mode": "limitless_only"})
        await got(web, 1)
        classic.execute("UPDATE migrator.switch SET write_mode = 'limitless_only'")
        classic.execute("INSERT INTO migrator.phase (phase, state) VALUES ('decommission', 'done')")
        await got(web, 2)

    assert [text.partition(": ")[2] for text in web.texts()] == [
        "WARNING: Limitless is authoritative", "INFO: the migration is finished",
    ]  # fmt: skip


CHILD = """
import asyncio, sys
from migrator.notify import classic
from migrator.notify.run import run
classic.LEASE_S = 3.0
asyncio.run(run(asyncio.Event(), lambda: sys.argv[1]))
"""


async def test_one_killed_between_sending_and_recording_is_followed_and_nothing_is_lost(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: the same message comes again, under the same key, from the process that follows."""
    begin(classic, plan_with({"oncall": pager(web, monkeypatch, severity="info")}))
    gate_waits(classic)
    child: list[subprocess.Popen[bytes]] = []
    web.script.append(Answer(202, after=lambda: os.kill(child[0].pid, signal.SIGKILL)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-c", CHILD, classic_dsn], env=environment)
    child.append(started)
    await got(web, 1)
    assert await asyncio.to_thread(child[0].wait, 60) == -signal.SIGKILL
    assert [line.state for line in stored.newest(classic, 9)] == ["waiting"]
    async with notifying(classic_dsn):  # waits until the lease of the dead one has run out: seconds
        await got(web, 2)

        async def recorded() -> bool:
            return [line.state for line in stored.newest(classic, 9)] == ["sent"]

        await until(recorded)

    first, again = (g.json for g in web.got)
    assert first == again
