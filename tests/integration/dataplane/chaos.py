"""What goes wrong in a stress test: processes, servers and connections, chosen by a seeded random generator."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from migrator.dataplane import repair
from migrator.errors import PreconditionFailed
from migrator.local.proxy import Faults, Link, Proxy
from tests.fixtures.postgres import Servers
from tests.fixtures.world import PARTS

LOSSES = {
    "mirror control": (b"heartbeat", b"migrator.position", b"UPDATE"),
    "mirror rows": (b"COMMIT", b"FETCH", b"SELECT"),
    "mirror": (b"COMMIT", b"COMMIT", b"mirror_position", b"BEGIN"),
    "copy control": (b"copy_unit", b"migrator.hold", b"UPDATE"),
    "copy": (b"COMMIT", b"COMMIT", b"copy_lease", b"COPY"),
    "backfill": (b"COMMIT", b"INSERT"),
}
"""Requests whose answer is lost, by kind of connection."""


@dataclass
class Net:
    """A proxy whose connections can be told apart, so that each loses its own answers."""

    proxy: Proxy

    def __post_init__(self) -> None:
        self.proxy.on_link = self._adopt

    def _adopt(self, link: Link) -> None:
        link.faults = Faults()

    def kinds(self) -> dict[str, Link]:
        """An open connection of each kind: 'migrator copy unit-00007 control' is a 'copy control'."""
        return {
            " ".join(word for word in each.application.split() if "-" not in word and word != "migrator"): each
            for each in self.proxy.links
            if each.application
        }


def losses(kind: str) -> tuple[bytes, ...]:
    """Return what a connection of *kind* asks for: 'mirror 1 control' is a 'mirror control'."""
    return LOSSES.get(" ".join(word for word in kind.split() if not word.isdigit()), (b"COMMIT",))


class Family:
    """The processes of the data plane; who dies is replaced."""

    def __init__(self, classic: str, limitless: str, log: Path) -> None:
        self.environment = {**os.environ, "C": classic, "L": limitless}
        self.log = log
        self.children: list[tuple[list[str], subprocess.Popen[bytes]]] = []
        self.broken: list[str] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.dataplane.child", *arguments],
                env=self.environment,
                stderr=log,
            )
        self.children.append((list(arguments), child))
        return child

    def replace(self) -> None:
        """Start again what has ended; an end that no fault explains is the test's failure."""
        for arguments, child in list(self.children):
            code = child.poll()
            if code is not None:
                self.children.remove((arguments, child))
                if code not in (0, -signal.SIGKILL):
                    self.broken.append(
                        f"{arguments} ended with {code}; see {self.log}:\n{self.log.read_text()[-3000:]}"
                    )
                if not any(other == arguments for other, _ in self.children):
                    self.start(*arguments)

    def some(self, r: random.Random, kind: str) -> subprocess.Popen[bytes] | None:
        found = [child for arguments, child in self.children if arguments[0] == kind and child.poll() is None]
        return r.choice(found) if found else None

    def end(self) -> None:
        for _, child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
                child.kill()
            child.wait()
        self.children.clear()


class Chaos:
    """One fault after the other, each counted under its name."""

    def __init__(self, servers: Servers, family: Family, classic: Net, limitless: Net, seed: int) -> None:
        self.servers, self.family, self.classic, self.limitless = servers, family, classic, limitless
        self.r = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.armed: list[tuple[str, Link]] = []
        self.crashes = 0
        self.faults: list[tuple[int, Callable[[], None]]] = [
            (6, self.kill_a_mirror),
            (6, self.kill_a_copy),
            (2, self.second_mirror),
            (2, self.freeze_a_mirror),
            (2, self.kill_classic),
            (2, self.kill_limitless),
            (1, self.kill_both),
            (6, self.terminate_a_session),
            (12, self.lose_an_answer),
            (2, self.reset_a_side),
            (2, self.stall_a_side),
            (5, self.recopy_a_tenant),
            (2, self.stop_and_start_the_backfill),
        ]

    def strike(self) -> None:
        """Let one thing go wrong."""
        weights, faults = zip(*self.faults, strict=True)
        fault = self.r.choices(faults, weights)[0]
        fault()
        self.done[fault.__name__] += 1
        self.family.replace()

    def _kill(self, kind: str) -> None:
        child = self.family.some(self.r, kind)
        if child is not None:
            child.kill()
            child.wait()

    def kill_a_mirror(self) -> None:
        self._kill("mirror")

    def kill_a_copy(self) -> None:
        self._kill("copy")

    def second_mirror(self) -> None:
        """Two claim one partition: the first one finds out and ends."""
        self.family.start("mirror", str(self.r.randint(0, PARTS)))

    def freeze_a_mirror(self) -> None:
        """One stands still, wherever it is, while its successor works; then it goes on and must do no harm."""
        arguments, child = self.r.choice([c for c in self.family.children if c[0][0] == "mirror"])
        child.send_signal(signal.SIGSTOP)
        self.family.start(*arguments)
        time.sleep(self.r.random() * 2)  # the fault itself: how long it is frozen
        child.send_signal(signal.SIGCONT)

    def _crash(self, *machines: Any) -> None:
        for machine in machines:
            machine.kill()
        time.sleep(self.r.random() * 0.3)  # the fault itself: how long it is down
        for machine in self.r.sample(machines, len(machines)):
            machine.start()
        self.crashes += 1

    def kill_classic(self) -> None:
        self._crash(self.servers.classic)

    def kill_limitless(self) -> None:
        self._crash(self.servers.limitless)

    def kill_both(self) -> None:
        self._crash(self.servers.classic, self.servers.limitless)

    def terminate_a_session(self) -> None:
        with self._either() as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE application_name LIKE 'migrator%%' ORDER BY md5(pid::text || %s) LIMIT 1) s",
                (str(self.r.random()),),
            )

    def _either(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.r.choice([self.servers.classic_dsn, self.servers.limitless_dsn]), autocommit=True)

    def lose_an_answer(self) -> None:
        """The next request of one kind of connection is carried out, and nobody is told."""
        side, net = self.r.choice([("classic", self.classic), ("limitless", self.limitless)])
        kinds = net.kinds()
        if kinds:
            # The kind that lost the fewest so far: each connection has its turn.
            lost = self.answers_lost()
            kind = min(sorted(kinds), key=lambda k: lost[f"{side}: {k}"])
            kinds[kind].faults.lose_reply_to = self.r.choice(losses(kind))
            self.armed.append((f"{side}: {kind}", kinds[kind]))

    def answers_lost(self) -> Counter[str]:
        """Answers that were indeed lost, by side and kind of connection."""
        return Counter(name for name, link in self.armed if link.faults.lose_reply_to is None)

    def reset_a_side(self) -> None:
        self.r.choice([self.classic, self.limitless]).proxy.reset_all()

    def stall_a_side(self) -> None:
        proxy = self.r.choice([self.classic, self.limitless]).proxy
        proxy.stall()
        time.sleep(self.r.random() * 1.5)  # the fault itself: how long nothing passes
        proxy.resume()

    def recopy_a_tenant(self) -> None:
        with psycopg.connect(self.servers.classic_dsn, autocommit=True) as conn:
            row = conn.execute(
                "SELECT tenant_id FROM migrator.tenant WHERE state = 'mirrored' AND recopy IS NULL"
                " ORDER BY md5(tenant_id || %s) LIMIT 1",
                (str(self.r.random()),),
            ).fetchone()
            if row is not None:
                with contextlib.suppress(PreconditionFailed):
                    repair.recopy(conn, "ana", [str(row[0])], "a test")

    def stop_and_start_the_backfill(self) -> None:
        """No copy runs for a moment; then one, or two at once."""
        for arguments, child in self.family.children:
            if arguments[0] == "copy":
                child.kill()
                child.wait()
        time.sleep(self.r.random() * 0.5)  # the fault itself
        for _ in range(self.r.randint(1, 2)):
            self.family.start("copy")


@contextlib.contextmanager
def striking(chaos: Chaos, pause_s: float) -> Iterator[list[BaseException]]:
    """Faults, one every *pause_s* at random, beside what the caller does; what went wrong in here is returned."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        while not stop.wait(chaos.r.random() * pause_s * 2):
            try:
                chaos.strike()
            except BaseException as error:  # of the thread: the caller raises it
                failed.append(error)
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield failed
    finally:
        stop.set()
        thread.join()
