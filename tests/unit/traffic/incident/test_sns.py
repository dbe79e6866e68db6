"""A message of Amazon SNS is believed for its signature, with a certificate from its host and from nowhere else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from migrator.errors import UsageError
from migrator.traffic.incident.senders import sns
from tests.fixtures import alarms as sent

SNS = sent.Sns()
NOW = datetime.now(UTC)


def check(message: sent.Json, pem: bytes | None = None) -> None:
    envelope = sns.read(message)
    sns.check_topic(envelope, [sent.TOPIC])
    sns.check_signature(envelope, pem or SNS.pem, NOW)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signed_message_is_believed(version: str) -> None:
    check(SNS.notification("hello", SignatureVersion=version))
    check(SNS.confirmation(SignatureVersion=version))
    check(SNS.confirmation("UnsubscribeConfirmation", SignatureVersion=version))


def test_a_notification_without_a_subject_is_signed_without_it() -> None:
    check(sent.sign({"Type": "Notification", "Message": "hello"}))
    check({**sent.sign({"Type": "Notification", "Message": "hello"}), "Subject": None})


@pytest.mark.parametrize("field", ["Message", "MessageId", "Subject", "Timestamp"])
def test_a_message_that_was_changed_is_not(field: str) -> None:
    message = SNS.notification("hello")

    with pytest.raises(sns.NotGenuine):
        check({**message, field: message[field] + " "})


@pytest.mark.parametrize(
    "change",
    [
        {"Signature": ""}, {"Signature": "not base64!"}, {"Signature": base64.b64encode(b"x" * 256).decode()},
        {"SignatureVersion": "3"}, {"SignatureVersion": "1"},
        {"TopicArn": "arn:aws:sns:eu-central-1:999999999999:other"},
    ],
)  # fmt: skip
def test_neither_is_one_with_another_signature_or_topic(change: dict[str, str]) -> None:
    with pytest.raises(sns.NotGenuine):
        check({**SNS.notification("hello"), **change})


def test_neither_is_one_by_another_key_or_with_a_certificate_that_has_expired() -> None:
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    small = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    message = SNS.notification("hello")

    with pytest.raises(sns.NotGenuine, match="signature"):
        check(sent.sign({"Type": "Notification", "Message": "hello"}, by=other))
    for pem in (
        sent.certificate(days=-1),
        sent.certificate(small),
        b"",
        b"<html>",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ):
        with pytest.raises(sns.NotGenuine, match="certificate"):
            check(message, pem or b" ")


CERT = sent.CERTIFICATE.removeprefix("https://sns.eu-central-1.amazonaws.com")


@pytest.mark.parametrize(
    "url",
    [
        f"http://sns.eu-central-1.amazonaws.com{CERT}",
        f"https://sns.s3.amazonaws.com{CERT}",
        f"https://sns.s3-eu-west-1.amazonaws.com{CERT}",
        f"https://sns.us-east-1.amazonaws.com{CERT}",
        f"https://sns.eu-central-1.amazonaws.com.evil.example{CERT}",
        f"https://sns.eu-central-1.amazonaws.com:8443{CERT}",
        f"https://sns.eu-central-1.amazonaws.com@evil.example{CERT}",
        f"https://evil.example\\@sns.eu-central-1.amazonaws.com{CERT}",
        f"https://evil.example#@sns.eu-central-1.amazonaws.com{CERT}",
        f"https://xsns.eu-central-1.amazonaws.com{CERT}",
        f"https://SNS.eu-central-1.amazonaws.com.{CERT}",
        f"//sns.eu-central-1.amazonaws.com{CERT}",
        f"file://sns.eu-central-1.amazonaws.com{CERT}",
        f"https://sns.eu-central-1.amazonaws.com{CERT}#x",
        f"https://sns.eu-central-1.amazonaws.com{CERT}/../x.pem",
        "https://sns.eu-central-1.amazonaws.com/?Action=Publish&x=.pem",
        f"https://sns.eu-central-1.amazonaws.com{CERT}\n",
        f"https://sns.eu-centrаl-1.amazonaws.com{CERT}",
        "https://[::1", "", "https://sns.eu-central-1.amazonaws.com:x/",
    ],
)  # fmt: skip
def test_no_other_address_has_its_certificate(url: str) -> None:
    """Each is signed well, with a key of the one who sent it."""
    envelope = sns.read(SNS.notification("hello", SigningCertURL=url))

    with pytest.raises(sns.NotGenuine):
        sns.check_topic(envelope, [sent.TOPIC])


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        (sent.TOPIC, "sns.eu-central-1.amazonaws.com"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:x", "sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:x", "sns.us-gov-west-1.amazonaws.com"),
    ],
)
def test_the_host_is_that_of_the_topics_region(topic: str, host: str) -> None:
    assert sns.host_of(topic) == host


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "arn:aws:sns",
        "arn:aws:sqs:eu-central-1:1:x",
        "arn:aws:sns:s3:1:x",
        "arn:aws:sns:a.b:1:x",
        "arn:other:sns:eu-central-1:1:x",
    ],
)
def test_what_is_no_topic_has_none(topic: str) -> None:
    with pytest.raises(sns.NotGenuine):
        sns.host_of(topic)


def test_a_subscription_is_confirmed_at_the_address_of_that_subscription() -> None:
    assert sns.check_subscribe_url(sns.read(SNS.confirmation())) == sent.CONFIRM
    for url in (
        sent.CONFIRM.replace("ConfirmSubscription", "Unsubscribe"), sent.CONFIRM.replace("migrator-alarms", "other"),
        sent.CONFIRM.replace("Token=2", "Token=3"), sent.CONFIRM + "&Action=Publish", sent.CONFIRM.replace("/?", "/x?"),
        sent.CONFIRM.replace(".com", ".com.evil.example"), "https://sns.eu-central-1.amazonaws.com/",
    ):  # fmt: skip
        with pytest.raises(sns.NotGenuine):
            sns.check_subscribe_url(sns.read(SNS.confirmation(SubscribeURL=url)))


@pytest.mark.parametrize("missing", ["Message", "TopicArn", "Signature", "SigningCertURL", "Timestamp", "MessageId"])
def test_a_message_that_lacks_something_is_not_understood(missing: str) -> None:
    message = SNS.notification("hello")
    for broken in ({k: v for k, v in message.items() if k != missing}, {**message, missing: 3}):
        with pytest.raises(UsageError, match=missing):
            sns.read(broken)
