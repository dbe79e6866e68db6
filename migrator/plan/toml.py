"""A plan as TOML text: with all its values, or as a first file to fill in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")

_FIRST = """\
# A migration from classic Aurora PostgreSQL to Aurora Limitless. Every field: plans/README.md.
# DSNs are named, never written here: env:NAME, file:PATH, aws-secret:ID or local:classic / local:limitless.

name = {name}

[classic]
writer = "env:MIGRATOR_CLASSIC_DSN"
# readers = ["env:MIGRATOR_CLASSIC_READER_DSN"]

[limitless]
dsn = "env:MIGRATOR_LIMITLESS_DSN"
shards = 4

[temporal]
address = "local"               # or host:port

[tables]
schemas = ["public"]
tenant_key = "tenant_id"

# Tables with the tenant key are sharded without being named. Name the others:
# [tables.table."public.currencies"]
# kind = "reference"
# [tables.table."public.order_items"]
# kind = "sharded"
# via = "order_id -> public.orders.id"
"""


def first_plan(name: str) -> str:
    """Return a plan file to fill in."""
    return _FIRST.format(name=json.dumps(name))


def to_toml(body: Mapping[str, Any]) -> str:
    """Return *body* (JSON values, as `dump` returns them) as TOML; None is left out, as TOML has none."""
    return "\n".join(_table(body, ())).strip()


def _table(body: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    inner = {key: value for key, value in body.items() if isinstance(value, Mapping)}
    plain = {key: value for key, value in body.items() if key not in inner and value is not None}
    if path and (plain or not inner):
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        yield from _table(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE_KEY.match(key) else json.dumps(key, ensure_ascii=False)


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # TOML's basic strings, numbers and booleans are written as JSON's
    return json.dumps(value, ensure_ascii=False)
