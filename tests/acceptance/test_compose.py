"""docker-compose.yml as a user meets it: brought up, rehearsed against, its containers killed under a migration.

The stack has a marked password, and in the end nobody may have written it down: arguments, logs, Temporal's stored
histories, control schemas, reports, image layers.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import Client

from migrator.local.process import free_port
from migrator.rehearse import proof
from migrator.rehearse.ledger import read_ledgers
from tests import ROOT
from tests.acceptance.compose_stack import (
    CONTROL,
    MARK,
    PORTS,
    Stack,
    Watch,
    ask,
    docker,
    holds,
    image_holds,
    plan_with,
    tables_that_hold,
)
from tests.fixtures.waiting import eventually

SMALL = {"tenants": "40", "rows": "20_000", "writes_per_s": "30", "reads_per_s": "60"}
"""The demo, smaller: what is tried here does not depend on its size."""

SLOW = SMALL | {"unit_rows": "2_000", "unit_tenants": "5", "every_s": "2.0", "tenants_per_fence": "2"}
"""What the workers of the stack do: many units and fences, and validation all the time, so that it can be hit."""

SERVICES = ("classic", "limitless", "routers", "prepare", "temporal", "worker", "pgbouncer", "traffic")
HEALTHY = ("classic", "limitless", "routers", "temporal", "pgbouncer")

HELD = {"ok": True, "lost_writes": 0, "missed_own_writes": 0, "missed_writes_of_others": 0, "divergent_rows": 0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    plans = tmp_path_factory.mktemp("plans")
    plans.chmod(0o755)
    text = (ROOT / "plans/compose.toml").read_text()
    (plans / "small.toml").write_text(plan_with(text, **SMALL))
    (plans / "compose.toml").write_text(plan_with(text, **SLOW))
    for plan in plans.iterdir():
        plan.chmod(0o644)
    environment = {k: v for k, v in os.environ.items() if k not in ("MIGRATOR_CLASSIC_DSN", "MIGRATOR_PLAN")}
    environment |= {
        "COMPOSE_PROJECT_NAME": f"migrator-test-{os.getpid()}",
        "REHEARSAL_PASSWORD": MARK,
        "MIGRATOR_PLANS": str(plans),
        **{name: str(free_port()) for name in PORTS},
    }
    made = Stack(environment, plans, Watch())
    watching = threading.Thread(target=made.watch.run, daemon=True)
    watching.start()
    try:
        made.compose("up", "--detach", "--build", "--scale", "worker=2")
        eventually(lambda: all(made.healthy(s) for s in HEALTHY), "all healthy")
        yield made
    finally:
        made.watch.stop.set()
        watching.join()
        keep_logs(made, tmp_path_factory.mktemp("logs"))
        made.run("--profile", "traffic", "--profile", "tools", "down", "-v", "--remove-orphans", "-t", "3")


def keep_logs(stack: Stack, directory: Path) -> None:
    """Keep what the containers said: whoever reads of a failure here can ask them no more."""
    for service in SERVICES:
        for id_ in stack.ids(service):
            with (directory / f"{service}-{id_}").open("wb") as log:
                subprocess.run(["docker", "logs", id_], stdout=log, stderr=subprocess.STDOUT, timeout=60)


def test_workers_become_healthy(stack: Stack) -> None:
    eventually(lambda: stack.healthy("worker"), "both workers are known to Temporal")
    for id_ in stack.ids("worker"):
        assert docker("exec", id_, "id", "-u").strip() != "0"


def test_a_rehearsal_from_the_host(stack: Stack, tmp_path: Path) -> None:
    plan = str(stack.plans / "small.toml")
    done = subprocess.run(
        [sys.executable, "-m", "migrator", "rehearse", plan, "--workdir", str(tmp_path), "--json"],
        env=stack.environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert HELD.items() <= report.items()
    assert report["acknowledged_writes"] > 1000
    assert report["left_out"] == []
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 5
    assert [str(p) for p in written if MARK.encode() in p.read_bytes()] == []
    assert MARK not in done.stdout + done.stderr
    for service in ("classic", "limitless", "temporal"):
        assert docker("inspect", "--format", "{{.State.Running}}", *stack.ids(service)).strip() == "true"


def test_a_rehearsal_in_the_tools_container(stack: Stack) -> None:
    """With no engine to ask, servers are cut off instead of killed; the report says so, and is kept."""
    done = stack.run("run", "--rm", "-T", "tools", "rehearse", "plans/small.toml", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert HELD.items() <= report.items()
    assert report["acknowledged_writes"] > 1000
    said = " ".join(report["left_out"])
    assert all(name in said for name in ("Limitless", "Temporal", "classic"))
    titles = {event["name"]: event["title"] for event in report["events"]}
    assert all("cut off" in titles[name] for name in ("limitless_killed", "rollback", "classic_stopped"))
    assert "SIGKILL" in next(e["detail"] for e in report["events"] if e["name"] == "worker_killed")

    kept = stack.run_bytes("run", "--rm", "-T", "--entrypoint", "tar", "tools", "-C", "/state", "-c", ".")
    with tarfile.open(fileobj=io.BytesIO(kept)) as state:
        files = {m.name: state.extractfile(m) for m in state if m.isfile()}
        assert {"./rehearsal/report.html", "./rehearsal/logs/operator.log"} <= files.keys()
        assert [name for name, body in files.items() if body and holds(body, (MARK,))] == []
    assert MARK not in done.stdout + done.stderr


def test_containers_die_under_a_migration(stack: Stack) -> None:
    """Every part of the stack but the clusters goes away in every phase; an application goes on through the pooler."""
    stack.compose("--profile", "traffic", "up", "--detach", "--no-recreate", "--scale", "worker=2", "traffic")
    (shop,), (temporal,) = stack.ids("traffic"), stack.ids("temporal")
    with psycopg.connect(stack.dsn("classic"), autocommit=True) as classic:
        eventually(lambda: ask(classic, "SELECT to_regclass('app.order_items') IS NOT NULL"), "the demo is loaded")
        stack.tools("run", "--yes")
        stack.tools("backfill", "throttle", "--mb-per-s", "0.05", "--reason", "to be seen copying")
        eventually(lambda: copying_in(classic), "a worker has a copy unit in its hands", every_s=0.02)

        victim = stops_in_order(stack, classic)
        docker("start", victim)
        eventually(lambda: copying_in(classic), "a worker has another copy unit in its hands", every_s=0.02)
        (other,) = {id_[:12] for id_ in stack.ids("worker")} - {victim}
        docker("kill", other)
        stack.tools("backfill", "throttle", "--unlimited", "--reason", "seen enough of it")
        eventually(lambda: ask(classic, ALL_MIRRORED), "every tenant is mirrored", 240)

        eventually(lambda: ask(classic, VALIDATING), "a validation is under way", every_s=0.01)
        docker("kill", victim)
        docker("start", other)
        validated = ask_number(classic, VALIDATED)
        eventually(lambda: ask_number(classic, VALIDATED) > validated, "validation goes on without that worker")
        eventually(lambda: ask(classic, VALIDATING), "another validation is under way", every_s=0.01)
        docker("restart", "-t", "0", temporal)
        docker("start", victim)

        eventually(lambda: ask(classic, FIRST_WAVE), "the first wave reads from Limitless", 240)
        docker("restart", "-t", "2", temporal)
        eventually(lambda: ask(classic, MOST), "most tenants read from Limitless", 240)
        docker("kill", temporal, *stack.ids("worker"))
        answer = json.loads(stack.tools("rollback", "--all", "--reason", "3 a.m.", "--json"))
        assert answer["confirmed"] == answer["processes"] == 1
        assert ask(classic, "SELECT level = 'classic' FROM migrator.switch")
        docker("start", temporal, *stack.ids("worker"))
        eventually(lambda: stack.run("run", "--rm", "-T", "tools", "cutover", "--yes").returncode == 0, "forward again")
        eventually(lambda: ask(classic, CUT_OVER), "the cutover is done", 300)
        stack.tools("validate")
    docker("stop", "-t", "10", shop)
    nothing_was_lost(stack, shop)


def stops_in_order(stack: Stack, classic: psycopg.Connection) -> str:
    """Stop a worker with a copy unit in its hands as its engine would, and see the other one go on at once."""
    victim = copying_in(classic)
    docker("stop", "-t", "30", victim)
    state = json.loads(docker("inspect", "--format", "{{json .State}}", victim))
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False), f"it did not end by itself: {state}"
    said = subprocess.run(["docker", "logs", victim], capture_output=True, text=True)
    assert "step.handed_over" in said.stdout + said.stderr, "what it had in its hands was handed back"
    (stopped,) = classic.execute("SELECT clock_timestamp()").fetchone() or ()
    eventually(lambda: ask(classic, "SELECT min(fresh_at) > %s FROM migrator.position", stopped), "all mirrors go on")
    eventually(lambda: copying_in(classic) not in ("", victim), f"what {victim} copied is copied elsewhere")
    return victim


def copying_in(classic: psycopg.Connection) -> str:
    """Return the container (its short id) that copies a unit right now, else ''."""
    try:
        row = classic.execute("SELECT split_part(worker, ':', 1) FROM migrator.copy_unit WHERE state = 'copying'")
    except psycopg.errors.UndefinedTable:
        return ""
    found = row.fetchone()
    return str(found[0]) if found else ""


def nothing_was_lost(stack: Stack, shop: str) -> None:
    """Rows by rows, and the application's own ledger, by SQL that the product does not share."""
    covered = proof.covered_by_mirror(stack.dsn("classic"))
    eventually(lambda: next(covered), "the mirror covers every write")
    found = proof.compare(stack.dsn("classic"), stack.dsn("limitless"))
    assert found.divergent_rows == 0, found.sample
    assert sum(found.rows.values()) > 10_000
    ledger = stack.environment["MIGRATOR_PLANS"] + "/shopfront.jsonl"
    docker("cp", f"{shop}:/state/shopfront.jsonl", ledger)
    wrote = read_ledgers([Path(ledger)])
    writes = proof.check_writes(wrote, proof.limitless_versions(stack.dsn("limitless")))
    reads = proof.check_reads(wrote)
    assert writes.acknowledged > 1000
    assert (writes.lost, writes.phantom, reads.missed, reads.missed_of_others) == (0, 0, 0, 0), writes.sample


ALL_MIRRORED = """
SELECT bool_and(state = 'mirrored') FROM migrator.tenant
HAVING (SELECT bool_and(state = 'joined') FROM migrator.copy_unit)
"""
VALIDATING = "SELECT count(*) > 0 FROM migrator.fence WHERE state IN ('open', 'acked')"
VALIDATED = "SELECT count(*) FROM migrator.validation WHERE finished_at IS NOT NULL"
FIRST_WAVE = "SELECT count(*) > 4 FROM migrator.route WHERE level = 'limitless'"
MOST = "SELECT count(*) > 25 FROM migrator.route WHERE level = 'limitless'"
CUT_OVER = "SELECT state = 'done' FROM migrator.phase WHERE phase = 'cutover'"


def ask_number(conn: psycopg.Connection, question: LiteralString) -> int:
    row = conn.execute(question).fetchone()
    return int(row[0]) if row else 0


def test_no_log_holds_the_password(stack: Stack) -> None:
    """After all of the above."""
    for service in SERVICES:
        ids = stack.ids(service)
        assert ids, service
        for id_ in ids:
            done = subprocess.run(["docker", "logs", id_], capture_output=True, timeout=60)
            assert MARK.encode() not in done.stdout + done.stderr, f"in the log of {service}"


def test_no_process_was_given_the_password(stack: Stack) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", CONTROL]) as control:
        eventually(lambda: CONTROL in stack.watch.seen, "arguments are looked at")
        control.kill()
    assert MARK not in stack.watch.seen, stack.watch.seen[MARK]


async def test_temporal_never_learned_the_password(stack: Stack, tmp_path: Path) -> None:
    """Every stored history, decoded, and the descriptions with their heartbeats; and the files it keeps them in."""
    client = await Client.connect(f"127.0.0.1:{stack.environment['TEMPORAL_PORT']}")
    histories, kinds, encodings = 0, set[str](), set[str]()
    async for execution in client.list_workflows(""):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        history, described = await handle.fetch_history(), await handle.describe()
        for message in (*history.events, described.raw_description):
            assert MARK.encode() not in message.SerializeToString(), f"in {execution.id}"
            for payload in payloads(message):
                encodings.add(payload.metadata["encoding"].decode())
        histories, kinds = histories + 1, kinds | {execution.workflow_type}
    async for schedule in await client.list_schedules():
        about = await client.get_schedule_handle(schedule.id).describe()
        assert MARK.encode() not in about.raw_description.SerializeToString()
    assert histories > 8 and {"Migration", "DualWrite", "Backfill", "Cutover", "Validation"} <= kinds, kinds
    assert encodings <= {"json/plain", "binary/null"}, "payloads whose text is in them as it is"

    (temporal,) = stack.ids("temporal")
    stored = tmp_path / "temporal"
    docker("cp", f"{temporal}:/data", str(stored))
    found = set[str]()
    for path in (p for p in stored.rglob("*") if p.is_file()):
        with path.open("rb") as body:
            found |= holds(body, (MARK, "compose.control"))
    assert found == {"compose.control"}


def payloads(message: Message) -> Iterator[Payload]:
    """Return every payload anywhere in a message."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        many: Any = (value,) if isinstance(value, Message) else value
        if field.message_type.GetOptions().map_entry:
            many = [v for v in value.values() if isinstance(v, Message)]
        for part in many:
            yield from payloads(part)


def test_no_table_holds_the_password(stack: Stack) -> None:
    for side in ("classic", "limitless"):
        with psycopg.connect(stack.dsn(side)) as conn:
            assert tables_that_hold(conn, MARK) == []
            assert tables_that_hold(conn, "migrator"), "the search finds what is there"


@pytest.mark.parametrize(("image", "there"), [("migrator", "worker-health"), ("migrator-pgbouncer", "auth_file")])
def test_no_image_holds_the_password(stack: Stack, image: str, there: str) -> None:
    assert image_holds(image, (MARK, there)) == {there}
