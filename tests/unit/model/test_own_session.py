"""Which sessions are the tool's own: every name that it connects under, and no application's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.control.sighting import is_ours
from migrator.model.own_session import is_own_application
from migrator.runway.counters import part_of

ROOT = Path(__file__).parents[3]
APPLICATIONS = {"migrator-demo", "migrator-shopfront"}
"""What the demo's application calls itself."""


def names() -> Iterator[str]:
    """Names that calls of connect, and constants called APP, give; of an f-string the beginning."""
    for path in [*(ROOT / "migrator").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("connect", "connect_async"):
                found = [*node.args[1:2], *(k.value for k in node.keywords if k.arg in ("app", "application_name"))]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "APP":
                found = [node.value]
            else:
                continue
            for value in found:
                if isinstance(value, ast.JoinedStr):
                    value = value.values[0]
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def test_every_name_that_the_tool_connects_under_is_its_own() -> None:
    """One that is missing counts as a user of classic, which is not retired then, and as the application's load."""
    found = {name for name in names() if name.startswith("migrator")} - APPLICATIONS
    assert {"migrator-cli", "migrator-serve", "migrator-incident", "migrator worker", "migrator drill"} <= found
    missing = {name for name in found if not (is_own_application(name) and is_ours(name, ()) and part_of(name))}
    assert missing == set()


@pytest.mark.parametrize("name", ["migrator worker", "migrator mirror 3 rows", "migrator-rehearsal-proof"])
def test_names_of_its_parts(name: str) -> None:
    assert is_own_application(name)


@pytest.mark.parametrize(
    "name", ["migrator-shopfront", "migrator-demo", "migrator", "migrators", "app migrator", "", "migrator-client"]
)
def test_names_of_others(name: str) -> None:
    assert not is_own_application(name) and not is_ours(name, ()) and part_of(name) is None
