"""Processes that are stopped (SIGSTOP) at any point while routes change, with threads and without.

They are stopped for longer than the staleness limit, and go on; meanwhile one of their clocks stands still. None may
answer with what was true before, or acknowledge what others do not see.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from migrator.model.route import FallbackScope
from migrator.model.tenant import TenantId
from migrator.shim import Shim
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import release
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import CALM, QUICK, World, get, put

pytestmark = [pytest.mark.pg, pytest.mark.once]

SETTINGS = replace(QUICK, staleness_s=0.6, poll_s=0.05)
WORDS: dict[str, Any] = {"who": "test", "reason": "test", "timeout_s": TIMEOUT_S}

READS = ("chosen", "answered")
MORE_READS = (
    "before", "choosing", "taking", "taken", "in a read", "giving", "beating", "beaten", "installing", "installed",
)  # fmt: skip
WRITES = ("committed",)
MORE_WRITES = ("before", "taken", "in a write", "written", "committing", "giving")
SOAK = pytest.mark.slow


class Stopping:
    """One such process; see stopping.py."""

    def __init__(self, world: World, tenant: str, threads: bool, still: str, where: Path) -> None:
        self.tenant = tenant
        self.what = f"{tenant}: {'with' if threads else 'without'} threads, the {still} clock stands still"
        self.stopped_s, self._since_s = 0.0, 0.0
        self._told = where / f"{tenant}.stopped"
        self._told.write_text("0")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.traffic.stopping"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self.send(
            world.classic_dsn, world.limitless_dsn, tenant, asdict(SETTINGS), threads, still, str(self._told)
        )  # fmt: skip

    def send(self, *command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, *command: Any) -> Any:
        self.send(*command)
        return self.answer()

    def reads(self, side: str, number: int) -> bool:
        return bool(self.ask("read", "", self.tenant, number)[0] == side)

    def wait_stopped(self) -> None:
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), status
        self._since_s = time.monotonic()

    def go_on(self) -> None:
        self.stopped_s += time.monotonic() - self._since_s
        beside = self._told.with_suffix(".new")
        beside.write_text(str(self.stopped_s))
        beside.replace(self._told)
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@contextmanager
def stopping(world: World, where: Path) -> Iterator[list[Stopping]]:
    """Four: with and without threads, and whichever clock stands still."""
    world.classic.execute("INSERT INTO migrator.tenant (tenant_id, part, state) VALUES ('u2', 2, 'mirrored')")
    kinds = [(threads, still) for threads in (True, False) for still in ("machine", "wall")]
    with ExitStack() as stack:
        found = []
        for tenant, (threads, still) in zip(("t1", "t2", "u1", "u2"), kinds, strict=True):
            one = Stopping(world, tenant, threads, still, where)
            stack.callback(one.close)
            found.append(one)
        for one in found:
            one.answer()
        yield found


def reads(shim: Shim, side: str, number: int) -> bool:
    return bool(shim.run_read("t1", get("t1", number))[0] == side)


@pytest.mark.parametrize("points", [READS, pytest.param(MORE_READS, marks=SOAK)], ids=["some points", "more points"])
def test_none_answers_with_what_was_true_before(world: World, tmp_path: Path, points: Sequence[str]) -> None:
    with stopping(world, tmp_path) as processes, world.shim("another", settings=CALM) as another:
        tenants = [TenantId(one.tenant) for one in processes]
        for number, point in enumerate(points):
            with world.mirror():
                assert promote_reads(world.classic, tenants=tenants, **WORDS).done
                for one in processes:
                    eventually(partial(one.reads, "limitless", number), one.what)
            for one in processes:
                one.send("read", point, one.tenant, number)
            for one in processes:
                one.wait_stopped()
            which: dict[str, Any] = {"all": True} if number % 2 == 0 else {"tenants": tenants}
            back = roll_back(world.classic, **which, **WORDS)
            assert back.complete and back.expired == len(processes)
            for one in processes:  # no mirror runs: Limitless misses it
                another.run_write(one.tenant, put(one.tenant, number, f"after {point}"))
            for one in processes:
                one.go_on()
            for one in processes:
                assert one.answer() == ["classic", f"after {point}"], (point, one.what)
                assert one.ask("read", "", one.tenant, number) == ["classic", f"after {point}"], (point, one.what)
            if number % 2 == 0:
                with world.mirror():
                    assert promote_reads(world.classic, switch=True, **WORDS).done
            else:
                release(world.classic, tenants, who="test", reason="test")


@pytest.mark.parametrize("points", [WRITES, pytest.param(MORE_WRITES, marks=SOAK)], ids=["some points", "more points"])
def test_what_they_acknowledge_is_seen_where_the_tenant_has_moved(
    world: World, tmp_path: Path, points: Sequence[str]
) -> None:
    with stopping(world, tmp_path) as processes, world.shim("another", settings=CALM) as another:
        tenants = [TenantId(one.tenant) for one in processes]
        for number, point in enumerate(points):
            for one in processes:
                one.send("write", point, one.tenant, number, f"at {point}")
            for one in processes:
                one.wait_stopped()
            with world.mirror():
                assert promote_reads(world.classic, tenants=tenants, **WORDS).done
                eventually(partial(reads, another, "limitless", number), "it has moved")
            for one in processes:
                one.go_on()  # without a mirror
            for one in processes:
                assert one.answer() is None, (point, one.what)
                assert another.run_read(one.tenant, get(one.tenant, number))[1] == f"at {point}", (point, one.what)
            assert roll_back(world.classic, tenants=tenants, **WORDS).complete
            release(world.classic, tenants, who="test", reason="test")
            with world.mirror():
                for (part,) in world.classic.execute("SELECT scope_key FROM migrator.fallback").fetchall():
                    assert promote_reads(world.classic, fallback=(FallbackScope.PART, part), **WORDS).done
