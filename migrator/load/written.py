"""Reads a workload from the TOML that a person, or `migrator load workload`, wrote: every problem at once. Pure.

The format is in docs/load.md.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from migrator.errors import WorkloadInvalid
from migrator.load.draw import MOST_VALUES
from migrator.load.workload import Parameter, Sessions, Skew, Source, Statement, Transaction, Workload
from migrator.model.near import nearest

_NUMBERED = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
        | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) | (?<!\w)\$(?P<number>[0-9]+)""",
    re.VERBOSE | re.DOTALL,
)
"""A parameter, or what hides one: a literal, a quoted name, a comment."""

_SCALAR = (str, int, float, bool)
MOST_TEXT = 1_000_000


def read(path: Path) -> Workload:
    """Return the workload in the file at *path*.

    Raises:
        WorkloadInvalid: it cannot be read, or says what cannot be; with every problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WorkloadInvalid(str(path), ["no such workload file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadInvalid(str(path), [f"cannot be read ({type(error).__name__})"]) from None
    return parse(text, str(path), path.stem)


def parse(text: str, source: str, name: str) -> Workload:
    """Return the workload that *text* is; *name* is what it is called if it does not say. Raises as `read`."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WorkloadInvalid(source, [f"not TOML: {error}"]) from None
    reader = _Reader()
    found = reader.workload(body, name)
    if reader.problems or found is None:
        raise WorkloadInvalid(source, reader.problems or ["nothing can be read in it"])
    return found


def parameter_numbers(sql: str) -> set[int]:
    """Return the numbers of the parameters in *sql*, those in literals and comments left out."""
    return {int(m["number"]) for m in _NUMBERED.finditer(sql) if m["number"]}


class _Reader:
    """Collects problems while it reads; a part that has one is left out."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def _say(self, where: str, problem: str) -> None:
        self.problems.append(f"{where}: {problem}" if where else problem)

    def _keys(self, where: str, body: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in body:
            if key not in known:
                near = nearest(key, known)
                self._say(
                    f"{where}.{key}" if where else key, "no such key" + (f"; did you mean {near}?" if near else "")
                )

    def _table(self, where: str, value: Any) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            return value
        self._say(where, "must be a table")
        return {}

    def _number(self, where: str, value: Any, least: float, *, above: bool = False) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self._say(where, "must be a number")
        elif value < least or (above and value == least):
            self._say(where, f"must be {'more than' if above else 'at least'} {least:g}")
        else:
            return float(value)
        return max(least, 1.0)

    def _text(self, where: str, value: Any) -> str:
        if isinstance(value, str) and value.strip() and "\0" not in value:
            return value
        self._say(where, "must be a text that is not empty")
        return ""

    def workload(self, body: Mapping[str, Any], name: str) -> Workload | None:
        self._keys("", body, ("name", "peak_per_s", "tenants", "pools", "sessions", "transaction"))
        pools = {
            key: self._text(f"pools.{key}.sql", self._table(f"pools.{key}", value).get("sql"))
            for key, value in self._table("pools", body.get("pools", {})).items()
        }
        tenants = self._table("tenants", body.get("tenants", {}))
        self._keys("tenants", tenants, ("by", "only", "hot_times", "weights"))
        weights = {
            tenant: self._number(f"tenants.weights.{tenant}", weight, 0, above=True)
            for tenant, weight in self._table("tenants.weights", tenants.get("weights", {})).items()
        }
        only = tenants.get("only", [])
        if not isinstance(only, list) or not all(isinstance(t, str) for t in only):
            self._say("tenants.only", "must be a list of names")
            only = []
        by = self._skew("tenants.by", tenants.get("by"))
        transactions = tuple(self._transactions(body.get("transaction"), pools, by))
        return Workload(
            name=self._text("name", body.get("name", name)),
            transactions=transactions,
            pools=pools,
            weights=weights,
            only=tuple(only),
            hot_times=self._number("tenants.hot_times", tenants.get("hot_times", 1), 0, above=True),
            sessions=self._sessions(self._table("sessions", body.get("sessions", {}))),
            peak_per_s=self._number("peak_per_s", body["peak_per_s"], 0, above=True) if "peak_per_s" in body else None,
        )

    def _sessions(self, body: Mapping[str, Any]) -> Sessions:
        self._keys("sessions", body, ("transactions", "think_s"))
        count = body.get("transactions", 1)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10_000:
            self._say("sessions.transactions", "must be a whole number of 1 to 10,000")
            count = 1
        return Sessions(count, self._number("sessions.think_s", body.get("think_s", 0), 0))

    def _skew(self, where: str, value: Any) -> Skew | None:
        if value is None:
            return None
        try:
            return Skew(value)
        except ValueError:
            self._say(where, f"must be one of {', '.join(Skew)}")
            return None

    def _transactions(self, body: Any, pools: Mapping[str, str], by: Skew | None) -> Iterator[Transaction]:
        if not isinstance(body, list) or not body:
            self._say("transaction", "there must be at least one [[transaction]]")
            return
        seen: set[str] = set()
        for number, one in enumerate(body, 1):
            where = f"transaction {number}"
            one = self._table(where, one)
            name = self._text(f"{where}.name", one.get("name"))
            where = f"transaction {name!r}" if name else where
            if name and name in seen:
                self._say(where, "is there twice")
            seen.add(name)
            self._keys(where, one, ("name", "weight", "writes", "by", "statement"))
            writes = one.get("writes", False)
            if not isinstance(writes, bool):
                self._say(f"{where}.writes", "must be true or false")
            statements = one.get("statement")
            if not isinstance(statements, list) or not statements:
                self._say(where, "needs at least one [[transaction.statement]]")
                statements = []
            made = tuple(self._statement(f"{where}.statement {n}", s, pools) for n, s in enumerate(statements, 1))
            if sum(len(s.parameters) for s in made) > MOST_VALUES:
                self._say(where, f"has more than {MOST_VALUES} parameters")
            weight = self._number(f"{where}.weight", one.get("weight", 1), 0, above=True)
            yield Transaction(name, weight, made, writes is True, self._skew(f"{where}.by", one.get("by")) or by)

    def _statement(self, where: str, body: Any, pools: Mapping[str, str]) -> Statement:
        body = self._table(where, body)
        self._keys(where, body, ("sql", "parameters", "samples"))
        sql = self._text(f"{where}.sql", body.get("sql"))
        given, samples = body.get("parameters", []), body.get("samples", [])
        if not isinstance(given, list) or not isinstance(samples, list):
            self._say(where, "parameters and samples must be lists")
            given, samples = [], []
        if given and samples:
            self._say(where, "has parameters and samples: either")
        numbers = parameter_numbers(sql)
        count = len(given) if given or not samples else len(samples[0]) if isinstance(samples[0], list) else 0
        if numbers and (min(numbers) < 1 or max(numbers) != count):
            self._say(where, f"its statement has ${max(numbers)}, and {count} values are given")
        elif not numbers and count:
            self._say(where, f"its statement has no parameters, and {count} values are given")
        rows = []
        for n, sample in enumerate(samples, 1):
            if not isinstance(sample, list) or len(sample) != count or not all(isinstance(v, _SCALAR) for v in sample):
                self._say(f"{where}.samples {n}", f"must be a list of {count} texts, numbers or truth values")
            else:
                rows.append(tuple(sample))
        parameters = tuple(self._parameter(f"{where} ${n}", p, pools) for n, p in enumerate(given, 1))
        return Statement(sql, parameters, tuple(rows))

    def _parameter(self, where: str, body: Any, pools: Mapping[str, str]) -> Parameter:
        nothing = Parameter(Source.VALUE, (None,))
        if body in ("tenant", "uuid", "unique", "null"):
            return nothing if body == "null" else Parameter(Source(body))
        if not isinstance(body, Mapping) or not body:
            self._say(
                where, 'must be "tenant", "uuid", "unique", "null", or a table: value, values, integer, text or pool'
            )
            return nothing
        kind, of = next(iter(body.items()))
        known = {"value": ("value",), "values": ("values",), "integer": ("integer",), "text": ("text",)}
        self._keys(where, body, known.get(kind, ("pool", "column")))
        match kind:
            case "value" if isinstance(of, _SCALAR):
                return Parameter(Source.VALUE, (of,))
            case "values" if isinstance(of, list) and of and all(isinstance(v, _SCALAR) for v in of):
                return Parameter(Source.VALUES, tuple(of))
            case "integer" if _range(of):
                return Parameter(Source.INTEGER, tuple(of))
            case "text" if isinstance(of, int) and not isinstance(of, bool) and 0 < of <= MOST_TEXT:
                return Parameter(Source.TEXT, (of,))
            case "pool" | "column":
                pool, column = body.get("pool"), body.get("column", 2)
                if pool not in pools:
                    near = nearest(str(pool), pools)
                    self._say(where, f"there is no pool {pool}" + (f"; did you mean {near}?" if near else ""))
                elif isinstance(column, bool) or not isinstance(column, int) or column < 1:
                    self._say(where, "column must be a whole number of 1 or more")
                else:
                    return Parameter(Source.POOL, (pool, column))
            case "value" | "values" | "integer" | "text":
                self._say(where, f"{kind} cannot be {of!r:.60}")
        return nothing


def _range(of: Any) -> bool:
    whole = isinstance(of, list) and len(of) == 2 and all(type(n) is int for n in of)
    return whole and of[0] <= of[1]
