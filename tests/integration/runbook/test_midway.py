"""Every command of the runbook's pages for bad days, in the middle of a cutover, with the exit code the page says.

First with workers and Temporal, as by day; then without both, as at 3 a.m.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from migrator.model.condition import Condition, Kind
from migrator.model.standing import make
from migrator.notify.message import condition_json
from migrator.plan.load import dump
from migrator.plan.schema import Plan
from migrator.plan.toml import to_toml
from tests.fixtures.operator import Done, Operator
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.roles import Roles
from tests.fixtures.runbook import Line, lines
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.workflow.test_plan_taken_up import watched, working
from tests.workflow.test_whole_migration import begun
from workflows import names

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.once, pytest.mark.asyncio(loop_scope="session")]

BY_DAY = ("README.md", "what-if.md", "shim-rollout.md")
AT_NIGHT = ("3am.md", "temporal.md")
WAVES = {"sizes": [2, 2, 3], "soak_s": 86_400.0, "baseline_s": 0.2, "hot_ratio": 3.0, "canaries": ["9"]}
CHANGE = "ALTER TABLE shop.purchase ADD COLUMN remark text;\n"


@dataclass
class Desk:
    """Where an operator types: what the placeholders stand for, and what did not end as its page says."""

    operator: Operator
    values: Mapping[str, str]
    wrong: list[str] = field(default_factory=list)

    async def types(self, page: str) -> None:
        for line in lines(page):
            if line.of_the_tool and not line.only_read and not line.goes_on:
                done = await asyncio.to_thread(self.operator, *line.answered(self.values))
                self.wrong.extend(said(line, done))


def said(line: Line, done: Done) -> Iterator[str]:
    if done.code != line.code or "Traceback" in done.err:
        yield f"{line} ended with {done.code}, the page says {line.code}\n{done.out}{done.err}"


async def test_commands_end_as_their_page_says(
    temporal_env: WorkflowEnvironment,
    temporal_address: str,
    shop: Shop,
    roles: Roles,
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    monkeypatch.setattr("migrator.dataplane.backfill.links.IDLE_S", 0.1)
    plan = stored(shop, small_plan(rehearsal=None, waves=WAVES, temporal={"address": temporal_address}), monkeypatch)
    (tmp_path / "plan.toml").write_text(to_toml(dump(plan)))
    (tmp_path / "change.sql").write_text(CHANGE)
    spare = fresh_name("spare")
    environment = {
        "MIGRATOR_CLASSIC_DSN": shop.classic_dsn,
        "MIGRATOR_OPERATOR": "Ada",
        "STANDIN_ADMIN_DSN": machines.new_classic(spare),
    }
    operator = Operator(tmp_path, environment)
    desk = Desk(operator, {"NAME": "Ada", "TENANT": "9", "WAVE": "1", "ROLE": roles.on_classic("web"),
                           "CONDITION": "fallback/all", "KEY": "sha256:0"})  # fmt: skip
    async with working(temporal_env, plan, [queue.value for queue in names.Queue]):
        await begun(temporal_env, plan)
        try:
            await until(lambda: watched(shop))
            for page in BY_DAY:
                await desk.types(page)
        finally:
            await ended(temporal_env, plan)
    stand(shop, make(Kind.FALLBACK, "reads of all have fallen back", "It clears by itself", key="all"))
    desk = Desk(
        Operator(tmp_path, {**operator.environment, "MIGRATOR_TEMPORAL": "127.0.0.1:9"}), desk.values, desk.wrong
    )
    for page in AT_NIGHT:
        await desk.types(page)

    machines.drop(classic=spare)
    assert desk.wrong == [], "\n".join(desk.wrong)


def stand(shop: Shop, condition: Condition) -> None:
    """Have *condition* stand, as a worker's notifier would have found it."""
    shop.classic.execute(
        "INSERT INTO migrator.open_condition (name, body, first_at) VALUES (%s, %s, now())",
        (condition.name, Jsonb(condition_json(condition))),
    )


async def ended(env: WorkflowEnvironment, plan: Plan) -> None:
    """End the migration's workflows from outside; nothing of it is on classic."""
    ids = (names.migration_id, names.dual_write_id, names.backfill_id, names.breaker_id, names.cutover_id)
    for made in ids:
        with contextlib.suppress(RPCError):
            await env.client.get_workflow_handle(made(plan.name)).terminate()
