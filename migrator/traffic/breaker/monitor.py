"""Runs one pass of the monitor: compares what processes report with a probe, then raises, eases or clears fallbacks.

`pass_once` keeps no state between passes: what it needs is in classic's tables, so any worker may run the next one.
Reads of migrated tenants come back in two steps (migrator.traffic.route.promote), never by deleting a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg

from migrator.control.breaker import StandingFallback, fallbacks, forget_trips, open_breakers
from migrator.control.partition import ask_limitless, partition_lags
from migrator.control.process import forget_silent, processes
from migrator.control.tenant import unvalidated_since
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable
from migrator.model.route import FallbackScope, Level
from migrator.model.tenant import REFERENCE_PART, TenantId
from migrator.plan.schema import Plan
from migrator.traffic.breaker.decide import Open, Raise, Step, next_step, to_raise
from migrator.traffic.route.change import reachable
from migrator.traffic.route.fallback import covered_parts, ease_fallback, raise_fallback
from migrator.traffic.route.promote import Outcome, promote_reads

WHO = "breaker monitor"
RECENT_S = 600.0
FORGET_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Bounds of the monitor; names as in the plan's sections breaker and shim.

    Attributes:
        fresh_s: how old a mirror position may be for a fallback to be eased.
        catch_up_s: how long one pass waits for the mirror to catch up.
    """

    open_s: float = 2.0
    quorum: float = 0.5
    validate_before_close: bool = True
    fresh_s: float = 1.0
    catch_up_s: float = 5.0
    probe_s: float = 2.0


@dataclass(frozen=True, slots=True)
class FallbackOutcome:
    """The result of this pass for one open fallback."""

    scope: FallbackScope
    key: str
    step: Step
    why: str
    to_validate: tuple[TenantId | None, ...] = ()


@dataclass(frozen=True, slots=True)
class PassResult:
    """The result of one pass.

    Attributes:
        probe_problem: what is wrong with Limitless, None when it answered.
        open: fallbacks that are open after this pass.
        cleared: fallbacks that this pass cleared.
        to_validate: whose validation the caller should run, so that a later pass may clear their fallback; None stands
            for the reference tables.
    """

    at: datetime
    probe_problem: str | None
    live: int
    raised: tuple[Raise, ...]
    open: tuple[FallbackOutcome, ...]
    cleared: tuple[FallbackOutcome, ...]
    to_validate: tuple[TenantId | None, ...]


def probe(limitless_dsn: str, probe_s: float) -> str | None:
    """Return what is wrong with Limitless, None when it answers a query in time."""
    try:
        with connect(
            limitless_dsn, "migrator-probe", statement_timeout_s=probe_s, connect_timeout_s=probe_s, side="Limitless"
        ) as conn:
            ask_limitless(conn)
    except ClusterUnavailable as error:
        return f"cannot be reached: {error.why}"
    except psycopg.Error as error:
        return f"does not answer queries ({error.sqlstate or type(error).__name__})"
    return None


def pass_once(
    classic: psycopg.Connection[Any], limitless_dsn: str, settings: MonitorSettings, now: datetime
) -> PassResult:
    """Do one pass. *classic* must be in autocommit mode."""
    problem = probe(limitless_dsn, settings.probe_s)
    with reachable():
        forget_silent(classic, FORGET_AFTER_S)
        forget_trips(classic, FORGET_AFTER_S)
        live = sum(process.live for process in processes(classic))
        trips = open_breakers(classic)
        open_now = [_open(classic, fallback) for fallback in fallbacks(classic, RECENT_S)]
        raised = to_raise(trips, live, settings.quorum, [(f.scope, f.key) for f in open_now], problem)
        for wanted in raised:
            raise_fallback(classic, wanted.scope, wanted.key, by=WHO, reason=wanted.reason)
        results = [_advance(classic, fallback, problem, settings) for fallback in open_now]
    cleared = tuple(r for r in results if r.step is Step.CLEAR)
    standing = tuple(r for r in results if r.step is not Step.CLEAR)
    wanted_by = {t for r in standing if r.step is Step.VALIDATE for t in r.to_validate}
    validate = sorted(wanted_by, key=lambda t: (t is not None, t or ""))
    return PassResult(now, problem, live, tuple(raised), standing, cleared, tuple(validate))


def reset(
    classic: psycopg.Connection[Any], scope: FallbackScope, key: str, *, who: str, reason: str, timeout_s: float = 30.0
) -> Outcome:
    """Clear a fallback at a person's request, manual or not, through the same two steps."""
    promotion = promote_reads(classic, fallback=(scope, key), who=who, reason=reason, timeout_s=timeout_s)
    return promotion.outcome


def _open(conn: psycopg.Connection[Any], fallback: StandingFallback) -> Open:
    if fallback.held or fallback.quarantined:
        # A person clears it, whatever else is true; of tenants that are quarantined, or differ, there may be thousands.
        return Open(
            fallback.scope, fallback.key, fallback.level, fallback.held, fallback.age_s, fallback.recent,
            frozenset(), fallback.quarantined, (),
        )  # fmt: skip
    parts = covered_parts(conn, fallback.scope, fallback.key)
    tenant = fallback.key if fallback.scope is FallbackScope.TENANT else None
    return Open(
        fallback.scope, fallback.key, fallback.level, fallback.held, fallback.age_s, fallback.recent,
        frozenset(parts | {REFERENCE_PART}), fallback.quarantined,
        unvalidated_since(conn, fallback.raised_at, parts, tenant),
    )  # fmt: skip


def _advance(
    conn: psycopg.Connection[Any], fallback: Open, problem: str | None, settings: MonitorSettings
) -> FallbackOutcome:
    def decide(state: Open) -> tuple[Step, str]:
        parts = [] if state.held or state.quarantined else partition_lags(conn)
        return next_step(
            state, problem, {p.part: p.lag_s for p in parts}, open_s=settings.open_s, fresh_s=settings.fresh_s,
            validate=settings.validate_before_close, problems={p.part: p.problem for p in parts if p.problem},
        )  # fmt: skip

    step, why = decide(fallback)
    tenants = tuple(None if t is None else TenantId(t) for t in fallback.unvalidated)
    if step is Step.EASE:
        ease_fallback(conn, fallback.scope, fallback.key, by=WHO, reason=why)
        step, why = decide(replace(fallback, level=Level.JOINING))
    if step is not Step.CLEAR:
        return FallbackOutcome(fallback.scope, fallback.key, step, why, tenants if step is Step.VALIDATE else ())
    done = promote_reads(
        conn, fallback=(fallback.scope, fallback.key), who=WHO, reason=why, timeout_s=settings.catch_up_s
    )
    if done.done:
        return FallbackOutcome(fallback.scope, fallback.key, Step.CLEAR, why)
    return FallbackOutcome(
        fallback.scope, fallback.key, Step.UNHEALTHY, f"not caught up: {done.outcome} {done.detail}".rstrip()
    )


def settings_of(plan: Plan) -> MonitorSettings:
    """Return the monitor's bounds as *plan* says."""
    return MonitorSettings(
        open_s=plan.breaker.open_s,
        quorum=plan.breaker.quorum,
        validate_before_close=plan.breaker.validate_before_close,
        fresh_s=max(1.5, plan.shim.max_lag_s / 2),
    )
