"""A load test on a screen of 80 columns, whatever its statements are called."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from migrator.cli.load_view import render, verdict
from tests.unit.report.test_load_page import body

NAMES = ("two\nlines\x1b[31m", "x" * 200, "東京" * 40, "[bold]x[/bold]")


def drawn(given: dict[str, Any], width: int) -> list[str]:
    screen = Console(width=width, highlight=False, force_terminal=False)
    with screen.capture() as captured:
        screen.print(render(given))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 60])
def test_it_fits(width: int) -> None:
    given = body(stopped="Limitless: " + "because " * 30, peak_source="\u202eevil")
    side = given["details"]["sides"]["limitless"]
    side["statements"] = [{**side["statements"][0], "statement": name} for name in NAMES]
    given["details"].update(workload=NAMES[0], notes=list(NAMES))
    lines = drawn(given, width)

    assert all(len(line.rstrip()) <= width for line in lines)
    assert "\x1b" not in "".join(lines) and "\u202e" not in "".join(lines)
    assert any("[bold]x[/bold]" in line for line in lines), "a name is no markup"
    assert any("keeps up with 100.0/s (1.1 times the peak)" in line for line in lines)


@pytest.mark.parametrize(
    ("of_result", "of_side", "said"),
    [
        ({"saturation_per_s": None}, {}, "keeps up with all that was offered, 99.0/s"),
        ({"saturation_per_s": None}, {"generator_limited": True}, "at least 99.0/s; above it the generator"),
        ({"saturation_per_s": 0.0}, {"held_per_s": None}, "does not even hold the lowest rate, 201.0/s: it queued"),
        ({"saturation_per_s": None}, {"held_per_s": None, "why": None}, "nothing is known"),
    ],
)
def test_what_is_known_is_said(of_result: dict[str, Any], of_side: dict[str, Any], said: str) -> None:
    given = body()
    given["limitless"].update(of_result)
    given["details"]["sides"]["limitless"].update(of_side)

    assert said in verdict(given, "limitless")
