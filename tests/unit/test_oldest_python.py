"""Nothing rests on what the oldest Python that the project promises gets wrong."""

from __future__ import annotations

import re

import pytest

from tests import ROOT

SOURCES = [*(ROOT / "migrator").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")]
REPEATED_GROUP = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+|\(\?>")


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Before Python 3.11.5 such a pattern, or an atomic group, can match wrongly (CPython issue 106052)."""
    found = [path.name for path in SOURCES if REPEATED_GROUP.search(path.read_text(encoding="utf-8"))]

    assert found == [] and len(SOURCES) > 300


@pytest.mark.parametrize("text", ["(?:a|b)*+", "(?:a|b)++", "(ab)?+", "(?:a|b){2,3}+", "(?>a|b)"])
def test_each_way_to_write_one_is_seen(text: str) -> None:
    assert REPEATED_GROUP.search(text)
    assert not REPEATED_GROUP.search("[ab]*+ a++ (?:a|b)* (a)+")
