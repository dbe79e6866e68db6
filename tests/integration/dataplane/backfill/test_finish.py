"""Secondary indexes and foreign keys on Limitless wait for the copy; statistics follow it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from migrator.dataplane.change.inspect import index_of
from migrator.provision.apply import undo, verify
from tests.fixtures.shop import Shop
from workflows.activities.base import Context
from workflows.activities.prepare import PrepareActivities
from workflows.messages import Outcome, PlanInput

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

INDEX = ("shop", "line_purchase_id_idx")


class Here(Context):
    """A worker's context with the connection strings of this test."""

    shop: Shop

    def classic_dsn(self) -> str:
        return self.shop.classic_dsn

    def limitless_dsn(self) -> str:
        return self.shop.limitless_dsn


async def test_what_waits_for_the_copy_is_built_after_it_once(shop: Shop) -> None:
    """Provision, copy, finish, finish again."""
    Here.shop = shop
    undo(shop.limitless)  # the fixture provisions with everything
    prepare, plan = PrepareActivities(Here(shop.plan)), PlanInput(plan=shop.plan.name)

    made: Outcome = await ActivityEnvironment().run(prepare.provision, plan)
    assert (made.blockers, index_of(shop.limitless, *INDEX)) == ((), None)
    assert foreign_keys(shop.limitless) == 0
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        first: Outcome = await ActivityEnvironment().run(prepare.finish_limitless, plan)
        second: Outcome = await ActivityEnvironment().run(prepare.finish_limitless, plan)
        await shop.caught_up()

    assert first.text == "4 indexes and foreign keys made"
    assert second.text == "0 indexes and foreign keys made"
    assert index_of(shop.limitless, *INDEX) == ("shop.line", True)
    assert verify(shop.classic, shop.limitless, shop.tables, shop.plan, stage="mirrored").go
    analyzed = shop.limitless.execute("SELECT count(*) FROM pg_stats WHERE tablename = 'purchase'").fetchone()
    assert analyzed is not None and analyzed[0] > 0
    assert shop.differences() == {}


def foreign_keys(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0").fetchone()
    return int(row[0]) if row else 0
