"""The plan's section about who approves, and how it is known who that is (docs/governance.md)."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import date
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from migrator.model.gate import GATES
from migrator.plan.section import SECRET_REFERENCE, Section

PLAN_CHANGE = "plan_change"
WAVES = "waves"
ACTS = (*GATES, WAVES, PLAN_CHANGE)
"""What an approver approves: gates by name, each wave's beginning, and changes of the plan that loosen a guard."""

KEY = re.compile(r"ed25519:[A-Za-z0-9+/]{43}=")
_JWKS = re.compile(r"(file:.+|https://[^\s@]+|http://(127\.0\.0\.1|localhost)(:[0-9]+)?(/\S*)?)")
_NAME = re.compile(r"[^\s](.{0,78}[^\s])?")


def name_problem(name: str) -> str:
    """Return why *name* cannot be an approver's; '' where it can."""
    if _NAME.fullmatch(name) and name.isprintable() and " and " not in name:
        return ""
    return f"{name!r} is no name of an approver: 1 to 80 printable characters, no space around it, no ' and '"


def is_key(text: str) -> bool:
    """Return whether *text* is a public key, as a plan writes one."""
    return KEY.fullmatch(text) is not None and _decodes(text)


def act_of(gate: str) -> str:
    """Return what of `ACTS` *gate* counts as: each wave-N is one of "waves"."""
    return WAVES if gate.startswith("wave-") else gate


class Approver(Section):
    """One person."""

    key: str | None = Field(
        None,
        description="Public key of the person's token, as `migrator approver token NAME` prints it, or where it is "
        "found: file:PATH, env:NAME, aws-secret:ID.",
    )
    subject: str | None = Field(None, min_length=1, description="What the OIDC provider says in governance.oidc_claim.")
    until: str | None = Field(
        None,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description='The last day (UTC) on which the person may approve, as "2026-12-31".',
    )
    acts: list[Literal["audit", "provision", "dual_write", "cutover", "decommission", "waves", "plan_change"]] = Field(
        default=list(ACTS),  # type: ignore[arg-type]  # these very names, plain text to a checker
        description="What the person may approve.",
    )

    @field_validator("key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        if value is None or SECRET_REFERENCE.match(value):
            return value
        if not is_key(value):
            raise ValueError("no public key (not shown): migrator approver token NAME makes one, ed25519:…")
        return value

    @field_validator("until")
    @classmethod
    def _day(cls, value: str | None) -> str | None:
        if value is not None:
            date.fromisoformat(value)
        return value

    def may_on(self, day: date) -> bool:
        """Whether the person may approve on *day*."""
        return self.until is None or day <= date.fromisoformat(self.until)

    @model_validator(mode="after")
    def _known_by_something(self) -> Self:
        if self.key is None and self.subject is None:
            raise ValueError("an approver needs a key, or the subject of an OIDC provider")
        return self


def _decodes(value: str) -> bool:
    """Return whether it is 32 bytes, written the one way: the same key in two ways would be two people."""
    text = value.removeprefix("ed25519:")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return len(raw) == 32 and base64.b64encode(raw).decode() == text


class Governance(Section):
    """Who approves. Without it a name that is given is taken, as `--as NAME`."""

    authentication: Literal["none", "required"] = Field(
        "none",
        description="required: approvals come from approvers, with their token or by OIDC, of evidence that was seen. "
        "none: the name that is given counts.",
    )
    approver: dict[str, Approver] = Field(default={}, description='People by name: [governance.approver."Ada"].')
    four_eyes: list[Literal["audit", "provision", "dual_write", "cutover", "decommission", "waves", "plan_change"]] = (
        Field(default=[], description="What two different approvers have to approve, of the same evidence.")
    )
    approval_valid_s: float | None = Field(
        None, gt=0, description="An approval counts for so long; when the gate is passed later, it is needed anew."
    )
    oidc_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,60}$",
        description="Header in which a proxy before the board hands over the person's signed token (JWT).",
    )
    oidc_issuer: str | None = Field(None, min_length=1, description="`iss` of such tokens.")
    oidc_audience: str | None = Field(None, min_length=1, description="`aud` of such tokens.")
    oidc_jwks: str | None = Field(None, description="Keys that sign them: file:PATH or an https URL of a JWKS.")
    oidc_claim: str = Field("email", min_length=1, description="Claim that says who it is: approver.subject.")

    @field_validator("oidc_jwks")
    @classmethod
    def _jwks(cls, value: str | None) -> str | None:
        if value is not None and not _JWKS.fullmatch(value):
            raise ValueError("no JWKS: use file:PATH or https://HOST/PATH")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._of_names(), *self._of_identities(), *self._of_rules()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _of_names(self) -> list[str]:
        return [problem for name in self.approver if (problem := name_problem(name))]

    def _of_identities(self) -> list[str]:
        found = []
        for what in ("key", "subject"):
            known: dict[str, str] = {}
            for name, one in self.approver.items():
                value = getattr(one, what)
                if value is not None and (other := known.setdefault(value, name)) != name:
                    found.append(f"{other} and {name} have the same {what}: two people would be one")
        return found

    def _of_rules(self) -> list[str]:
        found = []
        oidc = {name: getattr(self, f"oidc_{name}") for name in ("header", "issuer", "audience", "jwks")}
        if any(oidc.values()) and (missing := [f"oidc_{name}" for name, value in oidc.items() if not value]):
            found.append(f"OIDC also needs {', '.join(missing)}")
        if not any(oidc.values()) and (only := [n for n, one in self.approver.items() if one.key is None]):
            found.append(f"known by OIDC alone, which is not set up: {', '.join(only)}")
        if self.authentication == "none":
            if self.four_eyes:
                found.append('four_eyes needs authentication = "required": one person can give two names')
            return found
        for act in ACTS:
            can = sum(act in one.acts for one in self.approver.values())
            wanted = 2 if act in self.four_eyes else 1
            if can < wanted:
                found.append(f"{act} needs {wanted} approver{'s' * (wanted > 1)} who may approve it, there are {can}")
        return found

    def eyes(self, gate: str) -> int:
        """Return how many people have to approve *gate*, or a change of the plan."""
        return 2 if act_of(gate) in self.four_eyes else 1

    @property
    def required(self) -> bool:
        return self.authentication == "required"

    @property
    def binding(self) -> bool:
        """Whether an approval counts only as `migrator.control.votes` holds it."""
        return self.required or self.approval_valid_s is not None
