"""The calendar of the runbook, typed as it stands there: one small migration from the audit to the end of classic.

What the pages leave to people is done here: the plan is edited, a gate is approved once it waits, an application with a
shim runs, further waves are approved like the first.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.db.connect import connect
from migrator.plan.load import dump
from migrator.plan.toml import to_toml
from migrator.shim import Shim
from tests.fixtures.operator import Operator
from tests.fixtures.plans import small_plan
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.roles import Roles
from tests.fixtures.runbook import Line, lines
from tests.fixtures.shop import CASCADES, FILL, schema
from tests.fixtures.waiting import TIMEOUT_S, eventually

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.once]

GATES = {
    **dict.fromkeys(("audit", "provision", "dual_write", "cutover"), "approval"),
    "acknowledged": ["AUD-EVD-05:statements"],  # no statement was run here yet
}
NAME = "Ada"


@dataclass
class Story:
    """Who types the page's commands, and what runs beside them."""

    operator: Operator
    role: str
    classic_dsn: str
    limitless_dsn: str
    plan_text: str
    stack: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    digest: str = ""

    def types(self, line: Line) -> str:
        """Do what *line* says, once it is its turn; return what was not as the page says, "" when all was."""
        if not line.of_the_tool or line.only_read:
            return ""
        if line.goes_on:
            self.work(line)
            return ""
        words = line.answered({"NAME": NAME, "ROLE": self.role, "TENANT": "7", "DIGEST": self.digest})
        self.wait_for_turn(words)
        done = self.operator(*words)
        if words[:2] == ["plan", "init"]:
            (self.operator.home / "plan.toml").write_text(self.plan_text)
        if words[0] == "gate":
            self.digest = str(self.operator(*words, "--json").json["evidence"])
        if done.code == line.code and "Traceback" not in done.err:
            return ""
        return f"{line} ended with {done.code}, the page says {line.code}\n{done.out}{done.err}"

    def work(self, line: Line) -> None:
        """Start what goes on until it is stopped, in a process of its own."""
        log = self.stack.enter_context((self.operator.home / "worker.log").open("wb"))
        command = [sys.executable, "-m", "migrator", *line.words()]
        environment = self.operator.everything({})
        self.workers.append(subprocess.Popen(command, env=environment, cwd=self.operator.home, stdout=log, stderr=log))

    def wait_for_turn(self, words: list[str]) -> None:
        """Wait as a person does: for a gate, for rows to be there, for a wave to be over."""
        match words:
            case ["gate", gate]:
                self.gate_waits(gate)
            case ["provision", "--verify"]:
                self.gate_waits("provision")
            case ["backfill", "status", *_]:
                eventually(lambda: self.one("SELECT count(*) FROM migrator.copy_unit") > 0, "units are planned")
            case ["validate", *_]:
                self.gate_waits("dual_write")
            case ["cutover", "--dry-run"]:
                self.application()
            case ["drill", "rollback", *_]:
                eventually(lambda: self.one(FINISHED) > 0, "the first wave is done")
            case ["decommission", "check"]:
                self.gate_waits("decommission")  # the window is over
            case ["decommission", "status"]:
                eventually(lambda: self.one(OVER) > 0, "the migration is over")

    def gate_waits(self, gate: str) -> None:
        """Wait until *gate* waits for an approval; waves before that of the cutover are approved as the first was."""

        def look() -> bool:
            if gate == "cutover":
                for wave in filter(self.waits, ("wave-2", "wave-3", "wave-4")):
                    self.operator("approve", wave, "--as", NAME, "--yes")
            return self.waits(gate)

        try:
            eventually(look, f"{gate} waits", every_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.operator('status', '--all').out}\n{self.log}") from None

    def waits(self, gate: str) -> bool:
        done = self.operator("gate", gate, "--json")
        return done.code == 0 and done.json["waits"] and not done.json["approved"]

    @property
    def log(self) -> str:
        """The end of what the worker logged."""
        return (self.operator.home / "worker.log").read_text()[-4000:]

    def application(self) -> None:
        """Have a process with a shim run, whose reads a drill waits for."""
        shim = self.stack.enter_context(Shim(self.classic_dsn, self.limitless_dsn, "web-1"))
        over = threading.Event()

        def read() -> None:
            tenants = itertools.cycle(str(number) for number in range(1, 13))
            while not over.wait(0.05):
                shim.run_read(next(tenants), lambda r: r.connection.execute("SELECT 1").fetchall())

        reader = threading.Thread(target=read)
        reader.start()
        self.stack.callback(reader.join)
        self.stack.callback(over.set)

    def one(self, statement: str) -> Any:
        with psycopg.connect(self.classic_dsn) as conn:
            row = conn.execute(statement.encode()).fetchone()
            return row[0] if row else None

    def end(self) -> list[int]:
        """Tell the workers to stop; return their exit codes."""
        for worker in self.workers:
            worker.terminate()
        return [worker.wait(TIMEOUT_S) for worker in self.workers]


FINISHED = "SELECT count(*) FROM migrator.decision WHERE kind = 'wave.finished' AND subject = 'wave-1'"
OVER = "SELECT count(*) FROM migrator.phase WHERE phase = 'decommission' AND state = 'done'"


@pytest.fixture
def story(
    machines: Machines, roles: Roles, temporal_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Story]:
    monkeypatch.chdir(tmp_path)
    name = fresh_name("weeks")
    classic, limitless = machines.new_classic(name), machines.new_limitless(name)
    with connect(classic, "test") as conn:
        conn.execute((schema(CASCADES) + FILL).encode())
    servers = {"classic": {"writer": "env:MIGRATOR_CLASSIC_DSN"}, "limitless": {"dsn": "env:MIGRATOR_LIMITLESS_DSN"}}
    waves = {
        "sizes": [3, 20],
        "soak_s": 0.2,
        "baseline_s": 0.2,
        "hot_ratio": 3.0,
        "approve_each": True,
        "p99_factor": 1000.0,
    }
    plan = small_plan(
        temporal={"address": temporal_address},
        gates=GATES,
        waves=waves,
        breaker={"p99_ms": 60_000.0},  # a busy machine is no reason to go back
        stabilization={"days": 0.00002, "check_every_days": 0.00001},
        preflight={"gate": False},
        rehearsal=None,
        **servers,
    )
    environment = {
        "MIGRATOR_CLASSIC_DSN": classic,
        "MIGRATOR_LIMITLESS_DSN": limitless,
        "MIGRATOR_PLAN": "plan.toml",
        "MIGRATOR_OPERATOR": NAME,
    }
    with ExitStack() as stack:
        made = Story(
            Operator(tmp_path, environment), roles.on_classic("web"), classic, limitless, to_toml(dump(plan)), stack
        )
        try:
            yield made
        finally:
            made.end()
    machines.drop(classic=name, limitless=name)


def test_the_calendar_leads_to_the_end(story: Story) -> None:
    wrong: list[str] = []
    for line in lines("weeks.md"):
        try:
            wrong += filter(None, [story.types(line)])
        except AssertionError as error:
            raise AssertionError("\n".join([f"{line}: {error}", *wrong])) from None

    assert wrong == [], "\n".join(wrong)
    assert story.one("SELECT write_mode FROM migrator.switch") == "limitless_only"
    with psycopg.connect(story.limitless_dsn) as conn:
        assert conn.execute("SELECT count(*) FROM shop.purchase").fetchone() == (600,)
    assert set(story.end()) == {0}, "SIGTERM is how a service ends"
