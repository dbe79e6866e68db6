"""What the acts of a rehearsal share: the servers, the processes, the observer, the record."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from migrator.plan.schema import Plan, Rehearsal
from migrator.poll import until
from migrator.rehearse import roles
from migrator.rehearse.children import Children, Operator
from migrator.rehearse.demo import DemoLoad
from migrator.rehearse.ledger_tail import Traffic
from migrator.rehearse.observer import NeverHappened, Observer, Sample
from migrator.rehearse.result import Event, Record
from migrator.rehearse.screen import Screen
from migrator.rehearse.told import Scraper
from migrator.rehearse.traffic import TrafficConfig
from migrator.rehearse.workdir import Workdir

APPROVER = "Dana Dba"
"""The person of the rehearsal: approvals need a name."""

TIMEOUT_S = 180.0
"""Timeout in seconds of a wait. Nothing takes that long by itself; on a busy machine gates rightly block while a mirror
lags, and a shorter timeout would call that a failure."""

WORKERS: dict[str, str] = {
    "worker-control": "control,incident",
    "worker-mirror": "mirror",
    "worker-bulk-1": "bulk",
    "worker-bulk-2": "bulk",
}
"""Worker processes and their task queues: a copy can never delay a rollback."""


class Machines(Protocol):
    """The servers of a rehearsal, and how to break them."""

    start: str
    """How they start, as the end of a sentence."""
    crashes: str
    """How a server fails in an accident, as the middle of a sentence."""
    stopped: str
    """The state of Temporal and classic while they are unreachable, as a participle."""

    def up(self) -> None: ...
    def down(self) -> None: ...
    def remove(self) -> None: ...
    def pids(self) -> list[int]: ...
    def environment(self) -> dict[str, str]:
        """Where every process of the rehearsal finds them."""
        ...

    def left_out(self) -> list[str]:
        """Accidents that are not possible here."""
        ...

    @property
    def classic(self) -> str: ...
    @property
    def limitless(self) -> str: ...
    @property
    def replica(self) -> str:
        """A read replica of classic; empty where there is none, and then there is none to freeze."""
        return ""

    def freeze_replica(self) -> None:
        """Hang it."""
        return

    def thaw_replica(self) -> None:
        """Let it go on."""
        return

    def kill_limitless(self) -> None: ...
    def start_limitless(self) -> None: ...
    def stop_temporal(self) -> None: ...
    def start_temporal(self) -> None: ...
    def kill_classic(self) -> None: ...
    def start_classic(self) -> None: ...
    def stop_classic(self) -> None: ...


@dataclass
class Stage:
    plan: Plan
    plan_path: Path
    settings: Rehearsal
    workdir: Workdir
    machines: Machines
    children: Children
    operator: Operator
    observer: Observer
    screen: Screen
    record: Record
    traffic_names: list[str] = field(default_factory=list)
    scraper: Scraper = field(default_factory=Scraper)

    # -- display and record -------------------------------------------------------------------------------------

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """A line of the checklist; what the body puts into the list is shown behind it."""
        line, detail = self.screen.step(title), list[str]()
        yield detail
        self.screen.done(line, ", ".join(detail))

    @contextmanager
    def event(self, name: str, title: str) -> Iterator[Event]:
        """An event of the timeline, from now to the end of the body."""
        event = Event(name, title, time.monotonic())
        self.record.events.append(event)
        line = self.screen.step(title)
        yield event
        if event.ended is None:
            event.ended = time.monotonic()
        self.screen.done(line, event.detail)

    # -- waiting --------------------------------------------------------------------------------------------------

    def wait(self, what: str, happened: Callable[[Sample], bool], timeout_s: float) -> Sample:
        return self.observer.wait(what, happened, timeout_s)

    def wait_traffic(self, what: str, writes: int, reads: int, timeout_s: float) -> Traffic:
        """Wait until so many more writes and reads succeeded; returns what happened meanwhile."""
        before = self.observer.latest.traffic

        def enough(sample: Sample) -> bool:
            since = sample.traffic.since(before)
            return since.acknowledged >= writes and since.reads >= reads

        return self.wait(what, enough, timeout_s).traffic.since(before)

    # -- processes ------------------------------------------------------------------------------------------------

    def start_worker(self, name: str) -> None:
        queues = WORKERS[name.removesuffix("-again")]
        words = ["-m", "migrator", "worker", "--plan", str(self.plan_path), "--queues", queues]
        self.children.start(name, [*words, "--metrics", self.scraper.address_of(name)])

    def kill_worker(self, name: str) -> None:
        self.scraper.forget(name)
        self.children.kill(name)

    def start_traffic(self, demo: DemoLoad) -> None:
        """Start the application: it knows the shim and two connection strings, those of a role that owns nothing."""
        settings = self.settings
        theirs = {
            "MIGRATOR_CLASSIC_DSN": roles.as_role(self.machines.classic, roles.APPLICATION),
            "MIGRATOR_LIMITLESS_DSN": roles.as_role(self.machines.limitless, roles.APPLICATION),
        }
        if self.machines.replica:
            theirs["MIGRATOR_CLASSIC_READER_DSN"] = roles.as_role(self.machines.replica, roles.APPLICATION)
        # The root of the size: large tenants are busier, and small ones have traffic too.
        tenants = [(t.tenant_id, round(t.rows**0.5, 2)) for t in demo.tenants]
        for index in range(settings.processes):
            name = f"web-{index + 1}"
            config = TrafficConfig(
                name=name,
                index=index,
                processes=settings.processes,
                threads=settings.threads,
                writes_per_s=settings.writes_per_s,
                reads_per_s=settings.reads_per_s,
                seed=settings.seed,
                tenants=tenants,
                ledger=str(self.workdir.ledgers / f"{name}.jsonl"),
                paused=str(self._paused(name)),
            )
            path = self.workdir.logs / f"{name}.json"
            path.write_text(json.dumps(asdict(config)))
            self.children.start(name, ["-m", "migrator.rehearse.traffic", str(path)], theirs)
            self.traffic_names.append(name)

    def release_traffic(self) -> None:
        """Let the application use what a deployment brought."""
        self.children.signal(self.traffic_names, signal.SIGHUP)

    @contextmanager
    def traffic_paused(self) -> Iterator[None]:
        """Pause every traffic process between two operations, as long as the body runs."""
        self.children.signal(self.traffic_names, signal.SIGUSR1)
        try:
            self.wait(
                "traffic processes are paused",
                lambda _: all(self._paused(name).exists() for name in self.traffic_names),
                60,
            )
            yield
        finally:
            self.children.signal(self.traffic_names, signal.SIGUSR2)

    def _paused(self, name: str) -> Path:
        return self.workdir.ledgers / f"{name}.paused"


def poll(what: str, probe: Callable[[], bool], timeout_s: float, every_s: float = 0.05) -> None:
    """Ask *probe* until it returns true, for facts that the observer does not read.

    Raises:
        NeverHappened: not within *timeout_s*.
    """
    if not until(probe, timeout_s, every_s):
        raise NeverHappened(what, timeout_s, "")
