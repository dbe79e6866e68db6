"""A trace: the statements that a shadow run repeats, with their parameters, one JSON object on a line.

Parameters are values of rows, personal data among them: a trace is readable for its owner alone, and is deleted when
a run has used it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrator.errors import UsageError

VERSION = 1

Value = str | bytes | None
"""A parameter: its text, its binary form, or NULL."""


@dataclass(frozen=True, slots=True)
class Call:
    """One statement that an application ran.

    Attributes:
        sql: with $1, $2, … for its parameters.
        types: object ids of the parameters' types as the application bound them, 0 where the server chose; empty when
            they are not known.
        session: calls of one session are repeated in their order.
        at_s: when it began, in seconds since any moment; None when that is not known.
        ms: how long it took on classic then; None when that is not known.
        tenant: None when only its parameters say.
    """

    sql: str
    values: tuple[Value, ...] = ()
    types: tuple[int, ...] = ()
    session: str = ""
    at_s: float | None = None
    ms: float | None = None
    tenant: str | None = None


def header(source: str) -> str:
    """Return the first line of a trace of calls from *source* ("csvlog", "shim", …)."""
    return json.dumps({"migrator_trace": VERSION, "source": source})


def line(call: Call) -> str:
    """Return *call* as a line of a trace, without its end."""
    body: dict[str, Any] = {"sql": call.sql}
    if call.values:
        body["values"] = [{"hex": v.hex()} if isinstance(v, bytes) else v for v in call.values]
    if any(call.types):
        body["types"] = list(call.types)
    for name in ("session", "at_s", "ms", "tenant"):
        value = getattr(call, name)
        if value not in (None, ""):
            body[name] = value
    return json.dumps(body, ensure_ascii=False)


def call_of(body: object) -> Call:
    """Return the call that a line of a trace holds.

    Raises:
        ValueError: it holds none.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("sql"), str):
        raise ValueError("it holds no statement")
    values, types = body.get("values", []), body.get("types", [])
    if not isinstance(values, list) or not isinstance(types, list) or not all(isinstance(t, int) for t in types):
        raise ValueError("its parameters are not a list")
    return Call(
        sql=body["sql"],
        values=tuple(map(_value, values)),
        types=tuple(types),
        session=_text(body, "session") or "",
        at_s=_number(body, "at_s"),
        ms=_number(body, "ms"),
        tenant=_text(body, "tenant"),
    )


def _value(value: object) -> Value:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("hex"), str):
        return bytes.fromhex(value["hex"])
    raise ValueError("a parameter is no text")


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{name} is no text")


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is no number")
    return float(value)


def write(path: Path, source: str, calls: Iterable[Call]) -> int:
    """Write a new trace that only its owner can read; return how many bytes it has.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already; nothing was written") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(header(source) + "\n")
        for call in calls:
            stream.write(line(call) + "\n")
    return path.stat().st_size


def sources(paths: Sequence[Path]) -> str:
    """Return where the calls of these traces come from, in a few words.

    Raises:
        UsageError: a file is no trace, or cannot be read.
    """
    return ", ".join(dict.fromkeys(_source(path) for path in paths))


def read(paths: Sequence[Path]) -> Iterator[Call]:
    """Yield the calls of these traces. What was torn when its writer ended is passed over, at the end of a file only.

    Raises:
        UsageError: a file is no trace, or cannot be read, or a line in the middle of it holds no call.
    """
    for path in paths:
        _source(path)
        with path.open(encoding="utf-8", errors="replace") as stream:
            next(stream, None)
            for number, text in enumerate(stream, 2):
                try:
                    call = call_of(json.loads(text))
                except ValueError as error:
                    if not text.endswith("\n"):
                        break
                    raise UsageError(f"{path}: line {number} cannot be read: {error}") from None
                yield call


def _source(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            first = json.loads(stream.readline(10_000))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        first = None
    if not isinstance(first, dict) or first.get("migrator_trace") != VERSION or not isinstance(first["source"], str):
        raise UsageError(
            f"{path} is no trace of version {VERSION}",
            hint="Make one of a log: migrator shadow capture TRACE --log FILE.",
        )
    return first["source"]


def delete(paths: Sequence[Path]) -> None:
    """Delete these traces; what is gone already stays so."""
    for path in paths:
        path.unlink(missing_ok=True)
