"""Loads and checks a plan file, and reports every problem at once.

Every problem is one line: the key path, the value, what is allowed. Values of keys that do not exist and
anything that looks like a connection string are never shown: people paste passwords into plan files.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from migrator.errors import PlanInvalid, UsageError
from migrator.model.near import nearest
from migrator.model.table import qualify, split_qualified
from migrator.plan.alarms import without_proof
from migrator.plan.schema import PROFILE, REHEARSED, Plan

_SECRET = re.compile(r"://|\b(password|passwd|pgpassword|host|dbname|sslmode)\s*=", re.IGNORECASE)
_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")
_VIA = re.compile(r"^\s*[^>]+?\s*->\s*\S.*\.\S")
_SHOWN_CHARS = 60

DECIDE = "DECIDE "
"""Begins a value that a person must decide; what follows is what the audit proposes."""

Loc = tuple[str | int, ...]


def load(path: Path | str) -> Plan:
    """Return the plan in the TOML file *path*.

    Raises:
        UsageError: if the file cannot be read.
        PlanInvalid: listing every problem of the file.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "Write one with: migrator plan init PATH"
        raise UsageError(f"{source}: no such plan file", hint=hint) from None
    except IsADirectoryError:
        raise UsageError(f"{source} is a directory, not a plan file") from None
    except PermissionError:
        raise UsageError(f"{source}: this user may not read the plan file") from None
    except UnicodeDecodeError as exc:
        raise PlanInvalid(str(source), [f"not a text file: byte {exc.start} is not UTF-8"]) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise PlanInvalid(str(source), [f"not TOML: {exc}"]) from None
    return from_body(data, str(source))


def from_body(body: Mapping[str, Any], source: str = "the stored plan") -> Plan:
    """Return the plan that *body* holds: a parsed TOML file, or what `dump` returned.

    Raises:
        PlanInvalid: listing every problem.
    """
    proposed = accepted(body)
    undecided = [
        f"{path}: {_shown(value)} → to decide: delete the word {DECIDE.strip()} to accept what follows, or write"
        " another value; the comment beside it says why"
        for path, value in _leaves(body)
        for value in (value if isinstance(value, list) else [value])
        if isinstance(value, str) and value.startswith(DECIDE)
    ]
    return _checked(proposed, source, [*undecided, *_beyond_the_schema(proposed)])


def accepted(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return *body* with every value that is to be decided as it is proposed."""
    return {str(key): _accepted(value) for key, value in body.items()}


def _accepted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return accepted(value)
    if isinstance(value, list):
        return [_accepted(item) for item in value]
    return value[len(DECIDE) :] if isinstance(value, str) and value.startswith(DECIDE) else value


def _checked(body: Mapping[str, Any], source: str, beyond: Sequence[str]) -> Plan:
    problems: list[str] = []
    plan: Plan | None = None
    try:
        # strict: "5" for a number is reported as a mistake, not converted
        plan = Plan.model_validate(dict(body), strict=True)
    except ValidationError as exc:
        problems += [_problem(e["loc"], e["type"], e["msg"], e["input"]) for e in exc.errors()]
    problems += beyond
    if problems or plan is None:
        # from None: the validation error's own text quotes the input
        raise PlanInvalid(source, sorted(set(problems), key=problems.index)) from None
    return plan


def from_earlier(body: Mapping[str, Any]) -> Plan:
    """Return the plan that an earlier version of the tool stored as *body*, under rules of its own.

    Rules beyond the schema that were added since do not apply: it may have run for weeks. `[rehearsal]` goes where this
    version allows none, so that the plan file without that section is the same plan.

    Raises:
        PlanInvalid: it does not fit the schema.
    """
    kept = {key: value for key, value in body.items() if key != "rehearsal" or rehearsal_allowed(body)}
    return _checked(kept, "the stored plan", [])


def rehearsal_allowed(body: Mapping[str, Any]) -> bool:
    """Return whether a plan with these targets may have a section for rehearsals."""
    writer, dsn = _table(body, "classic").get("writer"), _table(body, "limitless").get("dsn")
    return (writer, dsn, _table(body, "temporal").get("address", "local")) in REHEARSED


def dump(plan: Plan) -> dict[str, Any]:
    """Return *plan* as plain JSON values, every default written out; `from_body` reads it back."""
    return plan.model_dump(mode="json")


def digest(plan: Plan) -> str:
    """Return the fingerprint of the plan's values, without what may change while it runs.

    That is what shims take over (`shim_settings`), and the team's answers to the inventory: excluded tables and
    acknowledged findings. Comments, the order of keys and a default written out or left out do not change it.
    """
    body = {section: values for section, values in dump(plan).items() if section not in ("shim", "breaker")}
    del body["gates"]["acknowledged"]
    tables = body["tables"]["table"]
    body["tables"]["table"] = {name: table for name, table in tables.items() if table["kind"] != "excluded"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def shim_settings(plan: Plan) -> dict[str, Any]:
    """Return what application processes need: the sections shim and breaker as one flat object.

    No key may be in both; a test holds that.
    """
    return {**plan.shim.model_dump(mode="json"), **plan.breaker.model_dump(mode="json")}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a plan file, for editors."""
    schema = Plan.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "migrator plan", **schema}


def differences(one: Plan, other: Plan) -> list[str]:
    """Return one line per value in which two plans differ, for the message that refuses a second plan."""
    left, right = dict(_leaves(dump(one))), dict(_leaves(dump(other)))
    absent = object()
    return [
        f"{path}: {_shown(left.get(path))} → {_shown(right.get(path))}"
        for path in sorted(left.keys() | right.keys())
        if left.get(path, absent) != right.get(path, absent)
    ]


# -- rendering -------------------------------------------------------------------------------------


def _problem(loc: Loc, kind: str, message: str, value: object) -> str:
    """Return one problem as `key.path: value → what is allowed`."""
    path = _path(loc)
    if kind == "extra_forbidden":
        return f"{path}: unknown key → {_suggestion(loc)}"
    if kind == "missing":
        described = _description(loc)
        return f"{path}: missing → required" + (f": {described}" if described else "")
    if kind == "value_error" and isinstance(value, str) and "is not a reference" in message:
        return f"{path}: {message.removeprefix('Value error, ').replace(' is not a reference: use', ' → must be')}"
    allowed = message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
    allowed = re.sub(r"String should", "must", allowed, count=1)
    allowed = re.sub(r"^(List|Dictionary) should", "must", allowed)
    if kind == "model_type":
        allowed = f"must be a table: [{path}]"
    if kind == "string_pattern_mismatch":
        allowed = _pattern_in_words(loc, allowed)
    shown = "a secret (not shown)" if loc[-1] == "secret" else _shown(value)
    return f"{path}: {shown} → {allowed}"


def _path(loc: Loc) -> str:
    """Return a TOML key path; list positions in brackets, counted from 1 as people do."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            key = part if _BARE_KEY.match(part) else json.dumps(part, ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def _shown(value: object) -> str:
    """Return *value* for an error message, without what could be a secret."""
    if isinstance(value, Mapping):
        return "a table"
    text = json.dumps(value, ensure_ascii=False, default=str)
    if _SECRET.search(text):
        return "a connection string (not shown)"
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def _pattern_in_words(loc: Loc, message: str) -> str:
    match loc:
        case ("name",):
            return "must be lower-case letters, digits and dashes, starting with a letter, at most 41"
        case (*_, "via"):
            return "must read 'column -> schema.parent.column', for example 'order_id -> app.orders.id'"
    return message


# -- the model along a key path --------------------------------------------------------------------


def _model_at(loc: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the section that holds the key *loc* points at."""
    model: type[BaseModel] | None = Plan
    for part in loc[:-1]:
        if model is None:
            return None
        found = model.model_fields.get(str(part))
        if found is not None:
            model = _section_of(found)
        # else: a table's name inside tables.table; the section stays TablePlan
    return model


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section class in a field's annotation: itself, optional, or as a dictionary's values."""
    annotation = field.annotation
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _suggestion(loc: Loc) -> str:
    key, model = str(loc[-1]), _model_at(loc)
    known = list(model.model_fields) if model else []
    near = nearest(key, known)
    if near:
        return f"did you mean {_path((*loc[:-1], near))}?"
    elsewhere = [path for path in _all_keys() if path[-1] == key]
    if elsewhere:
        return f"it belongs to {' or '.join(_path(path) for path in elsewhere)}"
    return f"allowed here: {', '.join(known)}" if known else "remove it"


def _all_keys() -> Iterator[tuple[str, ...]]:
    for section, found in Plan.model_fields.items():
        yield (section,)
        model = _section_of(found)
        if model:
            yield from ((section, key) for key in model.model_fields)


def _description(loc: Loc) -> str:
    model = _model_at(loc)
    found = model.model_fields.get(str(loc[-1])) if model else None
    if found is None:
        return ""
    section = _section_of(found)
    return (found.description or (section.__doc__ if section else "") or "").strip().rstrip(".")


# -- rules the model cannot state ------------------------------------------------------------------


def _beyond_the_schema(body: Mapping[str, Any]) -> list[str]:
    """Return problems that span sections; tolerant of any shape, the model reports shapes."""
    problems: list[str] = []
    classic, limitless = _table(body, "classic"), _table(body, "limitless")
    writer, dsn = classic.get("writer"), limitless.get("dsn")
    if isinstance(writer, str) and writer == dsn and not _SECRET.search(writer):
        problems.append(f"limitless.dsn: {_shown(dsn)} → must be another cluster than classic.writer")
    problems += without_proof(_table(body, "alarms"))
    tables = _table(body, "tables")
    for name, entry in _table(tables, "table").items():
        path = _path(("tables", "table", name))
        if not _is_qualified(name):
            problems.append(f'{path}: the name → must be qualified, for example [tables.table."app.orders"]')
        via = entry.get("via") if isinstance(entry, Mapping) else None
        if isinstance(via, str) and "->" in via and not _VIA.match(via):
            problems.append(f"{path}.via: {_shown(via)} → must read 'column -> schema.parent.column'")
    temporal = _table(body, "temporal").get("address")
    if not isinstance(temporal, str) or temporal in ("local", PROFILE):
        pass  # the model reports other shapes
    elif not re.match(r"^[^\s:/]+:\d{1,5}$", temporal):
        problems.append(f'temporal.address: {_shown(temporal)} → must be host:port, "local" or "profile"')
    elif not 0 < int(temporal.rpartition(":")[2]) < 65_536:
        problems.append(f"temporal.address: {_shown(temporal)} → the port must be 1 to 65535")
    if isinstance(body.get("rehearsal"), Mapping) and not rehearsal_allowed(body):
        problems.append(
            "rehearsal: a section for rehearsals → remove it; it is only for local:classic, local:limitless and the"
            " local Temporal server, or for the containers of plans/compose.toml"
        )
    return problems


def _is_qualified(name: str) -> bool:
    """Return whether *name* is a table's one name, quoted where a dot or a quote needs it."""
    try:
        schema, table = split_qualified(name)
    except ValueError:
        return False
    return bool(schema and table) and qualify(schema, table) == name


def _table(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


def _leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield _path(path), value
