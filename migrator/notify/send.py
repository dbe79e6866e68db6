"""Sends one message to one receiver, and says what became of it: values, no exceptions.

Texts of errors that a library or a receiver gives are not shown: they quote addresses, and an address of a webhook is a
secret. What is shown is the status, what the operating system said (or the class of the error), and what to look at.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, TypeVar

from migrator import settings
from migrator.errors import MigratorError
from migrator.notify import mail, pagerduty, slack, sns
from migrator.notify.message import Note, clean
from migrator.plan.notify import Receiver

T = TypeVar("T")

TIMEOUT_S = 15.0
"""One try takes no longer, however slowly the receiver answers."""
_STEP_S = 8.0
_AFTER_MOST_S = 3_600.0


class Result(StrEnum):
    SENT = "sent"
    FAILED = "failed"  # the receiver takes nothing now
    REFUSED = "refused"  # it answers, and does not take this message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try. after_s: the receiver asked to wait so long."""

    result: Result
    problem: str = ""
    after_s: float | None = None


SENT = Outcome(Result.SENT)


async def send(note: Note, receiver: Receiver) -> Outcome:
    """Try once to send *note* to *receiver*."""
    try:
        return await asyncio.wait_for(_SENDERS[receiver.kind](note, receiver), TIMEOUT_S)
    except TimeoutError:
        return Outcome(Result.FAILED, f"no answer within {TIMEOUT_S:g} s")
    except MigratorError as error:  # a secret that cannot be found; its text names the reference
        return Outcome(Result.FAILED, str(error))
    except Exception as error:  # a receiver must not end the notifier
        return Outcome(Result.FAILED, f"it cannot be reached: {why(error)}")


def why(error: BaseException) -> str:
    """Return what the system said below *error*, which holds no secret; its text might hold an address that is one."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {below.verify_message}"
        if isinstance(below, ssl.SSLError) and below.reason:
            return f"TLS: {below.reason.replace('_', ' ').lower()}"
        if isinstance(below, socket.gaierror):
            return str(below.strerror).lower()
        code = (below.errno if isinstance(below, OSError) else None) or 0
        if code in errno.errorcode:  # an error of SMTP has the server's code there
            return os.strerror(code).lower()
        several = below.exceptions if isinstance(below, BaseExceptionGroup) else ()
        below = several[0] if several else below.__cause__ or below.__context__
    return type(error).__name__


async def _slack(note: Note, receiver: Receiver) -> Outcome:
    url = await in_thread(lambda: settings.secret(receiver.url or ""))
    return await _post(url, slack.payload(note))


async def _pagerduty(note: Note, receiver: Receiver) -> Outcome:
    key = await in_thread(lambda: settings.secret(receiver.key or ""))
    path, body = pagerduty.request(note, key)
    return await _post((receiver.endpoint or pagerduty.DEFAULT).rstrip("/") + path, body)


async def _post(url: str, body: dict[str, Any]) -> Outcome:
    import logging

    import httpx

    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log addresses
    if not url.startswith(("http://", "https://")):
        return Outcome(Result.FAILED, "the secret holds no address that begins with http:// or https://")
    async with httpx.AsyncClient(timeout=_STEP_S, follow_redirects=False) as client:
        async with client.stream("POST", url, json=body) as answer:  # what it says is not read: it may be endless
            return of_status(answer.status_code, answer.headers.get("retry-after"))


def of_status(status: int, retry_after: str | None = None) -> Outcome:
    """Return what an HTTP status means for the message and for the receiver. Pure."""
    if 200 <= status < 300:
        return SENT
    if status in (429, 503):
        return Outcome(Result.FAILED, f"HTTP {status}: it asks to be sent less", _seconds(retry_after))
    if status >= 500:
        return Outcome(Result.FAILED, f"HTTP {status}: it has a problem of its own")
    if status in (401, 403, 404, 410):
        return Outcome(Result.FAILED, f"HTTP {status}: look at the address or key that the plan refers to")
    if 300 <= status < 400:
        return Outcome(Result.FAILED, f"HTTP {status}: it is at another address, which is not followed")
    return Outcome(Result.REFUSED, f"HTTP {status}: it does not take the message; look at the address or key")


def _seconds(text: str | None) -> float | None:
    if not text:
        return None
    if re.fullmatch(r"\s*-?\d{1,12}(\.\d*)?\s*", text):
        return min(max(float(text), 0.0), _AFTER_MOST_S)
    with suppress(ValueError, TypeError):
        left = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        return min(max(left, 0.0), _AFTER_MOST_S)
    return None


async def _email(note: Note, receiver: Receiver) -> Outcome:
    return await in_thread(lambda: _mailed(note, receiver))


def _mailed(note: Note, receiver: Receiver) -> Outcome:
    login = settings.secret(receiver.login) if receiver.login else None
    password = settings.secret(receiver.password) if receiver.password else None
    port = receiver.port or (465 if receiver.tls == "tls" else 587)
    context = ssl.create_default_context()
    try:
        with _connected(receiver, port, context) as server:
            if receiver.tls == "starttls":
                server.starttls(context=context)
            if login is not None and password is not None:
                server.login(login, password)
            refused = server.send_message(mail.message(note, receiver), receiver.sender, receiver.to)
    except smtplib.SMTPAuthenticationError as error:
        return Outcome(Result.FAILED, f"SMTP {error.smtp_code}: it refuses the login that the plan refers to")
    except smtplib.SMTPNotSupportedError:
        return Outcome(Result.FAILED, "the SMTP server does not offer STARTTLS or logins; look at tls in the plan")
    except ssl.SSLCertVerificationError:
        return Outcome(Result.FAILED, "the certificate of the SMTP server is not one that this machine trusts")
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        return _of_smtp(codes[0], "it refuses every recipient")
    except smtplib.SMTPResponseException as error:
        return _of_smtp(error.smtp_code, "it does not take the message")
    if refused:
        return Outcome(Result.SENT, f"{len(refused)} of {len(receiver.to)} recipients were refused")
    return SENT


def _connected(receiver: Receiver, port: int, context: ssl.SSLContext) -> smtplib.SMTP:
    host = receiver.host or ""
    if receiver.tls == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=_STEP_S, context=context)
    return smtplib.SMTP(host, port, timeout=_STEP_S)


def _of_smtp(code: int, what: str) -> Outcome:
    return Outcome(Result.FAILED if code < 500 else Result.REFUSED, f"SMTP {code}: {what}")


async def _sns(note: Note, receiver: Receiver) -> Outcome:
    return await in_thread(lambda: _published(note, receiver))


def _published(note: Note, receiver: Receiver) -> Outcome:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return Outcome(Result.FAILED, "SNS needs the AWS extra: pip install 'migrator[aws]'")
    topic = receiver.topic or ""
    bounds = Config(connect_timeout=_STEP_S / 2, read_timeout=_STEP_S, retries={"total_max_attempts": 1})
    region = receiver.region or topic.split(":")[3]
    try:
        client = boto3.client("sns", region_name=region, endpoint_url=receiver.endpoint, config=bounds)
        client.publish(**sns.arguments(note, topic))
    except ClientError as error:
        code = clean(str(error.response.get("Error", {}).get("Code", "unknown")), 60)
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
        refused = status == 400 and code.startswith("Invalid")
        return Outcome(
            Result.REFUSED if refused else Result.FAILED, f"AWS answers {code}: see sns:Publish on the topic"
        )
    except BotoCoreError as error:  # the class says what is wrong: credentials, region, endpoint
        return Outcome(Result.FAILED, f"AWS cannot be asked ({type(error).__name__})")
    return SENT


_SENDERS = {"slack": _slack, "pagerduty": _pagerduty, "email": _email, "sns": _sns}


async def in_thread(work: Callable[[], T]) -> T:
    """Return the result of *work*, done in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return  # nobody waits any more
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # without an error there is one, None too where T says so

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="migrator-notify", daemon=True).start()
    return await done
