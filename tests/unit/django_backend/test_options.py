"""DATABASES[...]["MIGRATOR"]: every problem at once, no secret in a text."""

from __future__ import annotations

from typing import Any

import pytest

from migrator.django.options import options_of
from migrator.model.ack import Ack
from migrator.shim import Settings


def test_what_is_given_is_what_counts() -> None:
    def token() -> str:
        return ""

    given = {
        "limitless": token,
        "ack": "session",
        "name": "web",
        "pool_size": 3,
        "settings": Settings(),
        "classic": None,
    }
    options, problems = options_of({"MIGRATOR": given})

    assert problems == ()
    assert (options.limitless, options.ack, options.pool_size, options.classic) == (token, Ack.SESSION, 3, None)


def test_an_alias_for_reads_needs_nothing_else() -> None:
    assert options_of({"MIGRATOR": {"reads_of": "default"}})[1] == ()
    [problem] = options_of({"MIGRATOR": {"reads_of": "default", "pool_size": 3}})[1]
    assert "pool_size" in problem


def test_every_problem_is_named_and_no_secret() -> None:
    given: dict[str, Any] = {
        "limitles": "postgresql://u:secret@h/d", "classic": 7, "readers": "postgresql://u:secret@h/d", "name": "",
        "pool_size": True, "listen": 1, "ack": "all", "settings": {}, "shim": "a.b", "prepare": 1, "reference": "auth",
        "tenant_column": 3, "accepted": "M008",
    }  # fmt: skip
    options, problems = options_of({"MIGRATOR": given})

    assert len(problems) == 14, problems
    assert "did you mean 'limitless'?" in problems[0]
    assert "secret" not in "".join(problems)
    assert options.pool_size == 16


@pytest.mark.parametrize(
    "given", [{}, {"MIGRATOR": None}, {"MIGRATOR": "x"}, {"MIGRATOR": {}}, {"MIGRATOR": {"limitless": ""}}]
)
def test_nothing_is_a_problem_too(given: dict[str, Any]) -> None:
    assert len(options_of(given)[1]) == 1
