"""Does on classic what alarms ask for: rolls back, makes reads fall back, reports. Needs a connection to classic only.

Each act is safe to repeat: what is on classic already stays, and the answer says so. One act that cannot be done does
not keep the others from being done: of five tenants in a group one may be unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control import alarm as noted
from migrator.control import breaker as stored
from migrator.control import known
from migrator.control.incident import report_incident
from migrator.control.route import write_mode
from migrator.errors import PreconditionFailed, UsageError
from migrator.model.counted import counted
from migrator.model.incident import RollbackResult
from migrator.model.route import FallbackScope, Level, WriteMode
from migrator.model.tenant import TenantId
from migrator.traffic.incident.match import Decision
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.change import reachable
from migrator.traffic.route.confirm import wait_confirmed
from migrator.traffic.route.fallback import raise_fallback, raise_fallbacks

UNPROCESSABLE = 422
LONGEST_TENANT = 2_000
"""Bytes of a tenant's name: a row of a B-tree index has at most 2,704."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one alarm.

    Attributes:
        status: of HTTP: 200, 202 (not every process has confirmed), 409 (cannot be done any more), 422 (names what does
            not exist).
        word: `rolled back`, `already on classic`, `fallback raised`, `already raised`, `reported`, `already reported`,
            `ignored`, `no rule`, `not firing`, `refused`.
        note: what there is to say beyond that.
    """

    decision: Decision
    word: str
    status: int = 200
    note: str = ""
    result: RollbackResult | None = None


def reason_of(decision: Decision, others: int = 0) -> str:
    """Return the reason for the decision log: the alarm's name and text, and how many more asked for the same."""
    alarm = decision.alarm
    more = f" (and {counted(others, 'more alarm')})" if others else ""
    return f"alarm {alarm.name or 'without a name'}{more}{': ' if alarm.text else ''}{alarm.text}"


def of_rollback(decision: Decision, result: RollbackResult) -> Outcome:
    """Return the outcome of a rollback."""
    word = "already on classic" if result.already else "rolled back"
    return Outcome(decision, word, 200 if result.complete else 202, _unconfirmed(len(result.pending)), result)


def _unconfirmed(pending: int) -> str:
    if not pending:
        return ""
    said = counted(pending, "process has not confirmed yet and stops", "processes have not confirmed yet and stop")
    return f"{said} reading Limitless after the staleness limit"


def passive(decision: Decision) -> Outcome:
    """Return the outcome of an alarm that does nothing."""
    word = "ignored" if decision.action == "ignore" else decision.note.partition(";")[0]
    return Outcome(decision, word, note=decision.note.partition(";")[2].strip())


def everybody(conn: Connection, decision: Decision, source: str, timeout_s: float) -> Outcome:
    """Do what is about all tenants: a rollback, or a fallback.

    Raises:
        PreconditionFailed: past the point of no return.
    """
    who, reason = f"alarm {source}", reason_of(decision)
    if decision.action == "roll_back":
        return of_rollback(decision, roll_back(conn, all=True, who=who, reason=reason, timeout_s=timeout_s))
    with reachable():
        _before_the_end(conn)
        before = stored.fallback(conn, FallbackScope.ALL, "")
    epoch = raise_fallback(conn, FallbackScope.ALL, "", by=who, reason=reason, held=True)
    return _fallen_back(conn, decision, epoch, before is not None and before.level is Level.CLASSIC, timeout_s)


def some(conn: Connection, decisions: Sequence[Decision], source: str, timeout_s: float) -> list[Outcome]:
    """Do what is not about all tenants; several alarms about tenants are one change.

    Raises:
        PreconditionFailed, WrongVersion: as `roll_back`.
    """
    found: list[Outcome] = []
    if any(decision.action != "report" for decision in decisions):
        with reachable():
            _before_the_end(conn)
    for decision in decisions:
        if decision.action == "report":
            found.append(_report(conn, decision, source))
        elif decision.action == "roll_back" and decision.wave:
            found.append(_wave(conn, decision, source, timeout_s))
    for action in ("roll_back", "breaker"):
        about = [d for d in decisions if d.action == action and d.tenants]
        if about:
            found += _tenants(conn, about, source, timeout_s)
    return found


def _report(conn: Connection, decision: Decision, source: str) -> Outcome:
    if noted.reported(conn, source, decision.alarm.episode):
        return Outcome(decision, "already reported")
    with reachable():
        report_incident(conn, reason_of(decision), f"alarm {source}", again=False)
    return Outcome(decision, "reported")


def _wave(conn: Connection, decision: Decision, source: str, timeout_s: float) -> Outcome:
    try:
        result = roll_back(
            conn, wave=decision.wave, who=f"alarm {source}", reason=reason_of(decision), timeout_s=timeout_s
        )
    except UsageError as error:
        return Outcome(decision, "refused", UNPROCESSABLE, str(error))
    return of_rollback(decision, result)


def _tenants(conn: Connection, decisions: Sequence[Decision], source: str, timeout_s: float) -> list[Outcome]:
    wanted = list(dict.fromkeys(tenant for decision in decisions for tenant in decision.tenants))
    with reachable():
        if known.nothing_begun(conn):
            return [Outcome(d, "already on classic", result=RollbackResult(already=True)) for d in decisions]
        looked_up = known.look_up(conn, wanted)
    # A name that no index could hold is none, also where that could not be looked up in time.
    unknown = {TenantId(name) for name in wanted if name in looked_up.absent or len(name.encode()) > LONGEST_TENANT}
    there = [tenant for tenant in wanted if tenant not in unknown]
    one: Outcome | None = None
    if there:
        one = _together(conn, decisions, there, source, timeout_s)
    found = []
    for decision in decisions:
        absent = [tenant for tenant in decision.tenants if tenant in unknown]
        note = f"there is no tenant {', '.join(name[:100] for name in absent[:5])}" if absent else ""
        if one is None or len(absent) == len(decision.tenants):
            found.append(Outcome(decision, "refused", UNPROCESSABLE, note))
        else:
            said = "; ".join(filter(None, (note, one.note)))
            found.append(Outcome(decision, one.word, one.status, said, one.result))
    return found


def _together(
    conn: Connection, decisions: Sequence[Decision], tenants: Sequence[TenantId], source: str, timeout_s: float
) -> Outcome:
    first, who = decisions[0], f"alarm {source}"
    reason = reason_of(first, len(decisions) - 1)
    if first.action == "roll_back":
        return of_rollback(first, roll_back(conn, tenants=tenants, who=who, reason=reason, timeout_s=timeout_s))
    with reachable():
        before = stored.tenant_fallbacks(conn, tenants)
    already = all(tenant in before and before[tenant].level is Level.CLASSIC for tenant in tenants)
    epoch = raise_fallbacks(conn, dict.fromkeys(tenants, reason), by=who, held=True)
    return _fallen_back(conn, first, epoch, already, timeout_s)


def _fallen_back(conn: Connection, decision: Decision, epoch: int, already: bool, timeout_s: float) -> Outcome:
    confirmation = wait_confirmed(conn, epoch, timeout_s)
    word, status = "already raised" if already else "fallback raised", 200 if confirmation.complete else 202
    return Outcome(decision, word, status, _unconfirmed(len(confirmation.pending)))


def _before_the_end(conn: Connection) -> None:
    if write_mode(conn) is WriteMode.LIMITLESS_ONLY:
        raise PreconditionFailed(
            "writes go to limitless only: classic no longer has the latest rows, so no read may go there",
            hint="The point of no return has passed; see migrator status.",
        )
