"""References become connection strings; what is missing is named, what is there is never shown."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber
from psycopg.conninfo import conninfo_to_dict

from migrator import settings
from migrator.errors import ClusterUnavailable, MigratorError, UsageError
from migrator.login import secret

SECRET = "hunter2-secret"
DSN = f"postgresql://app:{SECRET}@db.example:5432/app"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MIGRATOR_PLAN", "MIGRATOR_CLASSIC_DSN", "MIGRATOR_OPERATOR", "MIGRATOR_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    return tmp_path


def test_every_kind_of_reference(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable, a file, the servers of this machine."""
    monkeypatch.setenv("SOME_DSN", DSN)
    (home / "dsn").write_text(f"{DSN}\n")
    (home / "local.json").write_text(
        json.dumps({"classic": "c", "limitless": "l", "temporal": "t:1", "ui": "http://u"})
    )

    assert settings.resolve("env:SOME_DSN") == DSN
    assert settings.resolve(f"file:{home / 'dsn'}") == DSN
    assert (settings.resolve("local:classic"), settings.resolve("local:limitless")) == ("c", "l")


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE"),
        ("file:/nowhere/dsn", "/nowhere/dsn"),
        ("local:classic", "local.json"),
        (DSN, "not a reference"),
    ],
)
def test_what_is_missing_is_named(reference: str, named: str) -> None:
    """The message names variable, file or server, and never quotes a connection string."""
    with pytest.raises(UsageError) as caught:
        settings.resolve(reference)

    assert named in str(caught.value) and SECRET not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("text", ["", "not json", "[1]"])
def test_a_broken_local_file_is_said(home: Path, text: str) -> None:
    (home / "local.json").write_text(text)

    with pytest.raises(UsageError, match=r"local\.json"):
        settings.resolve("local:classic")


def test_temporal_is_local_or_given(home: Path) -> None:
    def plan(address: str) -> SimpleNamespace:
        return SimpleNamespace(temporal=SimpleNamespace(address=address))

    assert settings.temporal_address(plan("temporal.example:7233")) == "temporal.example:7233"
    assert settings.temporal_ui(plan("temporal.example:7233")) is None
    with pytest.raises(UsageError):
        settings.temporal_address(plan("local"))
    (home / "local.json").write_text(json.dumps({"temporal": "127.0.0.1:1234", "ui": "http://127.0.0.1:1235"}))
    assert settings.temporal_address(plan("local")) == "127.0.0.1:1234"
    assert settings.temporal_ui(plan("local")) == "http://127.0.0.1:1235"


def test_classic_is_found_in_the_environment_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.classic_dsn() is None
    (home / "local.json").write_text(json.dumps({"classic": "from the local servers"}))
    assert settings.classic_dsn() == "from the local servers"
    monkeypatch.setenv("MIGRATOR_CLASSIC_DSN", DSN)
    assert settings.classic_dsn() == DSN


def test_an_operator_always_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.operator()
    monkeypatch.setenv("MIGRATOR_OPERATOR", "Ada")
    assert settings.operator() == "Ada"


# -- AWS Secrets Manager ---------------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    client = boto3.client(
        "secretsmanager", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    monkeypatch.setattr(boto3.Session, "client", lambda _self, _name, **_: client)
    monkeypatch.setattr(secret, "_kept", {})
    stubber = Stubber(client)
    stubber.activate()
    return stubber


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("aws-secret:prod/db", DSN),
        ("aws-secret:prod/db#classic", json.dumps({"classic": DSN})),
    ],
)
def test_a_secret_holds_a_connection_string(aws: Stubber, reference: str, text: str) -> None:
    """The whole text, or one key of its JSON."""
    aws.add_response(
        "get_secret_value",
        {"Name": "prod/db", "SecretString": text, "ARN": "arn:aws:secretsmanager:eu-central-1:1:secret:prod/db"},
        {"SecretId": "prod/db"},
    )

    assert settings.resolve(reference) == DSN


def test_a_secret_with_parts_becomes_a_verified_connection() -> None:
    """JSON with host, user and password is put together, with the server's certificate checked."""
    text = json.dumps({"host": "db.example", "port": 5433, "username": "app", "password": SECRET, "dbname": "app"})

    assert conninfo_to_dict(secret.dsn_from_secret("s", text, None)) == {
        "host": "db.example",
        "port": "5433",
        "user": "app",
        "password": SECRET,
        "dbname": "app",
        "sslmode": "verify-full",
    }


@pytest.mark.parametrize(
    ("text", "key", "named"),
    [
        (json.dumps({"username": "a", "password": SECRET}), None, "lacks host, dbname"),
        (json.dumps({"other": SECRET}), "classic", "no key classic"),
        (SECRET, "classic", "not JSON"),
    ],
)
def test_a_secret_that_lacks_something_says_what(text: str, key: str | None, named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        secret.dsn_from_secret("prod/db", text, key)

    assert SECRET not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_refusal_of_aws_names_the_secret(aws: Stubber, code: str) -> None:
    aws.add_client_error("get_secret_value", code, "details that are not shown")

    with pytest.raises(UsageError, match=f"prod/db .{code}."):
        settings.resolve("aws-secret:prod/db")


def test_no_region_is_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without AWS settings ends in our error, not in boto's."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    with pytest.raises(MigratorError) as caught:
        settings.resolve("aws-secret:prod/db")
    assert isinstance(caught.value, ClusterUnavailable)
