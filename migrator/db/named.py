"""Reads fixed SQL from a package's .sql files: named statements, each defined once.

    -- name: lag_of_partitions
    -- One row per partition: partition, seconds.
    SELECT partition, lag_s FROM migrator.partition_status

Fixed SQL lives in such files so that it can be read, searched for and prepared against a server as SQL; what is put
together from identifiers of the migrated schema is composed with `psycopg.sql` in the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import pairwise
from typing import LiteralString

_KNOWN: dict[str, str] = {}
"""File and name of every statement that was loaded, by its text."""

_NAME = re.compile(r"^-- name:[ \t]*(?P<name>.*)$", re.MULTILINE)


class Statements(Mapping[str, LiteralString]):
    """The statements of one file by name, in the order of the file."""

    def __init__(self, file: str, found: Mapping[str, LiteralString]) -> None:
        self.file = file
        self._found = dict(found)

    def __getitem__(self, name: str) -> LiteralString:
        try:
            return self._found[name]
        except KeyError:
            raise KeyError(f"{self.file} defines no statement {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def load(package: str, file: str) -> Statements:
    """Return the statements of *file* in *package*; a final semicolon is left out.

    Raises:
        ValueError: a name is no identifier, stands twice, or has no statement; or text comes before the first name.
    """
    found = parse(resources.files(package).joinpath(file).read_text(encoding="utf-8"), file)
    folder = package.partition(".")[2].replace(".", "/") or package
    _KNOWN.update((text, f"{folder}/{file}:{name}") for name, text in found.items())
    return found


def name_of(query: object) -> str:
    """Return file and name of a statement, for example "control/tenant.sql:states"; '' for one that has no name."""
    return _KNOWN.get(query, "") if isinstance(query, str) else ""


def parse(text: str, file: str) -> Statements:
    """Return the statements of *text*; *file* is what errors call it. Raises ValueError as `load` does."""
    begins = list(_NAME.finditer(text))
    if _code(text[: begins[0].start()] if begins else text):
        raise ValueError(f"{file} has SQL before its first '-- name:'")
    statements: dict[str, LiteralString] = {}
    for begin, end in pairwise([*(one.start() for one in begins), len(text)]):
        line, _, body = text[begin:end].partition("\n")
        name, body = line.removeprefix("-- name:").strip(), body.strip().removesuffix(";")
        if not name.isidentifier():
            raise ValueError(f"{file}: {name!r} is no name for a statement")
        if name in statements:
            raise ValueError(f"{file} defines {name} twice")
        if not _code(body):
            raise ValueError(f"{file}: {name} has no statement")
        statements[name] = body  # the file is part of its package: as literal as a string in the source
    return Statements(file, statements)


def _code(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text).strip()
