"""Reads a file with the rows of pg_stat_statements: CSV with a header, or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.audit.catalog import Source
from migrator.audit.evidence.rows import RawStatement
from migrator.scripts.input_file import open_text, probe

HIDDEN = "<insufficient privilege>"
_TOTAL = ("total_exec_time", "total_time", "total_ms", "total_exec_time_ms")
_MEAN = ("mean_exec_time", "mean_time")
_DELIMITERS = ",;\t|"
_HEAD = 20_000
"""Characters in which the first row of a JSON file must stand."""


@dataclass(slots=True)
class Statistics:
    """What the file gave; `rows` were read, `problems` say which could not be, `hidden` have no text."""

    statements: list[RawStatement] = field(default_factory=list)
    rows: int = 0
    hidden: int = 0
    problems: list[str] = field(default_factory=list)


def read_statistics_file(path: Path) -> Statistics | None:
    """Return the statements of *path* with their calls and times; None when it is another kind of file.

    Raises:
        UsageError: if the file cannot be opened.
    """
    form = probe(path)
    if form.refusal:
        return None
    with open_text(path, form) as stream:
        first = stream.readline().lstrip("\ufeff")
        if first.lstrip()[:1] in ("[", "{"):
            head = first + stream.read(_HEAD)
            rows = _json_rows(head + stream.read()) if '"query"' in head and '"calls"' in head else None
        else:
            rows = _csv_rows(first, stream)
        return None if rows is None else _statements(rows, path)


def _csv_rows(first: str, stream: Any) -> Iterator[tuple[int, dict[str, Any]]] | None:
    for delimiter in _DELIMITERS:
        header = [name.strip().strip('"').lower() for name in first.strip().split(delimiter)]
        if "query" in header and "calls" in header:
            return _csv(header, csv.reader(stream, delimiter=delimiter))
    return None


def _csv(header: list[str], reader: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for values in reader:
        if values and len(values) == len(header):
            yield reader.line_num + 1, dict(zip(header, values, strict=True))
        elif values and not (len(values) == 1 and values[0].startswith("(")):  # psql's "(5 rows)"
            yield reader.line_num + 1, {}


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]] | None:
    try:
        read = json.loads(text)
    except ValueError:
        try:
            read = [json.loads(line) for line in io.StringIO(text) if line.strip()]
        except ValueError:
            return None
    read = read if isinstance(read, list) else [read]
    if not read or not all(isinstance(r, dict) and {"query", "calls"} <= r.keys() for r in read):
        return None
    return ((number, row) for number, row in enumerate(read, 1))


def _statements(rows: Iterator[tuple[int, dict[str, Any]]], path: Path) -> Statistics:
    """Sum the rows of one text: the view has one for every user, database and top-level flag."""
    found = Statistics()
    by_text: dict[str, RawStatement] = {}
    for line, row in rows:
        found.rows += 1
        try:
            sql, calls = str(row["query"]).strip(), float(row["calls"])
            ms = _number(row, _TOTAL)
            mean = _number(row, _MEAN)
        except (KeyError, TypeError, ValueError):
            found.problems.append(f"{path}: row {line} cannot be read as one of pg_stat_statements")
            continue
        if sql == HIDDEN:
            found.hidden += 1
            continue
        if "/* migrator" in sql:
            continue
        statement = by_text.setdefault(sql, RawStatement(sql, Source(str(path), line), calls=0))
        statement.calls += calls
        if ms is not None or mean is not None:
            statement.total_ms = (statement.total_ms or 0.0) + (ms if ms is not None else (mean or 0.0) * calls)
    found.statements = list(by_text.values())
    return found


def _number(row: dict[str, Any], names: tuple[str, ...]) -> float | None:
    value = next((row[n] for n in names if row.get(n) not in (None, "")), None)
    return None if value is None else float(str(value).replace(",", "."))
