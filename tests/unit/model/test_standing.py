"""Which conditions stand is judged from values and codes; never from words, and one for all of a kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migrator.control.workers import QUEUES
from migrator.model.blocker import Blocker
from migrator.model.condition import ABOUT, NAMED, Condition, Kind, Severity
from migrator.model.cost import Against, Basis, CostLine, Forecast
from migrator.model.phase import ORDER
from migrator.model.standing import Limits, conditions
from migrator.model.status import (
    BackfillLine,
    BreachLine,
    FallbackLine,
    PhaseLine,
    ProcessLine,
    ReplicaLine,
    RunwayLine,
    Status,
    ValidationLine,
)
from workflows.names import Queue

AT = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
PHASES = tuple(PhaseLine(phase.value, "pending", None) for phase in ORDER)
NASTY = "a\r\nBcc: x@y\u202e<script>&`*--16"


def status(**values: Any) -> Status:
    """A migration in its cutover that nothing is wrong with."""
    calm: dict[str, Any] = {
        "installed": True, "at": AT, "plan": "shop", "phase": "cutover", "phase_state": "running", "phases": PHASES,
        "write_mode": "dual", "workers": 1,
    }  # fmt: skip
    return Status(**{**calm, **values})


def found(**values: Any) -> dict[str, Condition]:
    return {c.name: c for c in conditions(status(**values))}


def phase(state: str, detail: str = "", blockers: tuple[str, ...] = (), step: str = "") -> tuple[PhaseLine, ...]:
    return (PhaseLine("cutover", state, AT, detail, blockers, step),)


def fallback(scope: str, key: str, held: bool = False) -> FallbackLine:
    return FallbackLine(scope, key, "classic", "Limitless does not answer", "monitor", AT, held)


def validated(**values: Any) -> ValidationLine:
    calm: dict[str, Any] = {
        "kind": "scheduled", "finished_at": AT, "age_s": 60.0, "rows": 1, "divergent": 0, "fence_pause_ms": 0.0,
        "never": 0, "divergent_tenants": 0, "oldest_clean_s": 60.0, "unrepaired": 0,
    }  # fmt: skip
    return ValidationLine(**{**calm, **values})


def blocked(*codes: str) -> dict[str, Any]:
    return {"blockers": tuple(Blocker(code, "x", f"{code} stands") for code in codes)}


def bill(monthly: float, projected: float = 1_000.0, against: Against = Against.OVER) -> CostLine:
    """A month's bill that was measured."""
    forecast = Forecast(monthly / 2, monthly, monthly, monthly, 0.0, monthly, monthly, "")
    return CostLine(
        "2026-11", f"{monthly:,.0f} USD", against, Basis.CLOUDWATCH, forecast=forecast, projected_monthly_usd=projected,
        ratio=monthly / projected,
    )  # fmt: skip


EACH: dict[str, dict[str, Any]] = {
    "gate_waits/cutover": {"phases": phase("waiting", "waiting for an approval of wave-3", step="migrator approve")},
    "gate_shut/cutover": {"phases": phase("blocked", "the gate says no", ("a", "b", "c", "d"))},
    "migration_failed/cutover": {"phases": phase("failed", "aborted by ann: no")},
    "capture_broken": {"capture": (Blocker("capture.lost", "", "writes may have passed the journal: restored"),)},
    "divergence": {"validation": validated(divergent_tenants=3)},
    "rollback/all": {"switch": "classic", "switch_by": "ann", "switch_reason": "slow", "switch_at": AT},
    "fallback/all": {"fallbacks": (fallback("all", ""),), "fallback_count": 1},
    "fallback/part-3": {"fallbacks": (fallback("part", "3"),), "fallback_count": 1},
    "fallback/tenants": {"fallbacks": (fallback("tenant", NASTY),), "fallback_count": 9_000},
    "slo_breach/all": {"breaches": (BreachLine(None, AT, "p99 900 ms on Limitless (limit 500 ms)"),)},
    "slo_breach/tenants": {"breaches": (BreachLine(NASTY, AT, "9 of 20 reads failed on Limitless"),)},
    "slo_breach/breaker": {"breaker_trips": (("part", "1", 2, "error ratio 0.5"),)},
    "quarantine": {"by_state": (("quarantined", 10_000),), "quarantined": ((NASTY, "22003 on app.orders"),)},
    "mirror_stalled": {**blocked("mirror.problem", "mirror.lags"), "lag_s": 900.0},
    "journal_over_limit": blocked("journal.too_large"),
    "writes_closed": blocked("writes.closed"),
    "workflow_ended": blocked("workflow.ended"),
    "copy_failed": {"backfill": BackfillLine(0, 9, 1, 0, 2, 9, 1, 1, 0.0, None, False, None, "", ())},
    "copy_paused": blocked("copy.paused"),
    "rights_differ": blocked("rights.differ", "rights.differ"),
    "worker_gone/all": {"workers": 0},
    "worker_gone/queues": {"unserved_queues": ("mirror",)},
    "worker_gone/lost": {"lost_workers": ("host:1", "host:2")},
    "worker_outdated": {"outdated_workers": (Blocker("worker.outdated", "host:1", "worker host:1 runs another plan"),)},
    "validation_stale": {"validation": validated(age_s=7_201.0)},
    "runway_short/short": {"runway": RunwayLine(False, 9.0, 20.0, "full after 9 weeks", ("a larger writer",))},
    "runway_short/unknown": {"runway": RunwayLine(None, None, 20.0, "unknown")},
    "replicas_out": {"replicas": (ReplicaLine("r1:5432", "out", 5.0, "it did not answer", 0),)},
    "process_silent": {"processes": (ProcessLine("1", NASTY, 90.0, False, 1, 0),)},
    "cost_over_projection": {"bill": bill(26_000.0)},
    "blocked/table.uncaptured": blocked("table.uncaptured", "table.uncaptured"),
}


def test_a_calm_migration_wakes_nobody() -> None:
    calm = {"validation": validated(), "bill": bill(900.0, against=Against.WITHIN), "replicas": ()}

    assert conditions(status(**calm)) == ()
    assert conditions(Status(installed=False, at=AT)) == ()


@pytest.mark.parametrize("name", EACH)
def test_each_is_found_alone(name: str) -> None:
    assert list(found(**EACH[name])) == [name]


def test_all_at_once_are_all_found_and_the_most_urgent_come_first() -> None:
    """No rule hides another: what a test of each alone would not show."""
    values: dict[str, Any] = {}
    for added in (v for k, v in EACH.items() if k != "worker_gone/all" and not k.startswith("migration")):
        for key, value in added.items():
            values[key] = values[key] + value if isinstance(value, tuple) and key in values else value
    values |= {"fallback_count": 9_002, "runway": None}

    standing = conditions(status(**values))

    alone = {k for k in EACH if k not in ("worker_gone/all", "migration_failed/cutover") and "runway" not in k}
    assert {c.name for c in standing} >= alone - {"divergence", "validation_stale"}
    assert [c.severity.rank for c in standing] == sorted((c.severity.rank for c in standing), reverse=True)


@pytest.mark.parametrize("name", EACH)
def test_no_text_or_key_holds_a_tenants_name(name: str) -> None:
    """Names are anybody's text: they are beside the text, a few of them, for each format to escape."""
    made = found(**EACH[name])[name]

    assert NASTY not in made.text + made.hint + made.name
    assert len(made.subjects) <= NAMED and made.text and made.hint


def test_ten_thousand_tenants_are_one_condition() -> None:
    names = tuple((f"t{n}", "22003") for n in range(100))
    made = found(by_state=(("quarantined", 10_000),), quarantined=names)["quarantine"]

    assert (made.count, len(made.subjects)) == (10_000, NAMED)
    assert "10,000 tenants" in made.text


def test_what_no_rule_knows_is_told_by_its_code() -> None:
    made = found(**blocked("nobody.thought.of.it"))

    assert [(c.kind, c.key, c.severity) for c in made.values()] == [
        (Kind.BLOCKED, "nobody.thought.of.it", Severity.WARNING)
    ]


@pytest.mark.parametrize("phase_state", ["failed", "undone"])
def test_an_aborted_migration_needs_no_workers(phase_state: str) -> None:
    assert "worker_gone/all" not in found(workers=0, phase_state=phase_state)


OF_CLASSIC = {"journal_over_limit", "runway_short/short", "runway_short/unknown", "replicas_out"}
ALWAYS = {
    "gate_waits/cutover", "gate_shut/cutover", "migration_failed/cutover", "writes_closed", "workflow_ended",
    "worker_gone/queues", "worker_gone/lost", "worker_outdated", "cost_over_projection", "blocked/table.uncaptured",
    "worker_gone/all",
}  # fmt: skip


@pytest.mark.parametrize("phase_state", ["failed", "undone"])
def test_after_an_abort_what_was_stopped_on_purpose_wakes_nobody(phase_state: str) -> None:
    """Above all not the rollback that an abort begins with, and breaches that no monitor clears any more."""
    values = {name: {**added, "phase_state": phase_state} for name, added in EACH.items()}
    standing = {name for name, added in values.items() if name in found(**added)}

    assert standing == (OF_CLASSIC | ALWAYS) - {n for n in ALWAYS if n.startswith("worker_")}


def test_behind_the_hand_over_nothing_is_said_about_classic() -> None:
    """Decommission still runs, maybe for days: what was last measured of classic and its replicas is history."""
    values = {name: {**added, "write_mode": "limitless_only", "phase": "decommission"} for name, added in EACH.items()}

    assert {name for name, added in values.items() if name in found(**added)} == ALWAYS


def test_the_end_is_told_once_and_nothing_else() -> None:
    """Behind the hand-over nothing that follows classic matters any more."""
    phases = (*PHASES[:-1], PhaseLine("decommission", "done", AT))
    over = status(write_mode="limitless_only", phases=phases, workers=0, **blocked("mirror.problem"))

    assert [(c.name, c.instant) for c in conditions(over)] == [("finished", True)]


def test_another_version_of_the_control_schema_is_told() -> None:
    text = "the control schema on classic is version 9"
    made = conditions(Status(True, AT, 9, blockers=(Blocker("schema.version", "classic", text),)))

    assert [c.name for c in made] == ["schema_version"]


def test_what_the_team_accepted_wakes_nobody() -> None:
    short = status(runway=RunwayLine(False, 9.0, 20.0, "full after 9 weeks"))

    assert conditions(short, Limits.of({"gates": {"acknowledged": ["runway.short"]}})) == ()
    assert conditions(status(runway=RunwayLine(False, 9.0, 20.0, "", spared=True))) == ()


@pytest.mark.parametrize(
    ("values", "severity"),
    [
        ({"runway": RunwayLine(False, 1.0, 20.0, "full after 1 week")}, Severity.ERROR),
        ({"fallbacks": (fallback("all", ""),), "fallback_count": 1}, Severity.CRITICAL),
        ({"fallbacks": (fallback("part", "1"),), "fallback_count": 1}, Severity.ERROR),
        ({"bill": bill(1_101.0)}, Severity.WARNING),
        ({"bill": bill(26_000.0)}, Severity.ERROR),
        ({"processes": tuple(ProcessLine(str(n), "web", 9.0, n > 1, 1, 0) for n in range(3))}, Severity.INFO),
        ({"replicas": tuple(ReplicaLine(str(n), "out", 9.0, "slow", 0) for n in range(3))}, Severity.ERROR),
    ],
)
def test_how_urgent_depends_on_how_much(values: dict[str, Any], severity: Severity) -> None:
    assert [c.severity for c in conditions(status(**values))] == [severity]


def test_a_validation_is_stale_by_the_plans_own_limits() -> None:
    seen = status(validation=validated(age_s=10_000.0))

    assert conditions(seen, Limits.of({"validation": {"max_age_s": 6_000.0}})) == ()
    assert conditions(seen, Limits.of({"validation": {"max_age_s": 60.0}}))
    assert conditions(replace(seen, phase="dual_write")) == ()  # copies go on, and have their own gate


def test_since_is_a_stored_moment_or_unknown() -> None:
    """A moment that is computed anew each time would look like another occurrence each time."""
    first = {c.name: c.since for c in conditions(status(**EACH["mirror_stalled"]))}
    later = {c.name: c.since for c in conditions(status(**EACH["mirror_stalled"], at=AT + timedelta(seconds=5)))}

    assert first == later == {"mirror_stalled": None}


def test_every_kind_is_described_and_every_queue_known() -> None:
    assert ABOUT.keys() == set(Kind)
    assert tuple(queue.value for queue in sorted(Queue, key=lambda q: QUEUES.index(q.value))) == QUEUES


def test_capture_that_is_being_installed_has_missed_nothing() -> None:
    """Rows are copied afterwards. Once a copy is planned, a hole is one."""
    hole = (Blocker("capture.changed", "trigger", "capture is not as it was installed"),)
    copying = BackfillLine(0, 1, 0, 0, 0, 10, 0, 0, 0.0, None, False, None, "", ())

    assert "capture_broken" not in found(phase="dual_write", capture=hole)
    assert "capture_broken" in found(phase="dual_write", capture=hole, backfill=copying)
    assert "capture_broken" in found(phase="cutover", capture=hole)
