"""Whatever a name holds, a line stays one line, nothing is hidden in it, and none is wider than the terminal."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from migrator.cli import render
from migrator.cli.lines import LEAST_WIDTH, all_safe, cells, safe, wrapped
from migrator.model.blocker import Blocker
from migrator.model.status import Event

HOSTILE = ("a\nb", "a\tb", "\x1b[2J", "\x9b2J", "x\u202ey", "\u2028", "\u200b", "\ud800", "\x00")
WORDS = st.lists(
    st.sampled_from(["migrator", "mirror", "retry", "a", "bc;", "(d", "e)", "東京", "😀", "x" * 90, "", "-", "k:"]),
    max_size=30,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_gives_no_orders(name: str) -> None:
    assert safe(name).isprintable() and "\\" in safe(name)


@pytest.mark.parametrize("name", ["plain", "", "--16", "é", "שלום", "東京 都", "😀", "no\u00a0break"])
def test_what_shows_as_what_it_is_stays(name: str) -> None:
    assert safe(name) == name


@given(WORDS, st.sampled_from(["", "  - ", "→ ", "     undo: "]), st.integers(LEAST_WIDTH, 100))
@example(["東京"] * 30, "  - ", LEAST_WIDTH)
def test_no_line_is_wider_and_nothing_is_lost(words: list[str], bullet: str, width: int) -> None:
    line = bullet + " ".join(words)
    found = wrapped(line, width)

    assert max(map(cells, found)) <= width and max(map(cell_len, found)) <= width
    assert "".join("".join(found).split()) == "".join(line.split())
    assert cells(line) > width or found == [line]


def test_a_command_stays_in_one_piece() -> None:
    """It is copied."""
    line = "  - tenant 7 is held on classic by ana; release it first with: migrator tenant release 7; then go on"

    assert wrapped(line, 70) == [
        "  - tenant 7 is held on classic by ana; release it first with:",
        "    migrator tenant release 7; then go on",
    ]


def test_every_text_of_a_value_is_safe() -> None:
    """Also inside of tuples, blockers and values of values; what is no text stays."""
    at = Event.__dataclass_fields__
    assert {"kind", "subject", "reason"} <= set(at)
    found = all_safe((Blocker("a.b", "x\n", "tenant x\n is held", True), 7, None, ("\x1b",)))

    assert found == ("tenant x\\x0a is held", 7, None, ("\\x1b",))
    assert isinstance(found[0], Blocker) and (found[0].subject, found[0].heals_by_itself) == ("x\\x0a", True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_whole_lines_and_a_terminal_gets_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "tenant a\nb " + "word " * 40 + "end"
    monkeypatch.setenv("COLUMNS", "60")
    screen, pipe = Terminal(), io.StringIO()
    for stream in (screen, pipe):
        monkeypatch.setattr("sys.stdout", stream)
        render.out(text, "second")

    assert pipe.getvalue().splitlines() == [text.replace("\n", "\\x0a"), "second"]
    assert max(map(len, screen.getvalue().splitlines())) <= 60 < len(screen.getvalue())


def test_a_table_too_narrow_for_its_columns_is_shown_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is folded reads as another."""
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    numbers = ["part", "lag", "waiting", "oldest", "keys per cycle", "applied"]
    render.print_table([*numbers, "problem"], [(1, "3.2 s", 1234567, "-", 12, 7654321, "why " * 30)], right=numbers)

    lines = screen.getvalue().splitlines()
    assert max(map(cells, lines)) <= 40
    assert any(line.split() == ["waiting", "1,234,567"] for line in lines)
    assert screen.getvalue().count("why") == 30


def test_causes_are_lines_with_counts() -> None:
    late = [Blocker("validation.stale", str(t), f"tenant {t} was validated {t} s ago") for t in range(100, 1300)]
    other = Blocker("writes.closed", "", "writes are closed")

    assert render.causes([other, *late]) == [
        "  - writes are closed",
        "  - tenant 100 was validated 100 s ago (and 1,199 more like it: 101, 102, 103, …)",
        "  1,201 in all, one by one: --all",
    ]
    assert render.causes([other, *late], everything=True)[-1] == "  - tenant 1299 was validated 1299 s ago"
    assert len(render.causes([other, *late], everything=True)) == 1201
    assert render.causes([other]) == ["  - writes are closed"]


def test_many_causes_are_cut_and_counted() -> None:
    found = render.causes([f"{'x' * n} is missing" for n in range(1, 31)])

    assert len(found) == 21 and found[-1] == "  … and 10 of 30 more; all: --all"


def test_every_line_is_given_by_itself() -> None:
    """A text with line breaks in it would be printed with them written out, as those of a name are."""
    joined = [
        f"{path.name}:{node.lineno}"
        for path in sorted(Path(render.__file__).parent.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("out", "note")
        for given in node.args
        if not isinstance(given, ast.Starred)
        if any(isinstance(part, ast.Constant) and "\n" in str(part.value) for part in ast.walk(given))
    ]

    assert joined == []
