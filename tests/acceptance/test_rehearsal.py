"""One command moves a live database from classic to Limitless, through accidents, and proves that nothing was lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.pg, pytest.mark.temporal]

PLAN = ROOT / "plans" / "demo.toml"
PATIENCE_S = 900
MEMORY_MB = 2048

Rehearsed = tuple[subprocess.CompletedProcess[str], Path]
"""What the command printed, and its directory."""


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """A whole rehearsal: what it printed, and where its report is."""
    workdir = tmp_path_factory.mktemp("rehearsal")
    done = subprocess.run(
        [sys.executable, "-m", "migrator", "rehearse", str(PLAN), "--workdir", str(workdir), "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={k: v for k, v in os.environ.items() if not k.startswith("MIGRATOR_")},
    )
    return done, workdir


def test_the_rehearsal_holds(rehearsed: Rehearsed) -> None:
    """Exit code 0, well over a thousand acknowledged writes, none lost, no read missed one, no row differed."""
    done, _ = rehearsed
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout)

    assert report["ok"] is True, report["problems"]
    assert report["acknowledged_writes"] > 1000
    assert (report["lost_writes"], report["missed_own_writes"], report["divergent_rows"]) == (0, 0, 0)


def test_every_event_took_place(rehearsed: Rehearsed) -> None:
    """The accidents are part of the proof: without them it says little."""
    done, workdir = rehearsed
    report = json.loads((workdir / "report.json").read_text())

    assert [e["name"] for e in report["events"]] == [
        "hostile_settings",
        "roles_let_in",
        "worker_killed",
        "replica_frozen",
        "classic_killed",
        "past_the_tool",
        "deployed",
        "limitless_killed",
        "rollback",
        "forward",
        "incident",
        "right_lost",
        "compared",
        "handed_over",
        "classic_stopped",
    ], done.stderr[-2000:]
    assert {line["claim"]: line["ok"] for line in report["proof"]}[
        "What a deployment brought in the middle is part of all this"
    ]
    assert report["timings"]["rollback_confirmed"] == report["timings"]["rollback_processes"] >= 2


def test_what_happened_was_told_and_measured(rehearsed: Rehearsed) -> None:
    """A receiver heard of every event that a team has to know of; every worker answered each time it was scraped."""
    _, workdir = rehearsed
    told = json.loads((workdir / "report.json").read_text())["told"]

    heard = {line["event"]: line["seconds"] for line in told["events"]}
    assert {"limitless_killed", "rollback", "incident", "handed_over"} <= {e for e, s in heard.items() if s is not None}
    assert told["unreadable"] == 0
    headlines = [message["headline"] for message in told["messages"]]
    assert any(line.endswith("a wave is done") for line in headlines), headlines
    assert not any(line.endswith("writes may pass the journal") for line in headlines), "capture was whole all the time"
    metrics = told["metrics"]
    assert metrics["scrapes"] > 100 > 10 * metrics["failed"], "an answer may take too long on a busy machine"
    assert metrics["seen"] >= metrics["of"] - 6, metrics["never"]


def test_the_new_release_used_what_the_deployment_brought(rehearsed: Rehearsed) -> None:
    """Columns, an enum's value and a table: written, read, and part of the comparison."""
    _, workdir = rehearsed
    report = json.loads((workdir / "report.json").read_text())

    (deployed,) = [e for e in report["events"] if e["name"] == "deployed"]
    assert re.search(r"at once \d+ writes and \d+ reads of the columns, \d+ and \d+ of the value", deployed["detail"])
    seen = {line["claim"]: line["seen"] for line in report["proof"]}
    assert "rows of 6 tables" in seen["Both sides were equal before the hand-over"]
    for name in ("orders.revision", "orders.returned", "shipments"):
        assert name in seen["What a deployment brought in the middle is part of all this"]


def test_every_error_is_explained(rehearsed: Rehearsed) -> None:
    """The application saw errors of one fault only: classic's crash."""
    _, workdir = rehearsed
    report = json.loads((workdir / "report.json").read_text())

    assert all(kind["expected"] for kind in report["failures"]), report["failures"]
    assert {line["claim"] for line in report["proof"] if line["ok"]} >= {
        "Every error the application saw has its fault"
    }


def test_it_is_small(rehearsed: Rehearsed) -> None:
    """Under two gigabytes, all processes together. How long it takes depends on what runs beside it."""
    _, workdir = rehearsed
    report = json.loads((workdir / "report.json").read_text())

    assert report["timings"].get("peak_memory_mb", 0) < MEMORY_MB


def test_the_reports_stay_and_the_servers_do_not(rehearsed: Rehearsed) -> None:
    """After the end there are two reports and no process."""
    _, workdir = rehearsed
    assert (workdir / "report.html").read_text().startswith("<!doctype html>")

    state = subprocess.run(
        [sys.executable, "-m", "migrator", "local", "status", "--json"],
        capture_output=True,
        text=True,
        env=dict(os.environ, MIGRATOR_HOME=str(workdir / "state")),
    )
    assert json.loads(state.stdout)["state"] in ("absent", "down")
