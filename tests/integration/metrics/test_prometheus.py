"""A real Prometheus scrapes a real worker: every expression of the dashboard gives a result, every rule is taken."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from migrator.control.cost import Hour, keep_look, put
from migrator.control.history import replace_report
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.local.process import free_port
from migrator.metrics.address import Address
from migrator.metrics.dashboard import model
from migrator.metrics.exposition import MetricsServer
from migrator.metrics.exposition import page as written
from migrator.metrics.source import Classic, Source
from migrator.model.cost import Basis, Capacity, Node, SingleShard
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.schema import Plan
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, until

Connection = psycopg.Connection[Any]

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

PLAN = """
name = "measured"
[classic]
writer = "env:TEST_CLASSIC_DSN"
[limitless]
dsn = "env:TEST_LIMITLESS_DSN"
[temporal]
address = "{address}"
[metrics]
listen = "{listen}"
"""


@pytest.fixture
def plan_file(classic_dsn: str, temporal_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(address=temporal_address, listen=f"127.0.0.1:{free_port()}"))
    monkeypatch.setenv("TEST_CLASSIC_DSN", classic_dsn)
    monkeypatch.setenv("TEST_LIMITLESS_DSN", "host=192.0.2.1 connect_timeout=1")  # nothing needs it
    return path


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "test") as conn:
        yield conn


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process with its output in a file; all are gone at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def one(name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{name}.log").open("wb") as log:
            env = {**os.environ, "MIGRATOR_LOG_FORMAT": "json", **environment}
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=env))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


def worker(plan_file: Path, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "migrator", "worker", "--plan", str(plan_file), *options)


def get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


async def page(url: str, *wanted: str) -> dict[str, Any]:
    """The families of a page that has all that is wanted."""

    async def look() -> dict[str, Any] | None:
        text = await asyncio.to_thread(get, url)
        return (
            {f.name: f for f in text_string_to_metric_families(text)}
            if text and all(w in text for w in wanted)
            else None
        )

    found: dict[str, Any] = await until(look, f"{url} has {wanted}")
    return found


async def test_a_worker_shows_the_migration_itself_and_temporals_own(plan_file: Path, start: Start) -> None:
    """Before anything is installed, too."""
    listen = str(load(plan_file).metrics.listen)
    first = start("first", *worker(plan_file))
    found = await page(f"http://{listen}/metrics", "migrator_installed", "temporal_worker_task_slots_available")

    assert [s.value for s in found["migrator_installed"].samples] == [0.0]
    assert found["migrator_up"].samples[0].labels == {"plan": "measured"}
    assert "process_resident_memory_bytes" in found
    first.terminate()
    assert await asyncio.to_thread(first.wait, 60) == 0


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
async def test_a_prometheus_has_a_result_for_every_panel_and_takes_every_rule(
    classic: Connection, classic_dsn: str, start: Start, tmp_path: Path
) -> None:
    """Of the server that a worker has."""
    _lived_in(classic)
    with closing(Source(Classic(lambda: classic_dsn), fresh_s=0.5)) as source:
        with MetricsServer(Address("127.0.0.1", 0), written(source)) as server:
            server.start()
            try:
                await _scraped(classic, start, tmp_path, server.server_address[1])
            finally:
                server.shutdown()


async def _scraped(classic: Connection, start: Start, tmp_path: Path, exporter: int) -> None:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
        f"rule_files: [{ROOT / 'ops/prometheus/rules.yml'}]\n"
        f"scrape_configs: [{{job_name: migrator, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}]\n"
    )
    start(
        "prometheus", "prometheus", f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}",
    )  # fmt: skip

    async def ask(what: str, **query: str) -> Any:
        answer = await asyncio.to_thread(get, f"http://127.0.0.1:{port}/api/v1/{what}?{urllib.parse.urlencode(query)}")
        return json.loads(answer)["data"] if answer else None

    left = {target["expr"] for panel in model()["panels"] for target in panel.get("targets", ())}

    async def all_have_results() -> bool:
        """One more event each time, so that rates have something to say."""
        _read(classic)
        for expr in [*left]:
            asked = expr.replace("$plan", "measured").replace("$__rate_interval", "30s")
            answer = await ask("query", query=asked)
            if answer and answer["result"]:
                left.discard(expr)
        return not left

    try:
        await until(all_have_results, timeout_s=TIMEOUT_S)
    except AssertionError:
        pytest.fail(f"no result for {sorted(left)}")

    async def judged() -> dict[str, str] | None:
        found = {rule["name"]: rule for rule in (await ask("rules"))["groups"][0]["rules"]}
        if {rule["health"] for rule in found.values()} == {"ok"} and found["MigratorGateWaits"]["state"] != "inactive":
            return {name: rule["state"] for name, rule in found.items()}
        return None

    states = await until(judged, "every rule is evaluated, and the gate that waits is seen", 60)
    assert states["MigratorClassicUnreachable"] == states["MigratorNothingScraped"] == "inactive"


def _lived_in(classic: Connection) -> None:
    """A migration in its stabilization, with something of everything."""
    plan = Plan.model_validate(
        {
            "name": "measured", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"},
            "runway": {"cpu_pct": 50},
            "cost": {"acu_hour_usd": 0.2, "storage_gb_month_usd": 0.1, "projected_monthly_usd": 1000},
        }
    )  # fmt: skip
    install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
    classic.execute("""
        INSERT INTO migrator.tenant (tenant_id, part, state, wave, validated_at, clean_at, divergent)
             VALUES ('1', 1, 'mirrored', 1, now(), now(), 0);
        INSERT INTO migrator.position (part, epoch, snapshot, fresh_at) VALUES (1, 1, '1:1:', now());
        INSERT INTO migrator.validation (run_id, kind, started_at, finished_at, rows, divergent)
             VALUES (gen_random_uuid(), 'schedule', now(), now(), 1, 0);
        INSERT INTO migrator.copy_unit (unit_id, part, tenants, state, rows, copied_rows, copied_bytes, started_at)
             VALUES ('u', 1, '{1}', 'copying', 10, 5, 50, now());
        INSERT INTO migrator.writer_load (grain, at, metric, total, seconds)
             SELECT 'minute', date_trunc('minute', now()), m, 60, 60
               FROM unnest(ARRAY['cpu.local', 'own_wal', 'transactions', 'sessions.mirrors', 'cores.mirrors']) m;
        INSERT INTO migrator.phase (phase, state, detail) VALUES ('audit', 'waiting', 'waits');
    """)
    now = datetime.now(UTC)
    hours = [
        Hour(now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=h), 16, 20, 16, 1e9) for h in range(48)
    ]
    put(classic, hours, Basis.CLOUDWATCH)
    nodes = tuple(Node(name, "shard", bytes=size) for name, size in (("s1", 30), ("s2", 10)))
    found = Capacity(now, nodes, (), 0, SingleShard(0.9, "statements seen"))
    keep_look(classic, {**asdict(found), "at": now.isoformat()})
    body = {"started_s": 0, "deadline_s": 4e9, "restarts": 0, "paused_s": None, "days": 90, "over": False, "text": ""}
    replace_report(classic, "stabilize", body)


def _read(classic: Connection) -> None:
    classic.execute("""
        INSERT INTO migrator.read_sample (process_id, side, reads, errors, buckets)
             SELECT 'p', side, 9, 1, ARRAY[0, 0, 9] FROM unnest(ARRAY['classic', 'limitless', 'error/limitless/57',
                    'ack/everywhere', 'ack/session', 'ack/none', 'fell_back']) side
    """)
