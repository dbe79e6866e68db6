"""Reads the facts of a rehearsal from the control schema on classic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg

from migrator.db.connect import connect
from migrator.db.named import load
from migrator.errors import ClusterUnavailable
from migrator.model.phase import ORDER

_SQL = load("migrator.rehearse", "facts.sql")


@dataclass(frozen=True, slots=True)
class PhaseFact:
    """One phase as `status` shows it."""

    state: str
    detail: str = ""
    blockers: tuple[str, ...] = ()
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class FallbackFact:
    """A fallback in force; *at* is wall clock time."""

    scope: str
    key: str
    level: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class Facts:
    """The control schema at one moment.

    Attributes:
        reachable: classic answered.
        installed: it holds the control schema.
        moved: tenants whose route says Limitless.
        reading: those of them that do read it: no fallback and no switch keeps them on classic.
        trips: breakers that processes have opened.
        replica: the level of classic's read replica; empty without one.
        reads: of classic, by the server that answered: writer, replica.
        lag_s: of the partition that is furthest behind; None before the first position.
    """

    reachable: bool = False
    installed: bool = False
    level: str = ""
    write_mode: str = ""
    phases: dict[str, PhaseFact] = field(default_factory=dict)
    tenants: dict[str, int] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    copying: tuple[str, ...] = ()
    attempts: int = 0
    copied_rows: int = 0
    copied_s: float = 0.0
    moved: int = 0
    reading: int = 0
    fallbacks: tuple[FallbackFact, ...] = ()
    trips: int = 0
    lag_s: float | None = None
    applied: int = 0
    problems: tuple[str, ...] = ()
    processes: int = 0
    replica: str = ""
    reads: dict[str, int] = field(default_factory=dict)
    incidents: int = 0
    divergent: int = 0
    validations: int = 0

    def phase(self, name: str) -> PhaseFact:
        return self.phases.get(name, PhaseFact(""))

    @property
    def current(self) -> tuple[str, PhaseFact] | None:
        """Return the latest phase that has begun and is not done."""
        begun = [(p.value, self.phases[p.value]) for p in ORDER if p.value in self.phases]
        active = [(name, fact) for name, fact in begun if fact.state not in ("done", "undone")]
        return active[-1] if active else None

    @property
    def all_units(self) -> int:
        return sum(self.units.values())

    @property
    def all_tenants(self) -> int:
        return sum(self.tenants.values())


COUNTS = (
    *("attempts", "moved", "reading", "copied_rows", "applied", "processes"),
    *("incidents", "divergent", "validations", "trips"),
)
"""Fields of Facts that are whole numbers, under the same names in facts.sql."""


def facts_of(body: dict[str, Any]) -> Facts:
    """Return the answer of facts.sql as a value."""
    counts: dict[str, Any] = {k: int(body[k]) for k in COUNTS}
    return Facts(
        reachable=True,
        installed=True,
        level=body["level"],
        write_mode=body["write_mode"],
        tenants=body["tenants"],
        units=body["units"],
        phases={
            name: PhaseFact(p["state"], p["detail"], tuple(p["blockers"]), p["next_step"])
            for name, p in body["phases"].items()
        },
        copying=tuple(w for w in body["copying"] if w),
        copied_s=float(body["copied_s"]),
        fallbacks=tuple(FallbackFact(**f) for f in body["fallbacks"]),
        lag_s=None if body["lag_s"] is None else float(body["lag_s"]),
        problems=tuple(body["problems"]),
        replica=body["replica"],
        reads={server: int(count) for server, count in body["reads"].items()},
        **counts,
    )


class Looker:
    """Asks classic, over one connection that is opened again when it is lost."""

    def __init__(self, classic_dsn: str) -> None:
        self._dsn = classic_dsn
        self._conn: psycopg.Connection[Any] | None = None

    def look(self) -> Facts:
        """Return classic's facts; Facts() when it does not answer."""
        try:
            if self._conn is None or self._conn.closed:
                self._conn = connect(self._dsn, "migrator-rehearsal", statement_timeout_s=3, connect_timeout_s=2)
            row = self._conn.execute(_SQL["facts"]).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return Facts(reachable=True)
        except (psycopg.Error, ClusterUnavailable):
            self.close()
            return Facts()
        return facts_of(row[0]) if row else Facts(reachable=True)

    def waves(self) -> dict[str, tuple[int | None, bool]]:
        """Return, per tenant, the wave it moved in and whether it is hot."""
        with connect(self._dsn, "migrator-rehearsal", statement_timeout_s=10) as conn:
            return {tenant: (wave, hot) for tenant, wave, hot in conn.execute(_SQL["waves"])}

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
