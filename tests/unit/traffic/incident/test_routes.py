"""The webhook's routes without a classic that answers: who is heard, how much is read, and that nothing is a 500."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import ClusterUnavailable
from migrator.plan.alarms import Alarms
from migrator.traffic.incident import desk as desks
from migrator.traffic.incident import flights as shared
from migrator.traffic.incident import routes as intake
from migrator.traffic.incident.caller import sign
from migrator.traffic.incident.desk import Desk
from migrator.traffic.incident.flights import Flights
from migrator.traffic.incident.memory import Bucket, Memory
from migrator.traffic.incident.serve import application
from migrator.traffic.incident.sources import Sources, resolved
from tests.fixtures import alarms as sent
from tests.unit.traffic.incident.test_senders import damaged

NOWHERE = "postgresql://operator:hush@127.0.0.1:1/none"
SECRET = sent.SECRET
ROLL_BACK = {"action": "roll_back", "all": True}
PLAN: dict[str, Any] = {
    "cloudwatch": {"topics": [sent.TOPIC], "secret": "env:CW", "rules": [ROLL_BACK]},
    "alertmanager": {"secret": "env:AM", "rules": [ROLL_BACK]},
    "datadog": {"secret": "env:DD", "rules": [ROLL_BACK]},
    "pagerduty": {"secret": "env:PD", "rules": [ROLL_BACK]},
}


class Webhook:
    """The application in this process, and what it told the log."""

    def __init__(self, plan: Mapping[str, Any] | None = None, sns: sent.Sns | None = None) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.sns = sns or sent.Sns()
        self.sources = resolved(Alarms.model_validate(PLAN if plan is None else plan), lambda reference: SECRET)
        self.desk = Desk(NOWHERE, SECRET, sources=lambda: self.sources, get=self.sns.get, log=self._told)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(self.desk)), base_url="http://webhook"
        )

    def _told(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append((event, dict(fields)))

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(
            path, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    async def proven(self, source: str, body: bytes) -> httpx.Response:
        """Send it as *source* does, proven."""
        if source == "pagerduty":
            return await self.post(
                "/alarms/pagerduty", body, x_pagerduty_signature=sent.pagerduty_signature(body, SECRET)
            )
        return await self.post(f"/alarms/{source}", body, authorization=f"Bearer {SECRET}")


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


ALL = {"all": True, "reason": "p99", "who": "pager"}
FIRING = {
    "alertmanager": sent.alertmanager(sent.alert()), "datadog": sent.datadog(), "pagerduty": sent.pagerduty(),
    "cloudwatch": sent.eventbridge(),
}  # fmt: skip


@pytest.mark.parametrize("source", FIRING)
async def test_nobody_is_heard_without_proof(webhook: Webhook, source: str) -> None:
    path, body = f"/alarms/{source}", json.dumps(FIRING[source]).encode()
    basic = base64.b64encode(b"sns:wrong").decode()
    for headers in (
        {}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {basic}"}, {"authorization": "Basic é"},
        {"authorization": SECRET}, {"authorization": "Bearer"}, {"x_pagerduty_signature": "v1=" + "0" * 64},
        {"x_migrator_signature": f"t=1,v1={sign(SECRET, 1, body)}"}, {"x_pagerduty_signature": "v1="},
        {"x_pagerduty_signature": sent.pagerduty_signature(body + b" ", SECRET)}, {"x_amz_sns_rawdelivery": "true"},
    ):  # fmt: skip
        content = {k.replace("_", "-"): v.encode("latin-1") for k, v in headers.items()}
        answer = await webhook.client.post(path, content=body, headers=[(k.encode(), v) for k, v in content.items()])

        assert answer.status_code == 401, headers
        assert "www-authenticate" in answer.headers, "SNS sends its password after it was asked for it"
    assert all(fields["outcome"] == "not authorized" for _, fields in webhook.lines)


@pytest.mark.parametrize("source", FIRING)
async def test_what_is_proven_is_heard(webhook: Webhook, source: str) -> None:
    """503: it wants to roll back, and there is no classic. The sender is told to try again."""
    body = json.dumps(FIRING[source]).encode()
    ways = [await webhook.proven(source, body)]
    if source != "pagerduty":
        now = int(time.time())
        ways.append(
            await webhook.post(f"/alarms/{source}", body, x_migrator_signature=f"t={now},v1={sign(SECRET, now, body)}")
        )
        password = base64.b64encode(f"anybody:{SECRET}".encode()).decode()
        ways.append(await webhook.post(f"/alarms/{source}", body, authorization=f"basic {password}"))
    else:
        both = sent.pagerduty_signature(body, "the old secret of some length", SECRET)
        ways.append(await webhook.post("/alarms/pagerduty", body, x_pagerduty_signature=both.replace(",", ", ")))

    for answer in ways:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), answer.text
        assert "hush" not in answer.text
    assert {fields["outcome"] for _, fields in webhook.lines} == {"classic unavailable"}


async def test_a_rule_that_is_new_counts_for_the_next_alarm(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are kept for a while; an alarm that would do nothing by them is judged by those of now."""
    monkeypatch.setattr(desks, "RECENT_S", 0.0)
    now, body = webhook.sources, json.dumps(FIRING["alertmanager"]).encode()
    for before in ({}, {"alertmanager": {"secret": "env:AM", "rules": []}}):
        webhook.sources = resolved(Alarms.model_validate(before), lambda reference: SECRET)
        webhook.desk._sources = webhook.sources
        webhook.sources = now

        assert (await webhook.proven("alertmanager", body)).status_code == 503, (
            "it wants to roll back, without a classic"
        )


@pytest.mark.parametrize("before", [{}, {"alertmanager": {"secret": "env:AM", "rules": []}}], ids=["source", "rule"])
async def test_an_alarm_is_not_lost_while_newer_rules_cannot_be_read(before: dict[str, Any]) -> None:
    """A server that began before the plan was stored, and classic hangs: senders try again after 5xx alone."""
    webhook = Webhook(before)
    await webhook.desk.ready()

    def unreadable() -> Sources:
        raise ClusterUnavailable("classic", "it did not answer in time", "")

    webhook.desk._read_sources, webhook.desk._read_at = unreadable, -1e9
    firing = await webhook.proven("alertmanager", json.dumps(FIRING["alertmanager"]).encode())
    over = await webhook.proven("alertmanager", json.dumps(sent.alertmanager(sent.alert(status="resolved"))).encode())

    assert (firing.status_code, firing.headers["retry-after"]) == (503, "5"), firing.text
    assert over.status_code == (200 if before else 503), "what does not fire does nothing by any rule"


async def test_a_rollback_that_cannot_be_done_now_says_when_to_try_again(webhook: Webhook) -> None:
    answer = await webhook.post("/rollback", ALL, authorization=f"Bearer {SECRET}")

    assert (answer.status_code, answer.headers["retry-after"], answer.headers["connection"]) == (503, "5", "close")
    assert (await webhook.client.get("/health")).status_code == 503


@pytest.mark.parametrize("path", ["/", "/rollback/", "/alarms", "/alarms/other", "/Rollback", "/metrics"])
async def test_there_is_nothing_else(webhook: Webhook, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = await webhook.client.request(method, path, headers={"authorization": f"Bearer {SECRET}"})
        assert answer.status_code in (404, 405, 411), (method, path)
        assert "error" in answer.json()


async def test_another_server_may_bring_no_token_and_a_health_of_its_own() -> None:
    """The board has the alarms' routes too."""
    desk = Desk(NOWHERE, None)
    assert [route.path for route in intake.routes(desk, health=False)] == [f"/alarms/{name}" for name in PLAN]
    assert [route.path for route in intake.routes(Desk(NOWHERE, SECRET))][::5] == ["/rollback", "/health"]


async def test_a_source_that_the_plan_does_not_name_is_not_heard() -> None:
    webhook = Webhook({"datadog": {"secret": "env:DD"}})

    assert (await webhook.proven("alertmanager", b"{}")).status_code == 404
    answer = await webhook.proven("datadog", json.dumps(sent.datadog()).encode())
    assert (answer.status_code, answer.json()["outcome"]) == (200, "no rule")


async def test_a_secret_that_cannot_be_had_is_a_server_that_is_not_ready(webhook: Webhook) -> None:
    """Not one that refuses: the sender tries again. Its value, or a part of it, is in no answer."""

    def missing(reference: str) -> str:
        raise ClusterUnavailable("AWS Secrets Manager", "NoCredentialsError")

    for resolve in (missing, lambda reference: "short"):
        webhook.sources = resolved(Alarms.model_validate(PLAN), resolve)
        webhook.desk._sources = None
        for source in ("alertmanager", "datadog", "pagerduty"):
            answer = await webhook.proven(source, b"{}")
            assert (answer.status_code, "short" in answer.text) == (503, False)
        answer = await webhook.post("/alarms/cloudwatch", sent.cloudwatch(), x_amz_sns_rawdelivery="true")
        assert answer.status_code == 503


# -- Amazon SNS


async def test_sns_is_believed_for_its_signature(webhook: Webhook) -> None:
    ok = await webhook.post("/alarms/cloudwatch", webhook.sns.notification(sent.cloudwatch(state="OK")))
    wrong = await webhook.post("/alarms/cloudwatch", {**webhook.sns.notification(sent.cloudwatch()), "Message": "x"})
    other = await webhook.post("/alarms/cloudwatch", webhook.sns.notification("x", TopicArn=sent.TOPIC + "2"))

    assert (ok.status_code, ok.json()["outcome"]) == (200, "not firing")
    assert (wrong.status_code, other.status_code) == (403, 403)
    assert webhook.sns.visited == [sent.CERTIFICATE], "once, and for no topic that the plan does not name"


async def test_a_subscription_is_confirmed_and_its_end_is_not_undone(webhook: Webhook) -> None:
    confirmed = await webhook.post("/alarms/cloudwatch", webhook.sns.confirmation())
    ended = await webhook.post("/alarms/cloudwatch", webhook.sns.confirmation("UnsubscribeConfirmation"))

    assert (confirmed.status_code, confirmed.json()["outcome"]) == (200, "subscription confirmed")
    assert (ended.status_code, ended.json()["outcome"]) == (200, "subscription ended")
    assert webhook.sns.visited == [sent.CERTIFICATE, sent.CONFIRM]


@pytest.mark.parametrize(
    "change", [{"SubscribeURL": "https://evil.example/?Action=ConfirmSubscription"}, {"TopicArn": sent.TOPIC + "x"}]
)
async def test_no_other_subscription_is_confirmed(webhook: Webhook, change: dict[str, str]) -> None:
    """Also where it is signed well: anybody may have a topic of their own."""
    answer = await webhook.post("/alarms/cloudwatch", webhook.sns.confirmation(**change))

    assert answer.status_code == 403 and webhook.sns.visited in ([], [sent.CERTIFICATE])


async def test_without_a_certificate_sns_is_told_to_try_again(webhook: Webhook) -> None:
    webhook.sns.down = True
    assert (await webhook.post("/alarms/cloudwatch", webhook.sns.notification("x"))).status_code == 503
    webhook.sns.down = False
    assert (await webhook.post("/alarms/cloudwatch", webhook.sns.notification("x"))).status_code == 200


async def test_certificates_are_not_fetched_without_end(webhook: Webhook) -> None:
    """Each forged message may name another one."""
    for number in range(60):
        url = f"https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-{number:032x}.pem"
        answer = await webhook.post("/alarms/cloudwatch", webhook.sns.notification("x", SigningCertURL=url))
        assert answer.status_code in (403, 503)

    assert len(webhook.sns.visited) <= 25


async def test_a_raw_message_needs_the_secret_and_a_topic_of_the_plan(webhook: Webhook) -> None:
    async def send(topic: str) -> httpx.Response:
        return await webhook.post(
            "/alarms/cloudwatch", sent.cloudwatch(state="OK"), authorization=f"Bearer {SECRET}",
            x_amz_sns_rawdelivery="true", x_amz_sns_topic_arn=topic, x_amz_sns_message_id="m-1",
        )  # fmt: skip

    assert (await send(sent.TOPIC + "2")).status_code == 403
    assert (await send(sent.TOPIC)).json()["outcome"] == "not firing"
    answered = [line["outcome"] for event, line in webhook.lines if event == "webhook.answered"]
    assert answered == ["not genuine", "not firing"]


async def test_an_old_message_does_nothing(webhook: Webhook) -> None:
    for stamp, outcome in ((sent.stamp(3700), "too old"), (sent.stamp(-900), "from the future")):
        answer = await webhook.post("/alarms/cloudwatch", webhook.sns.notification(sent.cloudwatch(), Timestamp=stamp))
        assert (answer.status_code, answer.json()["outcome"]) == (200, outcome)
    assert (
        await webhook.post(
            "/alarms/cloudwatch", webhook.sns.notification(sent.cloudwatch(), Timestamp=sent.stamp(3000))
        )
    ).status_code == 503


# -- bounds


@pytest.mark.parametrize(
    ("path", "largest"),
    [
        ("/rollback", 1 << 20),
        ("/alarms/cloudwatch", 300_000),
        ("/alarms/datadog", 1 << 20),
        ("/alarms/alertmanager", 4 << 20),
    ],
)
async def test_a_body_has_a_largest_size(webhook: Webhook, path: str, largest: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(largest // 65_536 + 2):
            yield b" " * 65_536

    assert (await webhook.post(path, b" " * (largest + 1))).status_code == 413
    assert (await webhook.client.post(path, content=chunks())).status_code == 413
    assert (await webhook.post(path, b" " * largest)).status_code in (400, 401)


async def test_a_length_has_to_be_told_or_the_body_to_be_in_chunks(webhook: Webhook) -> None:
    request = webhook.client.build_request("POST", "/rollback", headers={"authorization": f"Bearer {SECRET}"})
    del request.headers["content-length"]
    assert (await webhook.client.send(request)).status_code == 411


async def test_a_body_that_does_not_arrive_is_given_up(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_S", 0.1)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await webhook.client.post("/rollback", content=slowly())
    assert answer.status_code == 408


async def test_large_bodies_share_a_bound_and_small_ones_do_not_need_it(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ALL_BODIES", 100_000)
    more, holding = asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield b" " * 100_000
        holding.set()
        await more.wait()
        yield b" "

    one = asyncio.create_task(webhook.client.post("/alarms/datadog", content=held()))
    await holding.wait()
    assert (await webhook.post("/alarms/datadog", b" " * 50_000)).status_code == 503
    assert (await webhook.post("/alarms/datadog", b" " * 1_000)).status_code == 401
    more.set()
    assert (await one).status_code == 401
    assert (await webhook.post("/alarms/datadog", b" " * 50_000)).status_code == 401, "the room is free again"


async def test_a_flood_is_answered_without_work_and_counted(webhook: Webhook) -> None:
    """429 where a repetition would do nothing either, 503 where it would act: two senders repeat after 503 alone."""
    plan = {
        "burst": 5,
        "requests_per_s": 0.001,
        "alertmanager": {"secret": "env:AM", "rules": [{"alarm": "x*", "action": "roll_back", "tenants": ["7"]}]},
    }
    webhook = Webhook(plan)
    answers = [
        await webhook.proven("alertmanager", json.dumps(sent.alertmanager(sent.alert("other"))).encode())
        for _ in range(8)
    ]
    acting = await webhook.proven("alertmanager", json.dumps(sent.alertmanager(sent.alert("x1"))).encode())

    assert [a.status_code for a in answers] == [200] * 5 + [429] * 3
    assert (acting.status_code, int(acting.headers["retry-after"]) > 100) == (503, True)


async def test_a_flood_does_not_fill_the_log(webhook: Webhook) -> None:
    for _ in range(200):
        await webhook.post("/rollback", ALL, authorization="Bearer wrong")
    await webhook.post("/rollback", ALL, authorization=f"Bearer {SECRET}")

    assert len(webhook.lines) < 80
    assert webhook.lines[-1][1]["outcome"] == "classic unavailable"
    assert sum(1 + fields.get("not_logged", 0) for _, fields in webhook.lines) == 201


async def test_a_line_has_no_secret_and_little_of_what_was_sent(webhook: Webhook) -> None:
    evil = "x" * 5_000 + '\n{"event": "forged"}\x1b[2J'
    body = sent.alertmanager(sent.alert(evil, status="resolved", note=evil))
    await webhook.proven("alertmanager", json.dumps(body).encode())

    (event, fields) = webhook.lines[-1]
    assert (event, fields["source"], fields["status"], fields["outcome"]) == (
        "webhook.answered",
        "alertmanager",
        200,
        "not firing",
    )
    assert len(json.dumps(fields)) < 1_000 and SECRET not in json.dumps(fields)
    await webhook.proven(
        "alertmanager", json.dumps(sent.alertmanager(sent.alert("a\nb\x1b[2J", status="resolved"))).encode()
    )
    assert webhook.lines[-1][1]["alarm"] == r"a\nb\x1b[2J", "one line, on a terminal too"


async def test_alarms_go_on_by_the_rules_as_they_were_while_those_cannot_be_read(webhook: Webhook) -> None:
    body = json.dumps(sent.alertmanager(sent.alert(status="resolved"))).encode()
    assert (await webhook.proven("alertmanager", body)).status_code == 200

    def gone() -> Sources:
        raise ClusterUnavailable("classic", "refused")

    webhook.desk._read_sources = gone
    webhook.desk._read_at = -1e9
    assert (await webhook.proven("alertmanager", body)).status_code == 200
    webhook.desk._sources = None
    assert (await webhook.proven("alertmanager", body)).status_code == 503


@settings(max_examples=60)
@given(damaged(), st.sampled_from(["alertmanager", "datadog", "pagerduty", "cloudwatch", "rollback"]))
def test_no_body_is_answered_with_a_500(body: bytes, source: str) -> None:
    async def send() -> tuple[int, int]:
        webhook = Webhook({name: {**section, "rules": []} for name, section in PLAN.items()})
        proven = await (
            webhook.proven(source, body)
            if source != "rollback"
            else webhook.post("/rollback", body, authorization=f"Bearer {SECRET}")
        )
        bare = await webhook.post(f"/alarms/{source}" if source != "rollback" else "/rollback", body)
        return proven.status_code, bare.status_code

    proven, bare = asyncio.run(send())
    assert proven in (200, 400, 403, 503) and bare in (200, 400, 401, 403, 503), (proven, bare)


# -- what it remembers


async def test_work_that_several_ask_for_is_done_once_and_one_that_gives_up_does_not_end_it() -> None:
    flights, begun, go = Flights(), [], asyncio.Event()

    async def work() -> int:
        begun.append(1)
        await go.wait()
        return 7

    asked = [asyncio.create_task(flights.share_told("all", work)) for _ in range(5)]
    await asyncio.sleep(0)  # a turn of the loop for the other tasks
    asked[0].cancel()
    other = asyncio.create_task(flights.share("other", work))
    await asyncio.sleep(0)  # a turn of the loop for the other tasks
    go.set()

    assert [await one for one in asked[1:]] == [(7, True)] * 4 and await other == 7 and len(begun) == 2
    assert await flights.share_told("all", work) == (7, False), "done: the next one is new"


async def test_work_that_hangs_is_not_waited_for_by_who_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    flights = Flights()

    async def hangs() -> int:
        await asyncio.Event().wait()
        return 0

    async def works() -> int:
        return 7

    first = asyncio.create_task(flights.share("all", hangs))
    await asyncio.sleep(0)  # a turn of the loop for the other tasks
    monkeypatch.setattr(shared, "LATE_S", 0.0)
    assert await flights.share_told("all", works) == (7, False)
    first.cancel()


async def test_a_failure_reaches_all_who_asked_and_no_later_one() -> None:
    flights = Flights()

    async def fails() -> int:
        await asyncio.sleep(0)  # a turn of the loop for the other tasks
        raise ClusterUnavailable("classic", "refused")

    asked = [asyncio.create_task(flights.share("all", fails)) for _ in range(3)]
    found = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(one) for one in found] == [ClusterUnavailable] * 3
    with pytest.raises(ClusterUnavailable):
        await flights.share("all", fails)


def test_a_bucket_fills_with_time() -> None:
    bucket = Bucket(2.0, 3)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_s() == pytest.approx(0.5)
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(1e6) for _ in range(4)] == [True, True, True, False], "never more than the burst"
    assert not bucket.take(0.0), "a clock that goes back gives nothing"


def test_a_message_is_remembered_for_its_source_and_its_time_and_not_without_bound() -> None:
    memory = Memory(10.0, most=3)
    for number in range(4):
        memory.put("sns", str(number), "done", 0.0)
    memory.put("sns", "", "done", 0.0)

    assert [memory.get("sns", str(number), 5.0) for number in range(4)] == [None, "done", "done", "done"]
    assert (
        memory.get("other", "3", 5.0) is None
        and memory.get("sns", "3", 11.0) is None
        and memory.get("sns", "", 5.0) is None
    )
