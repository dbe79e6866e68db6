"""An option reads the same in every command that has it, because it is written once."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

CLI = Path(__file__).resolve().parents[3] / "migrator" / "cli"


def test_no_option_is_written_twice() -> None:
    """Neither in two commands of a module nor in two modules; what several share is in cli/options.py."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.Option", "typer.Argument"):
                places[ast.unparse(node)].append(f"{path.name}:{node.lineno}")

    assert len(places) > 60
    assert {option: where for option, where in places.items() if len(where) > 1} == {}
