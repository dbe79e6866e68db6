"""The compose file's `traffic` profile: loads the demo, then runs the application's traffic.

`python -m migrator.rehearse.shopfront` loads the demo of MIGRATOR_PLAN on classic (once), waits until the migration
has been started, and then is a traffic process like those of a rehearsal, until SIGTERM. It also does what people do
for the application's role: gives it its login on Limitless and grants it what the shim needs.

* MIGRATOR_DEMO_DSN, MIGRATOR_DEMO_LIMITLESS_DSN   the tool's, directly: the demo is loaded, roles are made
* MIGRATOR_CLASSIC_DSN, MIGRATOR_LIMITLESS_DSN     what the application knows; through a pooler, say
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import psycopg

from migrator import settings
from migrator.control import grants
from migrator.control.install import installed_version
from migrator.db.connect import connect
from migrator.errors import MigratorError, UsageError
from migrator.plan.load import load as load_plan
from migrator.plan.schema import Rehearsal
from migrator.rehearse import demo, roles
from migrator.rehearse.traffic import TrafficConfig, run


def config(loaded: demo.DemoLoad, rehearsal: Rehearsal, ledger: Path) -> TrafficConfig:
    """Return one traffic process that does what all of a rehearsal's do together."""
    return TrafficConfig(
        name="shopfront",
        index=0,
        processes=1,
        tenants=[(t.tenant_id, round(t.rows**0.5, 2)) for t in loaded.tenants],
        ledger=str(ledger / "shopfront.jsonl"),
        paused=str(ledger / "shopfront.paused"),
        threads=rehearsal.threads,
        writes_per_s=rehearsal.writes_per_s,
        reads_per_s=rehearsal.reads_per_s,
        seed=rehearsal.seed,
    )


def started(dsn: str) -> bool:
    """Whether the control schema exists, so that routes can be read."""
    try:
        with connect(dsn, "migrator-shopfront") as conn:
            return installed_version(conn) is not None
    except (MigratorError, psycopg.Error):
        return False


def main() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    path = settings.plan_path()
    try:
        if path is None:
            raise UsageError("MIGRATOR_PLAN is not set")
        plan = load_plan(path)
        if plan.rehearsal is None:
            raise UsageError(f"{path} has no [rehearsal] section")
        with connect(os.environ["MIGRATOR_DEMO_LIMITLESS_DSN"], "migrator-shopfront") as conn:
            roles.make(conn)  # before anything is provisioned
        loaded = demo.load(os.environ["MIGRATOR_DEMO_DSN"], plan.rehearsal)
    except MigratorError as error:
        sys.exit(str(error))
    print(f"{len(loaded.tenants)} tenants, {loaded.total_rows} rows; waiting for: migrator run", flush=True)
    while not started(os.environ["MIGRATOR_DEMO_DSN"]):
        if stop.wait(1):
            return
    with connect(os.environ["MIGRATOR_DEMO_DSN"], "migrator-shopfront") as conn:
        grants.grant(conn, roles.APPLICATION)
    print("traffic", flush=True)
    ledger = settings.home()
    ledger.mkdir(parents=True, exist_ok=True)
    run(
        config(loaded, plan.rehearsal, ledger),
        os.environ["MIGRATOR_CLASSIC_DSN"],
        os.environ["MIGRATOR_LIMITLESS_DSN"],
    )


if __name__ == "__main__":
    main()
