"""`status --watch` in a pipe: a line with the time for each change, no escapes, and an end with its reader."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from migrator.control.install import install
from migrator.control.phase import set_phase
from migrator.db.connect import connect
from tests.fixtures.operator import Operator
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = pytest.mark.pg


@pytest.fixture
def operator(tmp_path: Path, classic_dsn: str) -> Operator:
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {"shim": {"max_lag_s": 3.0}, "dual_write": {"journal_limit_mb": 4096}}, {})
        set_phase(conn, "audit", "running")
    return Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": classic_dsn})


@contextmanager
def watching(operator: Operator, *words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "migrator", "status", "--watch", "--every", "0.2", *words],
        env=operator.everything({}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with Ctrl-C ignored, and a test run may be one: children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_line_for_each_change(operator: Operator) -> None:
    """Also when what is blocked changes, and when classic is lost; Ctrl-C ends it without an error."""
    with watching(operator) as process, connect(operator.environment["MIGRATOR_CLASSIC_DSN"], "test") as conn:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        set_phase(conn, "audit", "blocked", "no", [f"tenant {n}\x1b[2J is late" for n in range(30)])
        second, cause, count = (process.stdout.readline() for _ in range(3))
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'migrator-cli' AND datname = current_database()"
        )
        lost = process.stdout.readline()
        again = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
        rest = process.stdout.read() + process.stderr.read()

    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
    assert re.fullmatch(stamp + r"audit running, writes classic only, reads: none, nothing is blocked\n", first), first
    assert re.match(stamp + r"audit blocked, .*blocked: 30", second), second
    assert re.match(stamp + r"  - tenant 0\\x1b\[2J is late \(and 29 more like it\)", cause), cause
    assert "30 in all, one by one: migrator status --all" in count
    assert "classic does not answer: classic: terminating connection" in lost and "audit blocked" in again
    assert "\x1b" not in rest and "Traceback" not in rest


def test_json_is_a_document_a_line(operator: Operator) -> None:
    with watching(operator, "--json") as process, connect(operator.environment["MIGRATOR_CLASSIC_DSN"], "test") as conn:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        set_phase(conn, "audit", "done")
        second = json.loads(process.stdout.readline())

    assert (first["phase"], second["phase"]) == ("audit", "provision")


def test_a_reader_that_goes_ends_it(operator: Operator) -> None:
    """As with: migrator status --watch | head -1."""
    with watching(operator) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        with psycopg.connect(operator.environment["MIGRATOR_CLASSIC_DSN"], autocommit=True) as conn:
            set_phase(conn, "audit", "done")
        assert process.wait(TIMEOUT_S) == 0
