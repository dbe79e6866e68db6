"""Digests what a read returned, so that two answers can be compared and no row is kept. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from migrator.model.side import Side

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+\b")


class Incomparable(Exception):
    """The answer shows where it lies in memory instead of what it holds."""


class Likeness(StrEnum):
    """How two answers compare."""

    SAME = "same"
    REORDERED = "reordered"  # the same rows in another order, which SQL leaves open without ORDER BY
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a read returned, as digests.

    Attributes:
        exact: of all of it.
        rows: of the rows in no order, where it is a sequence.
        error: SQLSTATE, or what the function raised; '' when it returned.
        note: what may be said of it without its values: "3 rows", "error 42P01".
    """

    exact: bytes
    rows: bytes
    error: str = ""
    note: str = ""


def returned(value: object) -> Answer:
    """Return the answer of a function that returned *value*.

    Raises:
        Incomparable: it holds objects that do not show what they hold.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        parts = [_plain(item) for item in value]
        # A row, and a list of rows, are told apart: the columns of a row have their order.
        ordered = _digest(type(value).__name__, *parts)
        loose = _digest(type(value).__name__, *sorted(parts)) if isinstance(value, list) else ordered
        return Answer(ordered, loose, note=f"{len(parts)} {'row' if len(parts) == 1 else 'rows'}")
    digest = _digest(_plain(value))
    return Answer(digest, digest, note="nothing" if value is None else "a value")


def refused(sqlstate: str | None) -> Answer:
    """Return the answer of a server that gave an error."""
    state = sqlstate or "no SQLSTATE"
    return Answer(_digest("error", state), _digest("error", state), state, f"error {state}")


def raised(error: BaseException) -> Answer:
    """Return the answer of a function that raised *error* by itself, on what a side had answered."""
    name = type(error).__name__
    return Answer(_digest("raised", name), _digest("raised", name), name, f"the function raised {name}")


def alike(one: Answer, other: Answer) -> Likeness:
    """Return how the two compare."""
    if one.exact == other.exact:
        return Likeness.SAME
    return Likeness.REORDERED if one.rows == other.rows else Likeness.DIFFERENT


def _digest(*parts: str) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.digest()


def _plain(value: object) -> str:
    """Return a text that is equal for equal values.

    What Python calls equal is equal here where sessions of two servers show it differently: a moment under another time
    zone, a set in another order. The side a block runs on is no part of its answer.
    """
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    text = repr(value)
    if _ADDRESS.search(text):
        raise Incomparable(type(value).__name__)
    return f"{type(value).__name__} {text}"


def _listed(items: Sequence[str]) -> str:
    return f"[{','.join(f'{len(item)}:{item}' for item in items)}]"


def _moment(value: datetime) -> str:
    return f"datetime {value.astimezone(UTC).isoformat() if value.tzinfo is not None else value.isoformat()}"


_FORMS: tuple[tuple[type, Callable[..., str]], ...] = (
    (Side, lambda _: "side"),
    (str, lambda value: f"str {str.__repr__(value)}"),
    (memoryview, lambda value: f"bytes {bytes(value)!r}"),
    (datetime, _moment),
    (Mapping, lambda value: f"map {_listed(sorted(f'{_plain(k)}={_plain(v)}' for k, v in value.items()))}"),
    (Set, lambda value: f"set {_listed(sorted(map(_plain, value)))}"),
    (bytes, repr),
    (bytearray, lambda value: f"bytes {bytes(value)!r}"),
    (list, lambda value: f"list {_listed(list(map(_plain, value)))}"),
    (tuple, lambda value: f"tuple {_listed(list(map(_plain, value)))}"),
)
