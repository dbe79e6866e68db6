"""Reads the status of the migration: its state, what is blocked, and what the operator should do next.

From classic alone, so that it works while Temporal or Limitless is unreachable. One snapshot, a dozen small
statements, cheap enough to ask every second.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrator.capacity.lines import lines_of
from migrator.control import drill, watch
from migrator.control.advice import Facts, advise
from migrator.control.answers import KIND
from migrator.control.history import newest_report
from migrator.control.install import VERSION, installed_version, version_problem
from migrator.control.pace import current_pace
from migrator.control.plan import stored
from migrator.control.shadow_reads import unaccepted
from migrator.control.sighting import others
from migrator.control.stopped import stopped
from migrator.control.throttle import read_throttle
from migrator.control.workers import Loaded, differences, living, lost, unserved
from migrator.db.named import load
from migrator.inventory.facts import Difference
from migrator.inventory.look import look
from migrator.model.blocker import Blocker
from migrator.model.phase import ORDER
from migrator.model.status import (
    BackfillLine,
    BreachLine,
    EndpointLine,
    Event,
    FallbackLine,
    HeldLine,
    LimitlessLine,
    PaceLine,
    PartLine,
    PhaseLine,
    ProcessLine,
    ReplicaLine,
    Status,
    ValidationLine,
    WaveLine,
)
from migrator.rights.check import known
from migrator.runway.cost import current_cost, runway_line

_SQL = load("migrator.control", "status.sql")

_DONE = ("done",)

SHOWN = 100
"""Held tenants, quarantined ones and fallbacks are listed up to so many; beside each list stands how many there are."""


def collect(conn: psycopg.Connection[Any], *, events: int = 8) -> Status:
    """Return the whole status, from one snapshot of classic; owns its transaction.

    Args:
        events: how many of the newest decisions to include.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return collect_here(conn, events=events)


def collect_here(conn: psycopg.Connection[Any], *, events: int = 8) -> Status:
    """Return the whole status within the caller's transaction, which is one of one snapshot."""
    with conn.cursor(row_factory=dict_row) as cursor:
        now: datetime = _one(cursor, "now")["at"]
        version = installed_version(conn)
        if version is None:
            return Status(
                installed=False,
                at=now,
                next_steps=("Nothing runs on this cluster. Start with: migrator run --plan PLAN.toml",),
            )
        problem = version_problem(version, "classic")
        if problem is not None:
            return Status(
                True,
                now,
                version,
                blockers=(Blocker("schema.version", "classic", str(problem)),),
                next_steps=(problem.hint,),
            )
        return _collect(cursor, now, events)


def _collect(cursor: psycopg.Cursor[dict[str, Any]], now: datetime, events: int) -> Status:
    plan = stored(cursor.connection)
    workers = living(cursor.connection)
    switch = _one(cursor, "switch")
    phases = _phases(cursor)
    current = next((p for p in phases if p.state not in _DONE), phases[-1])
    waves = _all(cursor, "waves")
    levels = {name: sum(row[name] for row in waves) for name in ("limitless", "joining", "classic")}
    parts = tuple(PartLine(**row) for row in _all(cursor, "parts"))
    bill, capacity = (lines_of(cursor.connection, plan.body) if plan else None) or (None, None)
    moved = [row["wave"] for row in waves if row["wave"] is not None and row["moved"]]
    status = Status(
        installed=True,
        at=now,
        schema_version=VERSION,
        plan=plan.plan_id if plan else None,
        started_at=plan.created_at if plan else None,
        phase=current.phase,
        phase_state=current.state,
        phases=phases,
        write_mode=switch["write_mode"],
        switch=switch["level"],
        switch_by=switch["changed_by"],
        switch_reason=switch["reason"],
        switch_at=switch["changed_at"],
        epoch=switch["epoch"],
        wave=max(moved, default=None),
        waves=tuple(
            WaveLine(**{k: v for k, v in row.items() if k != "moved"}) for row in waves if row["wave"] is not None
        ),
        tenants=sum(row["tenants"] for row in waves),
        by_state=tuple((row["state"], row["n"]) for row in _all(cursor, "states")),
        by_level=tuple(levels.items()),
        quarantined=tuple((row["tenant_id"], row["reason"] or "") for row in _all(cursor, "quarantined", shown=SHOWN)),
        # Behind the hand-over no write is for the journal, and the tool itself takes capture away.
        capture=tuple(watch.problems(cursor.connection)) if switch["write_mode"] != "limitless_only" else (),
        held=tuple(HeldLine(**row) for row in _all(cursor, "held", shown=SHOWN)),
        held_count=_one(cursor, "held_count")["n"],
        lag_s=max((p.lag_s for p in parts), default=None),
        parts=parts,
        journal_mb=_one(cursor, "journal")["mb"],
        backfill=_backfill(cursor),
        validation=ValidationLine(**_one(cursor, "validation")),
        fallbacks=tuple(FallbackLine(**row) for row in _all(cursor, "fallbacks", shown=SHOWN)),
        fallback_count=_one(cursor, "fallback_count")["n"],
        breaker_trips=tuple((row["scope"], row["scope_key"], row["n"], row["reason"]) for row in _all(cursor, "trips")),
        processes=_processes(cursor),
        replicas=tuple(ReplicaLine(**row) for row in _all(cursor, "replicas")),
        classic_reads=tuple(EndpointLine(**row) for row in _all(cursor, "classic_reads")),
        limitless=_limitless(cursor),
        workers=len(workers),
        outdated_workers=differences(Loaded(plan.plan_id, plan.digest, "", plan.shim), workers) if plan else (),
        lost_workers=lost(cursor.connection),
        unserved_queues=unserved(cursor.connection),
        stopped=stopped(cursor.connection),
        incidents=_one(cursor, "incidents")["n"],
        pace=PaceLine((pace := current_pace(cursor.connection)).share, pace.reason),
        cost=current_cost(cursor.connection),
        runway=runway_line(cursor.connection, plan.body) if plan and switch["write_mode"] != "limitless_only" else None,
        bill=bill,
        capacity=capacity,
        others=others(cursor.connection, _quiet_s(plan.body if plan else {})),
        drills=drill.newest(cursor.connection),
        breaches=tuple(BreachLine(**row) for row in _all(cursor, "breaches")),
        events=tuple(Event(**row) for row in _all(cursor, "events", events=events)),
    )
    body = plan.body if plan else {}
    limit_mb = float(body.get("dual_write", {}).get("journal_limit_mb", 4096))
    max_lag_s = float(body.get("shim", {}).get("max_lag_s", 5))
    schemas = body.get("tables", {}).get("schemas", ["public"])
    rights = known(cursor, schemas) if status.write_mode != "limitless_only" else ()
    differ = unaccepted(cursor.connection, body) if status.write_mode != "limitless_only" else ()
    facts = replace(_facts(status, current, look(cursor.connection)), rights=rights, reads_differ=differ)
    blockers, next_steps = advise(facts, journal_limit_mb=limit_mb, max_lag_s=max_lag_s)
    return replace(status, blockers=blockers, next_steps=next_steps)


def _quiet_s(body: dict[str, Any]) -> float:
    return float(body.get("preflight", {}).get("quiet_days", 7)) * 86_400


def _facts(status: Status, current: PhaseLine, inventory: tuple[Difference, ...]) -> Facts:
    validation, backfill = status.validation, status.backfill
    return Facts(
        phase=current.phase,
        phase_state=current.state,
        phase_blockers=current.blockers,
        phase_next=current.next_step,
        capture=status.capture,
        write_mode=status.write_mode,
        switch=status.switch,
        switch_reason=status.switch_reason,
        switch_by=status.switch_by,
        quarantined=status.quarantined,
        quarantined_count=dict(status.by_state).get("quarantined", 0),
        parts=tuple((p.part, p.lag_s, p.problem or "") for p in status.parts),
        journal_mb=status.journal_mb,
        failed_units=backfill.failed if backfill else 0,
        backfill_paused=backfill.reason or "by an operator" if backfill and backfill.paused else "",
        divergent_tenants=validation.divergent_tenants if validation else 0,
        fallbacks=tuple((f.scope, f.key, f.reason, f.held) for f in status.fallbacks),
        fallback_count=status.fallback_count,
        inventory=tuple((d.fact, d.advice) for d in inventory),
        silent_processes=sum(not p.live for p in status.processes),
        stopped=status.stopped,
        workers=status.outdated_workers,
    )


def _phases(cursor: psycopg.Cursor[dict[str, Any]]) -> tuple[PhaseLine, ...]:
    """Return a line for every phase, in their order; one that has not begun is "pending"."""
    rows = {
        row["phase"]: PhaseLine(
            row["phase"],
            row["state"],
            row["since"],
            row["detail"],
            tuple(row["blockers"]),
            row["next_step"],
            row["started_at"],
            row["finished_at"],
        )
        for row in _all(cursor, "phases")
    }
    return tuple(rows.get(phase.value, PhaseLine(phase.value, "pending", None)) for phase in ORDER)


def _limitless(cursor: psycopg.Cursor[dict[str, Any]]) -> LimitlessLine | None:
    report = newest_report(cursor.connection, KIND)
    if report is None:
        return None
    body = report["body"]
    lacking = tuple(answer["capability"] for answer in body["answers"] if not answer["works"])
    return LimitlessLine(body["engine_version"], datetime.fromisoformat(body["at"]), lacking, tuple(body["blockers"]))


def _backfill(cursor: psycopg.Cursor[dict[str, Any]]) -> BackfillLine | None:
    row = _one(cursor, "backfill")
    if not row["units"]:
        return None
    throttle = read_throttle(cursor.connection)
    left = max(row["rows"] - row["copied_rows"], 0)
    rate = float(row["rows_per_s"] or 0)
    finished = row["done"] == row["units"]
    row["rows_per_s"] = 0.0 if finished else rate
    row["problems"] = tuple(row["problems"])[:5]
    return BackfillLine(**row, **asdict(throttle), eta_s=left / rate if rate and not finished else None)


def _processes(cursor: psycopg.Cursor[dict[str, Any]]) -> tuple[ProcessLine, ...]:
    return tuple(ProcessLine(**row) for row in _all(cursor, "processes"))


def _all(cursor: psycopg.Cursor[dict[str, Any]], name: str, **values: object) -> list[dict[str, Any]]:
    cursor.execute(_SQL[name], values)
    return cursor.fetchall()


def _one(cursor: psycopg.Cursor[dict[str, Any]], name: str) -> dict[str, Any]:
    rows = _all(cursor, name)
    return rows[0] if rows else {}


def copy_units(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return every copy unit, the unfinished ones first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return _all(cursor, "copy_units")
