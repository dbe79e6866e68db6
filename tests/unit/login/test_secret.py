"""Secrets of AWS: what a reference names, what it lacks, and how long a text is kept."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from psycopg.conninfo import conninfo_to_dict

from migrator.errors import ClusterUnavailable, MigratorError, UsageError
from migrator.login import secret
from migrator.login.secret import KEPT_S, PAUSE_S, SecretName, dsn_from_secret, forget, named, text_of
from migrator.shim import rds

MANAGED = json.dumps({"username": "app", "password": "p w'\"\\?=&#%"})
"""As RDS makes it."""


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("prod/db", SecretName("prod/db")),
        ("prod/db#dsn", SecretName("prod/db", "dsn")),
        ("rds!cluster-1?dbname=app", SecretName("rds!cluster-1", None, {"dbname": "app"})),
        ("s#k?dbname=a&host=h", SecretName("s", "k", {"dbname": "a", "host": "h"})),
        ("s?dbname=Gr%C3%B6%C3%9Fe%20%22x%22#k", SecretName("s", "k", {"dbname": 'Größe "x"'})),
        (
            "arn:aws:secretsmanager:eu-west-1:1:secret:a-b?host=h,i&port=1,2",
            SecretName("arn:aws:secretsmanager:eu-west-1:1:secret:a-b", None, {"host": "h,i", "port": "1,2"}),
        ),
    ],
)
def test_a_reference_names_a_secret_and_what_it_lacks(reference: str, found: SecretName) -> None:
    assert named(reference) == found


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("s?database=x", "database is no part"),
        ("s?password=hunter2", "holds a password"),
        ("#k", "cannot be read"),
        ("s#a?dbname=x#b", "cannot be read"),
    ],
)
def test_what_cannot_be_is_said(reference: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as wrong:
        named(reference)
    assert "hunter2" not in str(wrong.value)


def test_a_secret_that_rds_manages_needs_host_and_database() -> None:
    with pytest.raises(UsageError, match="the secret s lacks host, dbname") as lacks:
        dsn_from_secret("s", MANAGED, None)
    assert r"aws-secret:s?host=…&dbname=…" in lacks.value.hint and "postgres_limitless" in lacks.value.hint

    with pytest.raises(UsageError, match="the secret s lacks dbname"):
        dsn_from_secret("s", MANAGED, None, {"host": "h"})

    parts = conninfo_to_dict(dsn_from_secret("s", MANAGED, None, {"host": "h", "dbname": "postgres_limitless"}))
    assert (parts["host"], parts["dbname"], parts["sslmode"]) == ("h", "postgres_limitless", "verify-full")
    assert parts["password"] == json.loads(MANAGED)["password"]


def test_a_database_is_never_guessed() -> None:
    """`dbInstanceIdentifier` names an instance."""
    text = json.dumps({**json.loads(MANAGED), "host": "h", "dbInstanceIdentifier": "prod-1"})

    with pytest.raises(UsageError, match="lacks dbname"):
        dsn_from_secret("s", text, None)


def test_the_reference_goes_before_the_secret() -> None:
    whole = json.dumps({"dsn": "postgresql://a:b@h/old?sslmode=require"})

    parts = conninfo_to_dict(dsn_from_secret("s", whole, "dsn", {"dbname": "new", "sslmode": "verify-full"}))

    assert (parts["dbname"], parts["sslmode"], parts["password"]) == ("new", "verify-full", "b")


class Aws:
    """Plays Secrets Manager."""

    def __init__(self) -> None:
        self.text, self.asked, self.away = "one", 0, False

    def __call__(self, _: str) -> str:
        self.asked += 1
        if self.away:
            raise ClusterUnavailable("AWS Secrets Manager", "EndpointConnectionError")
        return self.text


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    found = Aws()
    monkeypatch.setattr(secret, "_kept", {})
    monkeypatch.setattr(secret, "_asked", found)
    return found


def at(seconds: float) -> Callable[[], float]:
    return lambda: 1000.0 + seconds


def test_a_text_is_kept_for_a_minute_and_asked_again_after_a_refusal(aws: Aws) -> None:
    assert [text_of("s", at(0)), text_of("s", at(KEPT_S - 1))] == ["one", "one"] and aws.asked == 1
    aws.text = "two"
    assert text_of("s", at(KEPT_S)) == "two"
    aws.text = "three"
    forget("s")
    assert text_of("s", at(KEPT_S + PAUSE_S)) == "three" and aws.asked == 3


def test_a_login_that_keeps_being_refused_does_not_ask_without_end(aws: Aws) -> None:
    for n in range(100):
        text_of("s", at(n / 100))
        forget("s")
    assert aws.asked == 1


def test_what_was_read_does_while_aws_is_away_until_it_is_refused(aws: Aws) -> None:
    text_of("s", at(0))
    aws.away = True

    assert text_of("s", at(10 * KEPT_S)) == "one"
    forget("s")
    with pytest.raises(ClusterUnavailable):
        text_of("s", at(20 * KEPT_S))


@pytest.mark.parametrize("trouble", [ClusterUnavailable("AWS", "ReadTimeout"), UsageError("AccessDenied")])
def test_an_aws_that_is_away_or_refuses_holds_up_one_connection_a_minute(
    aws: Aws, trouble: MigratorError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether what was read is right is for the server to say: a right that was taken away stops no application."""
    text_of("s", at(0))
    asked = []

    def away(_: str) -> str:
        asked.append(text_of("s", at(KEPT_S + 1)))  # another connection, while this one waits
        raise trouble

    monkeypatch.setattr(secret, "_asked", away)

    found = [text_of("s", at(KEPT_S + n)) for n in range(120)]

    assert set(found) == {"one"} and asked == ["one", "one"]


def test_the_shim_names_secrets_as_the_plan_does(aws: Aws) -> None:
    aws.text = MANAGED

    source = rds.secret("rds!cluster-1", host="h", dbname='Größe & "select"')

    assert conninfo_to_dict(source())["dbname"] == 'Größe & "select"'
