"""The section [alarms] of a plan: whose alarms the webhook takes, and what each of them does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from migrator.plan.section import SecretReference, Section

SOURCES = ("cloudwatch", "alertmanager", "datadog", "pagerduty")
LARGEST_WAVE = (1 << 31) - 1

_TOPIC = re.compile(
    r"^arn:(aws|aws-cn|aws-us-gov):sns:[a-z]{2}(-[a-z]+)+-\d{1,2}:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$"
)


class Rule(Section):
    """Which alarms it is about, and what they do. The first rule that matches decides."""

    alarm: str = Field(
        "*",
        min_length=1,
        description="The alarm's name: * stands for any characters, ? for one, \\ makes the next plain.",
    )
    labels: dict[str, str] = Field(
        default={}, description="Labels that the alarm must have, each with its value, written like a name."
    )
    action: Literal["roll_back", "report", "breaker", "ignore"] = Field(
        description="`roll_back`: reads go back to classic; `breaker`: they fall back until migrator breaker reset; "
        "`report`: an incident is recorded; `ignore`: nothing.",
    )
    all: bool = Field(False, description="Every tenant.")
    wave: int | None = Field(None, ge=1, le=LARGEST_WAVE, description="The tenants of this wave.")
    tenants: list[Annotated[str, Field(min_length=1)]] = Field(default=[], description="These tenants.")
    tenant_label: str | None = Field(
        None, min_length=1, description="The tenant in this label; an alarm without the label does not match."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        given = [name for name in ("all", "wave", "tenants", "tenant_label") if getattr(self, name)]
        problems = []
        if self.action in ("roll_back", "breaker") and len(given) != 1:
            problems.append(
                f"{self.action} needs exactly one of all, wave, tenants and tenant_label"
                + (f", not {' and '.join(given)}" if given else "")
            )
        if self.action in ("report", "ignore") and given:
            problems.append(f"{self.action} is about no tenant: remove {' and '.join(given)}")
        if self.action == "breaker" and self.wave:
            problems.append("a fallback is of all or of tenants: name those of the wave, or use roll_back")
        if any("\0" in text for text in (self.alarm, *self.labels, *self.labels.values(), *self.tenants)):
            problems.append("no text may hold a NUL character")
        if "" in self.labels:
            problems.append("a label has a name")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def covers(self, later: Rule) -> bool:
        """Return whether *later*, somewhere behind this one, can never be the first to match."""
        return (
            self.alarm in ("*", later.alarm)
            and all(later.labels.get(label) == value for label, value in self.labels.items())
            and self.tenant_label in (None, later.tenant_label)
        )


def _reachable(rules: Sequence[Rule]) -> None:
    problems = [
        f"rule {number} never decides: rule {first} takes its alarms"
        for number, rule in enumerate(rules, 1)
        if (first := next((n for n, earlier in enumerate(rules[: number - 1], 1) if earlier.covers(rule)), 0))
    ]
    if problems:
        raise ValueError("; ".join(problems))


class _Source(Section):
    secret: SecretReference | None = Field(
        None, description="Where the secret is found by which senders prove themselves; at least 16 characters."
    )
    rules: list[Rule] = Field(default=[], description="What its alarms do; the first rule that matches decides.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        _reachable(self.rules)
        return self

    @property
    def configured(self) -> bool:
        """Whether the webhook takes anything of this source."""
        return self.secret is not None


class CloudWatch(_Source):
    """CloudWatch through Amazon SNS; messages are signed by SNS."""

    topics: list[str] = Field(default=[], description="ARNs of the topics whose subscriptions are confirmed and taken.")

    @field_validator("topics")
    @classmethod
    def _arns(cls, value: list[str]) -> list[str]:
        if wrong := [topic for topic in value if not _TOPIC.match(topic)]:
            raise ValueError(f"{', '.join(wrong)} must read arn:aws:sns:REGION:ACCOUNT:NAME")
        return value

    @property
    def configured(self) -> bool:
        return bool(self.topics)


class Alertmanager(_Source):
    """Prometheus Alertmanager, and Grafana, whose webhook has the same form."""


class Datadog(_Source):
    """Datadog's webhook, with the payload that docs/alarms.md shows."""


class PagerDuty(_Source):
    """PagerDuty's v3 webhooks; the secret is the one that PagerDuty signs with."""


class Alarms(Section):
    """What alarms of others do when they reach the webhook."""

    max_age_s: float = Field(
        3600.0, gt=0, le=86_400, description="A message that was sent longer ago is recorded and does nothing."
    )
    requests_per_s: float = Field(
        10.0, gt=0, description="Requests a second of each source; a rollback of all tenants is never refused for it."
    )
    burst: int = Field(100, ge=1, description="Requests that a source may send at once.")
    cloudwatch: CloudWatch = CloudWatch()
    alertmanager: Alertmanager = Alertmanager()
    datadog: Datadog = Datadog()
    pagerduty: PagerDuty = PagerDuty()

    def tenants_named(self) -> dict[str, list[str]]:
        """Return the tenants that rules name, by the key where they stand."""
        return {
            f"alarms.{source}.rules[{number}].tenants": rule.tenants
            for source in SOURCES
            for number, rule in enumerate(getattr(self, source).rules, 1)
            if rule.tenants
        }


def without_proof(alarms: Mapping[str, object]) -> list[str]:
    """Return which sources have rules, and nothing by which a sender proves itself; *alarms* may have any shape."""
    problems = []
    for name in SOURCES:
        source = alarms.get(name)
        if not isinstance(source, Mapping) or not source.get("rules"):
            continue
        if name == "cloudwatch" and not source.get("topics"):
            problems.append(f"alarms.{name}.topics: missing → rules need the ARN of the topic that alarms come from")
        if name != "cloudwatch" and not source.get("secret"):
            problems.append(f"alarms.{name}.secret: missing → rules need a secret by which the sender proves itself")
    return problems
