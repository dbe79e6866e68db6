"""What a person may order on the board, and what each order would do. Carried out by the functions of the commands.

An order is asked for, shown with everything it would change, and carried out as it was shown, in the name of who signed
in. Those that Temporal carries out are sent to it; a rollback needs classic alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import psycopg

from migrator.control import known, votes
from migrator.control.incident import report_incident
from migrator.control.install import active_plan, require_version
from migrator.errors import MigratorError, UsageError
from migrator.governance.cast import Claim, cast
from migrator.model.action import Action
from migrator.model.counted import counted
from migrator.model.gate import gate_of
from migrator.model.incident import RollbackResult
from migrator.model.route import FallbackScope
from migrator.model.shell import argument, word
from migrator.model.shown import duration
from migrator.model.tenant import TenantId
from migrator.plan.load import from_earlier
from migrator.plan.schema import Plan
from migrator.traffic.incident import rollback as incident
from migrator.traffic.route import tenant_hold as holds
from migrator.traffic.route.fallback import is_raised
from migrator.traffic.route.promote import promote_reads

Connection = psycopg.Connection[Any]

CONFIRM_S = 15.0
"""Seconds that a rollback or a hold waits for the processes' confirmations."""
CATCH_UP_S = 25.0
SHOWN = 10


class Temporal(Protocol):
    """What the running workflows are asked to do; each raises a MigratorError where they cannot be reached."""

    def approve(self, gate: str, who: str) -> str: ...
    def pause(self, who: str, reason: str) -> str: ...
    def resume(self, who: str, reason: str) -> str: ...
    def cut_over(self, who: str, reason: str) -> str: ...
    def report_incident(self, who: str, reason: str) -> str: ...
    def look(self) -> bool:
        """Have them look at routes now; returns whether any was reached."""
        ...


class Kind(StrEnum):
    APPROVE = "approve"
    ROLLBACK = "rollback"
    CUTOVER = "cutover"
    HOLD = "hold"
    RELEASE = "release"
    RESET = "reset"
    PAUSE = "pause"
    RESUME = "resume"
    INCIDENT = "incident"


class Scope(StrEnum):
    """Whose reads a rollback brings back."""

    ALL = "all"
    WAVE = "wave"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for; fields that its kind does not need are empty."""

    kind: Kind
    reason: str = ""
    gate: str = ""
    scope: str = ""
    key: str = ""
    wave: int | None = None
    tenants: tuple[TenantId, ...] = ()
    until: datetime | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would do, and what is worth knowing before. evidence: digest of what an approval is about."""

    actions: tuple[Action, ...]
    notes: tuple[str, ...] = ()
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an order did. complete: nothing is left to happen."""

    text: str
    notes: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class About:
    """An order in words. danger: it moves reads at once; fields: what it has to be told."""

    title: str
    what: str
    fields: tuple[str, ...]
    danger: bool = False
    needs_reason: bool = True


ABOUT: Mapping[Kind, About] = {
    Kind.ROLLBACK: About(
        "Roll back", "Bring reads back to classic, now: all tenants', a wave's, or one tenant's. Loses nothing.",
        ("scope", "wave", "tenant", "reason"), danger=True,
    ),
    Kind.CUTOVER: About("Promote again", "Go forward again after a rollback, as migrator cutover does.", ("reason",)),
    Kind.APPROVE: About(
        "Approve a gate", "Agree, by name, that a phase is left or a wave begins.", ("gate",), needs_reason=False
    ),
    Kind.HOLD: About(
        "Hold a tenant", "Keep a tenant on classic until it is released or a date has come; the waves go on.",
        ("tenant", "until", "reason"),
    ),
    Kind.RELEASE: About("Release a tenant", "Let a held tenant wait for a wave again.", ("tenant", "reason")),
    Kind.RESET: About(
        "Reset the breaker", "Let reads go where their routes say again, once the mirror has caught up.",
        ("fallback", "reason"),
    ),
    Kind.PAUSE: About("Pause", "Start no new copy and no new wave; the mirror goes on.", ("reason",)),
    Kind.RESUME: About("Resume", "Go on after a pause, and ask every gate that said no again.", ("reason",)),
    Kind.INCIDENT: About(
        "Report an incident", "It restarts or pauses the stabilization days, as the plan says.", ("reason",)
    ),
}  # fmt: skip


def preview(conn: Connection, order: Order) -> Preview:
    """Return what *order* would do now.

    Raises:
        MigratorError: it would be refused.
    """
    if ABOUT[order.kind].needs_reason and not order.reason.strip():
        raise UsageError("a reason is missing", hint="It goes into the decision log.")
    if order.kind is not Kind.ROLLBACK:
        require_version(conn)
        active_plan(conn)
    return _PREVIEWS[order.kind](conn, order)


def carry_out(conn: Connection, order: Order, who: str, temporal: Temporal, claim: Claim | None = None) -> Outcome:
    """Do what *order* says, in the name of *who*.

    Args:
        claim: how it is known who that is; None: by a token that others have too.

    Raises:
        MigratorError: it is refused, or a server cannot be reached.
    """
    if order.kind is Kind.APPROVE:
        return _approve(conn, order, claim or Claim(who, via="board"), temporal)
    return _DEEDS[order.kind](conn, order, who, temporal)


def _names(tenants: tuple[TenantId, ...] | list[str]) -> str:
    return ", ".join(tenants[:SHOWN]) + (", …" if len(tenants) > SHOWN else "")


# -- what would happen ---------------------------------------------------------------------------------------


def _see_rollback(conn: Connection, order: Order) -> Preview:
    everybody = order.scope == Scope.ALL
    incident.require_tables(conn, everybody=everybody)
    unsure = () if everybody else incident.check_names(conn, order.wave, order.tenants)
    moved = incident.moved_tenants(conn, order.wave, order.tenants)
    whose = _whose(order)
    text = f"Bring reads of {whose} back to classic"
    text += (
        f"; {counted(len(moved), 'tenant moves', 'tenants move')}: {_names(moved)}"
        if moved
        else "; no tenant moves, all of them are there"
    )
    again = "migrator cutover"
    actions = [Action("rollback", text, again)]
    if not everybody:
        actions.append(Action("hold", f"Hold {whose} there until released", "migrator tenant release"))
    notes = [f"could not be looked up in time, and held all the same: {', '.join(unsure)}"] if unsure else []
    return Preview(tuple(actions), tuple(notes))


def _see_approval(conn: Connection, order: Order) -> Preview:
    gate = gate_of(order.gate)
    facts = votes.facts_of(conn, gate)
    evidence = votes.keep_shown(conn, gate, facts)
    seen = "; ".join(f"{name}: {value}" for name, value in facts.items())
    notes: tuple[str, ...] = (f"What it is about: {seen} (evidence {evidence})",)
    if (eyes := _running(conn).governance.eyes(gate)) > 1:
        notes += (f"{eyes} different people have to approve it.",)
    if gate == "decommission":
        return Preview(
            (Action(f"approve/{gate}", "Approve the decommission: classic is retired", None),),
            ("Behind it is the point of no return: classic takes no writes any more.", *notes),
            evidence,
        )
    undo = "migrator pause, abort or undo"
    return Preview((Action(f"approve/{gate}", f"Approve {gate.replace('_', ' ')}", undo),), notes, evidence)


def _see_hold(conn: Connection, order: Order) -> Preview:
    holds.check_until(conn, order.until)
    unsure = incident.check_names(conn, None, order.tenants)
    back = set(incident.moved_tenants(conn, None, order.tenants))
    how = f"Keep on classic until {order.until:%Y-%m-%d %H:%M %Z}" if order.until else "Keep on classic until released"
    actions = tuple(
        Action(
            f"hold/{t}",
            f"{how}: tenant {t}" + ("; its reads come back from Limitless" if t in back else ""),
            f"migrator tenant release {argument(t)}",
        )
        for t in order.tenants
    )
    return Preview(actions, (f"could not be looked up in time: {', '.join(unsure)}",) if unsure else ())


def _see_release(conn: Connection, order: Order) -> Preview:
    known.check_tenants(conn, order.tenants)
    held = {h.tenant_id for h in holds.held(conn, order.tenants)}
    actions = tuple(
        Action(f"release/{t}", f"Release tenant {t}: it waits for a wave", f"migrator tenant hold {argument(t)}")
        for t in order.tenants
        if t in held
    )
    return Preview(actions, () if actions else ("Not held: nothing would change.",))


def _see_reset(conn: Connection, order: Order) -> Preview:
    scope, key = _fallback(order)
    if not is_raised(conn, scope, key):
        return Preview((), (f"There is no fallback of {_covered(scope, key)}: nothing would change.",))
    text = f"Let reads of {_covered(scope, key)} go where their routes say, once the mirror has caught up"
    return Preview(
        (Action("reset", text, f"migrator breaker trip --{scope.value} {word(key) if key else ''}".strip()),)
    )


def _see(action: Action) -> Callable[[Connection, Order], Preview]:
    return lambda conn, order: Preview((action,))


_PREVIEWS: Mapping[Kind, Callable[[Connection, Order], Preview]] = {
    Kind.APPROVE: _see_approval,
    Kind.ROLLBACK: _see_rollback,
    Kind.CUTOVER: _see(
        Action("cutover", "Move reads forward again, tenants that are held aside", "migrator rollback --all")
    ),
    Kind.HOLD: _see_hold,
    Kind.RELEASE: _see_release,
    Kind.RESET: _see_reset,
    Kind.PAUSE: _see(Action("pause", "Start no new copy and no new wave", "migrator resume")),
    Kind.RESUME: _see(Action("resume", "Go on, and recheck every gate that blocked", "migrator pause")),
    Kind.INCIDENT: _see(Action("incident", "Record an incident; the stabilization days restart or pause", None)),
}


# -- what happens --------------------------------------------------------------------------------------------


def _running(conn: Connection) -> Plan:
    return from_earlier(active_plan(conn))


def _approve(conn: Connection, order: Order, claim: Claim, temporal: Temporal) -> Outcome:
    """As migrator approve does; of the evidence that was shown."""
    gate, plan = gate_of(order.gate), _running(conn)
    if not plan.governance.binding and claim.token is None and not claim.subject:
        return Outcome(temporal.approve(gate, claim.name))
    verdict = cast(conn, plan, gate, claim, order.evidence or None)
    if not verdict.approved:
        return Outcome(f"Taken: {verdict.missing}.", complete=False)
    return Outcome(temporal.approve(gate, verdict.approver))


def _roll_back(conn: Connection, order: Order, who: str, temporal: Temporal) -> Outcome:
    result = incident.roll_back(
        conn,
        all=order.scope == Scope.ALL,
        wave=order.wave,
        tenants=order.tenants,
        who=who,
        reason=order.reason,
        timeout_s=CONFIRM_S,
    )
    notes = _unconfirmed(result)
    if not _looks(temporal):
        notes.append("No running workflow was reached; the rollback is in force without it.")
    moved = (
        f"{_whose(order)} read classic already"
        if result.already
        else f"reads of {counted(result.changed, 'tenant')} moved"
    )
    kept = f"; {counted(result.held, 'tenant is', 'tenants are')} held there until released" if result.held else ""
    return Outcome(
        f"Rolled back: {moved} (epoch {result.epoch}); {_confirmed(result)}{kept}.", tuple(notes), result.complete
    )


def _looks(temporal: Temporal) -> bool:
    try:
        return temporal.look()
    except MigratorError:
        return False


def _hold(conn: Connection, order: Order, who: str, temporal: Temporal) -> Outcome:
    result = incident.hold(conn, order.tenants, who=who, reason=order.reason, until=order.until, timeout_s=CONFIRM_S)
    kept = counted(result.held, "tenant is", "tenants are")
    text = f"{kept} held now, reads of {result.changed:,} came back; {_confirmed(result)}."
    return Outcome(text, tuple(_unconfirmed(result)), result.complete)


def _release(conn: Connection, order: Order, who: str, temporal: Temporal) -> Outcome:
    done = holds.release(conn, order.tenants, who=who, reason=order.reason)
    return Outcome(f"Released: {_names(list(done))}; to wait for a wave." if done else "No such tenant is held.")


def _reset(conn: Connection, order: Order, who: str, temporal: Temporal) -> Outcome:
    scope, key = _fallback(order)
    result = promote_reads(conn, fallback=(scope, key), who=who, reason=order.reason, timeout_s=CATCH_UP_S)
    if result.outcome == "already":
        return Outcome(f"There is no fallback of {_covered(scope, key)}.")
    if result.done:
        return Outcome(f"Reads of {_covered(scope, key)} go where their routes say, after {duration(result.seconds)}.")
    behind = f" (partitions {', '.join(map(str, result.behind))})" if result.behind else ""
    text = f"Not yet: {result.outcome}{behind}. Reads stay on classic; try again. {result.detail}".strip()
    return Outcome(text, complete=False)


def _report(conn: Connection, order: Order, who: str, temporal: Temporal) -> Outcome:
    try:
        return Outcome(temporal.report_incident(who, order.reason))
    except MigratorError:
        # the record on classic is what counts; the window reads it at its next check
        report_incident(conn, order.reason, who)
        return Outcome("Incident recorded. Temporal does not answer; it is taken into account later.")


_DEEDS: Mapping[Kind, Callable[[Connection, Order, str, Temporal], Outcome]] = {
    Kind.ROLLBACK: _roll_back,
    Kind.CUTOVER: lambda conn, order, who, temporal: Outcome(temporal.cut_over(who, order.reason)),
    Kind.HOLD: _hold,
    Kind.RELEASE: _release,
    Kind.RESET: _reset,
    Kind.PAUSE: lambda conn, order, who, temporal: Outcome(temporal.pause(who, order.reason)),
    Kind.RESUME: lambda conn, order, who, temporal: Outcome(temporal.resume(who, order.reason)),
    Kind.INCIDENT: _report,
}


def _confirmed(result: RollbackResult) -> str:
    if not result.processes:
        return "no process runs the shim now"
    return f"{result.confirmed} of {counted(result.processes, 'process')} confirmed in {duration(result.seconds)}"


def _unconfirmed(result: RollbackResult) -> list[str]:
    notes = []
    if result.unchecked:
        notes.append(f"could not be looked up in time, and held all the same: {', '.join(result.unchecked)}")
    if result.pending:
        names = ", ".join(result.pending)
        notes.append(f"not confirmed yet: {names}; such a process reads classic by itself when its routes go stale")
    return notes


def _whose(order: Order) -> str:
    if order.scope == Scope.ALL:
        return "all tenants"
    return f"wave {order.wave}" if order.wave is not None else f"tenant {_names(order.tenants)}"


def _fallback(order: Order) -> tuple[FallbackScope, str]:
    try:
        return FallbackScope(order.scope), order.key
    except ValueError:
        raise UsageError(
            "what the fallback covers was not given", hint="All tenants, a partition or a tenant."
        ) from None


def _covered(scope: FallbackScope, key: str) -> str:
    return "all tenants" if not key else f"{scope.value} {key}"
