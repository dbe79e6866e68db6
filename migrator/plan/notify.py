"""The section [notify] of a plan: who is told of what, and where their secrets are found."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from migrator.model.condition import Condition, Kind, Severity
from migrator.model.near import unknown
from migrator.plan.section import SecretReference, Section

ReceiverName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
ReceiverKind = Literal["slack", "pagerduty", "email", "sns"]
RECEIVER_KINDS = ("slack", "pagerduty", "email", "sns")

_NEEDS = {"slack": ("url",), "pagerduty": ("key",), "email": ("host", "sender", "to"), "sns": ("topic",)}
_TAKES = {
    "slack": {"url"},
    "pagerduty": {"key", "endpoint"},
    "email": {"host", "port", "tls", "login", "password", "sender", "to"},
    "sns": {"topic", "region", "endpoint"},
}
_COMMON = {"kind", "kinds", "severity", "repeat_s"}
_ADDRESS = re.compile(r"^[^\s<>,;:\"@]+@[^\s<>,;:\"@]+$")
_TOPIC = re.compile(r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$")


class Receiver(Section):
    """One that is told: a channel, a service, a mailbox, a topic."""

    kind: ReceiverKind
    kinds: list[str] = Field(
        default=[], description="Which conditions it is told of (docs/notifications.md); all when none is named."
    )
    severity: Literal["info", "warning", "error", "critical"] | None = Field(
        None, description="It is told of what is at least so urgent; by default pagerduty of error, others of info."
    )
    repeat_s: float | None = Field(None, ge=0, description="In place of notify.repeat_s; 0: never again.")
    url: SecretReference | None = Field(None, description="slack: where its webhook's address is found; a secret.")
    key: SecretReference | None = Field(None, description="pagerduty: where the integration (routing) key is found.")
    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/@]+(/[^\s@]*)?$",
        description="pagerduty: another host than https://events.pagerduty.com; sns: another endpoint than AWS' own.",
    )
    host: str | None = Field(None, min_length=1, description="email: the SMTP server.")
    port: int | None = Field(None, ge=1, le=65_535, description="email: by default 465 with tls, 587 else.")
    tls: Literal["starttls", "tls", "none"] = Field("starttls", description="email: none sends readable text.")
    login: SecretReference | None = Field(None, description="email: where the user's name is found.")
    password: SecretReference | None = Field(None, description="email: where the password is found.")
    sender: str | None = Field(None, description="email: the address it comes from.")
    to: list[str] = Field(default=[], description="email: the addresses it goes to.")
    topic: str | None = Field(None, description="sns: the topic's ARN.")
    region: str | None = Field(None, min_length=1, description="sns: by default the one in the topic's ARN.")

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, value: object) -> object:
        if isinstance(value, str) and value not in RECEIVER_KINDS:
            raise ValueError(unknown("kind of receiver", [value], RECEIVER_KINDS))
        return value

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, value: list[str]) -> list[str]:
        known = [kind.value for kind in Kind]
        if absent := [name for name in value if name not in known]:
            raise ValueError(unknown("kind of condition", absent, known))
        return value

    @field_validator("sender", "to")
    @classmethod
    def _addresses(cls, value: str | list[str] | None) -> str | list[str] | None:
        for address in [value] if isinstance(value, str) else value or []:
            if not _ADDRESS.match(address):
                raise ValueError(f"{address!r} is no address: use name@example.org")
        return value

    @field_validator("topic")
    @classmethod
    def _arn(cls, value: str | None) -> str | None:
        if value is not None and not _TOPIC.match(value):
            raise ValueError(f"{value!r} is no ARN of a topic: use arn:aws:sns:REGION:ACCOUNT:NAME")
        return value

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        absent = [name for name in _NEEDS[self.kind] if not getattr(self, name)]
        if absent:
            raise ValueError(f"a receiver of kind {self.kind} needs {', '.join(absent)}")
        if other := sorted(self.model_fields_set - _TAKES[self.kind] - _COMMON - self._unset()):
            raise ValueError(f"a receiver of kind {self.kind} has no {', '.join(other)}")
        if (self.login is None) is not (self.password is None):
            raise ValueError("login and password go together")
        if self.login is not None and self.tls == "none":
            raise ValueError('a login needs tls: "starttls" or "tls", or the password is sent as readable text')
        return self

    def _unset(self) -> set[str]:
        """What was written out with its default, as a stored plan has it."""
        return {name for name, field in type(self).model_fields.items() if getattr(self, name) == field.default}

    @property
    def references(self) -> tuple[str, ...]:
        """Where its secrets are found."""
        return tuple(found for found in (self.url, self.key, self.login, self.password) if found is not None)

    @property
    def least(self) -> Severity:
        """What is less urgent than this it is not told of."""
        return Severity(self.severity or ("error" if self.kind == "pagerduty" else "info"))

    def wants(self, condition: Condition) -> bool:
        """Whether it is told of *condition*."""
        named = not self.kinds or condition.kind.value in self.kinds
        return named and condition.severity.rank >= self.least.rank


class Notify(Section):
    """Who is told when something needs a person."""

    receiver: dict[ReceiverName, Receiver] = Field(default={}, description="By name.")
    look_s: float = Field(5.0, ge=1, le=60, description="How often the state is read; a decision is seen in a second.")
    tell_after_s: float = Field(
        30.0, ge=0, description="What often clears by itself is told once it has lasted so long."
    )
    over_after_s: float = Field(60.0, ge=0, description="It is over once it was not seen for so long.")
    repeat_s: float = Field(14_400.0, ge=0, description="An error that stands is told again so often; 0: never.")
    quiet_start_s: float = Field(
        15.0, ge=0, description="After a time in which nothing looked, what stands is told no sooner than this."
    )
    unreachable_s: float = Field(
        30.0, gt=0, description="Classic has been unreachable for so long: the notifier itself says so."
    )
    keep_days: float = Field(30.0, gt=0, le=400, description="How long what was sent is kept on classic.")

    @field_validator("receiver")
    @classmethod
    def _few(cls, value: dict[str, Receiver]) -> dict[str, Receiver]:
        if len(value) > 32:
            raise ValueError(f"{len(value)} receivers are named, at most 32 are told")
        return value
