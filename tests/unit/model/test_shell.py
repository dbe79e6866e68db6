"""Names in commands that people copy: a shell gives the program the name, and does nothing else."""

from __future__ import annotations

import subprocess
from typing import Annotated

import pytest
import typer

from migrator.model.shell import argument, word

NAMES = (
    "42", "", "two words", "O'Brien & \"Co\"", "$(id)", "`id`", "a;b|c>d", "back\\slash'", "*", "~", "#5", "!x",
    "東京", "emoji😀", "e\u0301", "line\nbreak", "\x1b]0;title\x07", "\u202eright", "\x855 after", "no\u00a0break",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_back_the_name(name: str) -> None:
    command = f"printf %s {word(name)}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert ran.stdout.decode() == name
    assert command.isprintable(), "nothing acts on the terminal that shows it"


@pytest.mark.parametrize("name", ["--16", "-1", "-", "--", "--all", "-x\ny", "plain", "a b"])
def test_a_name_that_begins_with_a_dash_is_no_option(name: str) -> None:
    """As getopt and click read it; a name without a dash needs no more than a shell does."""
    app, parsed = typer.Typer(), []

    @app.command()
    def forget(tenants: list[str], everyone: Annotated[bool, typer.Option("--all")] = False) -> None:
        parsed.extend([*tenants, *(["option"] if everyone else [])])

    ran = subprocess.run(["bash", "-c", f"printf '%s\\0' {argument(name)}"], capture_output=True, check=True)
    app(ran.stdout.decode().split("\0")[:-1], standalone_mode=False)

    assert parsed == [name]
