"""Upgrades a control schema that an earlier version installed, while applications go on.

A chain of numbered scripts for each side (upgrades/NNNN_SIDE.sql), from the version found to `install.VERSION`. A
script is a list of named steps; each is one transaction under a short lock timeout, tried again while a lock is busy,
and may be done twice. So an upgrade that was killed anywhere is run again and ends the same. The version is written
last, on Limitless first: until it is on classic, workers of this version do nothing.

Shims of earlier versions go on during and after the upgrade. Mirrors, copies and validations of earlier versions must
have ended before it begins, and the first step of all, on classic, refuses what one would write later:
docs/upgrades.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any

import psycopg

from migrator.control import grants
from migrator.control.install import LOCK, VERSION, installed_version, version_problem
from migrator.control.log import decide
from migrator.control.plan import stored
from migrator.control.route import write_mode
from migrator.db import named
from migrator.db.lock_retry import until_free
from migrator.errors import ClusterUnavailable, NoGo
from migrator.model.action import Action
from migrator.model.route import WriteMode
from migrator.poll import until
from migrator.retry import Tried

Connection = psycopg.Connection[Any]

LOCK_TIMEOUT_MS = 300
"""No session queues behind a step for longer than that."""

PATIENCE_S = 120.0
"""A step is tried again for so long while a lock is busy; a concurrent index waits so long for open transactions."""

TURN_S = 60.0
"""How long an upgrade waits for another one to end."""

_FRESH_S = 5.0
_LOOK_S = 0.2
_LEFT = "The upgrade is not undone; the way back is to go on with it (docs/upgrades.md)"

_CLOSED = (
    "writes are closed for a hand-over: let the release that closed them finish it, or open them again with it:"
    " migrator decommission reopen"
)

_PLAIN = re.compile(r"^CREATE (VIEW|FUNCTION)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an upgrade, which a dry run prints and a run does.

    Attributes:
        act: does it in the caller's transaction; may have been done before.
        apart: `act` commits by itself, statement by statement (CREATE INDEX CONCURRENTLY).
    """

    action: Action
    act: Callable[[Connection], None]
    apart: bool = False


def upgrade_steps(
    conn: Connection, side: str, who: str, more: Sequence[Step] = (), *, to: int = VERSION
) -> tuple[Step, ...]:
    """Return what leads from the version on *conn*'s side to version *to*; nothing where none or that one is installed.

    Args:
        side: "classic" or "limitless".
        more: steps of other packages, before the version is written.

    Raises:
        WrongVersion: a newer version of the tool installed it.
        PlanInvalid: the stored plan cannot be read, so it could not be stored anew.
    """
    found = installed_version(conn)
    if found is None or found == to:
        return ()
    if found > to and (problem := version_problem(found, side)):
        raise problem
    chain = [step for version in range(found + 1, to + 1) for step in _script(side, version)]
    if side == "classic":
        chain += [_views(), _restated_plan(conn), _rights()]
    return (*chain, *more, _recorded(side, found, to, who))


def run(conn: Connection, side: str, steps: Sequence[Step], on_step: Callable[[Action], None] | None = None) -> None:
    """Do *steps*, in order; run again after an interruption, all of them are done again, to the same end.

    Raises:
        ClusterUnavailable: a lock stayed busy; running it again goes on.
    """
    if side == "classic":  # the guard of captured tables need not look at our own
        conn.execute("SELECT set_config('migrator.ddl', 'allowed', false)")
    for step in steps:
        if not (tried := _apart(conn, step) if step.apart else until_free(partial(_together, conn, step), PATIENCE_S)):
            raise ClusterUnavailable(
                side,
                f"{step.action.id} waited for a lock {tried}",
                "Find the long transaction in pg_stat_activity and pg_locks, then run migrator upgrade again.",
            )
        if on_step is not None:
            on_step(step.action)


@contextmanager
def only_one(classic: Connection) -> Iterator[None]:
    """Let no other upgrade or installation run on this cluster meanwhile; held by *classic*'s session.

    Raises:
        ClusterUnavailable: another one still runs after `TURN_S`.
    """
    # By trying: a session that waits inside a statement holds a snapshot, and the other's CREATE INDEX CONCURRENTLY
    # waits for it.
    if not until(partial(_try_lock, classic), TURN_S, _LOOK_S):
        raise ClusterUnavailable(
            "classic", f"another upgrade has been running for {TURN_S:.0f} s", "Wait for it to end, then try again."
        )
    try:
        yield
    finally:
        if not classic.closed:
            classic.execute("SELECT migrator_lock FROM pg_advisory_unlock(%s) AS migrator_lock", (LOCK,))


def _try_lock(conn: Connection) -> bool:
    row = conn.execute("SELECT migrator_lock FROM pg_try_advisory_lock(%s) AS migrator_lock", (LOCK,)).fetchone()
    return bool(row and row[0])


_SESSIONS = """
SELECT a.application_name, a.pid, coalesce(host(a.client_addr), 'this host')
  FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND a.application_name ~ '^migrator (worker|mirror|copy|validate)'
 ORDER BY a.application_name, a.pid
"""

_PUBLISHED = """
SELECT part, extract(epoch FROM clock_timestamp() - fresh_at)::float8
  FROM migrator.position WHERE fresh_at > clock_timestamp() - make_interval(secs => %s) ORDER BY part
"""

_LIVING = """
SELECT worker_id, version FROM migrator.worker
 WHERE seen_at > clock_timestamp() - interval '45 seconds' ORDER BY worker_id
"""


def working(classic: Connection) -> tuple[str, ...]:
    """Return every sign of a worker that is still running, one line each: sessions, positions, heartbeats."""
    signs = [*sessions_of_workers(classic)]
    signs += [
        f"mirror partition {part} published its position {age:.1f} s ago"
        for part, age in classic.execute(_PUBLISHED, (_FRESH_S,))
    ]
    row = classic.execute("SELECT to_regclass('migrator.worker') IS NOT NULL").fetchone()
    if row and row[0]:
        signs += [f"worker {name} (version {version}) is alive" for name, version in classic.execute(_LIVING)]
    return tuple(signs)


def sessions_of_workers(classic: Connection) -> tuple[str, ...]:
    """Return the sessions of workers and of what copies or validates, one line each; needs no table of the tool."""
    found = classic.execute(_SESSIONS)
    return tuple(f"{app} is connected (pid {pid} from {host})" for app, pid, host in found)


def blockers(classic: Connection) -> tuple[str, ...]:
    """Return everything for which an upgrade has to wait, one line each."""
    closed = write_mode(classic) is WriteMode.CLOSED
    return (*working(classic), *((_CLOSED,) if closed else ()))


def require_ready(classic: Connection) -> None:
    """Return when no worker is running and no hand-over is under way.

    Raises:
        NoGo: naming everything that is.
    """
    if found := blockers(classic):
        raise NoGo(
            "upgrade",
            found,
            hint="Stop the workers (SIGTERM) and what validates, then run migrator upgrade again. Applications go on.",
        )


# -- steps ---------------------------------------------------------------------------------------------


def _script(side: str, version: int) -> list[Step]:
    """Return the steps of one script; a step's first comment line says what it does."""
    steps = []
    for name, text in named.load("migrator.control", f"upgrades/{version:04}_{side}.sql").items():
        summary = text.partition("\n")[0].removeprefix("--").strip()
        apart = "CONCURRENTLY" in text
        act = partial(_each, text) if apart else partial(_execute, text)
        steps.append(Step(Action(f"upgrade/{side}/{version}/{name}", summary, _LEFT, text), act, apart))
    return steps


def _views() -> Step:
    files = resources.files("migrator.control")
    text = "".join(files.joinpath(name).read_text(encoding="utf-8") for name in ("views.sql", "contract.sql"))
    text = _PLAIN.sub(r"CREATE OR REPLACE \1", text)
    summary = "Put the views and the contract of this version in place"
    return Step(Action("upgrade/classic/views", summary, _LEFT, text), partial(_execute, text))


def _rights() -> Step:
    summary = "Give roles that may use the shim what shims of this version need"
    return Step(Action("upgrade/classic/rights", summary, _LEFT), grants.renew)


def _restated_plan(conn: Connection) -> Step:
    """Read the plan already now: one that cannot be read is found before the first step, and in a dry run."""
    from migrator.plan.load import from_earlier

    found = stored(conn)
    summary = "Store the plan with the values that this version adds, all at their defaults"
    if found and from_earlier(found.body).rehearsal is None and found.body.get("rehearsal"):
        summary += "; without [rehearsal], which is only for servers that a rehearsal made"
    return Step(Action("upgrade/classic/plan", summary, _LEFT), _restate)


def _recorded(side: str, found: int, to: int, who: str) -> Step:
    summary = f"Record version {to} on {side}"
    return Step(Action(f"upgrade/{side}/recorded", summary, _LEFT), partial(_record, side, found, to, who))


def _execute(text: str, conn: Connection) -> None:
    conn.execute(text.encode())  # a file of this package


def _each(text: str, conn: Connection) -> None:
    for statement in text.split(";"):
        conn.execute(statement.encode())


def _together(conn: Connection, step: Step) -> None:
    with conn.transaction():
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
        step.act(conn)


def _apart(conn: Connection, step: Step) -> Tried:
    """It waits for other sessions and blocks none, so it is bounded, not tried again."""
    conn.execute("SELECT set_config('lock_timeout', %s, false)", (str(round(PATIENCE_S * 1000)),))
    return until_free(partial(step.act, conn), 0)


def _restate(conn: Connection) -> None:
    """Store the plan as this version would: a worker compares digests, and defaults that came count in them."""
    from migrator.plan.load import digest, dump, from_earlier

    row = conn.execute("SELECT body, digest FROM migrator.plan FOR UPDATE").fetchone()
    if row is None:
        return
    plan = from_earlier(row[0])
    if digest(plan) != row[1]:
        conn.execute(
            "UPDATE migrator.plan SET digest = %s, body = %s, earlier = array_append(earlier, digest)",
            (digest(plan), json.dumps(dump(plan))),
        )


def _record(side: str, found: int, to: int, who: str, conn: Connection) -> None:
    if side == "classic":
        decide(conn, who, "schema.upgraded", "control schema", "migrator upgrade", {"version": found}, {"version": to})
    conn.execute("INSERT INTO migrator.installed (version) VALUES (%s) ON CONFLICT (version) DO NOTHING", (to,))
