"""The ways to receivers are told apart at real sockets, in bounded time; nothing is sent, and no secret is shown."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from migrator.doctor.checks.notify_ways import WAYS
from migrator.plan.schema import Plan


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Accepts connections and says nothing: good enough for mail, not for https."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_each_way_ends_where_it_ends(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    port = listener.getsockname()[1]
    monkeypatch.setenv("HOOK", "https://127.0.0.1:1/services/T0/B0/geheim")
    monkeypatch.setenv("SILENT", f"https://127.0.0.1:{port}/services/geheim")
    plan = Plan.model_validate(
        {
            "name": "shop",
            "classic": {"writer": "env:A"},
            "limitless": {"dsn": "env:B"},
            "notify": {
                "receiver": {
                    "mail": {"kind": "email", "host": "127.0.0.1", "port": port, "tls": "none",
                             "sender": "a@example.org", "to": ["b@example.org"]},
                    "closed": {"kind": "slack", "url": "env:HOOK"},
                    "silent": {"kind": "slack", "url": "env:SILENT"},
                    "unset": {"kind": "pagerduty", "key": "env:NO_SUCH_KEY"},
                }
            },
            "alarms": {"datadog": {"secret": "env:HOOK"}, "pagerduty": {"secret": "env:NO_SUCH_KEY"}},
        }
    )  # fmt: skip
    found = WAYS.read(None, plan)
    ways = {way.name: way for way in found.receivers}
    listener.settimeout(5)
    accepted, _ = listener.accept()
    accepted.settimeout(5)

    assert "geheim" not in f"{found}"
    assert (ways["mail"].trouble, ways["mail"].encrypted) == ("", False)
    assert "refused" in ways["closed"].trouble and ways["closed"].where == "127.0.0.1:1"
    assert ways["silent"].trouble, "a port that does not speak TLS is no receiver"
    assert "NO_SUCH_KEY" in ways["unset"].trouble
    assert [(way.name, bool(way.trouble)) for way in found.alarms] == [("datadog", False), ("pagerduty", True)]
    accepted.close()
