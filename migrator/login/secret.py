"""Connection strings and other secrets out of AWS Secrets Manager, kept for seconds.

A secret that was read is used again while AWS cannot be asked, until a server refuses it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from psycopg import conninfo

from migrator.errors import ClusterUnavailable, MigratorError, UsageError
from migrator.login.source import Source

KEPT_S = 60.0
"""A rotation reaches new connections within this time, or at once where the old password is refused already."""

PAUSE_S = 2.0
"""A secret that servers keep refusing is read again so often at most: AWS bills, and limits, each request."""

_REFERENCE = re.compile(r"^(?P<id>[^?#]+)(?:#(?P<key>[^?#]+))?(?:\?(?P<more>[^#]*))?(?:#(?P<last>[^?#]+))?$")


@dataclass(frozen=True, slots=True)
class SecretName:
    """What a reference names: ID, ID#KEY, and parts of a connection string that the secret lacks: ID?dbname=NAME."""

    secret_id: str
    key: str | None = None
    more: dict[str, str] = field(default_factory=dict)


def named(reference: str) -> SecretName:
    """Return what *reference* (without its aws-secret:) names. Raises UsageError."""
    found = _REFERENCE.match(reference)
    if found is None or (found["key"] and found["last"]):
        raise UsageError(f"aws-secret:{reference} cannot be read", hint="Use aws-secret:ID#KEY?dbname=NAME&host=HOST.")
    more = dict(parse_qsl(found["more"] or "", keep_blank_values=True))
    if "password" in more:
        raise UsageError("a reference to a secret holds a password (not shown)", hint="Put it into the secret.")
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    if unknown := sorted(more.keys() - known):
        raise UsageError(
            f"aws-secret:{found['id']}: {', '.join(unknown)} is no part of a connection string",
            hint="For example dbname, host, port, user, sslmode, sslrootcert.",
        )
    return SecretName(found["id"], found["key"] or found["last"], more)


class SecretDsn(Source):
    """A connection string in a secret.

    Args:
        reference: ID, ID#KEY, with ?dbname=NAME&host=HOST… for what the secret lacks.
    """

    asks_others = True

    def __init__(self, reference: str) -> None:
        self.name = named(reference)

    def __call__(self) -> str:
        name = self.name
        return dsn_from_secret(name.secret_id, text_of(name.secret_id), name.key, name.more)

    def forget(self) -> None:
        forget(self.name.secret_id)


@dataclass(slots=True)
class _Kept:
    """What AWS gave, and when. asked_s: when it was last asked, with or without an answer."""

    text: str
    at_s: float
    asked_s: float
    doubtful: bool = False


_kept: dict[str, _Kept] = {}
_lock = threading.Lock()


def text_of(secret_id: str, clock: Callable[[], float] = time.monotonic) -> str:
    """Return what AWS Secrets Manager holds under *secret_id*, as it was a minute ago at most.

    While AWS does not answer, or refuses, one connection a minute waits for it, and no other does: what was read last
    is used, and the server says whether it is right.

    Raises:
        UsageError: AWS refuses it, or boto3 is not installed, and nothing is known that may still be right.
        ClusterUnavailable: the same where AWS cannot be asked.
    """
    with _lock:
        kept = _kept.get(secret_id)
        if kept is not None:
            if kept.doubtful and clock() - kept.at_s < PAUSE_S:
                return kept.text
            if not kept.doubtful and clock() - kept.asked_s < KEPT_S:
                return kept.text
            kept.asked_s = clock()
    try:
        text = _asked(secret_id)
    except MigratorError:
        if kept is None or kept.doubtful:
            raise
        return kept.text
    with _lock:
        _kept[secret_id] = _Kept(text, clock(), clock())
    return text


def forget(secret_id: str | None = None) -> None:
    """Ask AWS next time: what is kept of this secret, or of all, was refused."""
    with _lock:
        for name, kept in _kept.items():
            if secret_id in (None, name):
                kept.doubtful = True


def _asked(secret_id: str) -> str:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise UsageError(f"aws-secret:{secret_id} needs the AWS extra", hint="pip install 'migrator[aws]'") from None
    region = secret_id.split(":")[3] if secret_id.startswith("arn:") and secret_id.count(":") >= 6 else None
    brief = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    try:
        client = boto3.Session().client("secretsmanager", region_name=region, config=brief)
        answer = client.get_secret_value(SecretId=secret_id)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in ("ThrottlingException", "InternalServiceError", "ServiceUnavailable"):
            raise ClusterUnavailable("AWS Secrets Manager", code, "It is tried again.") from None
        if code in ("ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"):
            why = f"it takes this machine's credentials for invalid or expired ({code})"
            raise ClusterUnavailable("AWS Secrets Manager", why, "Renew the credentials, or the role.") from None
        hint = "The role needs secretsmanager:GetSecretValue on it, and kms:Decrypt on its key."
        raise UsageError(f"AWS refuses the secret {secret_id} ({code})", hint=hint) from None
    except BotoCoreError as error:
        # NoRegionError, NoCredentialsError, EndpointConnectionError: the class says what is wrong
        raise ClusterUnavailable(
            "AWS Secrets Manager", type(error).__name__, "Check region and credentials of this machine."
        ) from None
    text = answer.get("SecretString")
    if not text:
        raise UsageError(f"the secret {secret_id} holds no text")
    return str(text)


def value_in(secret_id: str, text: str, key: str) -> str:
    """Return the text under *key* in a secret's JSON. Raises UsageError, naming what it lacks, never what it holds."""
    body = _json(text)
    if body is None:
        raise UsageError(f"the secret {secret_id} is not JSON, so it has no key {key}")
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f"the secret {secret_id} has no key {key}")
    return value


def _json(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None  # any text may be stored


def dsn_from_secret(secret_id: str, text: str, key: str | None, more: dict[str, str] | None = None) -> str:
    """Return the connection string in a secret's *text*: its text, one *key* of its JSON, or built from JSON's parts.

    Args:
        more: parts that the reference gives; they go before the secret's.

    Raises:
        UsageError: naming what the secret lacks, never what it holds.
    """
    more = more or {}
    body = None if key else _json(text)
    if body is None:
        found = value_in(secret_id, text, key) if key else text.strip()
        if not more:
            return found
        try:
            return conninfo.make_conninfo(found, **more)
        except psycopg.ProgrammingError:
            raise UsageError(f"the secret {secret_id} holds no connection string (not shown)") from None
    names = {"host": "host", "port": "port", "dbname": "dbname", "user": "username", "password": "password"}
    parts = {part: str(body[name]) for part, name in names.items() if body.get(name)}
    if isinstance(body.get("sslmode"), str):
        parts["sslmode"] = body["sslmode"]
    parts = {"port": "5432", "sslmode": "verify-full", **parts, **more}
    absent = [names.get(part, part) for part in ("host", "user", "password", "dbname") if not parts.get(part)]
    if not absent:
        return conninfo.make_conninfo(**parts)
    given = "&".join(f"{part}=…" for part in ("host", "dbname") if not parts.get(part))
    hint = "Store them in the secret, or a whole connection string and name it aws-secret:ID#KEY."
    if given:
        hint = (
            f"Secrets that RDS manages hold user and password alone. Name the rest: aws-secret:{secret_id}?{given}"
            " (the database of Aurora Limitless: postgres_limitless)."
        )
    raise UsageError(f"the secret {secret_id} lacks {', '.join(absent)}", hint=hint)
