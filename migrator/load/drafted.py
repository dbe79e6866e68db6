"""A workload that was drafted for a person to look through, as TOML. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.grammar.parse import Unparsable, parse
from migrator.plan.toml import one_line, to_toml

_WRITERS = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "LockingClause")


@dataclass(frozen=True, slots=True)
class Draft:
    """A workload file, how many statements it has, and which were left out, with the reason."""

    toml: str
    statements: int
    left_out: tuple[str, ...]


def drafted(
    head: Sequence[str], transactions: Sequence[Mapping[str, Any]], pools: Mapping[str, str], left_out: Sequence[str]
) -> Draft:
    """Return the file of *transactions*, under comments of *head*."""
    body: dict[str, Any] = {"pools": {name: {"sql": sql} for name, sql in pools.items()}} if pools else {}
    body["transaction"] = list(transactions)
    comments = [*head, *(f"left out: {line}" for line in left_out)]
    text = "".join(f"# {one_line(line)}\n" for line in comments)
    return Draft(f"{text}\n{to_toml(body)}\n", len(transactions), tuple(left_out))


def name_of(number: int, sql: str) -> str:
    """Return what a drafted transaction is called: its number, and how its statement begins."""
    short = re.sub(r"\s+", " ", sql).strip()
    return f"{number} {short[:50]}" + ("…" if len(short) > 50 else "")


def writes(sql: str) -> bool | None:
    """Return whether a statement needs a transaction that may write; None: it is not one statement that reads or writes
    rows (a command, several statements, a text that PostgreSQL's grammar refuses)."""
    try:
        found = parse(sql)
    except Unparsable:
        return None
    if len(found) != 1 or found[0].tag not in ("SelectStmt", *_WRITERS):
        return None
    return found[0].tag in _WRITERS or any(kind in found[0].kinds for kind in _WRITERS)
