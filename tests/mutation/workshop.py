"""Where is a mutation tried, and what came of it?

In a copy of the tree, so that nothing here changes under anybody's feet. Each lane has a copy and a pair of servers of
its own, which live as long as the lane: the tests make databases of their own there.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests import ROOT
from tests.fixtures.postgres import Cluster
from tests.mutation.mutation import Mutation

COPIED = ("migrator", "workflows", "tests", "plans", "pyproject.toml")
PATIENCE_S = 150.0
_versions = itertools.count(int(time.time()))


class Verdict(StrEnum):
    """What became of a mutation."""

    NOTICED = "noticed"
    SURVIVED = "SURVIVED"
    OTHERWISE = "FAILED OTHERWISE"  # a test failed, and not because a promise was found broken
    STALE = "STALE"  # its text does not stand in the source


@dataclass(frozen=True, slots=True)
class Outcome:
    """One mutation tried. `detail`: who noticed and with which words, or what else happened."""

    mutation: Mutation
    verdict: Verdict
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A copy of the tree and two servers."""

    root: Path
    servers: tuple[str, ...]

    def run(self, tests: Sequence[str]) -> tuple[int | None, list[tuple[str, str]], str]:
        """Run *tests* until one fails; returns pytest's exit code (None: out of time), failures, output."""
        report = self.root / "report.xml"
        report.unlink(missing_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONHASHSEED": "0"}
        options = ("-q", "-x", "-n", "0", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={report}")
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *self.servers, *tests],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, [], ""
        return process.returncode, _failures(report), output

    def try_out(self, mutation: Mutation) -> Outcome:
        """Apply *mutation*, run its tests, take it back."""
        began = time.monotonic()
        faults = mutation.faults(self.root)
        if faults:
            return Outcome(mutation, Verdict.STALE, 0.0, "; ".join(faults))
        before = mutation.apply(self.root)
        path = self.root / mutation.file
        try:
            # Compiled files are told apart by whole seconds and sizes.
            os.utime(path, (next(_versions),) * 2)
            code, failures, output = self.run(mutation.tests)
        finally:
            path.write_text(before, encoding="utf-8")
            os.utime(path, (next(_versions),) * 2)
        verdict, detail = judged(mutation, code, failures, output)
        return Outcome(mutation, verdict, time.monotonic() - began, detail)


_ASSERTION = re.compile(r"^(AssertionError|assert |Failed: DID NOT RAISE|Failed: Regex|tests\.[\w.]+:)|AssertionError")


def judged(
    mutation: Mutation, code: int | None, failures: Sequence[tuple[str, str]], output: str
) -> tuple[Verdict, str]:
    """Return what a run says about a mutation. Pure."""
    if code is None:
        return Verdict.OTHERWISE, f"no end within {PATIENCE_S:.0f} s"
    if code == 0:
        return Verdict.SURVIVED, mutation.why
    if code != 1 or not failures:
        return Verdict.OTHERWISE, output.strip().splitlines()[-1] if output.strip() else f"exit code {code}"
    test, message = failures[0]
    told = f"{test}: {message.splitlines()[0][:160] if message else 'no message'}"
    if mutation.says:
        return (Verdict.NOTICED if mutation.says in message else Verdict.OTHERWISE), told
    return (Verdict.NOTICED if _ASSERTION.search(message) else Verdict.OTHERWISE), told


def _failures(report: Path) -> list[tuple[str, str]]:
    """Return (test, message) of what failed; an error while a test was set up is none."""
    if not report.is_file():
        return []
    cases = ET.parse(report).getroot().iter("testcase")
    return [
        (str(case.get("name")), str(failure.get("message"))) for case in cases for failure in case.findall("failure")
    ]


@contextmanager
def lanes(count: int) -> Iterator[list[Lane]]:
    """Yield *count* lanes."""
    cluster = Cluster(None)
    home = Path(tempfile.mkdtemp(prefix="migrator-mutation-"))
    home.chmod(0o755)
    try:
        with _pairs(cluster, count) as pairs:
            yield [Lane(_copy(home / str(number)), servers) for number, servers in enumerate(pairs)]
    finally:
        cluster.remove()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _pairs(cluster: Cluster, count: int) -> Iterator[list[tuple[str, ...]]]:
    if count == 0:
        yield []
        return
    with cluster.pair() as machines, _pairs(cluster, count - 1) as others:
        dsns = (f"--classic-dsn={machines.classic_admin}", f"--limitless-dsn={machines.limitless_admin}")
        yield [dsns, *others]


def _copy(to: Path) -> Path:
    to.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / name)
    return to
