"""Splits a file into statements; names come from `-- name: X` comments.

Tolerates what files really contain: psql commands, COPY data, comments, a quote that never ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = re.compile(r"^[ \t]*(?:--|/\*)\s*name:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_TOKEN = re.compile(
    r"""
      (?P<quote>[eE]'(?:\\.|''|[^'\\])*' | '(?:[^']|'')*' | "(?:[^"]|"")*")
    | (?P<comment>--[^\n\r]*)
    | (?P<dollar>(?<![\w$])(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag))
    | (?P<open>['"] | /\* | (?<![\w$])\$(?:[A-Za-z_]\w*)?\$)
    | (?P<meta>^\\[^\n]*)
    | (?P<end>;|\\g(?:set|exec|x|desc)?\b[^\n]*)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
# A possessive loop over a group matches wrongly before Python 3.11.5 (gh-106052); nothing comes behind this one. It has
# an end, since each turn takes memory until the match is made.
_PASSED = re.compile(
    r"""(?: [^'"$;\\/\-]++ | '[^'\\]*+' | "[^"]*+" | \$\d++ | -(?!-) | /(?!\*) ){0,1000}""", re.VERBOSE
)
"""What certainly ends no statement: no comment, no quote with a backslash in it, no body."""
_MARK = re.compile(r"""['";$\\]|--|/\*""")
_INCLUDE = re.compile(r"^\\\\(?:i|ir|include|include_relative)[ \t]+(\S+)", re.MULTILINE)
_BLOCK = re.compile(r"/\*|\*/")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LEAD = re.compile(r"(?:\s+|--[^\n]*\n?|/\*.*?\*/|\\[^\n]*\n?)*", re.DOTALL)
_COPY = re.compile(r"^\s*copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_ATOMIC = re.compile(r"\bbegin\s+atomic\b", re.IGNORECASE)
_CREATE_ROUTINE = re.compile(r"^\s*create\s+(?:or\s+replace\s+)?(?:function|procedure)\b", re.IGNORECASE)
_END = re.compile(r"\bend\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement of a file: its text without the semicolon, its first line, and its name if it has one."""

    sql: str
    line: int
    name: str | None = None


def split(text: str) -> Iterator[Piece]:
    """Yield the statements of *text*. A `-- name:` comment always begins a new one, even after an invalid one."""
    marks = [(m.start(), m[1].rstrip("^!$#<*:")) for m in _NAME.finditer(text)]
    begins = [0, *(at for at, _ in marks)]
    names: list[str | None] = [None, *(name for _, name in marks)]
    ends = [*begins[1:], len(text)]
    line = 1
    for begin, end, name in zip(begins, ends, names, strict=True):
        chunk = text[begin:end]
        number = 0
        for piece in _statements(chunk, line):
            number += 1
            label = name if name is None or number == 1 else f"{name}#{number}"
            yield Piece(piece.sql, piece.line, label)
        if name is not None and number == 0:
            yield Piece("", line, name)
        line += chunk.count("\n")


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of one line outside of quotes and bodies, each with where it starts."""
    at = 0
    while (match := _next_token(text, at)) is not None:
        at = match.end()
        if match["comment"]:
            yield match.start(), match[0]
        elif match["open"] == "/*":
            at = _block_end(text, match.start())
            if "\n" not in text[match.start() : at]:
                yield match.start(), text[match.start() : at]
        elif match["open"]:
            at = _given_up(text, match.start())


def quotes(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each literal, quoted name, body and comment begins and ends."""
    at = 0
    while (match := _next_token(text, at)) is not None:
        at = match.end()
        if match["open"]:
            at = _block_end(text, match.start()) if match["open"] == "/*" else _given_up(text, match.start())
        if match["quote"] or match["comment"] or match["dollar"] or match["open"]:
            yield match.start(), at


def _next_token(text: str, at: int, *, passing: bool = False) -> re.Match[str] | None:
    """Return the first of _TOKEN from *at* on; looks only where one may begin, which is six times faster.

    Args:
        passing: quotes that are simple are passed over.
    """
    start = at
    while True:
        while passing and (passed := _PASSED.match(text, start)) is not None and passed.end() > start:
            start = passed.end()
        mark = _MARK.search(text, start)
        if mark is None:
            return None
        begin = mark.start()
        if mark[0] == "'" and begin > at and text[begin - 1] in "eE":
            begin -= 1
        match = _TOKEN.match(text, begin)
        if match is not None:
            return match
        start = at = mark.end()


def includes(text: str) -> Iterator[tuple[int, str]]:
    """Yield the files that psql would include (\\i, \\ir), each with its line."""
    for match in _INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[1]


def _statements(text: str, first_line: int) -> Iterator[Piece]:
    begin = at = 0
    line_at = (0, first_line)

    def piece(start: int, stop: int) -> Piece | None:
        nonlocal line_at
        raw = text[start:stop]
        lead = _lead(raw)
        if lead == len(raw) if "\\" not in raw else not _content(_without_meta(raw)):
            return None
        position, line = line_at
        line += text.count("\n", position, start + lead)
        line_at = (start + lead, line)
        return Piece(_without_meta(raw[lead:]).strip(), line)

    while True:
        match = _next_token(text, at, passing=True)
        if match is None:
            break
        at = match.end()
        if match["open"]:
            at = _block_end(text, match.start()) if match["open"] == "/*" else _given_up(text, match.start())
            continue
        if not match["end"]:
            continue
        current = text[begin : match.start()]
        if "atomic" in current.lower() and _goes_on(current):
            continue
        found = piece(begin, match.start())
        begin = match.end()
        if found is not None:
            yield found
            if found.sql[:4].lower() == "copy" and _COPY.match(_without_comments(current)):
                stop = text.find("\n\\.", at)
                begin = at = len(text) if stop < 0 else stop + 3
    found = piece(begin, len(text))
    if found is not None:
        yield found


def _goes_on(text: str) -> bool:
    """Return whether *text* is a routine whose BEGIN ATOMIC has not ended, so that its semicolons end nothing."""
    routine = _CREATE_ROUTINE.match(_without_comments(text)) is not None
    return routine and _ATOMIC.search(text) is not None and _END.search(text) is None


def _given_up(text: str, start: int) -> int:
    """A quote that never ends: give up at the next statement end, so that the rest is still read."""
    stop = text.find(";\n", start)
    return len(text) if stop < 0 else stop


def _block_end(text: str, start: int) -> int:
    depth = 0
    for match in _BLOCK.finditer(text, start):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def _without_meta(text: str) -> str:
    """Blank psql's backslash commands out: they are not SQL."""
    return re.sub(r"(?m)^\\[^\n]*", "", text) if "\\" in text else text


def _without_comments(text: str) -> str:
    return _COMMENT.sub(" ", text) if "--" in text or "/*" in text else text


def _content(text: str) -> bool:
    return bool(_without_comments(text).strip())


def _lead(text: str) -> int:
    """Return where a statement's own text begins, after blank lines, comments and psql commands."""
    match = _LEAD.match(text)
    return match.end() if match else 0
