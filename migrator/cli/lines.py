"""Lines of text on a terminal and in a pipe: no name gives orders to a terminal, no line is wider than it. Pure.

Names of tenants, tables and roles may hold anything. What does not show as what it is (controls, what changes the
direction of writing, what has no width) is written as an escape; so one line given is one line printed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from migrator.model.blocker import Blocker
from migrator.model.shown import safe as safe

Kind = TypeVar("Kind")

_BULLET = re.compile(r"\s*(?:[-✗→·] +|\d+\. +)?")
_COMMAND = re.compile(r"\bmigrator [a-z]")
LEAST_WIDTH = 20


def all_safe(value: Kind) -> Kind:
    """Return *value* with every text in it written so that nothing is hidden: names may hold anything."""
    safely: Kind = _all_safe(value)
    return safely


def _all_safe(value: Any) -> Any:
    if isinstance(value, Blocker):
        return Blocker(value.code, safe(value.subject), safe(value), value.heals_by_itself)
    if isinstance(value, str) and not isinstance(value, Enum):
        return safe(value)
    if isinstance(value, tuple):
        return tuple(map(_all_safe, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _all_safe(getattr(value, f.name)) for f in fields(value) if f.init})
    return value


def cells(text: str) -> int:
    """Return how many columns of a terminal *text* takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrapped(line: str, width: int) -> list[str]:
    """Return *line* as lines of at most *width* columns: broken between words, the rest under the first word.

    A command to copy stays in one piece where it fits; a word that is wider than the screen is cut into pieces.
    """
    width = max(width, LEAST_WIDTH)
    if cells(line) <= width:
        return [line]
    head = _BULLET.match(line)
    first = head[0] if head is not None and len(head[0]) < width // 2 else ""
    indent = " " * min(cells(first), width // 2)
    done: list[str] = []
    now, empty = first, True
    for piece in _pieces(line[len(first) :], width - len(indent)):
        room = width - cells(now) - (0 if empty else 1)
        if cells(piece) > room and not empty:
            done.append(now.rstrip())
            now, empty, room = indent, True, width - len(indent)
        now += piece if empty else f" {piece}"
        empty = False
    return [*done, now.rstrip()]


def _pieces(text: str, width: int) -> Iterator[str]:
    """Yield what is not to be broken: words, and a command up to its end."""
    begin = 0
    for found in _COMMAND.finditer(text):
        end = re.compile(r"[;)](?= |$)|[.,](?= |$)|: |$").search(text, found.end())
        command = text[found.start() : end.start() + 1 if end is not None else None].rstrip()
        if found.start() < begin or cells(command) > width:
            continue
        before = text[begin : found.start()]
        words = before.split(" ")
        glued = words.pop() if words else ""  # "(" right before the command, say
        for word in words:
            yield from _cut(word, width)
        yield from ([glued + command] if cells(glued + command) <= width else [*_cut(glued, width), command])
        begin = found.start() + len(command) + 1
    for word in text[begin:].split(" ") if begin < len(text) else ():
        yield from _cut(word, width)


def _cut(word: str, width: int) -> Iterator[str]:
    """Yield *word* in pieces of at most *width* columns."""
    piece = ""
    taken = 0
    for character in word:
        if taken + (wide := _cells(character)) > width:
            yield piece
            piece, taken = "", 0
        piece += character
        taken += wide
    yield piece
