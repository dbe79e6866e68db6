"""Is somebody told? What receivers, secrets and the sender mean, from facts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from migrator.control.notify import Holder, ReceiverRow
from migrator.doctor.checks import notify
from migrator.doctor.checks.workers import STATUS
from migrator.doctor.facts import Facts, Kind, Server
from migrator.doctor.finding import Level
from migrator.model.status import PhaseLine, Status
from migrator.plan.schema import Plan

AT = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
RUNS = Status(True, AT, plan="shop", phases=(PhaseLine("audit", "running", AT),))
SENDS, NONE = Holder("h:1", 3, "", 5.0), Holder("h:1", 3, "", -60.0)
FAILING = ReceiverRow("team", None, AT, 7, "HTTP 404: look at the address", 3, 1, 400.0)


def facts(holder: Holder = SENDS, rows: tuple[ReceiverRow, ...] = (), receivers: bool = True) -> Facts:
    body: dict[str, Any] = {"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}}
    if receivers:
        body["notify"] = {"receiver": {"team": {"kind": "slack", "url": "env:HOOK"}}}
    plan = Plan.model_validate(body)
    here, classic = Server(Kind.HERE, "this machine"), Server(Kind.CLASSIC, "classic")
    read = {
        (here.name, notify.SECRETS.name): notify.SECRETS.read(None, plan),
        (classic.name, notify.FARES.name): notify.Fares(holder, rows),
        (classic.name, STATUS.name): RUNS,
    }
    return Facts(plan, servers=(here, classic), read=read)


def levels(given: Facts) -> list[Level]:
    return [f.level for check in notify.CHECKS for f in check.judge(given)]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, [Level.OK, Level.OK]),
        ({"receivers": False}, [Level.WARNING, Level.NOT_APPLICABLE]),
        ({"rows": (FAILING,)}, [Level.PROBLEM, Level.OK]),
        ({"holder": NONE}, [Level.OK, Level.PROBLEM]),
    ],
)
def test_what_is_found_means_what_it_says(
    values: dict[str, Any], found: list[Level], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example/s3cret")

    assert levels(facts(**values)) == found
    assert "s3cret" not in str(facts(**values).read)


def test_a_secret_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    said = [f.text for f in notify.judge_receivers(facts())]

    assert said == ["the environment variable HOOK is not set"]
