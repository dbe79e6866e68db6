"""Which conditions stand, by a status of the migration. Pure.

From typed values and codes of blockers, never from their words. One condition for all that is of one kind: 10,000
quarantined tenants are one, with their number. What no rule below knows becomes `blocked`, by its code, so that a new
blocker wakes somebody before this module has learned of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.model.blocker import Blocker
from migrator.model.condition import ABOUT, NAMED, Condition, Kind, Severity
from migrator.model.cost import Against
from migrator.model.drill import STALE, stale
from migrator.model.phase import Phase
from migrator.model.shadow_read import DIFFER, READS_HINT
from migrator.model.status import PhaseLine, Status

_QUIET_STATES = ("failed", "undone")
"""The migration was aborted or undone: reads are on classic, and what follows classic was stopped on purpose."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the plan says about when something is a condition.

    Attributes:
        validation_s: a validation should finish at least so often.
        floor_weeks: classic's writer is full in fewer weeks: more urgent.
        accepted: findings that the team has accepted, by id.
        drill_days: a rollback is practised at least so often; None: the plan asks for none.
    """

    validation_s: float = 7200.0
    floor_weeks: float = 2.0
    accepted: frozenset[str] = frozenset()
    drill_days: float | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Limits:
        """Return the limits of a plan as `migrator.plan.load.dump` gives it; defaults for what an older one lacks."""
        validation, runway = body.get("validation", {}), body.get("runway", {})
        known = cls()
        return cls(
            2 * max(float(validation.get("max_age_s", 3600)), float(validation.get("every_s", 900))),
            float(runway.get("floor_weeks", known.floor_weeks)),
            frozenset(body.get("gates", {}).get("acknowledged", ())),
            body.get("drill", {}).get("max_age_days"),
        )


def conditions(status: Status, limits: Limits | None = None) -> tuple[Condition, ...]:
    """Return every condition that stands, the most urgent first. None of them before anything was installed."""
    if not status.installed:
        return ()
    if is_over(status):
        return (_finished(status),)
    rules = _ALWAYS
    if status.write_mode != "limitless_only":
        rules += _OF_CLASSIC
        if status.phase_state not in _QUIET_STATES:
            rules += _UNDER_WAY
    found = [made for rule in rules for made in rule(status, limits or Limits())]
    return tuple(sorted(found, key=lambda c: (-c.severity.rank, list(Kind).index(c.kind), c.key)))


def is_over(status: Status) -> bool:
    """Whether the migration is finished: nothing of what follows here wakes anybody any more."""
    return status.write_mode == "limitless_only" and bool(status.phases) and status.phases[-1].state == "done"


def make(
    kind: Kind, text: str, hint: str, *, severity: Severity | None = None, subjects: Iterable[str] = (), **rest: Any
) -> Condition:
    """Return a condition with the usual severity of its kind, naming the first few of *subjects*."""
    named = tuple(dict.fromkeys(s for s in subjects if s))[:NAMED]
    return Condition(kind, text, hint, severity or ABOUT[kind].severity, subjects=named, **rest)


def counted(number: int, noun: str, many: str = "") -> str:
    """Return `1 tenant`, `10,000 tenants`."""
    return f"{number:,} {noun if number == 1 else many or f'{noun}s'}"


def _finished(status: Status) -> Condition:
    text = "the migration is finished: Limitless is authoritative and classic takes no writes"
    hint = "Nothing is left to do for this tool; its workers can be stopped."
    return make(Kind.FINISHED, text, hint, since=status.phases[-1].since, instant=True)


def _schema(status: Status, limits: Limits) -> Iterator[Condition]:
    for blocker in status.blockers:
        if blocker.code == "schema.version":
            yield make(Kind.SCHEMA_VERSION, blocker.text, " ".join(status.next_steps))


def _gates(status: Status, limits: Limits) -> Iterator[Condition]:
    for phase in status.phases:
        name = phase.phase.replace("_", " ")
        match phase.state:
            case "waiting":
                text = f"{name}: {phase.detail or 'waiting for an approval'}"
                yield _of_phase(Kind.GATE_WAITS, phase, text)
            case "blocked":
                yield _of_phase(Kind.GATE_SHUT, phase, f"{name}: {phase.detail or 'blocked'}{_said(phase.blockers)}")
            case "failed":
                yield _of_phase(Kind.MIGRATION_FAILED, phase, f"{name}: {phase.detail}{_said(phase.blockers)}")


def _of_phase(kind: Kind, phase: PhaseLine, text: str) -> Condition:
    hint = phase.next_step or "migrator status"
    return make(kind, text, hint, key=phase.phase, since=phase.since, count=max(len(phase.blockers), 1))


def _said(texts: Sequence[str], most: int = 3) -> str:
    if not texts:
        return ""
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return f": {'; '.join(str(text) for text in texts[:most])}{more}"


def _capture(status: Status, limits: Limits) -> Iterator[Condition]:
    # While it is installed it is not whole; what is copied only afterwards cannot have missed a write.
    begun = status.backfill is not None or status.phase != Phase.DUAL_WRITE
    if status.capture and begun:
        text = f"the journal cannot be trusted{_said(status.capture)}"
        hint = "See docs/reliability.md; then copy everything again: migrator mirror recopy"
        yield make(Kind.CAPTURE_BROKEN, text, hint, count=len(status.capture))


def _divergence(status: Status, limits: Limits) -> Iterator[Condition]:
    seen = status.validation
    if seen is None or not (seen.divergent_tenants or seen.unrepaired):
        return
    whose = f"rows of {counted(seen.divergent_tenants, 'tenant')}" if seen.divergent_tenants else "rows"
    open_rows = f"; {counted(seen.unrepaired, 'difference')} of the last validation not repaired"
    text = f"{whose} differ between classic and Limitless{open_rows if seen.unrepaired else ''}"
    hint = "See them, then repair them: migrator validate --full, migrator validate --repair"
    yield make(Kind.DIVERGENCE, text, hint, count=max(seen.divergent_tenants, 1))


def _rollback(status: Status, limits: Limits) -> Iterator[Condition]:
    if status.switch == "limitless":
        return
    text = f"all reads come from classic: rolled back by {status.switch_by} ({status.switch_reason})"
    hint = "Correct the cause, then promote again: migrator cutover"
    yield make(Kind.ROLLBACK, text, hint, key="all", since=status.switch_at)


def _fallbacks(status: Status, limits: Limits) -> Iterator[Condition]:
    wide = [f for f in status.fallbacks if f.scope != "tenant"]
    for one in wide:
        whose = "every tenant reads" if one.scope == "all" else f"tenants of mirror partition {one.key} read"
        reset = f"migrator breaker reset --{one.scope} {one.key}".rstrip()
        hint = (
            f"It is manual; clear it with: {reset}" if one.held else "It clears by itself; see: migrator breaker show"
        )
        severity = Severity.CRITICAL if one.scope == "all" else Severity.ERROR
        key = "all" if one.scope == "all" else f"part-{one.key}"
        text = f"{whose} classic for now: {one.reason}"
        yield make(Kind.FALLBACK, text, hint, severity=severity, key=key, since=one.raised_at)
    tenants = [f for f in status.fallbacks if f.scope == "tenant"]
    count = status.fallback_count - len(wide)
    if count > 0:
        by_hand = all(f.held for f in tenants)
        text = f"{counted(count, 'tenant reads', 'tenants read')} classic for now"
        text += f": {tenants[0].reason}" if tenants else ""
        hint = "See them, and clear manual ones: migrator breaker show"
        severity = Severity.INFO if by_hand and tenants else Severity.WARNING
        names = (f.key for f in tenants)
        yield make(Kind.FALLBACK, text, hint, severity=severity, key="tenants", count=count, subjects=names)


def _breaches(status: Status, limits: Limits) -> Iterator[Condition]:
    whole = [b for b in status.breaches if b.tenant is None]
    for breach in whole:
        text = f"reads of all tenants together on Limitless: {breach.reason}"
        yield make(Kind.SLO_BREACH, text, _BREACH_HINT, key="all", since=breach.first_at)
    single = [b for b in status.breaches if b.tenant is not None]
    if single:
        text = f"reads of {counted(len(single), 'tenant')} on Limitless are over a limit: {single[0].reason}"
        names = (str(b.tenant) for b in single)
        since = min(b.first_at for b in single)
        yield make(Kind.SLO_BREACH, text, _BREACH_HINT, key="tenants", since=since, count=len(single), subjects=names)
    if status.breaker_trips:
        processes = sum(n for _, _, n, _ in status.breaker_trips)
        text = f"breaker: open in {counted(processes, 'process', 'processes')}: {status.breaker_trips[0][3]}"
        yield make(
            Kind.SLO_BREACH, text, "See: migrator breaker show", severity=Severity.WARNING, key="breaker",
            count=processes,
        )  # fmt: skip


_BREACH_HINT = "Compare both sides; if customers suffer: migrator rollback --tenant ID, or --all"


def _quarantine(status: Status, limits: Limits) -> Iterator[Condition]:
    count = dict(status.by_state).get("quarantined", 0)
    if count:
        why = f": {status.quarantined[0][1]}" if status.quarantined else ""
        text = f"{counted(count, 'tenant is', 'tenants are')} quarantined, since Limitless refuses a row{why}"
        hint = "Correct the rows on classic, then copy the tenants again: migrator mirror retry TENANT"
        yield make(Kind.QUARANTINE, text, hint, count=count, subjects=(tenant for tenant, _ in status.quarantined))


_MIRROR = {"mirror.problem", "mirror.lags"}


def _mirror(status: Status, limits: Limits) -> Iterator[Condition]:
    found = [b for b in status.blockers if b.code in _MIRROR]
    if found:
        text = f"{counted(len(found), 'mirror partition does', 'mirror partitions do')} not follow{_said(found)}"
        hint = "Is a worker running? Start one: migrator worker. See: migrator mirror status"
        behind = "" if status.lag_s is None else f"; lag {status.lag_s:.1f} s"
        names = (f"partition {b.subject}" for b in found)
        yield make(Kind.MIRROR_STALLED, text + behind, hint, count=len(found), subjects=names)


def _by_code(code: str, kind: Kind, hint: str) -> Callable[[Status, Limits], Iterator[Condition]]:
    def rule(status: Status, limits: Limits) -> Iterator[Condition]:
        found = [b for b in status.blockers if b.code == code]
        if found:
            text = found[0].text + _and_more(found)
            yield make(kind, text, hint, count=len(found), subjects=(b.subject for b in found))

    return rule


def _and_more(found: Sequence[Blocker]) -> str:
    return f"; and {len(found) - 1:,} more" if len(found) > 1 else ""


RIGHTS_HINT = "Give Limitless the rights of classic: migrator roles --apply; see: migrator roles"


def _rights(status: Status, limits: Limits) -> Iterator[Condition]:
    found = [b for b in status.blockers if b.code == "rights.differ"]
    if found:
        yield make(Kind.RIGHTS_DIFFER, f"roles may do less on Limitless{_said(found)}", RIGHTS_HINT, count=len(found))


def _copies(status: Status, limits: Limits) -> Iterator[Condition]:
    backfill = status.backfill
    if backfill is not None and backfill.failed:
        text = f"{counted(backfill.failed, 'copy unit')} failed"
        yield make(Kind.COPY_FAILED, text, "See why: migrator backfill status", count=backfill.failed)


def _workers(status: Status, limits: Limits) -> Iterator[Condition]:
    if status.plan is None or status.phase_state in _QUIET_STATES:
        return
    if not status.workers:
        text = "no worker runs: mirrors, copies, validation and the breaker's monitor are stalled"
        yield make(Kind.WORKER_GONE, text, "Start one: migrator worker --plan PLAN.toml", key="all")
    elif status.unserved_queues:
        text = f"no worker serves {', '.join(status.unserved_queues)}; {counted(status.workers, 'worker')} run others"
        hint = f"Start one: migrator worker --queues {status.unserved_queues[0]}"
        yield make(Kind.WORKER_GONE, text, hint, key="queues", count=len(status.unserved_queues))
    if status.workers and status.lost_workers:
        lost = len(status.lost_workers)
        text = f"{counted(lost, 'worker')} ended without a word within the last hour; {status.workers:,} run"
        yield make(
            Kind.WORKER_GONE, text, "Was it killed (memory)? Start it again: migrator worker --plan PLAN.toml",
            severity=Severity.WARNING, key="lost", count=lost, subjects=status.lost_workers,
        )  # fmt: skip
    if status.outdated_workers:
        found = status.outdated_workers
        text = found[0].text + _and_more(found)
        hint = "Stop the workers that are named, and start them again: migrator worker --plan PLAN.toml"
        yield make(Kind.WORKER_OUTDATED, text, hint, count=len(found), subjects=(b.subject for b in found))


def _validation(status: Status, limits: Limits) -> Iterator[Condition]:
    seen = status.validation
    if seen is None or seen.age_s is None or status.write_mode != "dual":
        return
    if status.phase in (Phase.CUTOVER, Phase.STABILIZE) and seen.age_s > limits.validation_s:
        text = f"the last validation finished {seen.age_s:.0f} s ago (limit {limits.validation_s:.0f} s)"
        hint = "See whether it runs: migrator validation schedule show; or run one: migrator validate"
        yield make(Kind.VALIDATION_STALE, text, hint, since=seen.finished_at)


def _runway(status: Status, limits: Limits) -> Iterator[Condition]:
    runway = status.runway
    if runway is None or runway.closes or runway.spared:
        return
    code = "runway.short" if runway.closes is False else "runway.unknown"
    if limits.accepted & {"runway", code}:
        return
    full_soon = runway.weeks is not None and runway.weeks < limits.floor_weeks
    hint = "; ".join(runway.options) or "See docs/runway.md"
    severity = Severity.ERROR if full_soon else None
    yield make(Kind.RUNWAY_SHORT, runway.summary, hint, key=code.partition(".")[2], severity=severity)


def _drills(status: Status, limits: Limits) -> Iterator[Condition]:
    waves = status.wave is not None and STALE not in limits.accepted
    if waves and (old := stale(status.drills, limits.drill_days)):
        yield make(Kind.DRILL_STALE, old.text, f"migrator drill rollback --wave {status.wave}")


def _replicas(status: Status, limits: Limits) -> Iterator[Condition]:
    out = [r for r in status.replicas if r.level == "out"]
    if out:
        serving = sum(r.level == "serving" for r in status.replicas)
        text = (
            f"{counted(len(out), 'replica')} of classic out of service, {serving} of {len(status.replicas)} serve: "
            f"{out[0].reason}"
        )
        severity = Severity.WARNING if serving else Severity.ERROR
        names = (r.name for r in out)
        yield make(
            Kind.REPLICAS_OUT, text, "It comes back by itself; see: migrator status", severity=severity,
            count=len(out), subjects=names,
        )  # fmt: skip


def _processes(status: Status, limits: Limits) -> Iterator[Condition]:
    silent = [p for p in status.processes if not p.live]
    if silent:
        live = {p.name for p in status.processes if p.live}
        replaced = all(p.name in live for p in silent)
        text = (
            f"{counted(len(silent), 'process', 'processes')} of applications without a heartbeat within "
            f"{'its' if len(silent) == 1 else 'their'} staleness limit; such a process reads classic by itself"
        )
        severity = Severity.INFO if replaced else Severity.WARNING
        names = (p.name for p in silent)
        hint = "Was it stopped? Then nothing is to be done. See: migrator status"
        yield make(Kind.PROCESS_SILENT, text, hint, severity=severity, count=len(silent), subjects=names)


def _cost(status: Status, limits: Limits) -> Iterator[Condition]:
    bill = status.bill
    if bill is None or bill.against is not Against.OVER:
        return
    severity = Severity.ERROR if bill.ratio is not None and bill.ratio >= 2 else None
    hint = "See why: migrator cost --shards; correct capacity or the plan's [cost]"
    yield make(Kind.COST_OVER_PROJECTION, f"Limitless costs {bill.summary}", hint, severity=severity)


_KNOWN = _MIRROR | {
    "schema.version", "writes.closed", "reads.rolled_back", "reads.fallen_back", "rows.divergent", "tenant.quarantined",
    "rights.differ", DIFFER, "journal.too_large", "copy.failed", "copy.paused", "phase.blocked", "workflow.ended",
    "worker.outdated", "worker.of_another_plan", "worker.of_another_version",
}  # fmt: skip
"""Codes that a rule knows, or another value of the status stands for."""


def _others(status: Status, limits: Limits) -> Iterator[Condition]:
    by_code: dict[str, list[Blocker]] = {}
    for blocker in status.blockers:
        if blocker.code not in _KNOWN and not blocker.code.startswith("capture."):
            by_code.setdefault(blocker.code, []).append(blocker)
    for code, found in by_code.items():
        text = found[0].text + _and_more(found)
        names = (b.subject for b in found)
        yield make(Kind.BLOCKED, text, "See all: migrator status", key=code, count=len(found), subjects=names)


_Rules = tuple[Callable[[Status, Limits], Iterable[Condition]], ...]

_ALWAYS: _Rules = (
    _schema,
    _gates,
    _by_code(
        "writes.closed", Kind.WRITES_CLOSED, "They open again within max_pause_s; if not: migrator decommission reopen"
    ),
    _by_code("workflow.ended", Kind.WORKFLOW_ENDED, "Correct the cause, then start it again: migrator resume"),
    _workers,
    _cost,
    _others,
)

_OF_CLASSIC: _Rules = (
    _by_code("journal.too_large", Kind.JOURNAL_OVER_LIMIT, "See why: migrator mirror status"),
    _runway,
    _replicas,
)
"""Of classic, where writes go until the hand-over; behind it, what is stored about these says nothing any more."""

_UNDER_WAY: _Rules = (
    _capture,
    _divergence,
    _by_code(DIFFER, Kind.READS_DIFFER, READS_HINT),
    _rollback,
    _fallbacks,
    _breaches,
    _quarantine,
    _mirror,
    _by_code("copy.paused", Kind.COPY_PAUSED, "Resume it with: migrator backfill throttle --resume"),
    _copies,
    _rights,
    _validation,
    _processes,
    _drills,
)
"""Of rows that follow classic, and of reads that move. After an abort what is stored about them is kept up to
date no more, and the rollback that it began with is no news beside the abort."""
