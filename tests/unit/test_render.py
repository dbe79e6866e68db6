"""Data becomes text or JSON of the same shape; nobody is asked who cannot answer."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from migrator.cli.render import confirm, duration, plain, table
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


def test_a_table_is_aligned() -> None:
    text = table(["name", "rows"], [("a", 1234), ("long name", None)], right=["rows"])

    assert text.splitlines() == ["name        rows", "---------  -----", "a          1,234", "long name      -"]


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
