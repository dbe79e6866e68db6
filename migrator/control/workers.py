"""Stores which plan and version each worker runs.

A worker loads the plan when it starts and follows its versions. Each one stores here what it runs, so that one that
did not take a change up is shown, and refuses to act on an outdated plan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from migrator.control import plan
from migrator.control.install import installed_version
from migrator.db.named import load
from migrator.model.blocker import Blocker

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "workers.sql")

HEARTBEAT_S = 10.0
SILENT_S = 45.0
"""A worker without a heartbeat for so long has ended: several heartbeats."""
_FORGOTTEN_S = 86_400.0

QUEUES = ("control", "incident", "mirror", "bulk")
"""Task queues, each of which some worker has to serve; as `workflows.names.Queue`, which a test holds."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker knows. `shim` holds the settings that may change while a migration runs."""

    plan_id: str
    digest: str
    version: str
    shim: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worker:
    worker_id: str
    loaded: Loaded
    seen_s: float
    queues: tuple[str, ...] = ()


def beat(conn: Connection, worker_id: str, loaded: Loaded, queues: Sequence[str]) -> None:
    """Store that *worker_id* lives and what it runs; forget workers that ended long ago. Safe to repeat.

    Nothing is written before the control schema is installed: a worker may be started before the migration.
    """
    if installed_version(conn) is None:
        return
    with conn.transaction():
        conn.execute(
            _SQL["beat"],
            {
                "worker_id": worker_id,
                "plan_id": loaded.plan_id,
                "digest": loaded.digest,
                "shim": json.dumps(loaded.shim),
                "version": loaded.version,
                "queues": list(queues),
            },
        )
        conn.execute(_SQL["forget_silent"], {"silent_s": _FORGOTTEN_S})


def leave(conn: Connection, worker_id: str) -> None:
    """Take a worker that ends off the list."""
    if installed_version(conn) is not None:
        conn.execute(_SQL["leave"], {"worker_id": worker_id})


def stored(conn: Connection) -> Loaded | None:
    """Return what classic says should be run (its version is unknown there); None before a plan was started."""
    if installed_version(conn) is None:
        return None
    known = plan.identity(conn)
    return Loaded(known.plan_id, known.digest, "", known.shim) if known else None


def living(conn: Connection) -> list[Worker]:
    """Return the workers with a recent heartbeat, by name."""
    rows = conn.execute(_SQL["living"], {"silent_s": SILENT_S})
    return [
        Worker(name, Loaded(plan_id, digest, ver, shim), seen, tuple(queues))
        for name, plan_id, digest, ver, shim, seen, queues in rows
    ]


def lost(conn: Connection) -> tuple[str, ...]:
    """Return workers that are silent and did not take themselves off the list: killed within the last hour."""
    return tuple(str(name) for (name,) in conn.execute(_SQL["lost"], {"silent_s": SILENT_S}))


def unserved(conn: Connection) -> tuple[str, ...]:
    """Return the task queues that no living worker serves."""
    served = {str(queue) for (queue,) in conn.execute(_SQL["served"], {"silent_s": SILENT_S})}
    return tuple(queue for queue in QUEUES if queue not in served)


def differences(wanted: Loaded, workers: Sequence[Worker]) -> tuple[Blocker, ...]:
    """Return every worker that runs something else than *wanted*, in the operator's words. Pure.

    Versions are compared with each other: there must not be two at once.
    """
    lines = []
    newest = max((w.loaded.version for w in workers), key=_version_key, default="")
    for worker in workers:
        name, knows = worker.worker_id, worker.loaded
        if knows.plan_id != wanted.plan_id:
            why = f"serves plan {knows.plan_id}, not {wanted.plan_id}: stop it"
            lines.append(Blocker("worker.of_another_plan", name, f"worker {name} {why}"))
        elif knows.digest != wanted.digest:
            why = (
                f"runs plan digest {knows.digest[:12]}, classic has {wanted.digest[:12]}: "
                "restart it with the plan that was started"
            )
            lines.append(Blocker("worker.outdated", name, f"worker {name} {why}"))
        elif knows.shim != wanted.shim:
            why = "runs other values of the plan's sections shim and breaker than applications do: restart it"
            lines.append(Blocker("worker.outdated", name, f"worker {name} {why}"))
        if knows.version != newest:
            why = f"is version {knows.version}, others are {newest}: upgrade it"
            lines.append(Blocker("worker.of_another_version", name, f"worker {name} {why}"))
    return tuple(lines)


def _version_key(version: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in version.split("."))


def outdated(conn: Connection) -> tuple[Blocker, ...]:
    """Return what `differences` says now; nothing before a plan was started."""
    wanted = stored(conn)
    return differences(wanted, living(conn)) if wanted is not None else ()
