"""The plan's [alarms]: every problem is said, and no secret is."""

from __future__ import annotations

import tomllib

import pytest

from migrator.errors import PlanInvalid
from migrator.plan.alarms import Rule
from migrator.plan.changes import blockers, changes
from migrator.plan.load import dump, from_body
from migrator.plan.schema import Plan
from migrator.plan.toml import to_toml

SIDES = 'name = "shop"\n[classic]\nwriter = "env:A"\n[limitless]\ndsn = "env:B"\n'
GOOD = (
    SIDES
    + """
[alarms.cloudwatch]
topics = ["arn:aws:sns:eu-central-1:123456789012:alarms", "arn:aws-cn:sns:cn-north-1:123456789012:alarms.fifo"]
[[alarms.cloudwatch.rules]]
alarm = "limitless-*"
action = "roll_back"
all = true
[alarms.alertmanager]
secret = "env:TOKEN"
[[alarms.alertmanager.rules]]
labels = {severity = "page"}
action = "roll_back"
tenant_label = "tenant"
[[alarms.alertmanager.rules]]
action = "report"
"""
)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(PlanInvalid) as caught:
        from_body(tomllib.loads(SIDES + text))
    return caught.value.problems


def test_a_plan_with_rules_is_read_and_written() -> None:
    plan = from_body(tomllib.loads(GOOD))

    assert from_body(tomllib.loads(to_toml(dump(plan)))) == plan
    assert plan.alarms.alertmanager.rules[0].labels == {"severity": "page"}


def test_every_problem_is_said_at_once() -> None:
    found = problems("""
[alarms]
burst = 0
max_age_s = 1000000.0
[alarms.cloudwatch]
topics = ["arn:aws:sns:s3:123456789012:alarms"]
[[alarms.cloudwatch.rules]]
action = "roll_back"
[[alarms.cloudwatch.rules]]
action = "breaker"
wave = 3
[[alarms.cloudwatch.rules]]
action = "roll_back"
wave = 3
all = true
[alarms.alertmanager]
secret = "hunter2-hunter2-hunter2"
[[alarms.alertmanager.rules]]
lables = {severity = "page"}
action = "rollback"
[alarms.datadog]
secret = "env:TOKEN"
[[alarms.datadog.rules]]
action = "ignore"
[[alarms.datadog.rules]]
action = "report"
alarm = "Checkout"
[alarms.pagerduty]
[[alarms.pagerduty.rules]]
action = "roll_back"
wave = 0
[[alarms.pagerduty.rules]]
action = "report"
tenants = ["7"]
""")

    said = "\n".join(found)
    for part in (
        "alarms.burst: 0 ", "alarms.max_age_s: ", "must read arn:aws:sns:REGION:ACCOUNT:NAME",
        "alarms.cloudwatch.rules[1]: a table → roll_back needs exactly one of all, wave, tenants and tenant_label",
        "alarms.cloudwatch.rules[2]: a table → a fallback is of all or of tenants",
        "alarms.cloudwatch.rules[3]: a table → roll_back needs exactly one of", "tenant_label, not all and wave",
        "alarms.alertmanager.secret: a secret (not shown) → must be env:NAME, file:PATH or aws-secret:ID",
        "did you mean alarms.alertmanager.rules[1].labels?", "alarms.alertmanager.rules[1].action: \"rollback\"",
        "alarms.datadog: a table → rule 2 never decides: rule 1 takes its alarms",
        "alarms.pagerduty.secret: missing", "alarms.pagerduty.rules[1].wave: 0",
        "report is about no tenant: remove tenants",
    ):  # fmt: skip
        assert part in said, part
    assert "hunter2" not in said


@pytest.mark.parametrize("secret", ['"correct-horse-battery"', "1234567890123456", '["hunter2"]', "{a = 'hunter2'}"])
def test_a_secret_in_the_plan_is_never_shown(secret: str) -> None:
    said = "\n".join(problems(f"[alarms.datadog]\nsecret = {secret}\n"))

    assert "alarms.datadog.secret" in said
    assert not any(part in said for part in ("hunter2", "correct", "1234567"))


def test_rules_of_cloudwatch_need_a_topic() -> None:
    assert "alarms.cloudwatch.topics: missing" in problems("[[alarms.cloudwatch.rules]]\naction = 'ignore'\n")[0]


@pytest.mark.parametrize(
    ("earlier", "later", "covers"),
    [
        ({}, {"alarm": "x"}, True),
        ({"alarm": "x"}, {"alarm": "x", "labels": {"a": "1"}}, True),
        ({"alarm": "x"}, {}, False),
        ({"labels": {"a": "1"}}, {"labels": {"a": "1", "b": "2"}}, True),
        ({"labels": {"a": "1"}}, {"labels": {"a": "2"}}, False),
        ({"labels": {"a": "*"}}, {}, False),
        ({"tenant_label": "t"}, {}, False),
        ({}, {"tenant_label": "t"}, True),
    ],
)
def test_which_rule_can_never_decide(earlier: dict[str, object], later: dict[str, object], covers: bool) -> None:
    def rule(given: dict[str, object]) -> Rule:
        return Rule.model_validate(
            {"action": "roll_back", **({} if "tenant_label" in given else {"all": True}), **given}
        )

    assert rule(earlier).covers(rule(later)) is covers


def rules(*names: str, topics: tuple[str, ...] = ("a",)) -> Plan:
    given = [{"alarm": name, "action": "roll_back", "all": True} for name in names]
    arns = [f"arn:aws:sns:eu-central-1:123456789012:{topic}" for topic in topics]
    body = tomllib.loads(SIDES) | {"alarms": {"cloudwatch": {"topics": arns, "rules": given}}}
    return from_body(body)


@pytest.mark.parametrize(
    ("before", "after", "needs"),
    [
        (rules("a"), rules("a", "b"), False),
        (rules("a", "b"), rules("a"), True),
        (rules("a", "b"), rules("b", "a"), True),
        (rules("a"), rules("b", "a"), True),
        (rules("a"), rules("A"), True),
        (rules("a"), rules("a", topics=("a", "b")), False),
        (rules("a", topics=("a", "b")), rules("a"), True),
    ],
)
def test_a_rule_that_goes_or_changes_needs_a_name_and_one_more_does_not(before: Plan, after: Plan, needs: bool) -> None:
    (change,) = changes(before, after, {})

    assert bool(change.loosens) is needs and bool(blockers([change], None, force=False)) is needs
    assert blockers([change], "Ada", force=False) == () and change.when
