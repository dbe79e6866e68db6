"""The names of this tool's sessions: every one that is written anywhere is known as its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import migrator
from migrator.model.own_session import SHIM, is_own_session

ROOT = Path(migrator.__file__).parent.parent
DEMO = ("migrator-demo", "migrator-shopfront")


def written() -> Iterator[str]:
    """What is passed to connect as a name, or kept as APP."""
    for path in sorted([*(ROOT / "migrator").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found: list[ast.expr] = []
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "APP" for t in node.targets):
                found = [node.value]
            elif isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in ("connect", "connect_async"):
                    found = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "application_name")]
            yield from (one.value for one in found if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_every_session_of_the_tool_is_known_as_its_own() -> None:
    """One that is not would be named as somebody who still uses classic, and keep the end from beginning."""
    names = {name for name in written() if name.startswith("migrator")}

    assert {"migrator-cli", "migrator-serve", "migrator-incident", "migrator worker", "migrator validate"} <= names
    assert {name for name in names if not is_own_session(name)} == {name for name in names if name in DEMO}


@pytest.mark.parametrize(
    "name", [*DEMO, f"{SHIM}web-1", "migrator", "migrators", "migratory birds", "migrator-service", "app migrator", ""]
)
def test_others_are_not(name: str) -> None:
    """A program that brings schemas up to date is called migrator more often than not."""
    assert not is_own_session(name)
