"""What an operator sees of notifications, and how receivers are tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import notify as stored
from migrator.db.connect import connect
from tests.fixtures.operator import Operator
from tests.fixtures.receivers import Answer, WebReceiver, web_receiver
from tests.fixtures.waiting import until
from tests.integration.notify.notifying import begin, gate_waits, notifying, pager, plan_with, slack

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
def operator(tmp_path: Path, classic_dsn: str) -> Operator:
    return Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": classic_dsn, "COLUMNS": "200"})


async def test_status_says_who_takes_nothing_and_what_stands(
    classic: Connection, classic_dsn: str, web: WebReceiver, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOWHERE", "http://127.0.0.1:1/services/s3cret")
    nowhere = {"kind": "slack", "url": "env:NOWHERE"}
    begin(classic, plan_with({"team": slack(web, monkeypatch), "broken": nowhere}))
    gate_waits(classic)
    async with notifying(classic_dsn):

        async def both() -> bool:
            rows = {row.receiver: row for row in stored.receivers(classic)}
            return len(rows) == 2 and rows["team"].sent_at is not None and rows["broken"].tries > 0

        await until(both)
        found = operator("notify", "status", "--json")
        shown = operator("notify", "status")

    body = found.json
    assert body["sends"] and [c["name"] for c in body["conditions"]] == ["gate_waits/audit"]
    fares = {r["receiver"]: r for r in body["receivers"]}
    assert (fares["team"]["failing"], fares["broken"]["failing"]) == (False, True)
    assert "connection refused" in fares["broken"]["state"] and fares["broken"]["waiting"] == 1
    assert "s3cret" not in found.out + shown.out and "takes nothing since" in shown.out and shown.code == 0


async def test_one_who_is_on_it_is_told_to_the_receivers(
    classic: Connection, classic_dsn: str, web: WebReceiver, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(classic, plan_with({"oncall": pager(web, monkeypatch, severity="info")}))
    gate_waits(classic)
    async with notifying(classic_dsn):

        async def actions() -> list[str]:
            return [g.json["event_action"] for g in web.got]

        async def opened() -> bool:
            return await actions() == ["trigger"]

        async def acknowledged() -> bool:
            return await actions() == ["trigger", "acknowledge"]

        await until(opened)
        dry = operator("notify", "acknowledge", "gate_waits/audit", "--as", "ann", "--dry-run")
        done = operator("notify", "acknowledge", "gate_waits/audit", "--as", "ann")
        await until(acknowledged)
        wrong = operator("notify", "acknowledge", "gate_wait/audit", "--as", "ann")

    assert dry.code == 0 and "would be acknowledged" in dry.out
    assert done.code == 0 and "acknowledged by ann" in done.out
    assert wrong.code == 2 and "did you mean gate_waits/audit" in wrong.err


PLAN = """
name = "shop"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
[notify.receiver.team]
kind = "slack"
url = "env:SLACK"
[notify.receiver.oncall]
kind = "pagerduty"
key = "env:PAGER"
endpoint = "{url}"
"""


def test_receivers_are_tried_from_a_file_alone(tmp_path: Path, web: WebReceiver) -> None:
    """Before anything is installed, and while classic is unreachable."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(url=web.url))
    operator = Operator(tmp_path, {"SLACK": f"{web.url}/services/s3cret", "PAGER": "k" * 32})
    web.script.append(Answer(404))
    failed = operator("notify", "test", "--plan", str(path), "--receiver", "team", "--json")
    done = operator("notify", "test", "--plan", str(path))
    unset = operator("notify", "test", "--plan", str(path), "--receiver", "oncall", PAGER="")
    wrong = operator("notify", "test", "--plan", str(path), "--receiver", "teem")

    assert failed.code == 5 and failed.json[0]["problem"].startswith("HTTP 404") and "s3cret" not in failed.out
    assert done.code == 0 and [g.json["event_action"] for g in web.got if g.path == "/v2/enqueue"] == [
        "trigger",
        "resolve",
    ]
    assert unset.code == 5 and "PAGER is not set" in unset.out
    assert wrong.code == 2 and "did you mean team" in wrong.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('kind = "slak"\nurl = "env:X"', "did you mean slack"),
        ('kind = "slack"\nurl = "env:X"\nkinds = ["gate_wait"]', "did you mean gate_waits"),
        ('kind = "slack"\nurl = "https://hooks.slack.com/services/T0/B0/s3cret"', "must be env:NAME"),
        ('kind = "slack"\nurll = "https://hooks.slack.com/s3cret"', "did you mean notify.receiver.team.url"),
        ('kind = "slack"', "needs url"),
        ('kind = "pagerduty"\nkey = "env:X"\nto = ["a@b.c"]', "has no to"),
        ('kind = "email"\nhost = "h"\nsender = "a@b.c"\nto = ["x@y\\r\\nBcc: z@z"]', "is no address"),
        ('kind = "email"\nhost = "h"\nsender = "a@b.c"\nto = ["x@y.z"]\nlogin = "env:X"', "go together"),
        ('kind = "email"\nhost = "h"\nsender = "a@b.c"\nto = ["x@y.z"]\ntls = "none"\nlogin = "env:X"'
         '\npassword = "env:Y"', "needs tls"),
        ('kind = "sns"\ntopic = "migrator"', "is no ARN"),
        ('kind = "slack"\nurl = "env:X"\nseverity = "fatal"', "notify.receiver.team.severity"),
        ('kind = "pagerduty"\nkey = "env:X"\nendpoint = "https://user:s3cret@host"', "notify.receiver.team.endpoint"),
    ],
)  # fmt: skip
def test_mistakes_in_the_plan_are_named_and_secrets_are_not(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    head = PLAN.partition("[notify")[0]
    path.write_text(f"{head}[notify.receiver.team]\n{text}\n")
    done = Operator(tmp_path, {})("plan", "check", str(path))

    assert done.code == 2 and said in done.err and "s3cret" not in done.err
