"""Reads what CloudWatch says of an alarm: through SNS, wrapped or raw, and as an event of EventBridge. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from migrator.errors import UsageError
from migrator.traffic.incident.alarm import LONGEST_NAME, Alarm, Delivery, items, labels_of, moment, shown, table
from migrator.traffic.incident.senders.sns import Envelope

FIRING = "ALARM"
_SAID = ("AlarmArn", "AWSAccountId", "Region", "OldStateValue")


def of_envelope(envelope: Envelope) -> Delivery:
    """Return the alarm in a notification; a message that is about no alarm is one without a state, and acts never."""
    return Delivery(
        (_alarm(envelope.message, envelope.fields.get("Subject", "")),), envelope.message_id, envelope.sent_at
    )


def of_raw(found: Mapping[str, Any], headers: Mapping[str, str]) -> Delivery:
    """Return the alarm in a body that SNS did not wrap, or that came from EventBridge.

    Raises:
        UsageError: it is about no alarm.
    """
    alarm, sent_at = _of_object(found), moment(found.get("StateChangeTime")) or moment(found.get("time"))
    if alarm is None:
        raise UsageError("neither an alarm of CloudWatch nor a message of Amazon SNS")
    message = headers.get("x-amz-sns-message-id", "") or shown(found.get("id"), 120)
    return Delivery((alarm,), shown(message, 120), sent_at)


def _alarm(message: str, subject: str) -> Alarm:
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        found = None
    alarm = _of_object(found) if isinstance(found, dict) else None
    return alarm or Alarm(shown(subject, LONGEST_NAME), "no alarm", False)


def _of_object(found: Mapping[str, Any]) -> Alarm | None:
    if isinstance(found.get("AlarmName"), str) and isinstance(found.get("NewStateValue"), str):
        return _of_alarm(found)
    if found.get("source") == "aws.cloudwatch" and isinstance(table(found.get("detail")).get("alarmName"), str):
        return _of_event(found, table(found["detail"]))
    return None


def _of_alarm(found: Mapping[str, Any]) -> Alarm:
    trigger = table(found.get("Trigger"))
    metrics = [table(table(table(one).get("MetricStat")).get("Metric")) for one in items(trigger.get("Metrics"))]
    metrics = [metric for metric in [trigger, *metrics] if metric]
    labels = {
        **{key: found.get(key) for key in _SAID},
        **_common(
            [("MetricName", m.get("MetricName")) for m in metrics]
            + [("Namespace", m.get("Namespace")) for m in metrics]
        ),
        **_common((d.get("name"), d.get("value")) for m in metrics for d in map(table, items(m.get("Dimensions")))),
        **table(found.get("AlarmContributorAttributes")),
    }
    state = shown(found["NewStateValue"], 40)
    text = shown(found.get("AlarmDescription")) or shown(found.get("NewStateReason"))
    which = shown(found.get("AlarmArn"), 200) or shown(found["AlarmName"], LONGEST_NAME)
    contributor = shown(found.get("AlarmContributorId"), 80)
    episode = f"{which} {contributor} {shown(found.get('StateChangeTime'), 60)}"
    return Alarm(shown(found["AlarmName"], LONGEST_NAME), state, state == FIRING, labels_of(labels), text, episode)


def _of_event(found: Mapping[str, Any], detail: Mapping[str, Any]) -> Alarm:
    state = shown(table(detail.get("state")).get("value"), 40)
    configuration = table(detail.get("configuration"))
    metrics = [table(table(table(one).get("metricStat")).get("metric")) for one in items(configuration.get("metrics"))]
    contributor = table(detail.get("alarmContributor"))
    labels = {
        "AWSAccountId": found.get("account"),
        "Region": found.get("region"),
        **_common(
            [("MetricName", m.get("name")) for m in metrics] + [("Namespace", m.get("namespace")) for m in metrics]
        ),
        **_common(pair for m in metrics for pair in table(m.get("dimensions")).items()),
        **table(contributor.get("attributes")),
    }
    text = shown(configuration.get("description")) or shown(table(detail.get("state")).get("reason"))
    name = shown(detail["alarmName"], LONGEST_NAME)
    which = f"{name} {shown(contributor.get('id'), 80)}"
    episode = f"{which} {shown(table(detail.get('state')).get('timestamp') or found.get('time'), 60)}"
    return Alarm(name, state, state == FIRING, labels_of(labels), text, episode)


def _common(pairs: Iterable[tuple[Any, Any]]) -> dict[str, object]:
    """Return the pairs by name, without a name that has more than one value: an alarm over several metrics has many."""
    found: dict[str, object] = {}
    several = set()
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            continue
        if found.setdefault(name, value) != value:
            several.add(name)
    return {name: value for name, value in found.items() if name not in several}
