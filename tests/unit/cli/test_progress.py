"""Long work is seen to go on: from the second second, on stderr alone, and never in the way of anything else."""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext
from itertools import pairwise

import pytest

from migrator.cli import progress as module
from migrator.cli import render
from migrator.cli.progress import line, progress
from migrator.poll import until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, what: str) -> None:
    assert until(lambda: what in stream.getvalue(), 10, every_s=0.005), stream.getvalue()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_S", "EVERY_S", "PIPE_EVERY_S"):
        monkeypatch.setattr(module, name, 0.001)


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ((4.0, None, None, ""), "Comparing: 4.0 s so far"),
        ((4.0, None, None, "", "reading tables"), "Comparing: 4.0 s so far, reading tables"),
        ((10.0, 200, 1000, "rows"), "Comparing: 200 of 1,000 rows (20%), 20 rows/s, 40.0 s left, 10.0 s so far"),
        ((10.0, 2, 4, "steps"), "Comparing: 2 of 4 steps (50%), 0.2 steps/s, 10.0 s left, 10.0 s so far"),
        ((10.0, 0, 4, "steps"), "Comparing: 0 of 4 steps (0%), 10.0 s so far"),
        ((10.0, 4, 4, "steps"), "Comparing: 4 of 4 steps (100%), 0.4 steps/s, 10.0 s so far"),
        ((10.0, 7, None, "steps"), "Comparing: 7 steps, 0.7 steps/s, 10.0 s so far"),
        ((10.0, 90, 100, "rows", "", 80), "Comparing: 90 of 100 rows (90%), 1.0 rows/s, 10.0 s left, 10.0 s so far"),
    ],
)
def test_what_is_known_is_said(known: tuple[float, float, float, str], text: str) -> None:
    assert line("Comparing", *known) == text


def test_a_terminal_has_one_line_that_goes_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """However wide the work's name: it would be two lines otherwise, of which one stays."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    with progress("Copying 東京\x1b[2J " + "long " * 20, "rows", 10) as seen:
        seen.at(3)
        shown(screen, "\x1b[K")
        render.note("a note")
        noted = len(screen.getvalue())
        assert until(lambda: len(screen.getvalue()) > noted, 10, every_s=0.005)
    text = screen.getvalue()

    assert "\r\x1b[Ka note\n" in text and text.endswith("\r\x1b[K")
    assert "\x1b[2J" not in text
    assert text.count("\n") == 1, "only the note ends a line"
    assert all(len(part) < 60 for part in text.split("\r"))


def test_a_pipe_gets_lines_with_the_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with progress("Copying", "rows", 10):
        shown(pipe, "Copying: ")
    found = pipe.getvalue().splitlines()

    assert all(one[10] == "T" and one[19] == "Z" and "Copying: " in one and "\x1b" not in one for one in found)
    assert all(a[:20] <= b[:20] for a, b in pairwise(found))
    assert capsys.readouterr().out == ""


def test_silence_with_json(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with progress("Copying", silent=True) as seen:
        seen.at(1)
        assert not [t for t in threading.enumerate() if t.name == "progress"]
    assert pipe.getvalue() == ""


def test_short_work_shows_nothing_and_an_error_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_S", 60.0)
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with pytest.raises(KeyError), progress("Copying"):
        raise KeyError

    assert pipe.getvalue() == ""
    assert not [t for t in threading.enumerate() if t.name == "progress"] and render.line_away is nullcontext
