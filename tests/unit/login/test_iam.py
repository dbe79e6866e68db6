"""IAM tokens: what is signed, for which region, and what a reference says."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from migrator import settings
from migrator.errors import ClusterUnavailable, UsageError
from migrator.login import iam
from migrator.login.iam import IamToken, region_of
from migrator.login.source import Login

HOST = "prod.cluster-abc.eu-central-1.rds.amazonaws.com"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never shown")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(iam, "_clients", {})


def signed(dsn: str) -> tuple[dict[str, Any], dict[str, list[str]], str]:
    parts = conninfo_to_dict(dsn)
    token = urlsplit(f"https://{parts['password']}")
    return parts, parse_qs(token.query), token.netloc


def test_a_token_is_signed_for_host_port_user_and_region(aws: None) -> None:
    parts, query, where = signed(settings.resolve(f"rds-iam://tool@{HOST}:5433/app"))

    assert where == f"{HOST}:5433" and query["Action"] == ["connect"] and query["DBUser"] == ["tool"]
    assert "/eu-central-1/rds-db/" in query["X-Amz-Credential"][0] and query["X-Amz-Expires"] == ["900"]
    assert (parts["user"], parts["dbname"], parts["sslmode"]) == ("tool", "app", "verify-full")
    assert "never shown" not in str(parts)


def test_region_and_endpoint_may_be_said(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a name of one's own the host says neither."""
    reference = f"rds-iam://tool@db.example/app?region=us-west-2&endpoint={HOST}&sslmode=require"
    parts, query, where = signed(settings.resolve(reference))

    assert where == f"{HOST}:5432" and "/us-west-2/" in query["X-Amz-Credential"][0]
    assert (parts["host"], parts["sslmode"]) == ("db.example", "require")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    monkeypatch.setattr(iam, "_clients", {})
    _, query, _ = signed(IamToken("host=db.example user=tool dbname=app")())
    assert "/ap-south-1/" in query["X-Amz-Credential"][0]


def test_odd_names_arrive_as_they_are(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSN", f"host={HOST} user='Größe \"x\" &=?' dbname='select'")

    parts, query, _ = signed(settings.resolve("rds-iam:env:DSN"))

    assert query["DBUser"] == ['Größe "x" &=?'] and parts["dbname"] == "select"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-central-1"),
        (HOST.upper(), "eu-central-1"),
        ("x.y.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
        ("x.y.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"),
        ("localhost", None),
        ("eu-central-1.rds.amazonaws.com.example", None),
    ],
)
def test_the_region_is_in_the_name(host: str, region: str | None) -> None:
    assert region_of(host) == region


@pytest.mark.parametrize(
    ("text", "said"), [("host=h", "needs user"), ("user=u", "needs host"), ("dbname=d", "needs host and user")]
)
def test_what_lacks_is_said(aws: None, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        IamToken(text)()


def test_a_machine_without_credentials_is_told_so(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    with pytest.raises(ClusterUnavailable, match=r"no token can be signed for tool at .* \(NoCredentialsError\)"):
        settings.resolve(f"rds-iam://tool@{HOST}/app")


def test_every_host_has_its_turn(aws: None) -> None:
    source = IamToken("host=a,b,c port=1,2,3 user=u", region="eu-west-1")
    seen = [conninfo_to_dict(source()) for _ in range(source.hosts)]

    assert sorted((parts["host"], parts["port"]) for parts in seen) == [("a", "1"), ("b", "2"), ("c", "3")]
    assert all(str(parts["password"]).startswith(f"{parts['host']}:{parts['port']}/") for parts in seen)


def test_boto3_is_loaded_once_for_a_region(aws: None) -> None:
    IamToken(f"host={HOST} user=u")()
    IamToken(f"host={HOST} user=v")()

    assert list(iam._clients) == ["eu-central-1"] and boto3.__name__ == "boto3"


def test_a_connection_tries_every_router_whatever_others_do_meanwhile(aws: None) -> None:
    """Two at once shared the turn: one came back to the dead router, and took all for dead."""
    source = IamToken("host=a.example,b.example,c.example user=tool dbname=app", region="eu-west-1")
    login = Login(source)

    tried = [login.text()]
    for _ in range(2):
        for _ in range(2):
            Login(source).text()  # another connection's
        tried.append(login.after(psycopg.OperationalError("connection refused")) or "")

    assert {conninfo_to_dict(text)["host"] for text in tried} == {"a.example", "b.example", "c.example"}
    assert login.after(psycopg.OperationalError("connection refused")) is None
