"""Workers and servers run a notifier, whatever the tenants are called and whatever was there before."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from migrator.control import notify as stored
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.decommission.daily_check import check
from migrator.decommission.record import report_incident
from migrator.decommission.window import Window
from tests.fixtures.receivers import WebReceiver, web_receiver
from tests.fixtures.waiting import until
from tests.integration.notify.notifying import begin, gate_waits, notifying, plan_with, slack
from tests.integration.serve.served import HOSTILE, serving
from workflows.activities.base import Context
from workflows.notifying import keep_notified

pytestmark = pytest.mark.pg
Connection = psycopg.Connection[Any]


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


async def test_a_worker_sends_and_gives_the_lease_back(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Temporal: what is told must not depend on it."""
    monkeypatch.setenv("A", classic_dsn)
    plan = plan_with({"team": slack(web, monkeypatch)})
    begin(classic, plan)
    running = asyncio.create_task(keep_notified(Context(plan)))
    gate_waits(classic)
    await got(web, 1)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert stored.holder(classic).left_s <= 0
    assert [line.state for line in stored.newest(classic, 9)] == ["sent"]


async def test_a_server_sends(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    gate_waits(classic)
    with serving(classic_dsn) as served:
        await got(web, 1)
        assert await asyncio.to_thread(served.end) == 0

    assert stored.holder(classic).left_s <= 0


async def test_ten_thousand_tenants_with_names_of_all_kinds_are_one_message(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    names = [*HOSTILE, *(f"t{n}" for n in range(10_000 - len(HOSTILE)))]
    classic.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state, reason)"
        " SELECT n, 1, 'quarantined', '22003 on app.orders' FROM unnest(%s::text[]) n",
        (names,),
    )
    async with notifying(classic_dsn):
        await got(web, 1)
        gate_waits(classic)
        await got(web, 2)

    text = web.got[0].json["text"]
    assert "10,000 tenants are quarantined" in text and "and 9,995 more" in text
    assert not re.search(r"[<>\x00-\x09\x0b-\x1f\u202a-\u202e]", text) and len(web.got[0].raw) < 10_000


async def test_a_reported_incident_and_the_window_it_restarts_are_told(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_with({"team": slack(web, monkeypatch)})
    begin(classic, plan)
    async with notifying(classic_dsn) as notifier:

        async def sends() -> bool:
            return notifier.sends

        await until(sends)
        window = check(classic, plan, 1_000.0, None).window
        report_incident(classic, "checkout p99 over 2 s", "ann")
        await got(web, 1)
        again = check(classic, plan, 2_000.0, window).window
        check(classic, plan, 2_000.0, window)  # tried again: the answer was lost
        check(classic, plan, 3_000.0, again)
        gate_waits(classic)
        await got(web, 3)

    assert [text.partition(": ")[2] for text in web.texts()] == [
        "ERROR: an incident was reported",
        "WARNING: the stabilization window began again",
        "WARNING: a gate waits for an approval",
    ]
    assert isinstance(again, Window) and again.restarts == 1


async def test_what_was_before_the_first_notifier_is_not_told(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    report_incident(classic, "weeks ago", "ann")
    async with notifying(classic_dsn):
        gate_waits(classic)
        await got(web, 1)

    assert web.texts() == ["migrator shop: WARNING: a gate waits for an approval"]


async def test_another_version_of_the_control_schema_is_told_without_its_tables(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of another version's tables is read or written: the process' own plan says who is told."""
    plan = plan_with({"team": slack(web, monkeypatch)})
    install(classic, "shop", "digest", {}, {})
    classic.execute("UPDATE migrator.installed SET version = 99")
    classic.execute("DROP TABLE migrator.notifier, migrator.open_condition, migrator.notification")
    async with notifying(classic_dsn, plan):
        await got(web, 1)

    assert web.texts() == ["migrator shop: ERROR: the control schema is of another version"]


async def test_before_installation_nothing_is_told_and_nothing_is_wrong(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_with({"team": slack(web, monkeypatch)})
    async with notifying(classic_dsn, plan) as notifier:

        async def looked() -> bool:
            return notifier._conn is not None

        await until(looked)
        begin(classic, plan)
        gate_waits(classic)
        await got(web, 1)

    assert web.texts() == ["migrator shop: WARNING: a gate waits for an approval"]
