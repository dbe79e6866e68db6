"""One try with each kind of receiver, over real sockets: what arrives, and what is said when nothing does."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from migrator.model.condition import Kind
from migrator.model.standing import make
from migrator.notify import send as sending
from migrator.notify.decide import Action
from migrator.notify.message import Note
from migrator.notify.send import Outcome, Result, send
from migrator.plan.notify import Receiver
from tests.fixtures.receivers import Answer, MailServer, WebReceiver, mail_server, web_receiver
from tests.fixtures.waiting import TIMEOUT_S

AT = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
CONDITION = make(
    Kind.QUARANTINE, "3 tenants are quarantined", "migrator mirror retry", count=3, subjects=["a\r\nBcc: x@y"]
)
NOTE = Note(Action.OPENED, CONDITION, "shop", "01234567", AT, AT, number=7)
SECRET = "hunter2-s3cret"
PUBLISHED = (
    b'<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId>'
    b"</PublishResult></PublishResponse>"
)


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with web_receiver() as made:
        yield made


@pytest.fixture(params=["starttls", "tls"])
def mail(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[MailServer, Receiver]]:
    """A mail server, and the receiver whose mail it takes."""
    monkeypatch.setenv("MAIL_LOGIN", "tool")
    monkeypatch.setenv("MAIL_PASSWORD", SECRET)
    with mail_server(tmp_path, "tool", SECRET, implicit=request.param == "tls") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.cert_file))
        yield (
            server,
            Receiver(
                kind="email", host="127.0.0.1", port=server.port, tls=request.param, login="env:MAIL_LOGIN",
                password="env:MAIL_PASSWORD", sender="tool@example.org", to=["a@example.org", "b@example.org"],
            ),
        )  # fmt: skip


def slack_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("HOOK", url)
    return Receiver(kind="slack", url="env:HOOK")


def sns_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    for name, value in (
        ("ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("SECRET_ACCESS_KEY", SECRET),
        ("EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    return Receiver(kind="sns", topic="arn:aws:sns:eu-central-1:123456789012:migrator", endpoint=url)


async def test_mail_arrives_encrypted_after_a_login(mail: tuple[MailServer, Receiver]) -> None:
    server, receiver = mail

    assert await send(NOTE, receiver) == Outcome(Result.SENT)
    ((message, recipients),) = server.got
    assert recipients == ["a@example.org", "b@example.org"] and server.logins == [True]
    assert message["Subject"] == "migrator shop: ERROR: tenants are quarantined" and message["Bcc"] is None


async def test_mail_is_not_sent_with_a_wrong_password_or_to_a_server_that_nobody_trusts(
    mail: tuple[MailServer, Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, receiver = mail
    monkeypatch.setenv("MAIL_PASSWORD", f"not-{SECRET}")
    wrong = await send(NOTE, receiver)
    monkeypatch.delenv("SSL_CERT_FILE")
    unknown = await send(NOTE, receiver)

    assert wrong.result is Result.FAILED and "SMTP 535" in wrong.problem and SECRET not in wrong.problem
    assert unknown.result is Result.FAILED and "certificate" in unknown.problem
    assert server.got == []


async def test_one_refused_recipient_keeps_no_mail_from_the_other(mail: tuple[MailServer, Receiver]) -> None:
    server, receiver = mail
    server.refused = {"a@example.org": "550 no such user"}
    some = await send(NOTE, receiver)
    server.refused |= {"b@example.org": "550 no such user"}
    none = await send(NOTE, receiver)
    server.refused |= {"b@example.org": "451 try later", "a@example.org": "451 try later"}
    later = await send(NOTE, receiver)

    assert some == Outcome(Result.SENT, "1 of 2 recipients were refused") and len(server.got) == 1
    assert (none.result, later.result) == (Result.REFUSED, Result.FAILED)


async def test_sns_gets_a_signed_request(web: WebReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    web.usual = Answer(200, {"content-type": "text/xml"}, body=PUBLISHED)

    assert await send(NOTE, sns_at(web.url, monkeypatch)) == Outcome(Result.SENT)
    (got,) = web.got
    said = parse_qs(got.raw.decode())
    assert said["Action"] == ["Publish"] and said["Subject"] == ["migrator shop: ERROR: tenants are quarantined"]
    assert got.headers["authorization"] == signed(got, web.url)
    assert SECRET.encode() not in got.raw


def signed(got: Any, url: str) -> str:
    """The header as AWS computes it from what came."""
    names = re.search(r"SignedHeaders=([^,]+)", got.headers["authorization"])
    assert names is not None
    request = AWSRequest("POST", f"{url}/", data=got.raw)
    for name in names[1].split(";"):
        if name != "host":
            request.headers[name] = got.headers[name]
    request.context["timestamp"] = got.headers["x-amz-date"]
    auth = SigV4Auth(Credentials("AKIDEXAMPLE", SECRET), "sns", "eu-central-1")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    head = f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names[1]}"
    return f"{head}, Signature={auth.signature(text, request)}"


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [(400, "InvalidParameter", "refused"), (403, "AuthorizationError", "failed"), (404, "NotFound", "failed"),
     (500, "InternalError", "failed"), (400, "Throttled", "failed")],
)  # fmt: skip
async def test_what_sns_refuses_is_said_by_its_code(
    status: int, code: str, result: str, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = f"<ErrorResponse><Error><Code>{code}</Code><Message>no {SECRET}</Message></Error></ErrorResponse>"
    web.usual = Answer(status, {"content-type": "text/xml"}, body=error.encode())
    outcome = await send(NOTE, sns_at(web.url, monkeypatch))

    assert outcome.result is Result(result) and code in outcome.problem and SECRET not in outcome.problem


async def test_no_secret_is_in_a_problem_or_a_log(
    web: WebReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not when the receiver quotes it, the address is wrong in any way, or the libraries log what they do."""
    caplog.set_level(logging.DEBUG)
    web.usual = Answer(404, body=f"no such path /services/{SECRET}".encode())
    problems = []
    for url in (f"{web.url}/services/{SECRET}", f"http://127.0.0.1:1/{SECRET}", f"http://[{SECRET}/", f"ftp://{SECRET}",
                SECRET, f"http://no-such-host-{SECRET}.invalid/", f"http://{SECRET}:x@127.0.0.1:99999/"):  # fmt: skip
        outcome = await send(NOTE, slack_at(url, monkeypatch))
        problems.append(outcome.problem)
        assert outcome.result is not Result.SENT and outcome.problem
    monkeypatch.delenv("HOOK")
    unset = await send(NOTE, Receiver(kind="slack", url="env:HOOK"))

    assert not [p for p in [*problems, caplog.text] if SECRET in p]
    assert "HOOK is not set" in unset.problem


async def test_a_receiver_that_answers_drop_by_drop_is_left(web: WebReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each drop comes within the bound of one reading: the whole has a bound of its own."""
    import threading

    free = threading.Event()
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.3)
    web.usual = Answer(200, after=lambda: free.wait(TIMEOUT_S))
    outcome = await send(NOTE, slack_at(web.url, monkeypatch))
    free.set()

    assert outcome == Outcome(Result.FAILED, "no answer within 0.3 s")


async def test_a_test_message_says_that_nothing_is_wrong(web: WebReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    await send(replace(NOTE, action=Action.TEST), slack_at(web.url, monkeypatch))

    assert web.texts() == ["migrator shop: TEST: nothing is wrong"]


async def test_why_a_receiver_cannot_be_reached_is_said_in_words(
    web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words of the operating system: an error's own text could hold the address, which is a secret."""
    said = {
        f"http://127.0.0.1:1/{SECRET}": "connection refused",
        f"https://no-such-host.invalid/{SECRET}": "name",  # "name or service not known", or as other systems say it
        f"{web.url.replace('http', 'https')}/{SECRET}": "TLS: wrong version number",
    }
    for address, words in said.items():
        monkeypatch.setenv("HOOK", address)
        outcome = await send(NOTE, Receiver(kind="slack", url="env:HOOK"))

        assert outcome.result is Result.FAILED and words in outcome.problem, outcome
        assert SECRET not in outcome.problem and "Error" not in outcome.problem
