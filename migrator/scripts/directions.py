"""Finds the part of a migration file that leads forward. Files with both directions have the way back after a marker.

A marker is a comment line of its own that says a direction and, beside it, only what tools write with one: their
name, "migration", options. Known are goose, sql-migrate, dbmate, node-pg-migrate, micrate, rambler, shmig, MyBatis
(@UNDO), tern, Play evolutions, and every tool that writes like them. Comments of a database that merely mention a
rollback hold other words, and are not markers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migrator.scripts.statement_file import comments, quotes

UP = frozenset({"up", "ups", "apply", "deploy", "forward", "forwards", "upgrade"})
DOWN = frozenset({"down", "downs", "undo", "revert", "rollback", "backward", "backwards", "downgrade"})
_BESIDE = frozenset(
    re.findall(
        r"\w+",
        "migration migrations migrate script scripts section part sql begin begins start starts here the of is step "
        "steps changes change direction block statement statements schema database db below to for this",
    )
)
_OPTIONS = re.compile(r"\b(?:no\W?transaction|transaction\s*:\s*\w+|disable\W?transaction)\b", re.IGNORECASE)
_TOOL = re.compile(
    r"[+!][ \t]*(?P<signed>\w+)\s+(?P<direction>\w+)\b|\b(?P<named>migrate):(?P<to>\w+)\b"
    r"|(?://[ \t]*)?@(?P<undo>undo)\b|!(?P<play>ups|downs)\b|\b(?P<rambler>rambler)\s+(?P<way>up|down)\b",
    re.IGNORECASE,
)
_TERN = re.compile(r"create\s+above\s*/\s*drop\s+below", re.IGNORECASE)
_EVOLUTIONS = re.compile(r"^#(?=[ \t]*-*[ \t]*!(?:Ups|Downs)\b)", re.MULTILINE | re.IGNORECASE)
_REMARKS = re.compile(r"^#[ \t]*---.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Marker:
    """A line that says which way the statements after it lead; `tool`: a known tool writes it so."""

    start: int
    line: int
    text: str
    down: bool
    tool: bool


@dataclass(frozen=True, slots=True)
class Forward:
    """The way forward of a file.

    Attributes:
        text: the file with its way back blanked out, so that lines keep their numbers.
        markers: the markers it was found by; empty when the file has one direction.
        lines: lines that were left out, of those that are not blank.
        guessed: the marker of the way back stands alone and belongs to no known tool.
    """

    text: str
    markers: tuple[Marker, ...] = ()
    lines: int = 0
    guessed: bool = False


def forward(text: str) -> Forward:
    """Return the way forward of a migration file."""
    text = _with_comments(text)
    markers = tuple(_markers(text))
    if not any(m.down for m in markers):
        return Forward(text, markers)
    kept: list[str] = []
    left_out: list[str] = []
    at, down = 0, False
    for marker in markers:
        (left_out if down else kept).append(text[at : marker.start])
        if down:
            kept.append("\n" * left_out[-1].count("\n"))
        at, down = marker.start, marker.down
    (left_out if down else kept).append(text[at:])
    written = sum(1 for part in left_out for line in part.splitlines() if line.strip())
    lines = written - len([m for m in markers if m.down])
    told = any(m.tool for m in markers) or any(not m.down for m in markers)
    return Forward("".join(kept), markers, max(0, lines), not told and lines > 0)


def _with_comments(text: str) -> str:
    """Return *text* with the markers of Play evolutions, which are no SQL, as comments; in quotes they are text."""
    if _EVOLUTIONS.search(text) is None:
        return text
    seen = text
    found = []
    for line in _REMARKS.finditer(text):
        if not any(a < line.start() < b for a, b in quotes(seen)):
            found.append(line.start())
            seen = seen[: line.start()] + "-" * len(line[0]) + seen[line.end() :]  # its quotes end nothing
    return _EVOLUTIONS.sub(lambda m: "--" if m.start() in found else m[0], text)


def _markers(text: str) -> Iterator[Marker]:
    line, counted = 1, 0
    for start, comment in comments(text):
        if text[text.rfind("\n", 0, start) + 1 : start].strip():
            continue  # after a statement: it is about that
        found = _direction(comment)
        if found is not None:
            line, counted = line + text.count("\n", counted, start), start
            yield Marker(start, line, comment.strip(), *found)


def _direction(comment: str) -> tuple[bool, bool] | None:
    """Return (down, written by a known tool) of a comment line that is a marker; None when it is none."""
    body = comment.strip().removeprefix("/*").removesuffix("*/").lstrip("-").strip()
    if _TERN.search(body):
        return True, True
    tool = _TOOL.match(body)
    if tool is not None:
        word = next(w for w in (tool["direction"], tool["to"], tool["undo"], tool["play"], tool["way"]) if w).lower()
        if word in UP or word in DOWN:
            return word in DOWN, True
    words = re.findall(r"[a-z]+", _OPTIONS.sub(" ", body).lower())
    ways = {word in DOWN for word in words if word in UP or word in DOWN}
    if len(ways) != 1 or not all(w in UP or w in DOWN or w in _BESIDE for w in words):
        return None
    return ways.pop(), False
