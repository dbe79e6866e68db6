"""What is wrong with a statement of a file of schema changes, and where it stands."""

from __future__ import annotations

import re
from typing import NamedTuple

_RULE = re.compile(r"\((LIM-[A-Z]+-\d+)\)")


class Place(NamedTuple):
    """Where a statement begins: its number, line and column, each from 1; columns count characters."""

    number: int
    line: int
    column: int


NOWHERE = Place(0, 1, 1)
"""Of what is about a file, and no statement of it."""


class Refusal(str):
    """One reason why a file is not applied: its text for people, the attributes for code.

    Attributes:
        place: of its statement; `NOWHERE` for the file as a whole.
        rule: of `model/refused.py`, where Limitless is the reason; '' otherwise.
        missing: something that it names is not there; a statement before it may have been to make that.
        bare: the text without the place.
    """

    __slots__ = ("bare", "missing", "place", "rule")

    place: Place
    rule: str
    missing: bool
    bare: str

    def __new__(cls, text: str, place: Place = NOWHERE, *, missing: bool = False) -> Refusal:
        line = f" (line {place.line})" if place.line > 1 else ""
        made = super().__new__(cls, f"statement {place.number}: {text}{line}" if place.number else text)
        found = _RULE.search(text)
        made.place, made.rule = place, found[1] if found is not None else ""
        made.missing, made.bare = missing, text
        return made


def place_of(text: str, offset: int, number: int) -> Place:
    """Return the place of what begins *offset* characters into *text*."""
    before = text[:offset]
    return Place(number, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)
