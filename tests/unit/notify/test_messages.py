"""Each form says what is so, and nothing that stands in it means anything there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any

import pytest

from migrator.model.condition import ABOUT, Condition, Kind, Severity
from migrator.model.standing import make
from migrator.notify import mail, pagerduty, slack, sns
from migrator.notify.decide import Action
from migrator.notify.happened import KINDS
from migrator.notify.message import Note, clean, condition_from, condition_json
from migrator.notify.retrying import pause_s
from migrator.notify.send import Result, of_status
from migrator.plan.notify import Receiver
from tests import ROOT

AT = datetime(2026, 11, 29, 3, 0, 7, tzinfo=UTC)
HOSTILE = (
    "--16", "a\r\nBcc: victim@example.org\r\n\r\nhi", "<!channel>", "<@U123>", "<https://evil|click>", "@here @channel",
    "[click](https://evil.example)", "*bold* _it_ ~no~ `code` ```", "</title><script>alert(1)</script>", "x" * 10_000,
    "\x1b[2J\x00\x07", "\u202egnp.exe", "postgresql://u:hunter2@db/x", "&amp;&lt;", "'; DROP TABLE t --", "日本語",
    "🐘" * 50, " ", "{{7*7}}", "%s %(x)s", "\\u0000",
)  # fmt: skip
TOPIC = "arn:aws:sns:eu-central-1:123456789012:migrator"
MAIL = Receiver(kind="email", host="localhost", sender="migrator@example.org", to=["team@example.org", "b@example.org"])


def note(action: Action = Action.OPENED, subjects: tuple[str, ...] = (), **values: Any) -> Note:
    made = make(Kind.QUARANTINE, "10,000 tenants are quarantined", "migrator mirror retry TENANT", count=10_000)
    condition = replace(made, subjects=subjects, **values)
    return Note(action, condition, "shop", "0123456789abcdef", AT, AT)


def hostile() -> Note:
    return note(subjects=HOSTILE[:5], text=" ".join(HOSTILE), hint=" ".join(HOSTILE), severity=Severity.CRITICAL)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_stays_one_line_without_control_characters_or_credentials(text: str) -> None:
    shown = clean(text)

    assert shown.isprintable() and len(shown) <= 1_000 and "hunter2" not in shown
    assert text.isprintable() is False or len(text) > 1_000 or "hunter2" in text or shown == text


def test_slack_shows_no_mention_no_link_and_no_markup() -> None:
    body = slack.payload(hostile())
    text = body["text"]

    assert not any(bad in text for bad in ("<", ">", "@here", "@channel", "@U123", "://", "](", "*bold*", "`code`"))
    assert "&lt;" in text and body["mrkdwn"] is False
    assert {block["text"]["type"] for block in body["blocks"] if "text" in block} == {"plain_text"}
    longest = [len(e["text"]) for b in body["blocks"] for e in (b.get("elements") or [b["text"]])]
    assert 0 < max(longest) <= 3_000 and longest[0] <= 150  # what Slack takes
    json.dumps(body)


def test_mail_has_the_headers_that_were_meant_and_no_other() -> None:
    read = message_from_bytes(mail.message(hostile(), MAIL).as_bytes())

    assert sorted(name.lower() for name in list(read)) == sorted(
        ("subject", "from", "to", "date", "message-id", "references", "in-reply-to", "auto-submitted", "x-priority",
         "x-migrator-condition", "mime-version", "content-type", "content-transfer-encoding")
    )  # fmt: skip
    assert read["to"] == "team@example.org, b@example.org" and "victim" not in str(read["subject"])
    body = read.get_payload(decode=True)
    assert isinstance(body, bytes) and not any(line.startswith(b"Bcc:") for line in body.splitlines())


def test_mail_sent_twice_is_one_and_the_end_is_in_its_thread() -> None:
    first, again = (mail.message(note(), MAIL) for _ in range(2))
    over = mail.message(replace(note(Action.OVER), number=2), MAIL)

    assert first["Message-ID"] == again["Message-ID"] != over["Message-ID"]
    assert first["References"] == over["References"]


def test_pagerduty_opens_acknowledges_and_resolves_one_alert() -> None:
    made = [
        pagerduty.request(note(a), "k" * 32) for a in (Action.OPENED, Action.REPEATED, Action.ACKNOWLEDGED, Action.OVER)
    ]

    assert [body["event_action"] for _, body in made] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {path for path, _ in made} == {"/v2/enqueue"} and len({body["dedup_key"] for _, body in made}) == 1
    payload = pagerduty.request(hostile(), "k" * 32)[1]["payload"]
    assert len(payload["summary"]) <= 1_024 and payload["severity"] == "critical"
    assert {"summary", "source", "severity", "timestamp"} <= payload.keys()


def test_pagerduty_pages_nobody_for_what_is_only_to_be_known() -> None:
    wave = replace(make(Kind.WAVE_DONE, "wave-3 is done", "", key="wave-3-17"), instant=True)
    path, body = pagerduty.request(replace(note(), condition=wave), "k" * 32)

    assert path == "/v2/change/enqueue" and "event_action" not in body and body["payload"]["summary"]


def test_sns_takes_subject_attributes_and_a_key_for_ordered_topics() -> None:
    made = sns.arguments(hostile(), TOPIC)
    fifo = sns.arguments(note(), f"{TOPIC}.fifo")

    assert made["Subject"].isascii() and made["Subject"].isprintable() and len(made["Subject"]) < 100
    assert made["MessageAttributes"]["severity"]["StringValue"] == "critical" and "MessageGroupId" not in made
    assert fifo == sns.arguments(note(), f"{TOPIC}.fifo") and len(fifo["MessageDeduplicationId"]) <= 128


def test_keys_tell_migrations_apart_and_are_never_too_long() -> None:
    one, other = note(), replace(note(), scope="ffffffff")
    long = [replace(note(), condition=replace(note().condition, key="k" * 300 + str(n))) for n in range(2)]

    assert one.dedup_key != other.dedup_key
    assert long[0].dedup_key != long[1].dedup_key and max(len(n.dedup_key) for n in long) <= 255


def test_ten_thousand_are_named_by_a_few() -> None:
    assert note(subjects=("a", "b")).names == ("a", "b", "and 9,998 more")


@pytest.mark.parametrize("since", [None, AT])
def test_a_condition_survives_the_outbox(since: datetime | None) -> None:
    made = Condition(Kind.FALLBACK, "text", "hint", Severity.ERROR, "part-3", since, 7, ("a", "b"))
    body = json.loads(json.dumps(condition_json(made)))

    assert condition_from(body) == made
    assert condition_from({**body, "kind": "of a later version"}).kind is Kind.BLOCKED


@pytest.mark.parametrize(
    ("status", "result"),
    [(200, "sent"), (202, "sent"), (204, "sent"), (302, "failed"), (400, "refused"), (401, "failed"), (403, "failed"),
     (404, "failed"), (408, "refused"), (410, "failed"), (413, "refused"), (429, "failed"), (500, "failed"),
     (502, "failed"), (503, "failed")],
)  # fmt: skip
def test_what_a_status_means(status: int, result: str) -> None:
    assert of_status(status).result is Result(result)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("7", 7.0), ("-3", 0.0), ("999999", 3_600.0), ("soon", None), ("", None), ("nan", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)  # fmt: skip
def test_how_long_a_receiver_may_ask_to_wait(given: str, seconds: float | None) -> None:
    assert of_status(429, given).after_s == seconds


def test_pauses_grow_to_a_limit_and_are_never_shorter_than_asked() -> None:
    assert [pause_s(n) for n in (0, 1, 3, 8, 9, 1_000)] == [1, 2, 8, 256, 300, 300]
    assert pause_s(1, 60.0) == 60.0


def test_the_docs_list_every_kind_as_it_is() -> None:
    text = (ROOT / "docs" / "notifications.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (info|warning|error|critical) \| (.+) \|$", text, re.MULTILINE)

    assert rows == [(kind.value, about.severity.value, about.title) for kind, about in ABOUT.items()]


def test_every_decision_that_is_told_is_one_that_is_made() -> None:
    """A renamed decision would be told no more, and nothing would say so."""
    files = [p for room in ("migrator", "workflows") for p in (ROOT / room).rglob("*") if p.suffix in (".py", ".sql")]
    code = "".join(p.read_text() for p in files if p.name != "happened.py")

    assert [kind for kind in KINDS if f'"{kind}"' not in code and f"'{kind}'" not in code] == []
