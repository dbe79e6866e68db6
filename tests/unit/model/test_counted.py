"""A number agrees with what it counts, in every message: there is one function for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.model.counted import counted
from tests import ROOT

THINGS = (
    "tenants", "rows", "objects", "processes", "tables", "units", "steps", "keys", "fences", "differences", "changes",
    "blockers", "roles", "fallbacks", "findings", "values", "migrations", "questions", "partitions", "workers",
)  # fmt: skip
_MANY = re.compile(rf"^( [a-z-]+)? ({'|'.join(THINGS)})\b(?!/s)")

SPOKEN = ("cli", "control", "decommission", "traffic")
"""Whose texts are messages to people: blockers, steps, answers of commands."""


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("tenant",), "0 tenants"),
        (1, ("tenant",), "1 tenant"),
        (1, ("tenant is", "tenants are"), "1 tenant is"),
        (2, ("tenant is", "tenants are"), "2 tenants are"),
        (12345, ("row",), "12,345 rows"),
        (3, ("process",), "3 processes"),
        (3, ("entry",), "3 entries"),
        (3, ("key",), "3 keys"),
        (3, ("index",), "3 indexes"),
        (1.0, ("day",), "1.0 day"),
    ],
)
def test_it_agrees(number: float, words: tuple[str, ...], text: str) -> None:
    assert counted(number, *words) == text


def messages(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, number and words of each number that an f-string puts before words of several things."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                number = ast.unparse(value.value)
                is_text = "join" in number or re.search(r"name|kind|words|who|has\b|captured_size", number)
                if not is_text and _MANY.match(str(after.value)):
                    yield node.lineno, number, str(after.value)


def test_no_message_counts_by_itself() -> None:
    """`{n} tenants are` is wrong for one."""
    files = [p for part in SPOKEN for p in sorted((ROOT / "migrator" / part).rglob("*.py"))]
    files += [ROOT / "migrator" / "gates.py", ROOT / "migrator" / "validation.py"]

    assert [
        f"{p.relative_to(ROOT)}:{line}: {{{number}}}{after}" for p in files for line, number, after in messages(p)
    ] == []
