"""Reads the webhook of Prometheus Alertmanager (version 4 of its form), which Grafana's alerting sends too. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from migrator.errors import UsageError
from migrator.traffic.incident.alarm import (
    LONGEST_NAME,
    Alarm,
    Delivery,
    items,
    labels_of,
    read_object,
    shown,
    storable,
    table,
)

FIRING = "firing"


def read(body: bytes) -> Delivery:
    """Return the alerts of a group, the firing ones and the resolved ones.

    Raises:
        UsageError: the body is something else.
    """
    found = read_object(body)
    alerts = found.get("alerts")
    if not isinstance(alerts, list):
        raise UsageError("alerts is missing: this is not what Alertmanager sends (webhook, version 4)")
    left_out = found.get("truncatedAlerts")
    return Delivery(
        tuple(_alarm(table(alert)) for alert in items(alerts)),
        left_out=left_out if isinstance(left_out, int) and 0 < left_out < 1 << 31 else 0,
    )


def _alarm(alert: Any) -> Alarm:
    labels, notes = labels_of(table(alert.get("labels"))), table(alert.get("annotations"))
    state = shown(alert.get("status"), 40)
    text = shown(notes.get("summary")) or shown(notes.get("description")) or shown(notes.get("message"))
    return Alarm(
        shown(labels.get("alertname", ""), LONGEST_NAME), state, state == FIRING, labels, text, _episode(alert, labels)
    )


def _episode(alert: Any, labels: dict[str, str]) -> str:
    """Return what tells this firing of an alert from its next: which alert it is, and since when."""
    began = shown(alert.get("startsAt"), 60)
    which = shown(alert.get("fingerprint"), 60)
    if not which:
        which = hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16]
    return f"{which} {began}" if began and storable(began) else ""
