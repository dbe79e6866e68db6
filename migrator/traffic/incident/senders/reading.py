"""Checks that a request comes from the source it names, and reads its alarms.

Each proves itself with the plan's secret for its source, but CloudWatch, whose messages Amazon SNS signs. A message
that SNS delivers raw is not signed, and needs the secret too.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from migrator.errors import ClusterUnavailable
from migrator.traffic.incident.alarm import Delivery, read_object
from migrator.traffic.incident.caller import proof, signed_by_pagerduty
from migrator.traffic.incident.flights import Flights
from migrator.traffic.incident.memory import Bucket
from migrator.traffic.incident.reply import Reply
from migrator.traffic.incident.senders import alertmanager, cloudwatch, datadog, pagerduty, sns
from migrator.traffic.incident.sources import Sources

KEPT_S = 86_400.0
MOST_CERTIFICATES = 16

InThread = Callable[[Callable[[], bytes]], Awaitable[bytes]]

_FORMS = {"alertmanager": alertmanager.read, "datadog": datadog.read, "pagerduty": pagerduty.read}


class Reader:
    """Reads what the sources send.

    Args:
        get: returns what is at an address of Amazon SNS.
        in_thread: runs a call that waits.
    """

    def __init__(self, get: sns.Get, in_thread: InThread, flights: Flights) -> None:
        self._get_now = get
        self._in_thread = in_thread
        self._flights = flights
        self._certificates: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._ways_out = Bucket(0.5, 20)

    async def read(self, source: str, sources: Sources, headers: Mapping[str, str], body: bytes) -> Delivery | Reply:
        """Return the alarms in a request, or the answer to one that carries none or proves nothing.

        Raises:
            UsageError: it cannot be understood, or is not genuine (NotGenuine).
            ClusterUnavailable: the certificate cannot be had now.
        """
        if source == "cloudwatch":
            return await self._cloudwatch(sources, headers, body)
        secret = sources.secrets[source]
        if source == "pagerduty":
            proven = signed_by_pagerduty(secret, headers.get("x-pagerduty-signature", ""), body)
            return (
                pagerduty.read(body) if proven else _unauthorized("X-PagerDuty-Signature is not by the plan's secret")
            )
        key = proof(secret, headers, body, time.time(), password=True)
        if key is None:
            return _unauthorized("neither the token, the password nor a fresh signature")
        found = _FORMS[source](body)
        return replace(found, message=key) if key else found

    async def _cloudwatch(self, sources: Sources, headers: Mapping[str, str], body: bytes) -> Delivery | Reply:
        topics, secret = sources.alarms.cloudwatch.topics, sources.secrets.get("cloudwatch")
        raw = headers.get("x-amz-sns-rawdelivery", "").lower() == "true"
        if raw or "authorization" in headers or "x-migrator-signature" in headers:
            key = None if secret is None else proof(secret, headers, body, time.time(), password=True)
            if key is None and raw:
                return _unauthorized(
                    "a message that SNS delivers raw is not signed: turn raw delivery off, or set"
                    " alarms.cloudwatch.secret and subscribe https://sns:SECRET@HOST/alarms/cloudwatch"
                )
        else:
            key = None
        found = read_object(body)
        if not raw and "Type" in found and "Signature" in found:
            return await self._signed(sns.read(found), topics)
        if key is None:
            return _unauthorized("not a signed message of Amazon SNS")
        topic = headers.get("x-amz-sns-topic-arn")
        if topic is not None and topic not in topics:
            raise sns.NotGenuine("the topic is none of alarms.cloudwatch.topics in the plan")
        delivery = cloudwatch.of_raw(found, headers)
        return replace(delivery, message=key) if key else delivery

    async def _signed(self, envelope: sns.Envelope, topics: list[str]) -> Delivery | Reply:
        sns.check_topic(envelope, topics)
        certificate = await self._certificate(envelope.fields["SigningCertURL"])
        sns.check_signature(envelope, certificate, datetime.now(UTC))
        also = {"topic": envelope.topic}
        if envelope.kind == sns.CONFIRMATION:
            await self._get(sns.check_subscribe_url(envelope))
            return Reply(
                200, {"outcome": "subscription confirmed", "topic": envelope.topic}, {}, "subscription confirmed", also
            )
        if envelope.kind == sns.END:
            note = "alarms of this topic no longer arrive here"
            return Reply(200, {"outcome": "subscription ended", "note": note}, {}, "subscription ended", also)
        return cloudwatch.of_envelope(envelope)

    async def _certificate(self, url: str) -> bytes:
        at, known = self._certificates.get(url, (0.0, b""))
        if known and time.monotonic() - at < KEPT_S:
            return known
        found = await self._get(url)
        self._certificates[url] = (time.monotonic(), found)
        while len(self._certificates) > MOST_CERTIFICATES:
            self._certificates.popitem(last=False)
        return found

    async def _get(self, url: str) -> bytes:
        async def begin() -> bytes:
            if not self._ways_out.take(time.monotonic()):
                raise ClusterUnavailable("Amazon SNS", "too many certificates are asked for", "Try again.")
            return await self._in_thread(partial(self._get_now, url))

        return await self._flights.share(f"get/{url}", begin)


def _unauthorized(why: str) -> Reply:
    return Reply(
        401,
        {"error": "not authorized"},
        {"WWW-Authenticate": 'Basic realm="migrator"'},
        "not authorized",
        {"reason": why},
    )
