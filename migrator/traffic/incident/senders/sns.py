"""Reads messages of Amazon SNS and checks their signatures. Pure but for the one call that gets a certificate.

A message is signed with a key whose certificate it names. That is worth something only because the certificate comes,
over HTTPS, from the host of SNS in the Region of a topic that the plan names: no other host, no other name that begins
or ends like it (a bucket named sns is sns.s3.amazonaws.com), no user, no port, no redirect.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from migrator.errors import UsageError
from migrator.traffic.incident.alarm import moment, shown

NOTIFICATION, CONFIRMATION, END = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"

_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    END: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}
_HOSTS = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}
_REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$")
_CERTIFICATE = re.compile(r"^/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem$")
LONGEST_CERTIFICATE = 1 << 16


class NotGenuine(UsageError):
    """The message is not one of Amazon SNS."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as SNS wraps it. `fields`: its texts by name."""

    kind: str
    topic: str
    message_id: str
    sent_at: datetime | None
    message: str
    fields: Mapping[str, str]


def read(found: Mapping[str, Any]) -> Envelope:
    """Return the envelope in a JSON object.

    Raises:
        UsageError: it is none, or lacks what is signed.
    """
    kind = found.get("Type")
    if not isinstance(kind, str) or kind not in _SIGNED:
        raise UsageError("Type is none of Notification, SubscriptionConfirmation and UnsubscribeConfirmation")
    wanted = {*_SIGNED[kind], "SignatureVersion", "Signature", "SigningCertURL"}
    fields = {key: value for key, value in found.items() if isinstance(value, str)}
    if missing := sorted(wanted - fields.keys() - {"Subject"}):
        raise UsageError(f"{', '.join(missing)} missing, or no text, in a message of Amazon SNS")
    return Envelope(
        kind,
        fields["TopicArn"],
        shown(fields["MessageId"], 120),
        moment(fields["Timestamp"]),
        fields["Message"],
        fields,
    )


def host_of(topic: str) -> str:
    """Return the host of SNS where *topic* (an ARN) is.

    Raises:
        NotGenuine: it is no topic's ARN.
    """
    parts = topic.split(":")
    suffix = _HOSTS.get(parts[1]) if len(parts) == 6 and parts[0] == "arn" and parts[2] == "sns" else None
    if suffix is None or not _REGION.match(parts[3]):
        raise NotGenuine("TopicArn is not the ARN of a topic")
    return f"sns.{parts[3]}.{suffix}"


def check_topic(envelope: Envelope, topics: Sequence[str]) -> None:
    """Raise NotGenuine unless the message is of one of *topics*, and its certificate of the host that has it."""
    if envelope.topic not in topics:
        raise NotGenuine("the topic is none of alarms.cloudwatch.topics in the plan")
    _path(envelope.fields["SigningCertURL"], envelope.topic, "SigningCertURL")
    if not _CERTIFICATE.match(urlsplit(envelope.fields["SigningCertURL"]).path):
        raise NotGenuine("SigningCertURL names no certificate of Amazon SNS")


def check_signature(envelope: Envelope, certificate: bytes, now: datetime) -> None:
    """Raise NotGenuine unless the message was signed with the key of *certificate* (PEM), which is valid at *now*."""
    algorithm = _HASHES.get(envelope.fields["SignatureVersion"])
    if algorithm is None:
        raise NotGenuine("SignatureVersion is neither 1 nor 2")
    try:
        signature = base64.b64decode(envelope.fields["Signature"], validate=True)
    except (binascii.Error, ValueError):
        raise NotGenuine("Signature is not base64") from None
    try:
        found = x509.load_pem_x509_certificate(certificate)
        key = found.public_key()
        valid = found.not_valid_before_utc <= now.astimezone(UTC) <= found.not_valid_after_utc
    except Exception:  # whatever a damaged certificate makes the library raise
        raise NotGenuine("the certificate cannot be read") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048 or not valid:
        raise NotGenuine("the certificate has expired, is not valid yet, or has no RSA key of 2,048 bits")
    try:
        key.verify(signature, signed_text(envelope.kind, envelope.fields), padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        raise NotGenuine("the signature is not this message's") from None


def signed_text(kind: str, fields: Mapping[str, str]) -> bytes:
    """Return what SNS signs of a message: names and values, a line each; without Subject there is no such line."""
    text = "".join(f"{key}\n{fields[key]}\n" for key in _SIGNED[kind] if key in fields)
    return text.encode("utf-8", "surrogatepass")


def check_subscribe_url(envelope: Envelope) -> str:
    """Return the address that confirms the subscription.

    Raises:
        NotGenuine: it would lead elsewhere, or do something else.
    """
    url = envelope.fields["SubscribeURL"]
    query = parse_qs(_path(url, envelope.topic, "SubscribeURL"), keep_blank_values=True)
    wanted = {"Action": ["ConfirmSubscription"], "TopicArn": [envelope.topic], "Token": [envelope.fields["Token"]]}
    if urlsplit(url).path not in ("", "/") or any(query.get(key) != value for key, value in wanted.items()):
        raise NotGenuine("SubscribeURL does not confirm this subscription")
    return url


def _path(url: str, topic: str, name: str) -> str:
    """Return the query of *url*, which leads to SNS where *topic* is, and nowhere else."""
    host = host_of(topic)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotGenuine(f"{name} is no address") from None
    odd = re.search(r"[\x00-\x20\x7f-\uffff\\]", url) is not None
    if odd or parts.scheme != "https" or parts.netloc not in (host, f"{host}:443") or port not in (None, 443):
        raise NotGenuine(f"{name} does not lead to https://{host}")
    if parts.fragment:
        raise NotGenuine(f"{name} is no address of Amazon SNS")
    return parts.query


Get = Callable[[str], bytes]
"""Returns the body at an address. Raises ClusterUnavailable when it cannot."""
