"""Data becomes text or JSON of the same shape; nobody is asked who cannot answer."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from migrator.cli.render import confirm, duration, plain, print_table
from migrator.errors import UsageError
from migrator.model.route import Level


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Thing:
    level: Level
    at: datetime
    parts: tuple[int, ...]


def test_everything_has_a_json_form() -> None:
    thing = Thing(Level.JOINING, datetime(2026, 1, 2, tzinfo=UTC), (1, 2))

    assert plain({"thing": thing, 3: {Path("/a")}, "id": UUID(int=1)}) == {
        "thing": {"level": "joining", "at": "2026-01-02T00:00:00+00:00", "parts": [1, 2]},
        "3": ["/a"],
        "id": "00000000-0000-0000-0000-000000000001",
    }


LONG = "postgresql://" + "x" * 300 + "/shop"


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of columns, then a line for each row; nothing else, so that grep, awk and sort need no exceptions."""
    print_table(["name", "rows", "why"], [("a", 1234, "short"), ("long name", None, "")], right=["rows"])

    assert capsys.readouterr().out == "name        rows  why\na          1,234  short\nlong name      -\n"


@pytest.mark.parametrize("columns", ["20", "80"])
def test_nothing_is_cut_in_a_pipe(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is one line with all it has, however long, and however wide somebody believes the terminal to be."""
    monkeypatch.setenv("COLUMNS", columns)
    rows = [(LONG, "東京", "why " * 100), ("b", LONG, "two\nlines")]
    print_table(["dsn", "tenant", "reason"], rows)

    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == [LONG, "東京", *["why"] * 100]
    assert second.split() == ["b", LONG, r"two\x0alines"]


@pytest.mark.parametrize("width", [30, 80])
def test_on_a_terminal_a_long_name_is_folded(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the screen, and every letter is there."""
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    print_table(["name", "dsn"], [("a", LONG)])

    lines = re.sub(r"\x1b\[\d*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    assert "".join(line[6:].strip() for line in lines[1:]) == LONG


def test_a_name_gives_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither to the terminal nor to what draws the table."""
    print_table(["name"], [("\x1b[2J",), ("[bold]x[/bold]",), ("[/]",), (":smile:",)])

    assert capsys.readouterr().out.splitlines()[1:] == [r"\x1b[2J", "[bold]x[/bold]", "[/]", ":smile:"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0213, "21 ms"), (3.21, "3.2 s"), (600, "10 min"), (7200, "2.0 h"), (2e6, "23.1 days")],
)
def test_a_duration_is_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_yes_asks_nobody() -> None:
    confirm("Drop everything?", yes=True, stream=io.StringIO())


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_agreement_goes_on(answer: str) -> None:
    confirm("Really?", yes=False, stream=Terminal(answer))


@pytest.mark.parametrize("stream", [Terminal("n\n"), Terminal(""), io.StringIO("y\n")])
def test_anything_else_changes_nothing(stream: io.StringIO) -> None:
    """No, no answer, and a pipe instead of a person."""
    with pytest.raises(UsageError):
        confirm("Really?", yes=False, stream=stream)
