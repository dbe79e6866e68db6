"""Reads files of migration tools: which migrations do they hold, and what of each leads forward?

A migration is what a tool notes as one: mostly a file, or a part of one (Liquibase's changesets; revisions in what
Alembic and others print). Its text is the file's with everything else blanked out, so that lines and columns stay.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from migrator.grammar.parse import Parsed, Unparsable, parse
from migrator.scripts import bookkeeping, liquibase, rails_log
from migrator.scripts.bookkeeping import Part
from migrator.scripts.directions import Forward, forward
from migrator.scripts.statement_file import comments

STDIN = "stdin"
"""The name of what comes on standard input."""

_VERSIONED = re.compile(r"^(?:[VR]\d*[\d._]*__|\d+[_.\-][^/]*$|\d+\.sql$)")
_IN_FOLDERS = frozenset({"migration.sql", "up.sql"})
_FORWARD = re.compile(r"(?:^V\d[\d._]*__.*|^migration\.sql|(?:^|[._-])up\.sql)$", re.IGNORECASE)
_AGAIN = re.compile(r"^R__")
_PLACEHOLDER = re.compile(r"\$\{[^}\n]*\}|\{\{[^}\n]*\}\}|:'\w+'")
_PSQL = re.compile(r"^\\\S+", re.MULTILINE)
_BACK = re.compile(r"--\s*Running downgrade\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; lines and columns count characters from 1."""

    path: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a migration, and where. `rule`: of Limitless, where it is the reason."""

    place: Place
    text: str
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.place.path}:{self.place.line}:{self.place.column}: {self.text}"


@dataclass(frozen=True, slots=True)
class Note:
    """A statement with which a tool notes in its own table what it did."""

    text: str
    place: Place
    shapes: bool = False


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration.

    Attributes:
        name: what it is known by; of what a tool printed it tells the content.
        path: its file.
        text: what is to be applied, with the file's lines and columns.
        notes: the tool's own statements, in order; they come after what is applied.
        digest: of its statements; comments and blank lines between them do not count.
        known: it is one of a tool's by its name or content, so that it is done once; else it is a file like any other.
        again: it is done again when it changed.
        problems: why it cannot be read.
        data: the file.
    """

    name: str
    path: str
    text: str
    notes: tuple[Note, ...] = ()
    digest: str = ""
    known: bool = True
    again: bool = False
    problems: tuple[Problem, ...] = ()
    data: bytes = field(default=b"", repr=False)

    @property
    def empty(self) -> bool:
        """It holds no statement but the tool's own."""
        return not self.problems and not parse(self.text)


def is_migration(path: str) -> bool:
    """Return whether a file's name says that it is a migration of a tool."""
    name = PurePath(path).name
    return name in _IN_FOLDERS or _VERSIONED.match(name) is not None


def read_migrations(text: str, path: str, tables: Collection[str] = (), data: bytes = b"") -> list[Migration]:
    """Return the migrations of a file, in order; one at least.

    Args:
        path: its name.
        tables: names of tools' own tables, besides those that are known.
        data: the file's bytes, of which some tools keep a checksum.
    """
    own = bookkeeping.TABLES | {re.split(r"\.(?=[^.]*$)", table)[-1].strip('"').lower() for table in tables}
    reader = _Reader(path, data or text.encode("utf-8", "surrogatepass"), own, is_migration(path))
    if rails_log.is_log(text):
        return reader.parts(rails_log.statements(text), known=False)
    if liquibase.is_formatted(text):
        return list(reader.changesets(text))
    way = forward(text)
    if way.guessed and _FORWARD.search(PurePath(path).name):
        way = Forward(text)  # the name says which way it leads: the comment is about something else
    if way.guessed:
        mark = next(m for m in way.markers if m.down)
        why = f"'{mark.text}' seems to begin the way back: give a file that holds the way forward alone"
        return [reader.broken(path, Place(path, mark.line), why)]
    for at, comment in comments(text):
        if _BACK.match(comment):
            return [reader.broken(path, place(path, text, at), "it leads back: Alembic printed a downgrade")]
    return reader.parts(way.text, known=bool(way.markers))


def place(path: str, text: str, at: int) -> Place:
    """Return where character *at* of *text* stands."""
    at = max(0, min(at, len(text)))
    return Place(path, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


class _Reader:
    def __init__(self, path: str, data: bytes, own: Collection[str], known: bool) -> None:
        self.path, self.data, self.own, self.known = path, data, own, known

    def broken(self, name: str, at: Place, why: str, text: str = "") -> Migration:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return Migration(name, self.path, text, (), digest, True, False, (Problem(at, why),), self.data)

    def changesets(self, text: str) -> Iterator[Migration]:
        found = liquibase.changesets(text)
        if not found:
            yield self.broken(self.path, Place(self.path), "it holds no changeset ('--changeset author:id')", text)
        for one in found:
            name = f"{self.path}::{one.id}::{one.author}"
            if one.problem:
                yield self.broken(name, Place(self.path, one.line), f"changeset {one.id}: {one.problem}", text)
            elif one.here:
                yield self.one(name, _only(text, [(one.begin, one.end)]), known=True, again=one.again)

    def parts(self, text: str, *, known: bool) -> list[Migration]:
        """Return the migrations of *text*, each of which ends with what the tool notes about it."""
        try:
            statements = parse(text)
        except Unparsable as error:
            return [self.broken(self.path, place(self.path, text, error.position), _unreadable(text, error), text)]
        sections: list[list[Parsed]] = [[]]
        noted = False
        for statement in statements:
            part = bookkeeping.part_of(statement, self.own)
            if part is Part.CHANGE and noted:
                sections.append([])
                noted = False
            noted = noted or part is Part.NOTE
            sections[-1].append(statement)
        ends = [_end(text, s[-1].offset + len(s[-1].text)) for s in sections[:-1] if s] + [len(text)]
        spans = zip([0, *ends], ends, strict=False)
        several = len(sections) > 1
        again = _AGAIN.match(PurePath(self.path).name) is not None
        return [
            self.one(f"{self.path}#{n}" if several else self.path, _only(text, [span]), known=known, again=again)
            for n, span in enumerate(spans, 1)
        ]

    def one(self, name: str, text: str, *, known: bool, again: bool) -> Migration:
        try:
            statements = parse(text)
        except Unparsable as error:
            return self.broken(name, place(self.path, text, error.position), _unreadable(text, error), text)
        sorts = [bookkeeping.part_of(s, self.own) for s in statements]
        notes = tuple(
            Note(s.text, place(self.path, text, s.offset), part is Part.SHAPE)
            for s, part in zip(statements, sorts, strict=True)
            if part in (Part.NOTE, Part.SHAPE)
        )
        left_out = [
            (s.offset, _end(text, s.offset + len(s.text)))
            for s, part in zip(statements, sorts, strict=True)
            if part is not Part.CHANGE
        ]
        said = "\0".join(s.text for s, part in zip(statements, sorts, strict=True) if part is not Part.FRAME)
        digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
        if not (known or self.known) and (notes or self.path == STDIN):
            name = f"{self.path}#{digest[:12]}"  # printed by a tool: another one comes under the same name tomorrow
        return Migration(
            name,
            self.path,
            _without(text, left_out),
            notes,
            digest,
            known or self.known or bool(notes),
            again,
            (),
            self.data,
        )


def _unreadable(text: str, error: Unparsable) -> str:
    why = f"PostgreSQL cannot read it: {error.why}"
    if _PSQL.search(text):
        return f"{why}; lines that begin with \\ are commands of psql, and are not SQL: leave them out"
    if (found := _PLACEHOLDER.search(text)) is not None:
        return f"{why}; placeholders such as {found[0]} are filled in by the tool: give the SQL that it prints"
    return why


def _end(text: str, at: int) -> int:
    """Return where a statement that ends before *at* ends with its semicolon."""
    rest = text[at:]
    return at + 1 + rest.index(";") if rest.lstrip().startswith(";") else at


def _only(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return *text* with everything outside of *spans* blanked out."""
    outside, at = [], 0
    for begin, end in spans:
        outside.append((at, begin))
        at = end
    return _without(text, [*outside, (at, len(text))])


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return *text* with *spans* blanked out; lines and columns stay."""
    parts, at = [], 0
    for begin, end in spans:
        parts += [text[at:begin], re.sub(r"[^\n]", " ", text[begin:end])]
        at = max(at, end)
    return "".join((*parts, text[at:]))
