"""Which rule decides about an alarm."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.plan.alarms import Rule
from migrator.traffic.incident.alarm import Alarm
from migrator.traffic.incident.match import decide, matches

ALL = Rule(action="roll_back", all=True)
TENANT = Rule(action="roll_back", tenant_label="tenant")


def alarm(name: str = "slow", firing: bool = True, **labels: str) -> Alarm:
    return Alarm(name, "firing" if firing else "resolved", firing, labels)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("*", "", True),
        ("limitless-*", "limitless-p99", True),
        ("limitless-*", "classic-p99", False),
        ("[prod] p99", "[prod] p99", True),
        ("[prod] p99", "p p99", False),
        ("p?9", "p99", True),
        ("p?9", "p9", False),
        ("*a*b", "xxaxxb", True),
        ("*a*b", "xxaxxbx", False),
        (r"50\*", "50*", True),
        (r"50\*", "500", False),
        ("Slow", "slow", False),
        ("a\nb*", "a\nbc", True),
        ("", "", True),
        ("", "x", False),
        ("end\\", "end\\", True),
        ("**", "x", True),
        ("?", "é", True),
    ],
)
def test_stars_and_question_marks_stand_for_characters_and_nothing_else_does(
    pattern: str, text: str, found: bool
) -> None:
    assert matches(pattern, text) is found


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=10))
def test_a_pattern_means_what_a_regular_expression_says(pattern: str, text: str) -> None:
    wanted = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)

    assert matches(pattern, text) is (re.fullmatch(wanted, text, re.DOTALL) is not None)


def test_no_text_makes_a_pattern_slow() -> None:
    began = time.process_time()

    assert not matches("*a" * 20 + "b", "a" * 5_000)
    assert time.process_time() - began < 2


def test_the_first_rule_decides() -> None:
    rules = [Rule(alarm="deploy-*", action="ignore"), TENANT, ALL]

    assert decide(alarm("deploy-1", tenant="7"), rules).action == "ignore"
    assert decide(alarm(tenant="7"), rules).tenants == ("7",)
    assert decide(alarm(), rules).everybody, "an alarm without the label is about all"


def test_an_alarm_that_does_not_fire_does_nothing() -> None:
    found = decide(alarm(firing=False, tenant="7"), [ALL])

    assert (found.action, found.rule, found.note) == ("", 0, "not firing")


def test_an_alarm_without_a_rule_does_nothing_and_says_what_is_missing() -> None:
    assert decide(alarm(), []).note == "no rule"
    found = decide(alarm(severity="page"), [Rule(alarm="other", action="report"), TENANT])
    assert (found.action, found.note) == ("", "no rule; rule 2 would match, but the alarm has no label tenant")


@pytest.mark.parametrize("tenant", ["--16", "a\nb", "<script>", "O'Hara", "*", "\\", "ünïcode", " ", "a,b"])
def test_a_tenant_is_taken_as_it_is(tenant: str) -> None:
    assert decide(alarm(tenant=tenant), [TENANT]).tenants == (tenant,)
    assert decide(alarm(other=tenant), [Rule(labels={"other": "*"}, action="roll_back", tenants=[tenant])]).tenants == (
        tenant,
    )
