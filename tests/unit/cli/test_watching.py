"""What is printed of a migration that is watched in a pipe: changes, and a sign of life."""

from __future__ import annotations

import json

import pytest

from migrator.cli.watching import SILENCE_S, Printer


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_same_again_is_said_when_it_has_been_silent_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    printer = Printer(as_json=False, now=clock)
    for seconds, why in ((0, "refused"), (1, "refused"), (2, "timeout\x1b[2J"), (3, "timeout\x1b[2J")):
        clock.seconds = seconds
        printer.unreachable(why)
    clock.seconds = 2 + SILENCE_S
    printer.unreachable("timeout\x1b[2J")

    lines = capsys.readouterr().out.splitlines()
    assert [line[21:] for line in lines] == [
        "classic does not answer: refused",
        r"classic does not answer: timeout\x1b[2J",
        r"classic does not answer: timeout\x1b[2J",
    ]


def test_json_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(as_json=True).unreachable("refused\nby it")

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["error"] == "refused\nby it"
