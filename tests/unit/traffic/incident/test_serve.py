"""Who may roll back by webhook, and what they may ask."""

from __future__ import annotations

import json

import pytest

from migrator.errors import UsageError
from migrator.model.tenant import TenantId
from migrator.traffic.incident.serve import IncidentServer, Request, authorized, parse, sign

SECRET = "a secret of some length"
BODY = b'{"all": true, "reason": "p99"}'


def test_the_token_or_a_fresh_signature_opens() -> None:
    assert authorized(SECRET, {"authorization": f"Bearer {SECRET}"}, BODY, 0)
    assert authorized(SECRET, {"x-migrator-signature": f"t=1000,v1={sign(SECRET, 1000, BODY)}"}, BODY, 1200)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": SECRET},
        {"authorization": "Bearer "},
        {"x-migrator-signature": "t=1000,v1=" + "0" * 64},
        {"x-migrator-signature": f"t=1001,v1={sign(SECRET, 1000, BODY)}"},
        {"x-migrator-signature": f"t=1000,v1={sign(SECRET, 1000, b'other')}"},
        {"x-migrator-signature": f"t=600,v1={sign(SECRET, 600, BODY)}"},
        {"x-migrator-signature": "rubbish"},
        {"authorization": "Bearer \u00e9"},
    ],
)
def test_anything_else_does_not(headers: dict[str, str]) -> None:
    assert not authorized(SECRET, headers, BODY, 1000)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UsageError):
        IncidentServer(("127.0.0.1", 0), "unused", "short")


def test_a_request_says_whom_and_why() -> None:
    assert parse(BODY) == Request(True, None, (), "webhook", "p99")
    assert parse(b'{"wave": 3, "reason": "r", "who": "pager"}') == Request(False, 3, (), "pager", "r")
    assert parse(b'{"tenants": ["7"], "reason": "r"}').tenants == (TenantId("7"),)


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "r"},
        {"all": True},
        {"all": True, "reason": " "},
        {"all": True, "wave": 1, "reason": "r"},
        {"all": "yes", "reason": "r"},
        {"wave": "3", "reason": "r"},
        {"wave": True, "reason": "r"},
        {"tenants": "7", "reason": "r"},
        {"tenants": [7], "reason": "r"},
        {"all": True, "reason": 1},
        {"all": True, "reason": "r", "sql": "DROP"},
        {"wave": 0, "reason": "r"},
        {"wave": -1, "reason": "r"},
        {"wave": 1 << 31, "reason": "r"},
        {"wave": 1.0, "reason": "r"},
        {"tenants": [""], "reason": "r"},
        {"tenants": ["a\0"], "reason": "r"},
        {"all": True, "reason": "\0"},
        {"all": True, "reason": "r", "who": None},
        [],
    ],
)
def test_anything_unclear_is_refused(body: object) -> None:
    with pytest.raises(UsageError):
        parse(json.dumps(body).encode())


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(UsageError):
        parse(b"\xff{")


def test_an_unknown_key_is_answered_with_what_is_near() -> None:
    """An alarm that asks for one tenant with a mistyped key must not be understood as something else."""
    with pytest.raises(UsageError, match="no key tenant; did you mean tenants"):
        parse(b'{"tenant": "7", "reason": "r"}')
    with pytest.raises(UsageError, match="did you mean wave"):
        parse(b'{"Wave": 3, "reason": "r"}')
    with pytest.raises(UsageError, match="twice"):
        parse(b'{"wave": 3, "wave": 4, "reason": "r"}')
