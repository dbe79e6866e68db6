"""What a caller of the incident webhook asks for: its JSON, checked, with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from migrator.errors import UsageError
from migrator.model.near import nearest, unknown
from migrator.model.tenant import TenantId
from migrator.plan.alarms import LARGEST_WAVE
from migrator.traffic.incident.alarm import read_object, storable


def _tenant(text: str) -> str:
    if not text or not storable(text):
        raise ValueError
    return text


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    all: bool = False
    wave: Annotated[int, Field(ge=1, le=LARGEST_WAVE)] | None = None
    tenants: list[Annotated[str, AfterValidator(_tenant)]] = []
    who: str = "webhook"
    reason: str = ""


KEYS = tuple(_Body.model_fields)
_SCOPES, _WORDS = ("all", "wave", "tenants"), ("who", "reason")

# What each key has to be, whatever pydantic found wrong with it: a pager shows one line.
_MUST = {
    "all": "all must be true or false",
    "wave": "wave must be a whole number from 1 on",
    "tenants": "tenants must be a list of strings, none of them empty",
    "who": "who and reason must be strings",
    "reason": "who and reason must be strings",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asked for."""

    everybody: bool
    wave: int | None
    tenants: tuple[TenantId, ...]
    who: str
    reason: str


def parse(body: bytes) -> Request:
    """Return the request in *body*.

    Raises:
        UsageError: it cannot be understood; says everything that is wrong.
    """
    found = read_object(body)
    malformed = _malformed(found)
    strange = sorted(found.keys() - set(KEYS))
    problems = [unknown("key", strange, KEYS)] if strange else []
    problems += dict.fromkeys(_MUST[key] for key in malformed)
    # A key that is malformed, or misspelt, is not missing as well.
    meant = {*malformed, *(nearest(key, KEYS) for key in strange)}
    if meant.isdisjoint(_SCOPES) and sum(bool(found.get(key)) for key in _SCOPES) != 1:
        problems.append("give exactly one of all, wave and tenants")
    if meant.isdisjoint(_WORDS) and not _told(found):
        problems.append("a rollback needs a reason, in plain text")
    if problems:
        raise UsageError("; ".join(problems))
    asked = _Body.model_validate(found)
    return Request(asked.all, asked.wave, tuple(map(TenantId, asked.tenants)), asked.who, asked.reason)


def _malformed(found: Mapping[str, Any]) -> list[str]:
    """Return the known keys whose values are not what they have to be, in the order of the model."""
    try:
        _Body.model_validate(found)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors(include_url=False, include_input=False)}
        return [key for key in KEYS if key in wrong]
    return []


def _told(found: Mapping[str, str]) -> bool:
    reason = found.get("reason", "")
    return bool(reason.strip()) and storable(reason + found.get("who", ""))
