"""Rolls chosen tenants back in production and forward again, and measures it.

Like a rollback for routes, processes and reads. Unlike one it is no incident, since the days of the stabilization would
begin again, and holds no tenant. Killed in the middle it leaves its tenants on classic, rolled back by who began it,
and the cutover waits until a person goes forward: nothing is lost, and `migrator status` says it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from migrator.control import drill as stored
from migrator.control import known, locks, samples
from migrator.control import route as routes
from migrator.control.breaker import fallback_reasons
from migrator.control.history import decided_at_s
from migrator.control.process import processes
from migrator.control.tenant import not_watched_so, wave_members
from migrator.control.tenant_hold import holds
from migrator.errors import MigratorError, NoGo, PreconditionFailed
from migrator.model.blocker import Blocker
from migrator.model.drill import DrillKind
from migrator.model.route import Level, WriteMode
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.poll import until
from migrator.traffic.route.move import move, watch
from migrator.traffic.route.promote import Promoted, promote_reads

Connection = psycopg.Connection[Any]

LOOK_S = 0.005
HOLD_S = 10.0
"""Reads of the tenants on classic are waited for at most so long, before they go forward again."""

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rollback drill of *tenants* begins from.

    Attributes:
        levels: of the tenants' routes.
        under_way: waves of them that are not done.
        live: processes that run the shim now.
    """

    tenants: tuple[TenantId, ...]
    write_mode: WriteMode
    switch: Level
    levels: Mapping[TenantId, Level]
    held: frozenset[TenantId] = frozenset()
    under_way: tuple[int, ...] = ()
    fallbacks: tuple[str, ...] = ()
    live: int = 0


def refusals(facts: Facts) -> tuple[Blocker, ...]:
    """Return every reason why this is no moment for a drill. Pure."""
    found = []
    if not facts.tenants:
        found.append(Blocker("drill.no_tenant", "", "no tenant is meant"))
    if facts.write_mode is not WriteMode.DUAL:
        text = f"the write mode is {facts.write_mode}: there is a way back only while writes are dual"
        found.append(Blocker("drill.write_mode", "", text))
    if facts.switch is not Level.LIMITLESS:
        found.append(Blocker("reads.rolled_back", "", "all reads are rolled back to classic already"))
    away = [t for t in facts.tenants if facts.levels.get(t) is not Level.LIMITLESS]
    found += [
        Blocker("drill.not_there", t, f"tenant {t} does not read from Limitless, so it cannot be rolled back")
        for t in away[:SHOWN]
    ]
    held = [t for t in facts.tenants if t in facts.held]
    found += [Blocker("tenant.held", t, f"tenant {t} is held on classic") for t in held[:SHOWN]]
    found += [
        Blocker("drill.wave_under_way", f"wave-{number}", f"wave {number} is not done: its watch would take the drill "
                "for trouble")
        for number in facts.under_way
    ]  # fmt: skip
    found += [
        Blocker("reads.fallen_back", "", f"reads have fallen back to classic: {reason}", True)
        for reason in facts.fallbacks[:SHOWN]
    ]
    if not facts.live:
        found.append(Blocker("drill.no_process", "", "no process runs the shim now, so nothing could be measured"))
    return tuple(found)


def gather(conn: Connection, tenants: Sequence[TenantId], wave: int | None) -> Facts:
    """Read what a drill of *tenants*, or of the members of *wave*, begins from.

    Raises:
        UsageError: there is no such wave, or no such tenant.
    """
    if wave is not None:
        known.check_wave(conn, wave)
        tenants = wave_members(conn, wave)
    else:
        known.check_tenants(conn, tenants)
    standings = routes.standings(conn, tenants)
    now = routes.switch(conn)
    waves = sorted({s.wave for s in standings.values() if s.wave is not None})
    return Facts(
        tenants=tuple(dict.fromkeys(tenants)),
        write_mode=now.write_mode,
        switch=now.level,
        levels={t: s.level for t, s in standings.items()},
        held=frozenset(one.tenant_id for one in holds(conn)),
        under_way=tuple(number for number in waves if _is_under_way(conn, number)),
        fallbacks=tuple(fallback_reasons(conn)),
        live=sum(process.live for process in processes(conn)),
    )


def _is_under_way(conn: Connection, number: int) -> bool:
    chosen = decided_at_s(conn, "wave.chosen", f"wave-{number}")
    finished = decided_at_s(conn, "wave.finished", f"wave-{number}")
    return chosen is not None and (finished is None or finished < chosen)


@dataclass(frozen=True, slots=True)
class Move:
    """One way of a drill: to classic, or to Limitless.

    Attributes:
        in_force_s: from the order to the change's commit.
        confirmed_s: from the order until each process had applied it, by process.
        pending: processes that had not in time.
    """

    in_force_s: float
    confirmed_s: Mapping[str, float] = field(default_factory=dict)
    pending: tuple[str, ...] = ()

    @property
    def last_s(self) -> float:
        """Until the last process had confirmed."""
        return max(self.confirmed_s.values(), default=self.in_force_s)


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads of the drilled tenants on one side meanwhile. errors: what counts against the side."""

    reads: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class RollbackDrill:
    """The result of a drill. problems: why it did not pass; empty when it did."""

    tenants: int
    back: Move
    forward: Move | None = None
    classic: Reads = Reads()
    limitless: Reads = Reads()
    seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems


def judge(done: RollbackDrill, outcome: str) -> RollbackDrill:
    """Return the drill with why it did not pass. Pure. outcome: how going forward ended; '' when reads are back."""
    problems = []
    if done.back.pending:
        problems.append(f"the rollback was not confirmed by {', '.join(done.back.pending[:SHOWN])}")
    if outcome:
        problems.append(f"reads did not go forward again: {outcome}; migrator cutover --tenant ID brings them there")
    elif done.forward is not None and done.forward.pending:
        problems.append(f"going forward was not confirmed by {', '.join(done.forward.pending[:SHOWN])}")
    for side, seen in ((Side.CLASSIC, done.classic), (Side.LIMITLESS, done.limitless)):
        if seen.errors:
            problems.append(f"{seen.errors} of {seen.reads} reads failed on {side} meanwhile")
    return replace(done, problems=tuple(problems))


def practise(
    conn: Connection,
    facts: Facts,
    who: str,
    *,
    timeout_s: float = 30.0,
    hold_s: float = HOLD_S,
    kind: DrillKind = DrillKind.ROLLBACK,
    meanwhile: Callable[[], Mapping[str, Any]] = dict,
) -> RollbackDrill:
    """Roll the tenants of *facts* back and forward again, and store the result.

    The caller has asked `refusals`, and a person has thought since: they are asked again. What others do meanwhile
    stays: a tenant that is held or moved by then is not brought forward, and the drill did not pass.

    Args:
        timeout_s: for the confirmations of each way.
        hold_s: how long reads on classic are waited for in between.
        meanwhile: called while reads are on classic; what it returns is stored with the drill.

    Raises:
        NoGo: this is no moment for it any more, or another drill runs.
    """
    if not locks.only_drill(conn):
        raise NoGo(
            f"drill {kind.value}", [Blocker("drill.another", "", "another drill runs", True)], hint="Wait for its end."
        )
    try:
        if refused := refusals(gather(conn, facts.tenants, None)):
            raise NoGo(f"drill {kind.value}", refused)
        return _watched(conn, facts, who, timeout_s, hold_s, kind, meanwhile)
    finally:
        if not conn.closed:
            locks.drill_over(conn)


def _watched(
    conn: Connection,
    facts: Facts,
    who: str,
    timeout_s: float,
    hold_s: float,
    kind: DrillKind,
    meanwhile: Callable[[], Mapping[str, Any]],
) -> RollbackDrill:
    tenants, reason = list(facts.tenants), f"drill of {kind.value} by {who}"
    unwatched = sorted(not_watched_so(conn, tenants, True))
    watch(conn, unwatched, True, who=who)  # processes then report these tenants' reads one by one
    try:
        return _practise(conn, tenants, who, reason, timeout_s, hold_s, kind, meanwhile)
    finally:
        watch(conn, unwatched, False, who=who)


def _practise(
    conn: Connection,
    tenants: list[TenantId],
    who: str,
    reason: str,
    timeout_s: float,
    hold_s: float,
    kind: DrillKind,
    meanwhile: Callable[[], Mapping[str, Any]],
) -> RollbackDrill:
    began, since_s = time.monotonic(), _now_s(conn)
    epoch = move(conn, tenants, Level.CLASSIC, who=who, reason=reason)
    back = _confirmed(conn, epoch, began, timeout_s)
    until(lambda: _reads(conn, tenants, Side.CLASSIC, since_s).reads, hold_s, 0.1, done=bool)
    extra, failed = _done_meanwhile(meanwhile)
    turned = time.monotonic()
    promoted, outcome = _forward(conn, tenants, who, reason, timeout_s)
    forward = _confirmed(conn, promoted.epoch, turned, timeout_s) if promoted is not None else None
    forward_s = _now_s(conn)
    if forward is not None and not outcome:
        until(lambda: _reads(conn, tenants, Side.LIMITLESS, forward_s).reads, hold_s, 0.1, done=bool)
    done = judge(
        RollbackDrill(
            len(tenants),
            back,
            forward,
            _reads(conn, tenants, Side.CLASSIC, since_s),
            _reads(conn, tenants, Side.LIMITLESS, since_s),
            time.monotonic() - began,
        ),
        outcome,
    )
    done = replace(done, problems=(*done.problems, *failed))
    subject = f"{len(tenants)} tenants: {', '.join(tenants[:SHOWN])}" if len(tenants) > 1 else f"tenant {tenants[0]}"
    stored.add(conn, kind, who, subject, done.passed, done.seconds, {**body(done), **extra})
    return done


def _done_meanwhile(meanwhile: Callable[[], Mapping[str, Any]]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return what is stored with the drill, and why that failed: reads go forward again all the same."""
    try:
        return meanwhile(), ()
    except MigratorError as error:
        return {}, (str(error),)


def _forward(
    conn: Connection, tenants: Sequence[TenantId], who: str, reason: str, timeout_s: float
) -> tuple[Promoted | None, str]:
    """Bring those of *tenants* forward again whose routes are as the drill left them: moved back by *who* for *reason*.

    Returns:
        The move, and why not all of them are forward; '' when they are.
    """
    held = {one.tenant_id for one in holds(conn)}
    left = {
        tenant: standing.version
        for tenant, standing in routes.standings(conn, tenants).items()
        if (standing.level, standing.changed_by, standing.reason) == (Level.CLASSIC, who, reason)
    }
    free = [t for t in tenants if t not in held and t in left]
    others = [t for t in tenants if t not in free]
    why = f"{', '.join(others[:SHOWN])} held or moved by others meanwhile, and left so" if others else ""
    if not free:
        return None, why
    expected = {tenant: left[tenant] for tenant in free}
    forward = f"{reason}, forward again"
    try:
        done = promote_reads(conn, tenants=free, who=who, reason=forward, timeout_s=timeout_s, expected=expected)
    except PreconditionFailed as error:  # somebody was faster than this look
        return None, "; ".join(filter(None, (why, str(error))))
    if not done.done:
        return None, "; ".join(filter(None, (why, f"{done.outcome} {done.detail}".strip())))
    if routes.switch(conn).level is not Level.LIMITLESS:
        why = "; ".join(filter(None, (why, "all reads were rolled back to classic meanwhile")))
    return done, why


def _confirmed(conn: Connection, epoch: int, began: float, timeout_s: float) -> Move:
    """Wait until every live process has applied *epoch*, and note when each did."""
    in_force_s = time.monotonic() - began
    when: dict[str, float] = {}

    def look() -> tuple[str, ...]:
        pending = []
        for process in processes(conn):
            if process.applied_epoch >= epoch:
                when.setdefault(process.label, time.monotonic() - began)
            elif process.live:
                pending.append(process.label)
        return tuple(pending)

    pending = until(look, timeout_s, LOOK_S, done=lambda names: not names, slower=1.3, longest_s=0.05)
    return Move(in_force_s, when, pending)


def _reads(conn: Connection, tenants: Sequence[TenantId], side: Side, since_s: float) -> Reads:
    found = samples.sums(conn, tenants, side, since_s).values()
    return Reads(sum(one.reads for one in found), sum(one.errors for one in found))


def _now_s(conn: Connection) -> float:
    row = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None
    return float(row[0])


def body(done: RollbackDrill) -> dict[str, Any]:
    """Return a drill as plain JSON values, as it is stored and shown."""

    def way(move: Move | None) -> dict[str, Any] | None:
        if move is None:
            return None
        return {
            "in_force_s": round(move.in_force_s, 3),
            "last_confirmed_s": round(move.last_s, 3),
            "confirmed_s": {name: round(s, 3) for name, s in sorted(move.confirmed_s.items())[:100]},
            "processes": len(move.confirmed_s),
            "pending": list(move.pending),
        }

    return {
        "tenants": done.tenants,
        "back": way(done.back),
        "forward": way(done.forward),
        "reads": {"classic": done.classic.reads, "limitless": done.limitless.reads},
        "errors": {"classic": done.classic.errors, "limitless": done.limitless.errors},
        "problems": list(done.problems),
    }
