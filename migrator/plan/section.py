"""What every section of a plan file has in common: unknown keys are errors, values do not change, secrets are named."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SECRET_REFERENCE = re.compile(r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|aws-secret:.+)$")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def secret_reference(value: str) -> str:
    """Return *value* if it says where a secret is found; what looks like the secret itself is never shown."""
    if not SECRET_REFERENCE.match(value):
        raise ValueError("a secret (not shown) is not a reference: use env:NAME, file:PATH or aws-secret:ID")
    return value


SecretReference = Annotated[str, AfterValidator(secret_reference), Field(examples=["env:SLACK_WEBHOOK"])]
"""Where a secret is found, never the secret: env:NAME, file:PATH, aws-secret:ID or aws-secret:ID#KEY."""
