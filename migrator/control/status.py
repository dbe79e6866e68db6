"""Where does the migration stand, what is blocked, and what should the operator do next?

Read from classic alone, so that the answer is there when Temporal or Limitless is not. One snapshot, a dozen small
statements, cheap enough to ask every second.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrator.control import watch
from migrator.control.install import installed_version
from migrator.control.next_step import Facts, advise
from migrator.control.stopped import describe
from migrator.control.workers import Loaded, differences, living
from migrator.inventory.facts import Difference
from migrator.inventory.look import look
from migrator.model.phase import ORDER
from migrator.model.status import (
    BackfillLine,
    Event,
    FallbackLine,
    HeldLine,
    LimitlessLine,
    PartLine,
    PhaseLine,
    ProcessLine,
    Status,
    ValidationLine,
    WaveLine,
)
from migrator.rights.check import known

_DONE = ("done",)

_WAVES = """
SELECT t.wave, count(*) AS tenants,
       count(*) FILTER (WHERE l.level = 'limitless') AS limitless,
       count(*) FILTER (WHERE l.level = 'joining') AS joining,
       count(*) FILTER (WHERE coalesce(l.level, 'classic') = 'classic') AS classic,
       count(*) FILTER (WHERE b.tenant_id IS NOT NULL) AS rolled_back,
       count(*) FILTER (WHERE t.hot) AS hot,
       count(*) FILTER (WHERE l.wave IS NOT NULL) AS moved
  FROM migrator.tenant t
  LEFT JOIN migrator.route_status l USING (tenant_id)
  LEFT JOIN migrator.rolled_back b USING (tenant_id)
 GROUP BY t.wave
 ORDER BY t.wave NULLS LAST
"""

_PARTS = """
SELECT part, lag_s, depth, rows_per_s, applied, state, problem FROM migrator.partition_status ORDER BY part
"""

_BACKFILL = """
SELECT count(*) AS units,
       count(*) FILTER (WHERE state IN ('copied', 'joined')) AS done,
       count(*) FILTER (WHERE state = 'copying') AS copying,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       coalesce(sum(greatest(rows, copied_rows)), 0)::bigint AS rows,
       coalesce(sum(copied_rows), 0)::bigint AS copied_rows,
       coalesce(sum(copied_bytes), 0)::bigint AS copied_bytes,
       coalesce(sum(copied_rows) FILTER (WHERE coalesce(finished_at, clock_timestamp())
                                               > clock_timestamp() - interval '5 minutes'), 0)
           / greatest(extract(epoch FROM clock_timestamp() - greatest(
                 min(started_at) FILTER (WHERE coalesce(finished_at, clock_timestamp())
                                               > clock_timestamp() - interval '5 minutes'),
                 clock_timestamp() - interval '5 minutes')), 1)::float8 AS rows_per_s,
       coalesce(array_agg(unit_id || ': ' || problem ORDER BY unit_id) FILTER (WHERE problem IS NOT NULL
           AND state NOT IN ('copied', 'joined')), '{}') AS problems
  FROM migrator.copy_unit
"""

_VALIDATION = """
SELECT v.kind, v.finished_at, extract(epoch FROM clock_timestamp() - v.finished_at)::float8 AS age_s,
       coalesce(v.rows, 0) AS rows, coalesce(v.divergent, 0) AS divergent,
       coalesce(v.fence_pause_ms, 0) AS fence_pause_ms,
       t.never, t.divergent_tenants, t.oldest_clean_s,
       (SELECT count(*) FROM migrator.open_divergence d WHERE d.run_id = v.run_id) AS unrepaired
  FROM (SELECT count(*) FILTER (WHERE validated_at IS NULL) AS never,
               count(*) FILTER (WHERE divergent > 0) AS divergent_tenants,
               extract(epoch FROM clock_timestamp() - min(clean_at))::float8 AS oldest_clean_s
          FROM migrator.tenant) t
  LEFT JOIN LATERAL (SELECT * FROM migrator.validation WHERE finished_at IS NOT NULL
                      ORDER BY finished_at DESC LIMIT 1) v ON true
"""

# A wave moves many tenants in one go: one line for all of them.
_EVENTS = """
SELECT max(at) AS at, who, kind,
       CASE count(*) WHEN 1 THEN min(subject) ELSE count(*) || ' ' || split_part(min(subject), '/', 1) || 's' END
           AS subject,
       reason
  FROM (SELECT * FROM migrator.decision ORDER BY id DESC LIMIT %s) newest
 GROUP BY who, kind, reason, date_trunc('second', at)
 ORDER BY max(id) DESC
 LIMIT %s
"""


def collect(conn: psycopg.Connection[Any], *, events: int = 8) -> Status:
    """Return the whole status, from one snapshot of classic; owns its transaction.

    Args:
        events: how many of the newest decisions to include.
    """
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        now: datetime = _one(cursor, "SELECT clock_timestamp() AS at")["at"]
        if installed_version(conn) is None:
            return Status(
                installed=False,
                at=now,
                next_steps=("Nothing runs on this cluster. Start with: migrator run --plan PLAN.toml",),
            )
        return _collect(cursor, now, events)


def _collect(cursor: psycopg.Cursor[dict[str, Any]], now: datetime, events: int) -> Status:
    plan = _one(cursor, "SELECT plan_id, created_at, body, digest, shim FROM migrator.plan")
    workers = living(cursor.connection)
    switch = _one(cursor, "SELECT epoch, level, write_mode, changed_at, changed_by, reason FROM migrator.switch")
    phases = _phases(cursor)
    current = next((p for p in phases if p.state not in _DONE), phases[-1])
    waves = _all(cursor, _WAVES)
    levels = {name: sum(row[name] for row in waves) for name in ("limitless", "joining", "classic")}
    parts = tuple(PartLine(**row) for row in _all(cursor, _PARTS))
    moved = [row["wave"] for row in waves if row["wave"] is not None and row["moved"]]
    status = Status(
        installed=True,
        at=now,
        plan=plan.get("plan_id"),
        started_at=plan.get("created_at"),
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
        by_state=tuple(
            (row["state"], row["n"])
            for row in _all(cursor, "SELECT state, count(*) AS n FROM migrator.tenant GROUP BY 1 ORDER BY 1")
        ),
        by_level=tuple(levels.items()),
        quarantined=tuple(
            (row["tenant_id"], row["reason"] or "")
            for row in _all(
                cursor,
                "SELECT tenant_id, reason FROM migrator.tenant WHERE state = 'quarantined' ORDER BY 1 LIMIT 20",
            )
        ),
        capture=tuple(watch.problems(cursor.connection)),
        held=tuple(
            HeldLine(**row)
            for row in _all(
                cursor,
                "SELECT tenant_id AS tenant, reason, held_by, held_at, wave FROM migrator.tenant_hold ORDER BY 1",
            )
        ),
        lag_s=max((p.lag_s for p in parts), default=None),
        parts=parts,
        journal_mb=_one(cursor, "SELECT mb FROM migrator.journal_status")["mb"],
        backfill=_backfill(cursor),
        validation=ValidationLine(**_one(cursor, _VALIDATION)),
        fallbacks=tuple(
            FallbackLine(**row)
            for row in _all(
                cursor,
                "SELECT scope, scope_key AS key, level, reason, raised_by, raised_at, held FROM migrator.fallback"
                " ORDER BY scope, scope_key",
            )
        ),
        breaker_trips=tuple(
            (row["scope"], row["scope_key"], row["n"], row["reason"])
            for row in _all(
                cursor,
                "SELECT scope, scope_key, count(*) AS n, min(reason) AS reason FROM migrator.open_breaker"
                " GROUP BY 1, 2 ORDER BY 1, 2",
            )
        ),
        processes=_processes(cursor),
        limitless=_limitless(cursor),
        workers=len(workers),
        outdated_workers=differences(Loaded(plan["plan_id"], plan["digest"], "", plan["shim"]), workers)
        if plan
        else (),
        stopped=tuple(
            describe(row["workflow"], row["state"], row["reason"])
            for row in _all(cursor, "SELECT workflow, state, reason FROM migrator.stopped ORDER BY workflow")
        ),
        incidents=_one(cursor, "SELECT count(*) AS n FROM migrator.incident")["n"],
        events=tuple(
            Event(**row)
            for row in _all(
                cursor,
                _EVENTS,
                (events * 50, events),
            )
        ),
    )
    body = plan.get("body") or {}
    limit_mb = float(body.get("dual_write", {}).get("journal_limit_mb", 4096))
    max_lag_s = float(body.get("shim", {}).get("max_lag_s", 5))
    schemas = body.get("tables", {}).get("schemas", ["public"])
    rights = known(cursor, schemas) if status.write_mode != "limitless_only" else ()
    facts = replace(_facts(status, current, look(cursor.connection)), rights=rights)
    blockers, next_steps = advise(facts, journal_limit_mb=limit_mb, max_lag_s=max_lag_s)
    return replace(status, blockers=blockers, next_steps=next_steps)


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
        parts=tuple((p.part, p.lag_s, p.problem or "") for p in status.parts),
        journal_mb=status.journal_mb,
        failed_units=backfill.failed if backfill else 0,
        backfill_paused=backfill.reason or "by an operator" if backfill and backfill.paused else "",
        divergent_tenants=validation.divergent_tenants if validation else 0,
        fallbacks=tuple((f.scope, f.key, f.reason, f.held) for f in status.fallbacks),
        inventory=tuple((d.text, d.advice) for d in inventory),
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
        for row in _all(cursor, "SELECT * FROM migrator.phase")
    }
    return tuple(rows.get(phase.value, PhaseLine(phase.value, "pending", None)) for phase in ORDER)


def _limitless(cursor: psycopg.Cursor[dict[str, Any]]) -> LimitlessLine | None:
    row = _one(cursor, "SELECT body FROM migrator.report WHERE kind = 'probe' ORDER BY id DESC LIMIT 1")
    if not row:
        return None
    body = row["body"]
    lacking = tuple(answer["capability"] for answer in body["answers"] if not answer["works"])
    return LimitlessLine(body["engine_version"], datetime.fromisoformat(body["at"]), lacking, tuple(body["blockers"]))


def _backfill(cursor: psycopg.Cursor[dict[str, Any]]) -> BackfillLine | None:
    row = _one(cursor, _BACKFILL)
    if not row["units"]:
        return None
    throttle = _one(cursor, "SELECT paused, mb_per_s, reason FROM migrator.throttle")
    left = max(row["rows"] - row["copied_rows"], 0)
    rate = float(row["rows_per_s"] or 0)
    finished = row["done"] == row["units"]
    row["rows_per_s"] = 0.0 if finished else rate
    row["problems"] = tuple(row["problems"])[:5]
    return BackfillLine(**row, **throttle, eta_s=left / rate if rate and not finished else None)


def _processes(cursor: psycopg.Cursor[dict[str, Any]]) -> tuple[ProcessLine, ...]:
    rows = _all(
        cursor,
        "SELECT process_id, name, seen_s, live, applied_epoch, behind FROM migrator.process_status"
        " WHERE seen_s < 3600 ORDER BY name, process_id",
    )
    return tuple(ProcessLine(**row) for row in rows)


def _all(
    cursor: psycopg.Cursor[dict[str, Any]], statement: str, parameters: tuple[object, ...] = ()
) -> list[dict[str, Any]]:
    # the statements of this module are constants; psycopg wants to see that in the type
    cursor.execute(statement.encode(), parameters or None)
    return cursor.fetchall()


def _one(cursor: psycopg.Cursor[dict[str, Any]], statement: str) -> dict[str, Any]:
    rows = _all(cursor, statement)
    return rows[0] if rows else {}


def copy_units(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return every copy unit, the unfinished ones first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return _all(
            cursor,
            "SELECT unit_id, part, cardinality(tenants) AS tenants, table_name, state, rows, copied_rows, copied_bytes,"
            " attempts, worker, started_at, finished_at, problem FROM migrator.copy_unit"
            " ORDER BY array_position(ARRAY['failed', 'copying', 'pending', 'copied', 'joined'], state), unit_id",
        )
