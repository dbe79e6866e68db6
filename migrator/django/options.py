"""What `DATABASES[...]["MIGRATOR"]` says. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from migrator.errors import UsageError
from migrator.model.ack import Ack, level
from migrator.shim import Settings, Shim

ENGINE = "migrator.django.backend"
KEY = "MIGRATOR"
DIRECT = "MIGRATOR_DIRECT"
"""Set beside it by Django's test runner: the database is a test's own, and nothing is routed."""

ConnectionInfo = str | Callable[[], str]
Prepare = Callable[[Any, str | None], object]


@dataclass(frozen=True, slots=True)
class Options:
    """How a database alias uses the shim.

    Attributes:
        limitless: connection string, or a function that returns one for each new connection.
        classic: the same of classic; what NAME, HOST and the others say when not given.
        readers: the same of classic's read replicas.
        name: of the process, as operators see it.
        pool_size: connections of a process per side, shared by its threads.
        listen: False through a pooler in transaction mode.
        ack: level of acknowledgement; None: the plan's.
        settings: in the place of the plan's; for tests.
        shim: makes the shim, in the place of all of the above.
        reads_of: makes this alias one for routed reads of another one.
        prepare: called with each block's connection and tenant before its first statement.
        tenant_column, reference, accepted: what `manage.py migrator_check` compares models with.
    """

    limitless: ConnectionInfo = ""
    classic: ConnectionInfo | None = None
    readers: Sequence[ConnectionInfo] = ()
    name: str = "django"
    pool_size: int = 16
    listen: bool = True
    ack: Ack | None = None
    settings: Settings | None = None
    shim: Callable[[], Shim] | None = None
    reads_of: str | None = None
    prepare: Prepare | None = None
    tenant_column: str | None = None
    reference: Sequence[str] = ()
    accepted: Sequence[str] = ()


def options_of(database: Mapping[str, Any]) -> tuple[Options, tuple[str, ...]]:
    """Return what an entry of DATABASES says, and every problem with it; defaults stand for what is wrong."""
    given = database.get(KEY)
    if not isinstance(given, Mapping):
        return Options(), (f'"{KEY}" is missing: {{"limitless": connection string, "name": "web"}}',)
    problems: list[str] = []
    known = [field.name for field in fields(Options)]
    for name in sorted(set(given) - set(known), key=str):
        near = difflib.get_close_matches(str(name), known, 1)
        problems.append(f'"{KEY}" has no option {name!r}' + (f"; did you mean {near[0]!r}?" if near else ""))
    values = {name: given[name] for name in known if name in given}
    for name in list(values):
        wrong = _wrong(name, values[name])
        if wrong:
            problems.append(f'"{KEY}": {name!r} {wrong}')
            del values[name]
    if values.get("ack") is not None:
        values["ack"] = level(values["ack"])
    if not (values.get("limitless") or values.get("shim") or values.get("reads_of") or "limitless" in given):
        problems.append(f"\"{KEY}\": 'limitless' is missing, the connection string of Limitless")
    if values.get("reads_of") and len(values) > 1:
        others = ", ".join(sorted(set(values) - {"reads_of"}))
        problems.append(f"\"{KEY}\": beside 'reads_of' nothing counts, and {others} is given")
    return Options(**values), tuple(problems)


def _wrong(name: str, value: object) -> str:
    """Return what is wrong with the value of an option; it is not shown, as it may be secret."""
    optional = name in ("classic", "tenant_column", "reads_of", "ack", "settings", "shim", "prepare")
    if value is None and optional:
        return ""
    if name == "ack":
        try:
            level(str(value))
        except UsageError as error:
            return f"is wrong: {error}"
        return ""
    is_right, what = _RIGHT[name]
    return "" if is_right(value) else f"is no {what}"


def _info(value: object) -> bool:
    return (isinstance(value, str) and bool(value)) or callable(value)


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _infos(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_info, value))


def _labels(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(map(_text, value))


_RIGHT: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "limitless": (_info, "connection string, and no function that returns one"),
    "classic": (_info, "connection string, and no function that returns one"),
    "readers": (_infos, "list of connection strings"),
    "name": (_text, "text"),
    "tenant_column": (_text, "text"),
    "reads_of": (_text, "alias of a database"),
    "pool_size": (_size, "number above 0"),
    "listen": (lambda value: isinstance(value, bool), "True or False"),
    "settings": (lambda value: isinstance(value, Settings), "migrator.shim.Settings"),
    "shim": (callable, "function"),
    "prepare": (callable, "function"),
    "accepted": (_labels, "list of findings, such as 'M008' or 'M008:shop.Product'"),
    "reference": (_labels, "list of app labels or models, such as 'auth' or 'shop.Country'"),
}
