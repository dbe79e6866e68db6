"""The units are what systemd takes, give workers time to end, and let them do next to nothing."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import ROOT
from workflows.names import Queue
from workflows.worker import END

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
EXPOSED = 25
"""What `systemd-analyze security` counts at most, of 100: below 40 it calls a service OK, below 20 safe."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """As they would be on a host, with a program that exists and an account that everybody has."""
    found = []
    for path in UNITS:
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", path.read_text())
        text = re.sub(r"(?m)^(User|Group)=.*$", "", text)
        found.append(tmp_path / path.name.replace("@", "@mirror"))
        found[-1].write_text(text)
    return found


@needs_systemd
def test_systemd_takes_them(installed: list[Path]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, installed)], capture_output=True, text=True, timeout=60
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "migrator" in line]

    assert len(installed) == 2
    assert done.returncode == 0 and ours == [], done.stderr


@needs_systemd
def test_they_are_exposed_to_little(installed: list[Path]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED}", *map(str, installed)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_worker_has_longer_to_end_than_it_takes() -> None:
    service = unit(ROOT / "deploy" / "systemd" / "migrator-worker@.service")["Service"]

    assert int(service["TimeoutStopSec"]) > END.total_seconds()
    assert service["KillSignal"] == "SIGTERM" and "--queues %i" in service["ExecStart"]


def test_an_instance_can_be_named_after_every_queue() -> None:
    """What a unit's name may hold without being escaped."""
    assert all(re.fullmatch(r"[A-Za-z0-9:_.]+", queue) for queue in Queue)


def test_what_no_try_can_change_is_not_tried_again() -> None:
    """docs/cli.md: 2 usage, 3 no-go. An unreachable server (5) is tried for ever."""
    for path in UNITS:
        parsed = unit(path)
        never = parsed["Service"]["RestartPreventExitStatus"].split()
        assert "2" in never and "5" not in never and parsed["Service"]["Restart"] == "always"
        assert parsed["Unit"]["StartLimitIntervalSec"] == "0"


def test_no_unit_and_no_example_holds_a_secret() -> None:
    for path in (ROOT / "deploy" / "systemd").iterdir():
        assert not re.search(r"postgres(ql)?://|password=|TOKEN=.", path.read_text()), path
