"""What the runbook has people type exists: commands, options, placeholders, groups of checks, kinds, alerts."""

from __future__ import annotations

import re

import pytest

from migrator.model.condition import Kind
from tests import ROOT
from tests.fixtures.runbook import FOLDER, PAGES, PLACEHOLDERS, Line, inline, lines, placeholders, problem, unknown

LINES = [line for page in PAGES for line in lines(page)]


def test_every_page_is_in_the_table() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")

    assert len(LINES) > 80
    assert [page for page in PAGES if page != "README.md" and f"]({page})" not in readme] == []
    assert [word for word in PLACEHOLDERS if f"| `{word}` |" not in readme] == []


@pytest.mark.parametrize("line", LINES, ids=str)
def test_the_command_line_takes_it(line: Line) -> None:
    if line.of_the_tool:
        assert problem(line.words()) == ""
    else:
        assert line.only_read or line.text.startswith("export "), "not the tool's, so it says where it runs"
    assert placeholders(line) <= set(PLACEHOLDERS)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_exist(page: str) -> None:
    assert [(text, missing) for text, words in inline(page) if (missing := unknown(words))] == []


@pytest.mark.parametrize("page", PAGES)
def test_conditions_and_fields_exist(page: str) -> None:
    """A word with an underscore in backquotes is a kind of condition, a field of a plan, or in another document."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z]+(?:\.[a-z_]+)?_[a-z_]+|[a-z]+\.[a-z_]+)`", text))
    kinds = {kind.value for kind in Kind}
    known = (ROOT / "plans" / "README.md").read_text(encoding="utf-8") + "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")
    )

    assert {name for name in named if name not in kinds and name.rpartition(".")[2] not in known} == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rollback", "--everybody", "--reason", "x"], "No such option"),
        (["rollbak", "--all"], "no command"),
        (["rollback", "--all"], "reason"),
        (["tenant"], "no command"),
        (["log", "--verify"], ""),
    ],
)
def test_what_does_not_exist_is_found(words: list[str], said: str) -> None:
    found = problem(words)

    assert found == said if not said else said.lower() in found.lower()
