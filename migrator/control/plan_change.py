"""How does the plan change while its migration runs, and what did it say before?

A change is one transaction on classic: the values, the version that is kept, the decision. Everything else follows from
what is stored there: workers look at it every few seconds (workflows/fit.py). A command that is killed leaves nothing
half done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.control import plan as store
from migrator.control.history import add_report
from migrator.control.install import LOCK, installed_version
from migrator.control.log import decide
from migrator.control.route import write_mode
from migrator.control.tables import captured_tables
from migrator.control.throttle import start_rate
from migrator.errors import NoGo, NotInstalled, PlanMismatch, PreconditionFailed
from migrator.model.route import WriteMode
from migrator.plan.changes import Change, blockers, changes, needs
from migrator.plan.load import digest, dump, from_earlier, shim_settings
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

_KIND = "plan"
_CLOSED = (
    "writes are closed for a hand-over, which goes by the plan as it is: let it finish, or open them again: "
    "migrator decommission reopen"
)
_RUN_FIRST = "Start it with: migrator run --plan PLAN.toml"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the plan. number: from 1. body: as `load.dump` returns it. approver: '' where none was needed."""

    number: int
    at: datetime
    who: str
    reason: str
    body: dict[str, Any]
    changed: tuple[str, ...] = ()
    approver: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What storing *plan* would do to *version*, the one that runs, and what stands in the way beside the changes."""

    plan: Plan
    version: Version
    changes: tuple[Change, ...]
    closed: tuple[str, ...] = ()

    def blockers(self, approver: str | None, *, force: bool) -> tuple[str, ...]:
        """Return everything for which the plan may not be stored; nothing where there is nothing to store."""
        return (*self.closed, *blockers(self.changes, approver, force=force)) if self.changes else ()


def versions(conn: Connection) -> tuple[Version, ...]:
    """Return every version of the plan that runs here, the first one first.

    Raises:
        NotInstalled: no plan was ever started on this cluster.
    """
    return _versions(conn, _running(store.stored(conn) if installed_version(conn) is not None else None))


def look(conn: Connection, plan: Plan) -> Outlook:
    """Return what *plan* would change here; reads only.

    Raises:
        NotInstalled: no plan runs here.
        PlanMismatch: another one does.
    """
    known = versions(conn)
    return _judged(conn, plan, known)


def apply(conn: Connection, seen: Outlook, *, who: str, reason: str, approver: str | None, force: bool) -> Version:
    """Store the plan that was looked at, as *seen* says; owns its transaction. Return the version that runs now.

    Raises:
        NoGo: with everything that stands in the way.
        PreconditionFailed: somebody changed the plan since it was looked at.
    """
    with conn.transaction():
        conn.execute(
            "SELECT migrator_lock FROM pg_advisory_xact_lock(%s) AS migrator_lock", (LOCK,)
        )  # an installation stores plans as well
        known = _versions(conn, _running(store.locked(conn)))
        if known[-1].body != seen.version.body:
            last = known[-1]
            raise PreconditionFailed(
                f"the plan was changed meanwhile: version {last.number}, by {last.who or 'migrator run'}",
                hint="Look at the difference again: migrator plan diff FILE",
            )
        now = _judged(conn, seen.plan, known)
        if found := now.blockers(approver, force=force):
            raise NoGo("plan apply", found, hint="Nothing was changed. See docs/plan-changes.md.")
        if not now.changes:
            return known[-1]
        return _store(conn, now, known, who, reason, approver if any(map(needs, now.changes)) else None)


def _store(
    conn: Connection, now: Outlook, known: Sequence[Version], who: str, reason: str, approver: str | None
) -> Version:
    plan, body = now.plan, dump(now.plan)
    if len(store.kept(conn, plan.name)) < len(known):
        _keep(conn, plan.name, known[-1])
    new = Version(
        known[-1].number + 1, _now(conn), who, reason, body, tuple(c.line for c in now.changes), approver or ""
    )
    _keep(conn, plan.name, new)
    store.change(conn, digest(plan), body, shim_settings(plan))
    start_rate(conn, plan.backfill.mb_per_s)
    named = {"approved_by": approver} if approver else {}
    decide(
        conn, who, "plan.changed", plan.name, reason,
        {"version": known[-1].number, **{c.path: c.before for c in now.changes}},
        {"version": new.number, **{c.path: c.after for c in now.changes}, **named},
    )  # fmt: skip
    return new


def _judged(conn: Connection, plan: Plan, known: Sequence[Version]) -> Outlook:
    running = known[-1]
    if running.body["name"] != plan.name:
        raise PlanMismatch(
            f"plan '{running.body['name']}' runs on this cluster, not '{plan.name}'",
            hint=f"Change plan '{running.body['name']}', or undo it first.",
        )
    captured = {t.qualified: t for t in captured_tables(conn).values()}
    found = changes(from_earlier(running.body), plan, captured, [v.body for v in known[:-1]])
    closed = (_CLOSED,) if write_mode(conn) is WriteMode.CLOSED else ()
    return Outlook(plan, running, found, closed)


def _running(found: store.Stored | None) -> store.Stored:
    if found is None:
        raise NotInstalled("no plan was started on this classic cluster", hint=_RUN_FIRST)
    return found


def _versions(conn: Connection, running: store.Stored) -> tuple[Version, ...]:
    """The kept versions and, where it is none of them, what runs now: before the first change, or stored by a run."""
    found = [_version(number, at, kept) for number, (at, kept) in enumerate(store.kept(conn, running.plan_id), 1)]
    if not found or found[-1].body != running.body:
        found.append(Version(len(found) + 1, running.created_at, "", "migrator run", running.body))
    return tuple(found)


def _version(number: int, at: datetime, kept: Mapping[str, Any]) -> Version:
    return Version(number, at, kept["who"], kept["reason"], kept["plan"], tuple(kept["changed"]), kept["approver"])


def _keep(conn: Connection, plan_id: str, version: Version) -> None:
    add_report(
        conn, _KIND,
        {
            "plan_id": plan_id, "version": version.number, "who": version.who, "reason": version.reason,
            "approver": version.approver, "changed": list(version.changed), "plan": version.body,
        },
    )  # fmt: skip


def _now(conn: Connection) -> datetime:
    row = conn.execute("SELECT now()").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found
