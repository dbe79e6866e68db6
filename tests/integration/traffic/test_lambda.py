"""The example for AWS Lambda, run as Lambda runs it: frozen after each answer, thawed for the next event, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import confirmed
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import release
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import World, ids

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

WORDS: dict[str, Any] = {"who": "test", "reason": "test", "timeout_s": TIMEOUT_S}


class Environment:
    """One process of the function; frozen whenever it has nothing to do."""

    def __init__(self, world: World) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.traffic.runtime", str(ROOT / "examples" / "lambda"), "handler"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "CLASSIC_DSN": world.classic_dsn,
                "LIMITLESS_DSN": world.limitless_dsn,
                "AWS_LAMBDA_FUNCTION_NAME": "notes",
            },
        )
        self._answer()
        self._freeze()

    def invoke(self, **event: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        self.process.send_signal(signal.SIGCONT)
        answer = self._answer()
        self._freeze()
        assert "error" not in answer, answer
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def _freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)


class Ledger:
    """What was acknowledged, and what was read since."""

    def __init__(self, environments: list[Environment]) -> None:
        self._environments = environments
        self._turn = 0
        self.acknowledged: dict[tuple[str, int], str] = {}
        self.sides: list[str] = []

    def next(self) -> Environment:
        self._turn += 1
        return self._environments[self._turn % len(self._environments)]

    def write(self, tenant: str, number: int, body: str) -> None:
        answer = self.next().invoke(do="write", tenant=tenant, number=number, body=body)
        assert answer == {"written": number}
        self.acknowledged[tenant, number] = body

    def read_all(self) -> None:
        """Everything that was acknowledged, each by another process."""
        for (tenant, number), body in self.acknowledged.items():
            answer = self.next().invoke(do="read", tenant=tenant, number=number)
            assert answer["body"] == body
            if tenant == "t1":
                self.sides.append(answer["side"])


@pytest.fixture
def staleness_s() -> float:
    """Longer than a busy machine takes for one invocation."""
    return 60.0


@pytest.fixture
def environments(world: World, staleness_s: float) -> Iterator[list[Environment]]:
    shim = {"ack_wait_s": 60, "staleness_s": staleness_s, "poll_s": 0.1, "read_timeout_s": 60, "max_lag_s": 600}
    world.classic.execute("UPDATE migrator.plan SET shim = %s", (json.dumps(shim),))
    with ExitStack() as stack:
        found = []
        for _ in range(3):
            one = Environment(world)
            stack.callback(one.kill)
            found.append(one)
        yield found


def registered(world: World) -> int:
    row = world.classic.execute("SELECT count(*) FROM migrator.process").fetchone()
    assert row is not None
    return int(row[0])


def test_notes_survive_moves_there_and_back_while_processes_are_frozen(
    world: World, environments: list[Environment]
) -> None:
    ledger = Ledger(environments)
    for number in range(3):
        ledger.write("t1", number, f"first {number}")
        ledger.write("u1", number, f"first {number}")
    ledger.read_all()
    assert set(ledger.sides) == {"classic"}
    assert registered(world) == 0, "a frozen process is not registered"

    for turn in range(2):
        with world.mirror():
            moved = promote_reads(world.classic, tenants=ids("t1"), **WORDS)
            assert moved.done
            assert (moved.confirmation.processes, moved.confirmation.expired) == (0, 0), "it waits for none"
            for number in range(3):
                ledger.write("t1", number, f"moved {turn} {number}")
            ledger.sides.clear()
            ledger.read_all()
            assert set(ledger.sides) == {"limitless"}
        back = roll_back(world.classic, tenants=ids("t1"), **WORDS)
        assert (back.complete, back.confirmed, back.expired) == (True, 0, 0)
        for number in range(3):  # no mirror runs: Limitless misses these
            ledger.write("t1", number, f"back {turn} {number}")
        ledger.sides.clear()
        ledger.read_all()
        assert set(ledger.sides) == {"classic"}
        release(world.classic, ids("t1"), who="test", reason="test")
    classic = world.classic.execute("SELECT tenant_id, id, body FROM app.note").fetchall()
    assert {(tenant, number): body for tenant, number, body in classic} == ledger.acknowledged


@pytest.mark.parametrize("staleness_s", [1.0])
def test_processes_that_are_killed_leave_nothing_for_long(world: World, environments: list[Environment]) -> None:
    """Frozen within an invocation and never thawed: its registration runs out, and the next process removes it."""
    frozen, *others = environments
    frozen.invoke(do="write", tenant="t1", number=1, body="hello")
    world.classic.execute(
        "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;"
        "CREATE TRIGGER slow AFTER INSERT ON app.note FOR EACH ROW WHEN (NEW.body = 'slow')"
        " EXECUTE FUNCTION app.slow()"
    )
    assert frozen.process.stdin is not None
    frozen.process.stdin.write(json.dumps({"do": "write", "tenant": "t1", "number": 2, "body": "slow"}) + "\n")
    frozen.process.stdin.flush()
    frozen.process.send_signal(signal.SIGCONT)
    sleeping = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    (pid,) = eventually(lambda: world.classic.execute(sleeping).fetchone(), "it is within an invocation")
    frozen.process.send_signal(signal.SIGSTOP)
    assert registered(world) == 1
    back = roll_back(world.classic, all=True, **WORDS)
    assert (back.complete, back.confirmed, back.expired) == (True, 0, 1)
    frozen.process.kill()
    world.classic.execute("SELECT pg_terminate_backend(%s)", (pid,))

    assert (registered(world), confirmed(world.classic, back.epoch).expired) == (1, 1)
    world.classic.execute("UPDATE migrator.process SET seen_at = seen_at - interval '2 minutes'")
    for one in others:
        assert one.invoke(do="read", tenant="t1", number=1)["body"] == "hello"
    assert registered(world) == 0
