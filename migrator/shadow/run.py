"""One shadow run: what is repeated, the replay, the comparison, the plans, the report."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from migrator.audit.catalog import SYSTEM_SCHEMAS
from migrator.audit.evidence.live import collect
from migrator.control import known
from migrator.control.history import add_report
from migrator.control.locks import only_shadow
from migrator.control.log import decide
from migrator.control.partition import all_members, reference_follows
from migrator.control.route import switch
from migrator.control.tenant import unmirrored
from migrator.db.connect import connect
from migrator.db.error_text import what_happened
from migrator.db.hang_up import hung_up_in
from migrator.errors import ClusterUnavailable, PreconditionFailed, UsageError
from migrator.model.counted import counted
from migrator.model.near import unknown
from migrator.model.route import WriteMode
from migrator.model.side import Side
from migrator.model.table import Table
from migrator.model.trace import Call
from migrator.model.traffic_test import SHADOW, ShadowResult, Shards, Writes
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.shadow import again, agree, copied
from migrator.shadow.ask import APP
from migrator.shadow.findings import Finding, Measured, Told, findings, tell, undecided
from migrator.shadow.plans import ROUNDS as PLANS
from migrator.shadow.plans import shards
from migrator.shadow.prepare import Preparer, Repeated, Scope, reads
from migrator.shadow.replay import GRACE_S, Pacing, Played, Replay
from migrator.shadow.statistics import LOOKS, Limits
from migrator.shadow.stopping import INTERRUPTED

Connection = psycopg.Connection[Any]

PLAN_S = 10.0
"""Seconds that Limitless may take for a plan."""

NOT_ASKED = "interrupted: no plans were asked for, and results of tenants that follow classic not compared"
NOT_RUN = "it writes, and writes are left out"
BROKEN_OFF = "the run was stopped, or the statement takes too long"
TIME_UP = "the time was up"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person chose for a run.

    Attributes:
        tenants: that are repeated; empty for every tenant that is on Limitless.
        copies: copies them for the run, before dual write.
    """

    tenants: tuple[str, ...] = ()
    copies: bool = False
    writes: Writes = Writes.ROLLED_BACK
    pacing: Pacing = field(default_factory=Pacing)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run will repeat. left_out: why calls are not repeated, with their number."""

    calls: tuple[Repeated, ...]
    left_out: Counter[str]
    path: tuple[str, ...]
    tables: tuple[Table, ...]
    source: str

    @property
    def tenants(self) -> int:
        return len({tenant for repeated in self.calls for tenant in repeated.tenants})

    @property
    def statements(self) -> int:
        return len({repeated.statement.fingerprint.id for repeated in self.calls})


@dataclass(frozen=True, slots=True)
class Report:
    """What is stored of a run, and shown."""

    result: ShadowResult
    told: tuple[Told, ...]
    findings: tuple[Finding, ...]
    left_out: Counter[str]
    notes: tuple[str, ...]
    trips_ms: dict[str, float | None]
    at: str
    who: str

    def to_json(self) -> dict[str, Any]:
        """Return the stored body: the result, and keys of its own beside it."""
        return {
            **self.result.to_json(),
            "findings": [finding.to_json() for finding in self.findings],
            "details": [one.to_json() for one in self.told],
            "left_out": dict(self.left_out.most_common()),
            "notes": list(self.notes),
            "round_trip_ms": self.trips_ms,
            "at": self.at,
            "who": self.who,
        }


def check_tenants(classic: Connection, tables: Sequence[Table], tenants: Sequence[str]) -> None:
    """Refuse tenants that do not exist. Before anything is captured only the application's tables know.

    Raises:
        UsageError: naming every unknown tenant.
    """
    if not known.nothing_begun(classic):
        known.check_tenants(classic, tenants)
    elif absent := known.in_no_table(classic, tables, tenants):
        raise UsageError(
            "; ".join(f"there is no tenant {tenant}" for tenant in absent),
            hint="A tenant is named as its column prints it; nothing was changed.",
        )


def scope(classic: Connection, limitless: Connection, tables: Sequence[Table], options: Options) -> Scope:
    """Return whose rows are on Limitless, of the tenants that were chosen.

    Raises:
        UsageError: a tenant does not exist, or is not there.
        PreconditionFailed: nothing is there, or there is something and it was to be copied.
    """
    mode = switch(classic).write_mode
    if mode in (WriteMode.CLOSED, WriteMode.LIMITLESS_ONLY):
        raise PreconditionFailed(
            f"the write mode is {mode}: classic is at its end, and there is nothing to compare with",
            hint="A shadow run belongs before the hand-over, best before the first tenant moves.",
        )
    check_tenants(classic, tables, options.tenants)
    if options.copies:
        if not options.tenants:
            raise UsageError("no tenants to copy were given", hint="Name them: --copy --tenant ID; small ones.")
        if not known.nothing_begun(classic):
            raise PreconditionFailed(
                "tenants are copied already, or are about to be, so a run makes no copies of its own",
                hint="Leave --copy out: the tenants that follow classic are repeated.",
            )
        return Scope(dict.fromkeys(options.tenants, 1), True, whole=False)
    parts = {tenant: part for part, tenant in all_members(limitless)}
    if not parts:
        raise PreconditionFailed(
            "no tenant is on Limitless, so there is nothing to compare with",
            hint="Copy some for the run: --copy --tenant ID. Or wait for the backfill of the dual write.",
        )
    absent = [tenant for tenant in options.tenants if tenant not in parts]
    if absent:
        raise UsageError(
            unknown("tenant on Limitless", absent, list(parts)), hint="migrator tenant show ID says what it waits for."
        )
    wanted = {tenant: parts[tenant] for tenant in options.tenants} if options.tenants else parts
    whole = not options.tenants and not unmirrored(classic)
    return Scope(wanted, reference_follows(limitless), whole)


def prepare(
    classic: Connection, limitless: Connection, plan: Plan, calls: Iterable[Call], source: str, options: Options
) -> Prepared:
    """Return what a run of *calls* would repeat. Changes nothing.

    Raises:
        UsageError, PreconditionFailed: as `scope`.
    """
    tables = resolve_tables(classic, plan.tables)
    where = scope(classic, limitless, tables, options)
    evidence = collect(classic)
    preparer = Preparer(evidence.catalog, plan.tables)
    found: list[Repeated] = []
    left_out: Counter[str] = Counter()
    for call in calls:
        repeated = preparer.prepare(call, where)
        if isinstance(repeated, str):
            left_out[repeated] += 1
        elif options.writes is Writes.LEFT_OUT and not reads(repeated):
            left_out[NOT_RUN] += 1
        else:
            found.append(repeated)
    schemas = (*evidence.catalog.search_path, *plan.tables.schemas, "public")
    path = tuple(dict.fromkeys(name for name in schemas if name not in SYSTEM_SCHEMAS))
    return Prepared(tuple(found), left_out, path, tables, source)


def run(
    classic_dsn: str,
    limitless_dsn: str,
    prepared: Prepared,
    options: Options,
    who: str,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Repeat what was prepared, and return what became of it. Stores nothing; leaves nothing behind on either side.

    Raises:
        ClusterUnavailable: a side could not be reached.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    reading = agree.Reading(prepared.path, options.pacing.timeout_s)
    dsns = classic_dsn, limitless_dsn
    replay = Replay(*dsns, prepared.path, options.pacing, writes=options.writes is Writes.ROLLED_BACK)
    try:
        if options.copies:
            agreement = _apart(_at_copy(*dsns, prepared, options.tenants, reading), copied.COPY_S + agree.LONGEST_S)
        played, missing = _play(replay, prepared.calls, options.limits, progress)
        interrupted = played.stopped == INTERRUPTED
        if not options.copies:
            fences = agree.at_fences(*dsns, [] if interrupted else _repeated(played), reading)
            agreement = _apart(fences, agree.LONGEST_S)
        visited, unseen = ({}, [NOT_ASKED]) if interrupted else _visited(limitless_dsn, prepared)
    finally:
        stayed = _removed(limitless_dsn, prepared, options) if options.copies else []
    measured = Measured(agreement.by_statement, agree.reasons(prepared.calls), visited, played.apart_ms)
    told = tell(prepared.calls, played.pairs, measured, options.limits)
    left_out = Counter(prepared.left_out)
    if missing:
        left_out[TIME_UP if played.time_up else BROKEN_OFF] += missing
    return _report(prepared, played, [*agreement.notes, *unseen, *stayed], told, left_out, options, at, who)


def _play(
    replay: Replay, calls: Sequence[Repeated], limits: Limits, progress: Callable[[int], None] | None
) -> tuple[Played, int]:
    """Repeat *calls*, and once more those of statements of which it is open whether they are slower, while there is
    time; return what became of them, and how many of *calls* were not repeated."""
    played = replay.run(calls, progress)
    missing = len(calls) - len(played.pairs)
    for _ in range(LOOKS - 1):
        told = tell(calls, played.pairs, Measured({}, {}, {}, played.apart_ms), limits)
        more = again.more(calls, played.pairs, undecided(told) - played.dropped.keys())
        if not more or played.stopped or played.time_up:
            break
        played = replay.run(more, progress, paced=False)
    return played, missing


@contextmanager
def alone(classic: Connection) -> Iterator[None]:
    """Run while *classic*'s session is the only one with a shadow run: two would take each other's copies away.

    Raises:
        PreconditionFailed: another one is under way.
    """
    if not only_shadow(classic):
        raise PreconditionFailed("another shadow run is under way", hint="Wait for its end: migrator shadow status.")
    yield


def _apart(comparison: Coroutine[Any, Any, agree.Agreement], longest_s: float) -> agree.Agreement:
    """Return what *comparison* finds, in a thread of its own: one that waits for a frozen server is left behind.

    Args:
        longest_s: seconds that are waited for it.

    Raises:
        ClusterUnavailable, MigratorError, psycopg.Error: as *comparison* does.
    """
    found: Future[agree.Agreement] = Future()

    def work() -> None:
        try:
            found.set_result(asyncio.run(comparison))
        except BaseException as error:  # of the thread that waits for this one
            found.set_exception(error)

    threading.Thread(target=work, name="migrator-shadow-compare", daemon=True).start()
    try:
        return found.result(longest_s)
    except TimeoutError:
        return agree.Agreement(notes=["results were not compared: a server did not answer in time"])


def _repeated(played: Played) -> list[Repeated]:
    return [pair.repeated for pair in played.pairs]


async def _at_copy(
    classic_dsn: str, limitless_dsn: str, prepared: Prepared, tenants: Sequence[str], reading: agree.Reading
) -> agree.Agreement:
    """Copy the tenants, and compare at the copy's snapshot, which is given back at once."""
    found = agree.Agreement()
    async with copied.at_copy(classic_dsn, limitless_dsn, prepared.tables, tenants) as both:
        for calls in agree.chosen(prepared.calls).values():
            await agree.at(both, calls, reading, found)
    return found


def _removed(limitless_dsn: str, prepared: Prepared, options: Options) -> list[str]:
    """Remove the copies; return notes on what stays, as Limitless is gone."""
    try:
        asyncio.run(copied.remove(limitless_dsn, prepared.tables, options.tenants))
    except (ClusterUnavailable, psycopg.OperationalError) as error:
        why = str(error) if isinstance(error, ClusterUnavailable) else what_happened(error)
        return [f"the copies are still on Limitless, where the next run or the backfill replaces them: {why}"]
    return []


def _visited(limitless_dsn: str, prepared: Prepared) -> tuple[dict[str, Shards], list[str]]:
    """Return how many shards each statement visits, and notes on those that could not be asked about: what was measured
    before Limitless could not be reached is not lost by it."""
    by_statement: dict[str, list[Repeated]] = defaultdict(list)
    for repeated in prepared.calls:
        by_statement[repeated.statement.fingerprint.id].append(repeated)
    found: dict[str, Shards] = dict.fromkeys(by_statement, Shards.UNKNOWN)
    try:
        conn = connect(limitless_dsn, APP, statement_timeout_s=PLAN_S, lock_timeout_s=2, side="Limitless")
    except ClusterUnavailable as error:
        return found, [f"no plan was asked for: {error}"]
    with closing(conn):
        for number, (name, calls) in enumerate(by_statement.items()):
            with hung_up_in((PLAN_S + GRACE_S) * PLANS, conn):
                found[name] = shards(conn, prepared.path, calls)
            if conn.closed:
                return found, [f"{counted(len(found) - number, 'plan')} not seen: Limitless did not answer"]
    return found, []


def _report(
    prepared: Prepared,
    played: Played,
    notes: Sequence[str],
    told: Sequence[Told],
    left_out: Counter[str],
    options: Options,
    at: str,
    who: str,
) -> Report:
    result = ShadowResult(
        statements=tuple(one.result for one in told),
        source=prepared.source,
        seconds=round(played.seconds, 1),
        tenants=prepared.tenants,
        writes=options.writes,
        skipped=sum(left_out.values()),
        stopped=played.stopped,
    )
    slow = [f"statement {name} took longer than {options.pacing.timeout_s:g} s and was not repeated any more"
            for name in played.dropped]  # fmt: skip
    trips = {side.value: None if ms is None else round(ms, 3) for side, ms in played.trips_ms.items()}
    found = tuple(findings(told))
    return Report(result, tuple(told), found, left_out, (*notes, *slow), trips, at, who)


def keep(classic: Connection, report: Report, beside: Mapping[str, Any] | None = None) -> int:
    """Store a run's report, with keys of others *beside* its own, and log it; return its number. Owns its
    transaction."""
    found = counted(len(report.findings), "finding")
    what = f"{counted(len(report.result.statements), 'statement')} of {report.result.source}: {found}"
    with classic.transaction():
        number = add_report(classic, SHADOW, {**report.to_json(), **(beside or {})})
        decide(classic, report.who, "shadow.ended", f"shadow/{number}", what)
    return number


def sides(trips: dict[str, float | None]) -> list[str]:
    """Return the round trips in words."""
    return [f"{side.value} {ms:.1f} ms" for side in Side if (ms := trips.get(side.value)) is not None]
