"""Who may roll back by webhook, and what they may ask."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import UsageError
from migrator.model.tenant import TenantId
from migrator.traffic.incident.request import Request, parse
from migrator.traffic.incident.serve import IncidentServer, authorized, sign

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
        {"x-migrator-signature": f"t=1400,v1={sign(SECRET, 1400, BODY)}"},
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
        {"all": True, "reason": "\ud800"},
        {"all": True, "reason": "r", "who": "\ud800"},
        {"tenants": ["7\udc00"], "reason": "r"},
        {"wave": 10**400, "reason": "r"},
        {"wave": float("nan"), "reason": "r"},
        [],
    ],
)
def test_anything_unclear_is_refused(body: object) -> None:
    with pytest.raises(UsageError):
        parse(json.dumps(body).encode())


MUST = {
    "all": "all must be true or false",
    "wave": "wave must be a whole number from 1 on",
    "tenants": "tenants must be a list of strings, none of them empty",
    "who": "who and reason must be strings",
    "reason": "who and reason must be strings",
}


@given(st.sets(st.sampled_from(sorted(MUST)), min_size=1), st.booleans())
def test_everything_that_is_wrong_is_said_at_once(wrong: set[str], strange: bool) -> None:
    """A pager shows one line, and nobody wants to find out by trying at 3 a.m."""
    body = {"all": True, "reason": "r"} | {key: {"no": "value"} for key in wrong} | ({"sql": "x"} if strange else {})

    with pytest.raises(UsageError) as caught:
        parse(json.dumps(body).encode())

    said = str(caught.value)
    assert {text for text in MUST.values() if text in said} == {MUST[key] for key in wrong}
    assert ("no key sql" in said) == strange
    assert "no value" not in said and "{" not in said, "what was sent is not quoted"


def test_what_is_wrong_is_not_missing_as_well() -> None:
    """A mistyped key and a malformed value are one mistake each."""
    for body, said in [
        ({"tenant": ["7"], "reason": "r"}, "there is no key tenant; did you mean tenants?"),
        ({"all": True, "raeson": "r"}, "there is no key raeson; did you mean reason?"),
        ({"wave": "3", "reason": "r"}, "wave must be a whole number from 1 on"),
        ({"wave": 3, "reason": 3}, "who and reason must be strings"),
        (
            {"wave": 3, "all": True},
            "give exactly one of all, wave and tenants; a rollback needs a reason, in plain text",
        ),
    ]:
        with pytest.raises(UsageError) as caught:
            parse(json.dumps(body).encode())
        assert str(caught.value) == said


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
