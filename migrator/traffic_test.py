"""Judges shadow runs and load tests: what of their results keeps dual write from beginning.

Facts from stored reports (migrator.model.traffic_test), a pure judgement, and what the gate before dual write asks.
Each finding may be acknowledged in the plan, by its code or by code and subject.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg

from migrator.control import history, votes
from migrator.db.named import load
from migrator.model.acceptance import Size, accepted, entry_for, outgrown
from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.traffic_test import (
    CODES,
    LOAD,
    SHADOW,
    LoadResult,
    Pace,
    ShadowResult,
    Shards,
    SideLoad,
    StatementResult,
)
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

WEEKS_PER_MONTH = 365.25 / 12 / 7

DAY_S = 86_400.0

AHEAD_S = 300.0
"""A result dated so much later than now was stored under another clock: how old it is, is not known."""

BASIS = "basis"
"""Key of a stored result beside its own: of which plan and which tables it is."""

_SQL = load("migrator", "traffic_test.sql")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the plan says. growth: factor on the measured peak."""

    shadow_required: bool = False
    load_required: bool = False
    max_age_days: float = 30
    p99_factor: float = 2.0
    p99_floor_ms: float = 50.0
    min_calls: int = 20
    growth: float = 1.0

    @classmethod
    def of(cls, plan: Plan) -> Limits:
        section = plan.traffic_test
        months = plan.runway.weeks / WEEKS_PER_MONTH if section.growth_months is None else section.growth_months
        return cls(
            section.shadow_required,
            section.load_required,
            section.max_age_days,
            section.p99_factor,
            section.p99_floor_ms,
            section.min_calls,
            (1 + plan.runway.monthly_growth_pct / 100) ** months,
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest report of a kind.

    Attributes:
        age_s: by classic's clock.
        problem: why it cannot be read.
        changed: what is another by now than when it was made: "plan", "tables of the plan", "schema".
    """

    at: datetime
    age_s: float
    result: ShadowResult | LoadResult | None = None
    problem: str = ""
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is; None: no such report."""

    shadow: Stored | None = None
    load: Stored | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a result says.

    Attributes:
        code: one of `CODES`; with ":" and *subject* behind it the name to acknowledge it by.
        subject: the fingerprint of a statement; '' of the result as a whole.
        do: what to do next; '' for a note, which does not block.
        weight: the worst of a code come first.
        size: in a unit that runs can be compared by; None: it has none.
    """

    code: str
    subject: str
    text: str
    do: str = ""
    acknowledged: bool = False
    weight: float = field(default=0.0, compare=False)
    size: Size | None = None

    @property
    def name(self) -> str:
        """What it is acknowledged by."""
        return f"{self.code}:{self.subject}" if self.subject else self.code

    @property
    def blocks(self) -> bool:
        return bool(self.do) and not self.acknowledged


def findings(facts: Facts, limits: Limits, acknowledged: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return everything there is to say, what blocks first, of each code the worst first. Pure."""
    found = [*_shadow(facts.shadow, limits), *_load(facts.load, limits)]
    marked = [_marked(f, acknowledged) for f in found]
    order = {code: number for number, code in enumerate(CODES)}
    return tuple(sorted(marked, key=lambda f: (not f.blocks, order.get(f.code, len(order)), -f.weight, f.subject)))


def blockers_of(found: Iterable[Finding]) -> tuple[Blocker, ...]:
    """Return what blocks, in the operator's words."""
    return tuple(
        Blocker(f.code, f.subject, f"{f.text}; {f.do} (or acknowledge {entry_for(f.name, f.size)})")
        for f in found
        if f.blocks
    )


def notes_of(found: Iterable[Finding]) -> tuple[str, ...]:
    """Return what a gate says though it does not block: what was not asked for, and what the team has accepted."""
    return tuple(f"{f.text} ({f.name} is acknowledged)" if f.do else f.text for f in found if not f.blocks)


def _marked(found: Finding, acknowledged: Collection[str]) -> Finding:
    names = (found.code, found.name)
    if accepted(acknowledged, names, found.size):
        return replace(found, acknowledged=True)
    bound = outgrown(acknowledged, names, found.size)
    if bound is None or not found.do:
        return found
    return replace(found, text=f"{found.text}; it was accepted up to {bound:g}, and is {found.size} now")


# -- a shadow run ----------------------------------------------------------------------------------------------------


def _shadow(stored: Stored | None, limits: Limits) -> Iterator[Finding]:
    yield from _there(stored, SHADOW, "shadow run", limits.shadow_required, limits)
    result = _counting(stored, limits)
    if not isinstance(result, ShadowResult):
        return
    if result.stopped:
        yield Finding("shadow.stopped", "", f"the shadow run was broken off: {result.stopped}", "run it to its end")
    if not any(statement.calls for statement in result.statements):
        yield Finding(
            "shadow.empty", "", f"the shadow run repeated nothing ({counted(result.skipped, 'statement')} skipped)",
            "capture statements with their parameters",
        )  # fmt: skip
        return
    ran = [s for s in result.statements if s.calls]
    if not any(s.compared for s in ran):
        yield Finding(
            "shadow.not_compared", "", "no answer of the shadow run was compared between the sides",
            "run it on tenants that Limitless holds",
        )  # fmt: skip
    calls = sum(s.calls for s in ran)
    for statement in ran:
        yield from _statement(statement, limits, calls)
    few = [s for s in result.statements if _too_few(s, limits)]
    if few:
        names = _names(few)
        yield Finding(
            "shadow.too_few", "",
            f"{counted(len(few), 'statement was', 'statements were')} sampled too little to say whether Limitless is"
            f" slower (fewer than {limits.min_calls} calls, or too uneven ones): {names}",
            "run it for longer (--minutes), at a higher --rate or on a quieter server",
        )  # fmt: skip
    unknown = [s for s in ran if s.shards is Shards.UNKNOWN and not only_there(s)]
    if unknown:
        names = _names(unknown)
        yield Finding(
            "shadow.shards_unknown", "",
            f"how many shards {counted(len(unknown), 'statement visits', 'statements visit')} is not known: {names}",
            "ask Limitless by EXPLAIN",
        )  # fmt: skip
    yield Finding("shadow.run", "", _summary(result, stored))


def _names(statements: Sequence[StatementResult]) -> str:
    return ", ".join(s.fingerprint for s in statements[:5]) + (", …" if len(statements) > 5 else "")


def _too_few(statement: StatementResult, limits: Limits) -> bool:
    """Return whether the run does not know how fast a statement that reads is: nothing seen is not nothing wrong."""
    if not statement.calls:
        return True
    if statement.pace is None or statement.limitless is None:
        return False  # it writes, or fails: judged by its errors
    open_ = statement.pace.p50 is Pace.TOO_FEW and statement.limitless.p50_ms > limits.p99_floor_ms
    return statement.calls < limits.min_calls or open_


def _summary(result: ShadowResult, stored: Stored | None) -> str:
    calls = sum(s.calls for s in result.statements)
    at = f" of {stored.at:%Y-%m-%d %H:%M} UTC" if stored else ""
    writes = {"rolled_back": "rolled back", "left_out": "left out"}
    return (
        f"the shadow run{at} repeated {counted(calls, 'call')} of {counted(len(result.statements), 'statement')}"
        f" of {counted(result.tenants, 'tenant')} from {result.source}; {result.skipped:,} were skipped, writes were"
        f" {writes[result.writes.value]}"
    )


def only_there(statement: StatementResult) -> dict[str, int]:
    """Return the errors that Limitless gave alone, by SQLSTATE."""
    return _more(statement.limitless_errors, statement.classic_errors)


def _more(there: Mapping[str, int], here: Mapping[str, int]) -> dict[str, int]:
    """Return what Limitless gave and classic did not, or not half as often: deadlocks and timeouts come on both."""
    return {state: number for state, number in there.items() if number > 2 * here.get(state, 0)}


def _percent(part: float, whole: float, unit: str) -> Size:
    return Size(100 * part / whole, f"% of {unit}", 100)


def _statement(statement: StatementResult, limits: Limits, calls: int) -> Iterator[Finding]:
    name = f"statement {statement.fingerprint}"
    shown = f": {_short(statement.text)}"
    if errors := only_there(statement):
        told = ", ".join(f"{state} ({number:,} times)" for state, number in sorted(errors.items()))
        yield Finding(
            "shadow.error", statement.fingerprint,
            f"{name} fails on Limitless alone, of {counted(statement.calls, 'call')}: {told}{shown}",
            "rewrite it, or make what it needs", weight=sum(errors.values()),
            size=_percent(sum(errors.values()), statement.calls, "its calls"),
        )  # fmt: skip
    if statement.differing:
        yield Finding(
            "shadow.differs", statement.fingerprint,
            f"{statement.differing:,} of {counted(statement.compared, 'answer')} of {name} differ{shown}",
            "find out why", weight=statement.differing,
            size=_percent(statement.differing, statement.compared, "its answers"),
        )  # fmt: skip
    if statement.shards is Shards.MANY:
        yield Finding(
            "shadow.crossing", statement.fingerprint,
            f"{name} asks many shards, in {counted(statement.calls, 'call')}{shown}",
            "bind the shard key in it", weight=statement.calls,
            size=_percent(statement.calls, calls, "all calls"),
        )  # fmt: skip
    yield from _slower(statement, limits, name, shown)


def _slower(statement: StatementResult, limits: Limits, name: str, shown: str) -> Iterator[Finding]:
    here, there = statement.classic, statement.limitless
    if not statement.write and (here is None or there is None):
        if not only_there(statement) and not statement.classic_errors:
            yield Finding(
                "shadow.not_run", statement.fingerprint,
                f"no call of {name} ended on {'Limitless' if there is None else 'classic'}{shown}", "run it again",
            )  # fmt: skip
        return
    if here is None or there is None or statement.pace is None:
        return
    pace = statement.pace
    judged = (
        ("p99", pace.p99, here.p99_ms, there.p99_ms),
        ("median", pace.p50, here.p50_ms, there.p50_ms),
        ("p99.9", pace.p999, here.p999_ms, there.p999_ms),
    )
    for word, known, was, now in judged:
        if known is not Pace.SLOWER or now <= limits.p99_floor_ms or now <= limits.p99_factor * was:
            continue
        times = f"{now / was:.1f} times" if was > 0 else "more than"
        yield Finding(
            "shadow.slower", statement.fingerprint,
            f"{name} has a {word} of {now:.1f} ms on Limitless, {times} its {was:.1f} ms on classic"
            f" (limit {limits.p99_factor:g} times, above {limits.p99_floor_ms:g} ms){shown}",
            "make it faster there", weight=now / was if was > 0 else float("inf"), size=_times(now, was),
        )  # fmt: skip
        return


# -- a load test -----------------------------------------------------------------------------------------------------


def _load(stored: Stored | None, limits: Limits) -> Iterator[Finding]:
    yield from _there(stored, LOAD, "load test", limits.load_required, limits)
    result = _counting(stored, limits)
    if not isinstance(result, LoadResult):
        return
    if result.stopped:
        yield Finding("load.stopped", "", f"the load test did not end by itself: {result.stopped}", "run it to its end")
    side, needed = result.limitless, result.peak_per_s * limits.growth
    if not side.offered_per_s or (side.latency is None and not side.errors):
        yield Finding("load.empty", "", "the load test offered Limitless nothing that was answered", "run it again")
        return
    asked = (
        f"the peak of {result.peak_per_s:,.0f}/s ({result.peak_source}) times {limits.growth:.2f} for growth is"
        f" {needed:,.0f}/s"
    )
    carries = side.carries_per_s
    if result.peak_per_s > 0 and carries < needed and side.generator_limited:
        yield Finding(
            "load.not_reached", "", f"{asked}; {_carries(side)}", "test with more --processes, or from more machines"
        )
    elif carries < needed or result.peak_per_s <= 0:
        yield Finding(
            "load.saturated", "", f"{asked}; {_carries(side)}", "give it more capacity, or test with more",
            size=_times(needed, carries) if needed else None,
        )  # fmt: skip
    else:
        yield Finding("load.run", "", f"{asked}; {_carries(side)}")
    if more := _more(side.errors, result.classic.errors if result.classic else {}):
        told = ", ".join(f"{state} ({number:,} times)" for state, number in sorted(more.items()))
        text = f"Limitless gave errors under load that classic did not: {told}"
        yield Finding("load.errors", "", text, "find out why")
    if result.classic and result.classic.latency and side.latency:
        was, now = result.classic.latency.p99_ms, side.latency.p99_ms
        if now > limits.p99_floor_ms and now > limits.p99_factor * was:
            yield Finding(
                "load.slower", "",
                f"under load Limitless has a p99 of {now:.1f} ms, classic {was:.1f} ms"
                f" (limit {limits.p99_factor:g} times, above {limits.p99_floor_ms:g} ms)",
                "give it more capacity", size=_times(now, was),
            )  # fmt: skip


def _times(now: float, was: float) -> Size:
    return Size(now / was if was > 0 else float("inf"), "times")


def _carries(side: SideLoad) -> str:
    if side.saturation_per_s is not None:
        return f"Limitless is saturated at {side.saturation_per_s:,.0f}/s and carries {side.carries_per_s:,.0f}/s"
    if side.generator_limited:
        return f"Limitless carried {side.served_per_s:,.0f}/s; above it the generator was at its own limit"
    return f"Limitless carried {side.served_per_s:,.0f}/s, and no more than {side.offered_per_s:,.0f}/s were offered"


# -- both ------------------------------------------------------------------------------------------------------------


def _there(stored: Stored | None, kind: str, name: str, required: bool, limits: Limits) -> Iterator[Finding]:
    """Say whether there is a result that counts."""
    command = f"run it: migrator {kind} run"
    if stored is None:
        told = f"there is no {name}"
        if required:
            yield Finding(f"{kind}.missing", "", told, command)
        else:
            yield Finding(f"{kind}.not_required", "", f"{told}: the plan asks for none (traffic_test.{kind}_required)")
    elif stored.problem:
        yield Finding(f"{kind}.unreadable", "", f"the {name} cannot be read: {stored.problem}", command)
    elif stored.age_s > limits.max_age_days * DAY_S:
        told = f"the {name} is {stored.age_s / DAY_S:.0f} days old (limit {limits.max_age_days:g} days)"
        yield Finding(f"{kind}.old", "", told, command if required else "")
    elif stored.age_s < -AHEAD_S:
        told = f"the {name} is dated {-stored.age_s / 3600:.1f} h from now: classic's clock was set back"
        yield Finding(f"{kind}.old", "", told, command if required else "")
    elif stored.changed:
        told = f"the {name} is of another {' and another '.join(stored.changed)} than there is now"
        yield Finding(f"{kind}.changed", "", told, command if required else "")


def _counting(stored: Stored | None, limits: Limits) -> ShadowResult | LoadResult | None:
    """Return the result that is judged: none where it is too old, or of something else."""
    if stored is None or stored.changed or not -AHEAD_S <= stored.age_s <= limits.max_age_days * DAY_S:
        return None
    return stored.result


def _short(text: str, most: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


# -- asking ----------------------------------------------------------------------------------------------------------


def basis(conn: Connection, plan: Plan) -> dict[str, str]:
    """Return what a result of now is of: the plan, which tables it moves and how, and their columns on classic."""
    tables = plan.tables.model_dump(mode="json")
    # Tables that are left out are answers to the inventory, which may change at any time.
    tables["table"] = {name: table for name, table in tables["table"].items() if table["kind"] != "excluded"}
    row = conn.execute(_SQL["shape"], {"schemas": list(plan.tables.schemas)}).fetchone()
    assert row is not None
    said = hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()
    return {"plan": plan.name, "tables of the plan": said, "schema": str(row[0])}


def read(conn: Connection, plan: Plan) -> Facts:
    """Return the newest results that are stored."""
    now = basis(conn, plan)
    return Facts(_stored(conn, SHADOW, now), _stored(conn, LOAD, now))


def _stored(conn: Connection, kind: str, now: Mapping[str, str]) -> Stored | None:
    row = history.newest_report(conn, kind)
    if row is None:
        return None
    at, age_s = row["at"], (votes.now(conn) - row["at"]).total_seconds()
    reads = ShadowResult.from_json if kind == SHADOW else LoadResult.from_json
    try:
        result = reads(row["body"])
    except ValueError as error:
        return Stored(at, age_s, problem=str(error))
    was = row["body"].get(BASIS)
    changed = tuple(what for what in now if not isinstance(was, Mapping) or was.get(what) != now[what])
    return Stored(at, age_s, result, changed=changed)


def look(conn: Connection, plan: Plan) -> tuple[Finding, ...]:
    """Return what the newest results say."""
    return findings(read(conn, plan), Limits.of(plan), plan.gates.acknowledged)
