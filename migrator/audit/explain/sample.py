"""Makes up values for parameters: plans with values are what single-shard optimization needs. Pure.

Values of one round differ from parameter to parameter, and from round to round, so that two keys are rarely taken for
one because they hash to the same shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_BY_NAME = {
    "uuid": "00000000-0000-0000-0000-{n:012d}",
    "json": '{{"n": {n}}}',
    "jsonb": '{{"n": {n}}}',
    "bytea": "\\x{n:08x}",
    "xml": "<n>{n}</n>",
    "date": "2026-01-{day:02d}",
    "time without time zone": "10:00:{second:02d}",
    "time with time zone": "10:00:{second:02d}+00",
    "point": "({n},{n})",
    "macaddr": "08:00:2b:01:{second:02d}:03",
    "tsvector": "n{n}",
    "tsquery": "n{n}",
    "bit": "1",
    "bit varying": "1",
    "hstore": "n=>{n}",
    "ltree": "n{n}",
    '"char"': "a",
}
_BY_CATEGORY = {
    "N": "{n}", "S": "v{n}", "B": "true", "D": "2026-01-{day:02d} 10:00:{second:02d}", "T": "{n} seconds",
    "I": "10.0.{second}.{day}", "R": "empty",
}  # fmt: skip
"""By pg_type.typcategory: numbers, strings, booleans, dates, timespans, networks, ranges."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A parameter's type; of a domain or an array the fields but *name* are those of its base or element.

    Attributes:
        name: as the server writes it, quoted where needed.
        base: name of what the category and the labels belong to.
        labels: of an enum.
    """

    name: str
    base: str
    category: str
    array: bool = False
    labels: Sequence[str] = ()


def value(kind: Kind, number: int, attempt: int) -> str | None:
    """Return a value of *kind* as text for parameter *number*; None when nothing but NULL comes to mind."""
    if kind.array:
        # Two elements: with one, a list of keys would be planned like one key.
        elements = [_one(kind, number + 40 * step, attempt) for step in (0, 1)]
        escaped = [e.replace("\\", "\\\\").replace('"', '\\"') for e in elements if e is not None]
        return "{" + ",".join(f'"{e}"' for e in escaped) + "}"
    return _one(kind, number, attempt)


def _one(kind: Kind, number: int, attempt: int) -> str | None:
    n = 101 * attempt + number
    if kind.labels:
        return kind.labels[n % len(kind.labels)]
    pattern = _BY_NAME.get(kind.base) or _BY_CATEGORY.get(kind.category)
    return None if pattern is None else pattern.format(n=n, day=1 + n % 28, second=n % 60)
