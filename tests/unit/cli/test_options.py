"""An option reads the same in every command that has it, because it is written once."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from migrator import __version__
from migrator.cli import completion
from migrator.cli.app import app, run_command
from migrator.model.gate import gate_of
from workflows.names import Queue

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


ALIKE: dict[str, tuple[str | None, bool]] = {
    # Its short form, and whether it takes no value.
    "--yes": ("-y", True),
    "--reason": ("-r", False),
    "--json": (None, True),
    "--dry-run": (None, True),
    "--plan": ("-p", False),
    "--as": (None, False),
    "--all": (None, True),
    "--limit": ("-n", False),
    "--tenant": ("-t", False),
    "--wait": (None, True),
    "--watch": ("-w", True),
    "--wave": (None, False),
}

OWN_JSON = {"audit"}
"""Whose --json takes a file as well."""


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
    for name, one in (inner or {}).items():
        yield from leaves(one, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def options(command: Any) -> dict[str, Any]:
    return {name: p for p in command.params for name in p.opts if name.startswith("--")}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_means_the_same_in_every_command(name: str) -> None:
    found = options(COMMANDS[name])
    for option, (short, is_flag) in ALIKE.items():
        if (one := found.get(option)) is None or (option == "--json" and name in OWN_JSON):
            continue
        assert (one.is_flag, [o for o in one.opts if o != option]) == (is_flag, [short] if short else []), option
    shorts = {o: p.opts for p in COMMANDS[name].params for o in p.opts if len(o) == 2 and o != "-h"}
    known = {short: option for option, (short, _) in ALIKE.items() if short}
    assert all(known[short] in opts for short, opts in shorts.items()), "a letter stands for one thing everywhere"


@pytest.mark.parametrize("name", COMMANDS)
def test_what_changes_something_can_be_tried_and_told_not_to_ask(name: str) -> None:
    """At 3 a.m. nobody remembers which command asks: -y is taken by all that have a dry run."""
    found = options(COMMANDS[name])
    if "--yes" in found or "--reason" in found:
        assert "--dry-run" in found
    if "--dry-run" in found:
        assert "--yes" in found and "--json" in found
    if "--reason" in found:
        assert "--as" in found, "a reason is somebody's"


def test_the_version_is_printed_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


BY_NAME = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
"""The shell is the one that is named, not the one that runs the tests."""


def complete(*words: str) -> list[str]:
    """Complete the last of *words* as bash does, with what --show-completion prints."""
    bash = shutil.which("bash")
    assert bash is not None
    script = """
    eval "$(migrator --show-completion bash)"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _migrator_completion migrator
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [bash, "-c", script, "bash", *words],
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("migrator", "appr"), ["approve", "approver"]),
        (("migrator", "approve", "cut"), ["cutover"]),
        (("migrator", "worker", "--queues", "control,m"), ["control,mirror"]),
        (("migrator", "report", "inc"), ["incidents"]),
        (("migrator", "rollback", "--rea"), ["--reason"]),
    ],
)
def test_bash_completes_without_a_server(words: tuple[str, ...], found: list[str]) -> None:
    """No plan, no DSN: nothing could be asked."""
    assert complete(*words) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_completion(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "migrator", "--show-completion", shell],
        env={**os.environ, **BY_NAME},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0 and f"complete_{shell}" in done.stdout, done


def test_completed_words_exist() -> None:
    assert [gate_of(g) for g in completion.gates("") if g != "wave-"] and gate_of(f"{completion.gates('wave')[0]}3")
    assert set(completion.queues("")) == set(Queue)
