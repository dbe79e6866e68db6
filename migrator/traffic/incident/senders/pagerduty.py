"""Reads PagerDuty's webhooks of version 3. Pure."""

from __future__ import annotations

from migrator.errors import UsageError
from migrator.traffic.incident.alarm import (
    LONGEST_NAME,
    Alarm,
    Delivery,
    items,
    labels_of,
    moment,
    read_object,
    shown,
    table,
)

FIRING = ("incident.triggered", "incident.reopened")
PING = "pagey.ping"
OWN = "migrator/"
"""Begins the key of an incident that this tool opened: what it tells people must not come back to it as an order."""


def read(body: bytes) -> Delivery:
    """Return the incident that an event is about; none for the event that tries the connection.

    Raises:
        UsageError: the body is something else.
    """
    event = table(read_object(body).get("event"))
    kind = shown(event.get("event_type"), 80)
    if not kind:
        raise UsageError("event.event_type is missing: this is no webhook of PagerDuty's version 3")
    message, sent_at = shown(event.get("id"), 120), moment(event.get("occurred_at"))
    if kind == PING:
        return Delivery((), message, sent_at)
    incident = table(event.get("data"))
    if not kind.startswith("incident."):
        return Delivery((Alarm("", kind, False),), message, sent_at)
    service, policy = table(incident.get("service")), table(incident.get("escalation_policy"))
    teams = [shown(table(team).get("summary"), LONGEST_NAME) for team in items(incident.get("teams"))[:10]]
    labels = {
        "service": service.get("summary"),
        "service_id": service.get("id"),
        "urgency": incident.get("urgency"),
        "priority": table(incident.get("priority")).get("summary"),
        "escalation_policy": policy.get("summary"),
        "incident_key": incident.get("incident_key"),
        "incident_type": table(incident.get("incident_type")).get("name"),
        "team": teams[0] if len(teams) == 1 else None,
    }
    own = shown(incident.get("incident_key"), LONGEST_NAME).startswith(OWN)
    alarm = Alarm(
        shown(incident.get("title"), LONGEST_NAME), "this tool's own" if own else kind, kind in FIRING and not own,
        labels_of(labels), shown(incident.get("html_url")), shown(incident.get("id"), 120),
    )  # fmt: skip
    return Delivery((alarm,), message, sent_at)
