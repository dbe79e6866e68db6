"""A plan that changes while workers run is in force without restarting them: mirrors, schedule, soak, worker list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from migrator.control import plan_change, workers
from migrator.dataplane.backfill.plan import plan_all, take_inventory
from migrator.plan.load import digest, dump
from migrator.plan.schema import Plan
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.workflow.test_whole_migration import begun
from workflows import names
from workflows.activities.base import Context
from workflows.activities.dual_write import _next_units
from workflows.activities.validation import adjust_schedule
from workflows.fit import Fit, keep_known
from workflows.messages import UnitsInput
from workflows.worker import served
from workflows.worker import workers as made

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    monkeypatch.setattr("migrator.dataplane.backfill.links.IDLE_S", 0.1)  # workers end as soon as copies do
    return stored(shop, small_plan(rehearsal=None), monkeypatch)


def changed(plan: Plan, **sections: dict[str, Any]) -> Plan:
    body = dump(plan)
    return Plan.model_validate({**body, **{key: {**body[key], **value} for key, value in sections.items()}})


def apply(conn: psycopg.Connection[Any], new: Plan) -> None:
    plan_change.apply(conn, plan_change.look(conn, new), who="Ada", reason="r", approver="Ada", force=True)


@asynccontextmanager
async def working(env: WorkflowEnvironment, plan: Plan, queues: Sequence[str] = ()) -> AsyncIterator[Context]:
    """A worker process' parts: its queues and what follows the plan. It says on classic that it serves *queues*."""
    context = Context(plan)
    async with served(made(env.client, plan, context=context)):
        following = asyncio.create_task(
            keep_known(context, list(queues), lambda plan: adjust_schedule(env.client, plan))
        )
        try:
            yield context
        finally:
            following.cancel()
            await asyncio.wait({following})


async def test_a_change_is_in_force_in_the_middle_of_a_soak(
    temporal_env: WorkflowEnvironment,
    shop: Shop,
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A day of soak becomes a second, mirrors get other limits, the schedule another interval; nobody is restarted."""
    slow = changed(plan, waves={"soak_s": 86_400.0})
    stored(shop, slow, monkeypatch)
    async with working(temporal_env, slow) as context:
        handle = await begun(temporal_env, slow)

        async def waves() -> int:
            row = shop.classic.execute("SELECT count(*) FROM migrator.decision WHERE kind = 'wave.finished'").fetchone()
            return int(row[0]) if row else 0

        async def interval() -> bool:
            found = await temporal_env.client.get_schedule_handle(names.validate_id(plan.name)).describe()
            return found.schedule.spec.intervals[0].every == timedelta(seconds=1234)

        try:
            await until(lambda: watched(shop))
            assert await waves() == 0
            new = changed(slow, waves={"soak_s": 0.5}, validation={"every_s": 1234.0}, dual_write={"batch_rows": 777})
            apply(shop.classic, new)
            await until(lambda: waves())
            await until(interval)
            (worker,) = workers.living(shop.classic)
            assert worker.loaded.digest == digest(new) and workers.outdated(shop.classic) == ()
            assert context.plan == new
            await until(lambda: mirrored(shop))
        finally:
            for workflow_id in (
                handle.id,
                *(f(plan.name) for f in (names.dual_write_id, names.backfill_id, names.breaker_id, names.cutover_id)),
            ):
                with contextlib.suppress(RPCError):  # it has ended by itself
                    await temporal_env.client.get_workflow_handle(workflow_id).terminate()


async def watched(shop: Shop) -> bool:
    """Reads of the first wave are on Limitless."""
    row = shop.classic.execute("SELECT count(*) FROM migrator.route WHERE level = 'limitless'").fetchone()
    return row is not None and row[0] > 0


async def mirrored(shop: Shop) -> bool:
    """A row written now is on the other side: mirrors began again with the new limits."""
    shop.classic.execute("UPDATE shop.tenant SET name = 'after' WHERE tenant_id = 1 AND name <> 'after'")
    return shop.limitless.execute("SELECT name FROM shop.tenant WHERE tenant_id = 1").fetchone() == ("after",)


async def test_a_worker_started_with_an_earlier_version_takes_the_plan_up_another_is_refused(
    shop: Shop,
    plan: Plan,
) -> None:
    """Its file may be old; a plan that never ran here is nobody's agreement."""
    second, third = changed(plan, waves={"soak_s": 3.0}), changed(plan, waves={"soak_s": 4.0})
    apply(shop.classic, second)
    apply(shop.classic, third)
    for old in (plan, second, third):
        fit = Fit(Context(old))
        await fit.check()
        assert fit.context.plan == third
    stranger = Fit(Context(changed(plan, waves={"soak_s": 5.0})))

    with pytest.raises(ApplicationError, match="restart it"):
        await stranger.check()
    assert stranger.context.plan.waves.soak_s == 5.0


async def test_values_that_the_digest_leaves_out_are_taken_up_too(shop: Shop, plan: Plan) -> None:
    new = changed(plan, shim={"max_lag_s": 4.0}, breaker={"quorum": 0.9}, gates={"acknowledged": []})
    fit = Fit(Context(plan))
    apply(shop.classic, new)

    await fit.check()

    assert digest(new) == digest(plan) and fit.context.plan == new


@pytest.mark.parametrize(("concurrency", "limit"), [(1, 0), (2, 0), (5, 2)], ids=["fewer", "as before", "more"])
async def test_the_next_copies_are_as_many_as_the_plan_allows_by_now(
    shop: Shop, plan: Plan, concurrency: int, limit: int
) -> None:
    """The workflow asks for two while two run, as it was told when it began."""
    now = changed(plan, backfill={"concurrency": concurrency, "unit_tenants": 1})
    await shop.start()
    take_inventory(shop.classic, plan.dual_write.parts, plan.waves.hot_ratio)
    plan_all(shop.classic, now)

    found = _next_units(shop.classic, now, UnitsInput(plan=plan.name, limit=2, running=("running/1", "running/2")))

    assert (len(found.units), found.concurrency) == (limit, concurrency) and found.pending > 2
