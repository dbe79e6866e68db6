"""Reads the files that commands about the schema are given."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.cli.render import note
from migrator.errors import UsageError

if TYPE_CHECKING:
    from migrator.scripts.migration import Migration


def read_scripts(paths: Sequence[Path], from_stdin: bool, tables: Sequence[str]) -> tuple[Migration, ...]:
    """Return the migrations of *paths*, and say what was left out.

    Raises:
        UsageError: no file was given, one cannot be read, or a table's name is none.
    """
    from migrator.model.table import split_qualified
    from migrator.scripts.collect import PIPE, collect

    for table in tables:
        try:
            split_qualified(table if "." in table else f"any.{table}")
        except ValueError:
            raise UsageError(f"--tool-table {table}: not a table's name", hint="Give NAME or SCHEMA.NAME.") from None
    given = [*paths, *([Path(PIPE)] if from_stdin and Path(PIPE) not in paths else [])]
    if not given:
        raise UsageError("no file given", hint="Give a file or a folder of SQL, or - for standard input.")
    stdin = None
    if Path(PIPE) in given:
        try:
            stdin = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UsageError("standard input is not UTF-8") from None
    collected = collect(given, stdin, tables)
    for text in collected.notes:
        note(text)
    return collected.migrations
