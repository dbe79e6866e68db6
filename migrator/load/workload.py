"""What is offered: transactions with weights, their statements, and where the values of their parameters come from.

Values alone, and the JSON in which a generator's process is given them; `written.py` reads the file of a person.
Parameters are `$1`, `$2`, … as in PostgreSQL's own protocol and in pg_stat_statements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Value = Any
"""What psycopg sends as a parameter: a text, a number, a truth value or None."""


class Source(StrEnum):
    """Where a parameter's value comes from."""

    TENANT = "tenant"  # the arrival's tenant
    VALUE = "value"  # always the same
    VALUES = "values"  # one of these, each as likely
    INTEGER = "integer"  # a whole number of a range, both ends included
    TEXT = "text"  # so many random letters
    UUID = "uuid"  # a random UUID
    UNIQUE = "unique"  # a whole number that no other arrival of the test has
    POOL = "pool"  # a column of a row that the pool holds of the arrival's tenant


class Skew(StrEnum):
    """Which of the tool's own facts says how often a tenant's turn comes."""

    ROWS = "rows"  # of all its tables
    WRITES = "writes"  # rows of it that recent transactions wrote
    EVEN = "even"  # all alike


@dataclass(frozen=True, slots=True)
class Parameter:
    """*of*: what belongs to its source: the values; (least, most); the length; (pool, column from 1)."""

    source: Source
    of: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a transaction. `samples`: captured sets of all its values, in the place of `parameters`."""

    sql: str
    parameters: tuple[Parameter, ...] = ()
    samples: tuple[tuple[Value, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one arrival does. by: how its tenants are drawn; None: by writes if it writes, else by rows."""

    name: str
    weight: float
    statements: tuple[Statement, ...]
    writes: bool = False
    by: Skew | None = None

    @property
    def skew(self) -> Skew:
        return self.by or (Skew.WRITES if self.writes else Skew.ROWS)

    @property
    def needs_tenant(self) -> bool:
        return any(p.source in (Source.TENANT, Source.POOL) for s in self.statements for p in s.parameters)

    @property
    def pools(self) -> frozenset[str]:
        return frozenset(str(p.of[0]) for s in self.statements for p in s.parameters if p.source is Source.POOL)


@dataclass(frozen=True, slots=True)
class Sessions:
    """People who do several transactions, one after the other's answer, with time to think between them.

    Sessions arrive and wait for none, as arrivals do; within one, the next transaction is planned when the last one was
    answered. transactions: of one session; think_s: mean of the exponential pauses.
    """

    transactions: int = 1
    think_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    """What a workload file says.

    Attributes:
        peak_per_s: transactions a second in the busiest time, where the file says it.
        pools: statements by name; each returns a tenant and, in further columns, values of rows that tenant has.
        weights: of tenants by name, in the place of the tool's own facts.
        only: only these tenants; empty: all.
        hot_times: how many times their measured share hot tenants have.
    """

    name: str
    transactions: tuple[Transaction, ...]
    pools: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    hot_times: float = 1.0
    sessions: Sessions = Sessions()
    peak_per_s: float | None = None

    @property
    def writes(self) -> bool:
        return any(t.writes for t in self.transactions)


def to_json(transactions: Sequence[Transaction]) -> list[dict[str, Any]]:
    """Return *transactions* as JSON values, for a generator's process."""
    return [
        {
            "name": t.name,
            "weight": t.weight,
            "writes": t.writes,
            "by": t.skew.value,
            "statements": [
                {
                    "sql": s.sql,
                    "parameters": [[p.source.value, list(p.of)] for p in s.parameters],
                    "samples": [list(sample) for sample in s.samples],
                }
                for s in t.statements
            ],
        }
        for t in transactions
    ]


def from_json(body: Sequence[Mapping[str, Any]]) -> tuple[Transaction, ...]:
    """Return what `to_json` wrote."""
    return tuple(
        Transaction(
            t["name"],
            t["weight"],
            tuple(
                Statement(
                    s["sql"],
                    tuple(Parameter(Source(source), tuple(of)) for source, of in s["parameters"]),
                    tuple(map(tuple, s["samples"])),
                )
                for s in t["statements"]
            ),
            t["writes"],
            Skew(t["by"]),
        )
        for t in body
    )
