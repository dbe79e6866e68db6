"""What the senders' own forms are read as; and that no other form is more than an error."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import UsageError
from migrator.model.condition import Condition, Kind, Severity
from migrator.notify.decide import Action
from migrator.notify.message import Note
from migrator.plan.alarms import Alarms
from migrator.traffic.incident.alarm import Delivery, moment, read_object
from migrator.traffic.incident.senders import alertmanager, cloudwatch, datadog, pagerduty, sns
from tests import ROOT
from tests.fixtures import alarms as sent

SNS = sent.Sns()
NOW = datetime.now(UTC)


def raw(body: object) -> bytes:
    return json.dumps(body).encode()


def of_sns(message: object) -> Delivery:
    return cloudwatch.of_envelope(sns.read(SNS.notification(message)))


def test_cloudwatch_through_sns() -> None:
    found = of_sns(sent.cloudwatch("limitless-p99", TenantId="t1", Cluster="shop"))

    (alarm,) = found.alarms
    assert (alarm.name, alarm.state, alarm.firing, alarm.text) == ("limitless-p99", "ALARM", True, "Reads are slow")
    assert {
        "TenantId": "t1",
        "Cluster": "shop",
        "Namespace": "Shop",
        "Region": "EU (Frankfurt)",
    }.items() <= alarm.labels.items()
    assert found.message and found.sent_at is not None


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA", "alarm", "", "ALARM "])
def test_only_the_state_alarm_fires(state: str) -> None:
    assert not of_sns(sent.cloudwatch(state=state)).alarms[0].firing
    assert not cloudwatch.of_raw(sent.eventbridge(state=state), {}).alarms[0].firing


def test_an_alarm_over_several_metrics_has_the_labels_that_they_share() -> None:
    body = sent.cloudwatch()
    metric = {
        "MetricName": "Errors",
        "Namespace": "Shop",
        "Dimensions": [{"name": "Tenant", "value": "t1"}, {"name": "Az", "value": "a"}],
    }
    other = {**metric, "Dimensions": [{"name": "Tenant", "value": "t1"}, {"name": "Az", "value": "b"}]}
    body["Trigger"] = {"Period": 60, "Metrics": [
        {"Id": "e1", "Expression": "m1 + m2", "ReturnData": True},
        {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False},
        {"Id": "m2", "MetricStat": {"Metric": other, "Period": 60, "Stat": "Sum"}, "ReturnData": False},
    ]}  # fmt: skip

    labels = of_sns(body).alarms[0].labels

    assert labels["Tenant"] == "t1" and labels["MetricName"] == "Errors" and "Az" not in labels


def test_a_composite_alarm_has_no_metric() -> None:
    body = sent.cloudwatch("all-of-limitless")
    del body["Trigger"]
    body["AlarmRule"] = "ALARM(limitless-p99) AND ALARM(limitless-errors)"

    assert of_sns(body).alarms[0].firing


@pytest.mark.parametrize(
    "message", ["plain text", "{", "[1]", {"AlarmName": 3, "NewStateValue": "ALARM"}, {"eventSource": "aws:s3"}]
)
def test_what_is_about_no_alarm_acts_never(message: object) -> None:
    (alarm,) = of_sns(message).alarms

    assert not alarm.firing and alarm.state == "no alarm"


def test_an_event_of_eventbridge_is_the_same_alarm() -> None:
    (alarm,) = cloudwatch.of_raw(sent.eventbridge(TenantId="t1"), {}).alarms

    assert alarm.firing and alarm.labels["TenantId"] == "t1" and alarm.labels["MetricName"] == "ReadLatencyP99"
    with pytest.raises(UsageError):
        cloudwatch.of_raw({"source": "aws.ec2", "detail": {}}, {})


def test_alertmanager_sends_groups() -> None:
    body = sent.alertmanager(sent.alert(tenant="t1"), sent.alert(tenant="t2", status="resolved"), truncated=3)

    found = alertmanager.read(raw(body))

    assert [(a.name, a.firing, a.labels["tenant"]) for a in found.alarms] == [
        ("CheckoutSlow", True, "t1"),
        ("CheckoutSlow", False, "t2"),
    ]
    assert found.alarms[0].text == "CheckoutSlow: p99 over 2 s" and found.left_out == 3 and found.message == ""


def test_an_episode_lasts_as_long_as_the_alert_fires() -> None:
    def episode(**other: str) -> str:
        return alertmanager.read(raw(sent.alertmanager(sent.alert(**other)))).alarms[0].episode

    assert episode(tenant="t1") == episode(tenant="t1")
    assert len({episode(tenant="t1"), episode(tenant="t2"), episode(tenant="t1", began="2026-11-29T04:00:00Z")}) == 3


def test_grafana_sends_the_same_with_more() -> None:
    body = sent.alertmanager(
        {**sent.alert(), "values": {"B": 2.4}, "silenceURL": "https://g/x", "valueString": "[ var='B' ]"}
    )
    body |= {
        "version": "1",
        "orgId": 1,
        "title": "[FIRING:1] CheckoutSlow",
        "state": "alerting",
        "message": "**Firing**",
    }

    assert alertmanager.read(raw(body)).alarms[0].firing


@pytest.mark.parametrize(
    ("transition", "kind", "firing"),
    [
        ("Triggered", "error", True), ("Re-Triggered", "error", True), ("Renotify", "error", True),
        ("Renotify", "warning", False), ("Recovered", "success", False), ("Warn", "warning", False),
        ("No Data", "error", False), ("Re-No Data", "error", False), ("Re-Warn", "warning", False),
    ],
)  # fmt: skip
def test_datadog_fires_when_a_monitor_is_over_its_alert_threshold(transition: str, kind: str, firing: bool) -> None:
    (alarm,) = datadog.read(raw(sent.datadog(transition=transition, type=kind))).alarms

    assert alarm.firing is firing and alarm.labels["tenant"] == "t1" and alarm.labels["priority"] == "P1"


def test_a_variable_that_datadog_did_not_fill_in_counts_as_missing() -> None:
    """What people mistype arrives as they wrote it."""
    with pytest.raises(UsageError, match="transition missing"):
        datadog.read(raw(sent.datadog(transition="$ALERT_TRANSITION")))
    (alarm,) = datadog.read(raw(sent.datadog(priority="$ALERT_PRIORITY", scope="", tags="$TAGS"))).alarms
    assert "priority" not in alarm.labels and "tenant" not in alarm.labels


def test_the_template_for_datadog_is_the_one_that_is_read() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "alarms.md").read_text(), re.DOTALL)

    assert json.loads(shown) == datadog.TEMPLATE and sent.datadog().keys() == datadog.TEMPLATE.keys()


def test_the_rules_that_the_documents_show_can_be_used() -> None:
    examples = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "alarms.md").read_text(), re.DOTALL)

    assert len(examples) >= 2
    for text in examples:
        assert Alarms.model_validate(tomllib.loads(text)["alarms"])


def test_pagerduty_sends_incidents() -> None:
    (alarm,) = pagerduty.read(raw(sent.pagerduty())).alarms

    assert (alarm.name, alarm.state, alarm.firing) == ("Checkout is slow", "incident.triggered", True)
    assert {"service": "Checkout", "priority": "P1", "urgency": "high", "team": "Shop"}.items() <= alarm.labels.items()


@pytest.mark.parametrize(
    "kind",
    [
        "incident.resolved",
        "incident.acknowledged",
        "incident.annotated",
        "service.updated",
        "incident.workflow.started",
    ],
)
def test_other_events_of_pagerduty_fire_nothing(kind: str) -> None:
    assert not any(alarm.firing for alarm in pagerduty.read(raw(sent.pagerduty(kind=kind))).alarms)


def test_what_this_tool_told_pagerduty_does_not_come_back_as_an_order() -> None:
    """Its own notifications open incidents too, and a rule may match any: then telling people would roll back."""
    condition = Condition(next(iter(Kind)), "the gate waits", "", Severity.ERROR)
    note = Note(Action.OPENED, condition, "shop", "0123abcd", NOW, NOW)
    (alarm,) = pagerduty.read(raw(sent.pagerduty(incident_key=note.dedup_key))).alarms

    assert not alarm.firing and alarm.state == "this tool's own"


def test_the_ping_of_pagerduty_is_no_alarm() -> None:
    assert (
        pagerduty.read(
            raw(
                {"event": {"id": "1", "event_type": "pagey.ping", "data": {"message": "Hello from your friend Pagey!"}}}
            )
        ).alarms
        == ()
    )


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-11-29T03:00:00.000+0000", True), ("2026-11-29T03:00:00.123456789Z", True),
        ("2026-11-29T03:00:00Z", True), ("1764385200000", True), (1764385200, True), ("yesterday", False),
        ("9" * 30, False), (None, False), (True, False), (-5, False), (10**400, False), ("²", False),
    ],
)  # fmt: skip
def test_moments_are_read_in_every_form_that_senders_use(value: object, read: bool) -> None:
    assert (moment(value) is not None) is read


ANY: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """What a sender sends, with any part of it replaced by anything, or anything at all."""
    whole = draw(st.sampled_from([
        sent.alertmanager(sent.alert(tenant="t1")), sent.datadog(), sent.pagerduty(), sent.cloudwatch(Tenant="t1"),
        sent.eventbridge(Tenant="t1"), SNS.notification(sent.cloudwatch(Tenant="t1")), SNS.confirmation(),
    ]))  # fmt: skip
    body = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(0, 3))):
        at: Any = body
        while isinstance(at, dict | list) and at:
            key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or not at[key] or draw(st.booleans()):
                at[key] = draw(ANY)
                break
            at = at[key]
    return draw(
        st.sampled_from([json.dumps(body).encode(), json.dumps(draw(ANY)).encode(), draw(st.binary(max_size=40))])
    )


@given(damaged())
def test_no_body_is_more_than_an_error(body: bytes) -> None:
    for read in (
        alertmanager.read, datadog.read, pagerduty.read, lambda b: cloudwatch.of_raw(read_object(b), {}),
        lambda b: cloudwatch.of_envelope(sns.read(read_object(b))),
        lambda b: sns.check_topic(sns.read(read_object(b)), [sent.TOPIC]),
        lambda b: sns.check_signature(sns.read(read_object(b)), SNS.pem, moment(sent.stamp()) or pytest.fail()),
        lambda b: sns.check_subscribe_url(sns.read(read_object(b))),
    ):  # fmt: skip
        try:
            found = read(body)
        except (UsageError, KeyError) as error:
            assert isinstance(error, UsageError) or error.args == ("SubscribeURL",)
            continue
        for alarm in found.alarms if isinstance(found, Delivery) else ():
            assert len(alarm.name) <= 300 and len(alarm.text) <= 400
            json.dumps([alarm.name, alarm.state, alarm.episode, alarm.text, dict(alarm.labels)]).encode()
            assert "\0" not in alarm.name + alarm.text + alarm.state + alarm.episode + "".join(alarm.labels.values())
