"""The page of a decision: every option, every figure with its basis, and nothing of it unescaped."""

from __future__ import annotations

import pytest

from migrator.decide.facts import Facts
from migrator.decide.judge import TITLES, advice, judge
from migrator.decide.sensitivity import flips
from migrator.decide.view import to_json
from migrator.report.decision import page
from tests.unit.decide.test_judge import facts


@pytest.mark.parametrize("found", [facts(), facts(growth=0.0), facts(largest_write_share=0.9, crossing_share=0.8)])
def test_a_page_has_what_the_command_prints(found: Facts) -> None:
    judged, changes = judge(found), flips(found)
    body = to_json(found, judged, changes)
    body["headline"] = "<script>alert(1)</script>"

    made = page(body)

    assert "<script>" not in made and made.count("<svg") == 2
    assert all(title in made for title in TITLES.values()) and "assumption" in made
    assert all(line.split("%")[0] in made for line in advice(judged, found))
