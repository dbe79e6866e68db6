"""What every section of a plan file has in common: unknown keys are errors, values do not change, secrets are named."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

SECRET_REFERENCE = re.compile(r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|aws-secret:.+)$")


LONGEST = {"_s": 100 * 365.25 * 86_400, "_days": 36_525.0, "days": 36_525.0, "weeks": 5_218.0}
"""A hundred years, by how a field's name ends: no longer span is meant, and much longer ones are no dates any more."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _within_reason(cls, value: Any, info: ValidationInfo) -> Any:
        if type(value) is not float and type(value) is not int:
            return value
        if not math.isfinite(value):
            raise ValueError("must be a number with an end")
        name = info.field_name or ""
        longest = next((most for ending, most in LONGEST.items() if name.endswith(ending)), None)
        if longest is not None and not name.endswith("_per_s") and value > longest:
            raise ValueError(f"must be at most a hundred years: {longest:,.0f}")
        return value


def secret_reference(value: str) -> str:
    """Return *value* if it says where a secret is found; what looks like the secret itself is never shown."""
    if not SECRET_REFERENCE.match(value):
        raise ValueError("a secret (not shown) is not a reference: use env:NAME, file:PATH or aws-secret:ID")
    return value


SecretReference = Annotated[str, AfterValidator(secret_reference), Field(examples=["env:SLACK_WEBHOOK"])]
"""Where a secret is found, never the secret: env:NAME, file:PATH, aws-secret:ID or aws-secret:ID#KEY."""
