"""People are told: once, in order, again after a failure, by one process at a time, and that it is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control import notify as stored
from migrator.control.log import decide
from migrator.db.connect import connect
from migrator.model.route import FallbackScope
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.fallback import raise_fallback
from tests.fixtures.receivers import Answer, WebReceiver, web_receiver
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.integration.notify.notifying import (
    begin,
    change,
    gate_passed,
    gate_waits,
    notifying,
    pager,
    plan_with,
    slack,
)

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


@pytest.fixture
def other() -> Iterator[WebReceiver]:
    with web_receiver(202) as made:
        yield made


async def got(receiver: WebReceiver, count: int) -> None:
    async def there() -> bool:
        return len(receiver.got) >= count

    await until(there, f"{count} messages, not {len(receiver.got)}")


async def sent(conn: Connection, count: int, state: str = "sent") -> None:
    async def recorded() -> bool:
        return sum(line.state == state for line in stored.newest(conn, 100)) >= count

    await until(recorded, f"{count} messages are recorded as {state}")


async def test_a_gate_that_waits_is_told_and_that_it_is_over(
    classic: Connection, classic_dsn: str, web: WebReceiver, other: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receivers = {"team": slack(web, monkeypatch), "oncall": pager(other, monkeypatch, severity="warning")}
    begin(classic, plan_with(receivers))
    async with notifying(classic_dsn):
        gate_waits(classic)
        await got(web, 1)
        await got(other, 1)
        gate_passed(classic)
        await got(web, 2)
        await got(other, 2)
        await sent(classic, 4)

    assert web.texts() == [
        "migrator shop: WARNING: a gate waits for an approval",
        "migrator shop: OVER: a gate waits for an approval",
    ]
    assert "migrator approve audit --as NAME" in web.got[0].json["text"]
    first, last = (g.json for g in other.got)
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"] and first["routing_key"].startswith("R0UTING")
    assert first["payload"]["severity"] == "warning" and other.got[0].path == "/v2/enqueue"
    kept = classic.execute("SELECT string_agg(n::text, ' ') FROM migrator.notification n").fetchone()
    assert kept is not None and "s3cret" not in kept[0] and "R0UTING" not in kept[0]


async def test_a_rollback_reaches_people_within_seconds(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"team": slack(web, monkeypatch)}, look_s=60.0))
    async with notifying(classic_dsn) as notifier:
        await until(_looked(notifier), "the first look")
        began = time.monotonic()
        classic.execute("UPDATE migrator.switch SET write_mode = 'dual'")
        roll_back(classic, all=True, who="ann", reason="checkout <b>slow</b> @here")
        await got(web, 1)
        assert web.got[0].at - began < 60, "a decision is seen by its number, and not by the next look"

    text = web.got[0].json["text"]
    assert text.startswith("migrator shop: CRITICAL: reads were rolled back to classic")
    assert "<b>" not in text and "@here" not in text


def _looked(notifier: Any) -> Any:
    async def done() -> bool:
        return bool(notifier.sends)

    return done


async def test_what_happened_while_no_process_looked_is_told(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    async with notifying(classic_dsn):
        await until(_read(classic), "the log is read up to now")
    classic.execute("UPDATE migrator.notifier SET until = now() - interval '1 hour'")
    raise_fallback(classic, FallbackScope.ALL, "", by="monitor", reason="Limitless does not answer", incident=False)
    classic.execute("DELETE FROM migrator.fallback")
    decide(classic, "cutover", "wave.finished", "wave-3", "5 of 5 tenants read from Limitless")
    decide(classic, "ann", "gate.passed", "audit", "no blockers")
    async with notifying(classic_dsn):
        await got(web, 3)
        await sent(classic, 3)
    async with notifying(classic_dsn):  # and not a second time
        gate_waits(classic)
        await got(web, 4)

    assert [text.partition(": ")[2] for text in web.texts()] == [
        "ERROR: reads have fallen back to classic",
        "INFO: a wave is done",
        "INFO: a phase is done",
        "WARNING: a gate waits for an approval",
    ]


def _read(conn: Connection) -> Any:
    async def done() -> bool:
        row = conn.execute("SELECT decision IS NOT NULL FROM migrator.notifier").fetchone()
        return bool(row and row[0])

    return done


async def test_a_decision_that_commits_late_is_not_missed(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are given before the commit: a cursor that followed the highest one would pass this decision by."""
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    async with notifying(classic_dsn):
        await until(_read(classic))
        with connect(classic_dsn, "slow") as slow, slow.transaction():
            decide(slow, "cutover", "wave.finished", "wave-1", "first, and late")
            for number in range(2, 5):
                decide(classic, "cutover", "wave.finished", f"wave-{number}", "later, and at once")
                await got(web, number - 1)
        await got(web, 4)

    assert "wave-1" in web.got[3].json["text"] and len(web.got) == 4


async def test_a_dead_receiver_delays_no_other_and_gets_it_later(
    classic: Connection, classic_dsn: str, web: WebReceiver, other: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answers with errors, asks for less, hangs until the other one has everything; then it has all, in order."""
    free = threading.Event()
    for bound in ("send._STEP_S", "send.TIMEOUT_S", "run.HANGS_S"):  # it is not given up while this test looks
        monkeypatch.setattr(f"migrator.notify.{bound}", TIMEOUT_S)
    other.script.extend(
        [Answer(500), Answer(429, {"Retry-After": "1"}), Answer(200, after=lambda: free.wait(TIMEOUT_S))]
    )
    receivers = {"team": slack(web, monkeypatch), "slow": slack(other, monkeypatch, "OTHER")}
    begin(classic, plan_with(receivers))
    async with notifying(classic_dsn):
        gate_waits(classic)
        await got(web, 1)
        gate_passed(classic)
        await got(web, 2)
        await got(other, 3)
        failing = {row.receiver: row for row in stored.receivers(classic)}["slow"]
        assert failing.problem == "HTTP 429: it asks to be sent less" and failing.waiting == 2
        free.set()
        await sent(classic, 4)

    assert other.texts()[-2:] == web.texts()


@pytest.mark.parametrize("status", [302, 401, 403, 404, 410])
async def test_a_receiver_that_is_configured_wrongly_is_said_and_tried_once_corrected(
    status: int, classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.usual = Answer(status, {"Location": "http://127.0.0.1:1/elsewhere"})
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    gate_waits(classic)
    async with notifying(classic_dsn):

        async def failing() -> Any:
            return [row for row in stored.receivers(classic) if f"HTTP {status}" in row.problem]

        await until(failing)
        web.usual = Answer(200)
        classic.execute("UPDATE migrator.receiver SET due_at = 'infinity'")  # it would be tried again much later
        change(classic, plan_with({"team": slack(web, monkeypatch, severity="warning")}))
        await sent(classic, 1)


async def test_a_message_that_is_refused_lets_others_pass_and_is_given_up(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.script.extend([Answer(400)])
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    async with notifying(classic_dsn):
        gate_waits(classic)
        await got(web, 1)
        await until(_read(classic))
        decide(classic, "cutover", "wave.finished", "wave-1", "done")
        await sent(classic, 1)  # the second one
        classic.execute("UPDATE migrator.notification SET tries = 4, due_at = '-infinity' WHERE state = 'waiting'")
        web.script.extend([Answer(400)])
        await sent(classic, 1, "given_up")

    assert [line.problem.partition(":")[0] for line in stored.newest(classic, 2)] == ["", "HTTP 400"]


async def test_a_receiver_that_takes_nothing_for_minutes_is_told_to_the_others(
    classic: Connection, classic_dsn: str, web: WebReceiver, other: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.usual = Answer(404)
    receivers = {"team": slack(web, monkeypatch), "broken": slack(other, monkeypatch, "OTHER")}
    begin(classic, plan_with(receivers))
    async with notifying(classic_dsn):
        gate_waits(classic)
        await got(other, 1)
        await sent(classic, 1)

        async def failing() -> bool:
            found = (
                "UPDATE migrator.receiver SET failing_since = now() - interval '1 hour' WHERE failing_since IS NOT NULL"
            )
            return bool(classic.execute(found).rowcount)

        await until(failing)
        await got(web, 2)

    assert web.texts()[1] == "migrator shop: WARNING: a receiver of notifications refuses them"
    assert "broken" in web.got[1].json["text"] and "HTTP 404" in web.got[1].json["text"]


async def test_of_two_notifiers_one_sends_and_the_other_follows(
    classic: Connection, classic_dsn: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"team": slack(web, monkeypatch)}))
    async with notifying(classic_dsn) as second:
        async with notifying(classic_dsn) as first:
            gate_waits(classic)
            await got(web, 1)
            await until(_sees_another(first, second), "one of them knows that the other one sends")
        if stored.holder(classic).name == first.me:
            assert stored.holder(classic).left_s <= 0  # it gave the lease back
        gate_passed(classic)
        await got(web, 2)
        await sent(classic, 2)
        assert stored.holder(classic).name == second.me

    assert len(web.got) == 2


def _sees_another(one: Any, other: Any) -> Any:
    async def done() -> bool:
        return bool(one._looked.holder == other._looked.holder != "")

    return done


async def test_a_receiver_that_comes_later_is_told_what_stands(
    classic: Connection, classic_dsn: str, web: WebReceiver, other: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = slack(web, monkeypatch)
    begin(classic, plan_with({"team": team}))
    async with notifying(classic_dsn):
        gate_waits(classic)
        await got(web, 1)
        change(classic, plan_with({"team": team, "late": slack(other, monkeypatch, "OTHER")}))
        await got(other, 1)
        await sent(classic, 2)

    assert len(web.got) == 1
