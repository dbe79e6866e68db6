"""Plans as TOML text: written with all values, or changed in place with comments and order kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import tomlkit
from tomlkit.items import Comment

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # a comment is one line, of characters that can be seen


def first_plan(name: str) -> str:
    """Return a plan file to fill in."""
    text = resources.files("migrator.plan").joinpath("first.toml").read_text(encoding="utf-8")
    return renamed(text, name)


def renamed(text: str, name: str) -> str:
    """Return the plan *text* under another name; everything else stays as it is written.

    Raises:
        tomlkit.exceptions.ParseError: it is not TOML.
    """
    plan = tomlkit.parse(text)
    plan["name"] = name
    return tomlkit.dumps(plan)


def to_toml(body: Mapping[str, Any]) -> str:
    """Return *body* (JSON values, as `dump` returns them) as TOML; None is left out, as TOML has none."""
    return tomlkit.dumps(_without_none(body)).strip()


def remark(text: str) -> Comment:
    """Return *text*, which may quote anything, as a comment of one line."""
    return tomlkit.comment(one_line(text))


def one_line(text: str) -> str:
    """Return *text* as it can stand in a comment."""
    return _CONTROL.sub(" ", text).strip()


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _kept(value) for key, value in body.items() if value is not None}


def _kept(value: Any) -> Any:
    if isinstance(value, list):
        return [_kept(item) for item in value]
    return _without_none(value) if isinstance(value, Mapping) else value
