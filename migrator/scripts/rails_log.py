"""Finds the statements in a log of Rails: `rails db:migrate` with the log level debug prints each with its duration.

Reads of Active Record (SELECT, SHOW, SET) are left out; values that were bound are put where they belong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_HEAD = re.compile(
    r"^(?:[DIWEF], \[[^\]\n]*\]\s+\w+ -- :)?[ \t]*(?:\[[^\]\n]*\][ \t]*)*(?P<name>[A-Z][\w:]*(?:[ \t]+[\w:?]+){0,3})?"
    r"[ \t]*\(\d+(?:\.\d+)?ms\)[ \t]+(?P<sql>\S.*)$"
)
_OTHER = re.compile(r"^[ \t]*(?:==|->|↳|Migrating to |-- \w+\(|[DIWEF], \[|\[[^\]\n]*\]|$)")
_READ = re.compile(r"^(?:SELECT|SHOW|SET|RESET|BEGIN|COMMIT|SAVEPOINT|RELEASE|ROLLBACK|EXPLAIN)\b", re.IGNORECASE)
_BOUND = re.compile(r"[ \t]+(\[(?:\[.*\])?\])[ \t]*$", re.DOTALL)
_PARAMETER = re.compile(r"\$(\d+)")
_SQL = re.compile(r"^(?:[A-Z]{2,})\b", re.IGNORECASE)


def is_log(text: str) -> bool:
    """Return whether *text* is a log of Rails: a line holds the duration of a statement, and none is SQL before it."""
    for line in text.splitlines():
        plain = _COLOURS.sub("", line)
        head = _HEAD.match(plain)
        if head is not None:
            return bool(_SQL.match(head["sql"]))
        if plain.rstrip().endswith(";"):
            return False
    return False


def statements(text: str) -> str:
    """Return the SQL of a log, every statement at the line where the log has it."""
    lines = [_COLOURS.sub("", line) for line in text.split("\n")]
    kept = [""] * len(lines)
    for first, words in _records(lines):
        sql = "\n".join(words)
        if not _READ.match(sql):
            for number, line in enumerate(_with_values(sql).split("\n"), first):
                kept[number] = line
    return "\n".join(kept)


def _records(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its first line, its lines) of every statement."""
    first, found = 0, list[str]()
    for number, line in enumerate(lines):
        head = _HEAD.match(line)
        if head is None and found and not _OTHER.match(line):
            found.append(line)
            continue
        if found:
            yield first, found
        first, found = number, [head["sql"]] if head is not None else []
    if found:
        yield first, found


def _with_values(sql: str) -> str:
    """Return a statement with its values and a semicolon."""
    bound = _BOUND.search(sql)
    if bound is not None:
        try:
            values = [pair[1] for pair in json.loads(bound[1])]
        except (ValueError, TypeError, IndexError, KeyError):
            values = None
        sql = sql[: bound.start()]
        if values is not None:
            sql = _PARAMETER.sub(lambda m: _literal(values, int(m[1])) or m[0], sql)
    return sql.rstrip().rstrip(";") + ";"


def _literal(values: list[object], number: int) -> str | None:
    if not 0 < number <= len(values):
        return None
    value = values[number - 1]
    return "NULL" if value is None else "'{}'".format(str(value).replace("'", "''"))
