"""Finds the changesets of a file of SQL that Liquibase reads ("formatted SQL")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migrator.scripts.statement_file import comments

_HEAD = re.compile(r"^\s*(?:/\*)?-*\s*liquibase\s+formatted\s+sql\b", re.IGNORECASE)
_CHANGESET = re.compile(
    r"""^--\s*changeset\s+(?:"(?P<quoted>[^"]+)"|'(?P<single>[^']+)'|(?P<author>[^\s:]+(?:[ ][^\s:]+)*)):"""
    r"""(?:"(?P<quoted_id>[^"]+)"|'(?P<single_id>[^']+)'|(?P<id>\S+))(?P<rest>.*)$""",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""(?P<name>\w+):(?:"(?P<quoted>[^"]*)"|(?P<value>\S+))""")
_PRECONDITIONS = re.compile(r"^--\s*precondition", re.IGNORECASE)
_BROKEN = re.compile(r"^--\s*changeset\b", re.IGNORECASE)
_OURS = frozenset({"postgresql", "all"})


@dataclass(frozen=True, slots=True)
class Changeset:
    """One changeset.

    Attributes:
        begin, end: where it stands in the file, in characters, with the line that begins it.
        line: of its beginning.
        again: it runs again when it changed.
        here: it is meant for PostgreSQL, and not left out.
        problem: why it cannot be read without Liquibase; empty when it can.
    """

    author: str
    id: str
    begin: int
    end: int
    line: int
    again: bool = False
    here: bool = True
    problem: str = ""


def is_formatted(text: str) -> bool:
    return _HEAD.match(text.lstrip("\ufeff").lstrip().split("\n", 1)[0]) is not None


def changesets(text: str) -> list[Changeset]:
    """Return the changesets of *text*, in order; what stands before the first belongs to none."""
    marks = list(_marks(text))
    heads = [mark for mark in marks if _BROKEN.match(mark[1])]
    ends = [*(at for at, _ in heads[1:]), len(text)]
    found = []
    for (at, comment), end in zip(heads, ends, strict=False):
        asks = any(at < other < end and _PRECONDITIONS.match(said) for other, said in marks)
        found.append(_changeset(comment, at, end, text.count("\n", 0, at) + 1, asks))
    return found


def _marks(text: str) -> Iterator[tuple[int, str]]:
    for at, comment in comments(text):
        if comment.startswith("--") and not text[text.rfind("\n", 0, at) + 1 : at].strip():
            yield at, comment.rstrip()


def _changeset(comment: str, begin: int, end: int, line: int, asks: bool) -> Changeset:
    head = _CHANGESET.match(comment)
    if head is None:
        return Changeset("", "", begin, end, line, problem="a changeset is begun by '--changeset author:id'")
    author = head["quoted"] or head["single"] or head["author"]
    said = {
        m["name"].lower(): (m["quoted"] if m["quoted"] is not None else m["value"]).strip()
        for m in _ATTRIBUTE.finditer(head["rest"])
    }
    decides = sorted(said.keys() & {"context", "contextfilter", "labels"})
    problem = ""
    if asks:
        problem = "its preconditions are known to Liquibase alone"
    elif decides:
        problem = f"{', '.join(decides)} decide whether it runs, which is known to Liquibase alone"
    if problem:
        problem += ": give what 'liquibase update-sql' prints"
    return Changeset(
        author,
        head["quoted_id"] or head["single_id"] or head["id"],
        begin,
        end,
        line,
        again=any(said.get(name, "").lower() == "true" for name in ("runonchange", "runalways")),
        here=_here(said.get("dbms", "")) and said.get("ignore", "").lower() != "true",
        problem=problem,
    )


def _here(dbms: str) -> bool:
    """Return whether a changeset for *dbms* is meant for PostgreSQL."""
    named = [name.strip().lower() for name in dbms.split(",") if name.strip()]
    if "!postgresql" in named or "none" in named:
        return False
    return not named or bool(_OURS & set(named)) or all(name.startswith("!") for name in named)
