"""A classic with a plan that tells receivers, and notifiers that look at it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg

from migrator.control.install import install
from migrator.control.phase import set_phase
from migrator.notify.run import Notifier
from migrator.plan.schema import Plan
from tests.fixtures.receivers import WebReceiver
from tests.fixtures.waiting import TIMEOUT_S

Connection = psycopg.Connection[Any]

QUICK = {"look_s": 1.0, "tell_after_s": 0.0, "over_after_s": 0.0, "quiet_start_s": 0.0, "unreachable_s": 1.0}
"""Nothing waits for what it waits for in production."""


def plan_with(receivers: dict[str, Any], **notify: Any) -> Plan:
    return Plan.model_validate(
        {
            "name": "shop",
            "classic": {"writer": "env:A"},
            "limitless": {"dsn": "env:B"},
            "runway": {"cpu_pct": 20.0, "vcpus": 64},  # or, of a server elsewhere, it is unknown how long it lasts
            "notify": {**QUICK, **notify, "receiver": receivers},
        }
    )


def begin(conn: Connection, plan: Plan) -> None:
    """The migration of *plan*, with a worker, so that nothing is wrong with it."""
    install(conn, plan.name, "digest", plan.model_dump(mode="json"), {})
    conn.execute(
        "INSERT INTO migrator.worker (worker_id, plan_id, digest, shim, version, queues, seen_at) VALUES"
        " ('h:1', 'shop', 'digest', '{}', '1', '{control,incident,mirror,bulk}', clock_timestamp() + interval '1 day')"
    )


def change(conn: Connection, plan: Plan) -> None:
    """Store other values of the plan, as `plan apply` does."""
    conn.execute(
        "UPDATE migrator.plan SET body = %s, digest = md5(random()::text)", (json.dumps(plan.model_dump(mode="json")),)
    )
    conn.execute("UPDATE migrator.worker SET digest = (SELECT digest FROM migrator.plan)")


def slack(receiver: WebReceiver, monkeypatch: Any, name: str = "SLACK", **more: Any) -> dict[str, Any]:
    monkeypatch.setenv(name, f"{receiver.url}/services/T0/B0/s3cret")
    return {"kind": "slack", "url": f"env:{name}", **more}


def pager(receiver: WebReceiver, monkeypatch: Any, **more: Any) -> dict[str, Any]:
    monkeypatch.setenv("PAGER", "R0UTINGKEY0123456789abcdef012345")
    return {"kind": "pagerduty", "key": "env:PAGER", "endpoint": receiver.url, **more}


@contextlib.asynccontextmanager
async def notifying(dsn: str, plan: Plan | None = None) -> AsyncIterator[Notifier]:
    """A notifier that runs until left."""
    stop, notifier = asyncio.Event(), Notifier(lambda: dsn, lambda: plan, every_s=0.05)
    task = asyncio.create_task(notifier.run(stop))
    try:
        yield notifier
    finally:
        stop.set()
        await asyncio.wait_for(task, TIMEOUT_S)


def gate_waits(conn: Connection) -> None:
    set_phase(conn, "audit", "waiting", "waiting for an approval of audit", (), "migrator approve audit --as NAME")


def gate_passed(conn: Connection) -> None:
    set_phase(conn, "audit", "done")
