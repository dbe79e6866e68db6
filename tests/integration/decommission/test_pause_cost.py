"""What the write pause reads follows from what changed, not from how much there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from migrator.decommission import attempt as tries
from migrator.decommission import drain, hand_over, write_stop
from migrator.errors import NoGo
from migrator.plan.load import dump
from migrator.plan.schema import Plan
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.shop import Shop, new_shop
from workflows.activities import decommission
from workflows.activities.base import Context
from workflows.activities.decommission import DecommissionActivities
from workflows.activities.validation import ValidationActivities
from workflows.messages import Closing, ValidateInput

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

ROWS = 200_000
READ = """
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
  FROM pg_stat_user_tables WHERE schemaname = 'shop'
"""


@pytest.fixture
def shop(classic_dsn: str, limitless_dsn: str) -> Iterator[Shop]:
    with new_shop(classic_dsn, limitless_dsn) as made:
        yield made


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Plan:
    return stored(shop, small_plan(), monkeypatch)


def read_so_far(conn: psycopg.Connection[Any]) -> int:
    """Rows of the shop's tables that statements have read, as the server counts them."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    # Sessions that ended have told theirs; ours is told now.
    row = conn.execute(READ).fetchone()
    return int(row[0]) if row else 0


def grow(shop: Shop) -> None:
    """One tenant with many rows, a reference table with many, and a sequence that feeds a column without an index."""
    for conn in (shop.classic, shop.limitless):
        conn.execute("CREATE SEQUENCE shop.ticket")
        conn.execute("ALTER TABLE shop.purchase ALTER slot SET DEFAULT nextval('shop.ticket')")
    shop.classic.execute("CREATE INDEX ON shop.purchase (tenant_id)")
    shop.classic.execute("CREATE INDEX ON shop.remark (line_id)")
    shop.classic.execute(
        "INSERT INTO shop.purchase (id, tenant_id, slot)"
        " SELECT 100000 + g, 1, 100000 + g FROM generate_series(1, %s) g",
        (ROWS,),
    )
    shop.classic.execute("INSERT INTO shop.currency SELECT 'A' || to_char(g, 'FM00'), g FROM generate_series(1, 99) g")
    shop.classic.execute("ANALYZE shop.purchase, shop.line, shop.remark")


async def test_the_pause_reads_what_changed_and_nothing_whole(shop: Shop, plan: Plan) -> None:
    """A tenant of some rows changed; the one with 200,000 rows did not, nor did the reference table."""
    grow(shop)
    here = Context(plan)
    steps = DecommissionActivities(here)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute("ANALYZE shop.purchase, shop.line, shop.remark, shop.tenant")
        env, closing = ActivityEnvironment(), Closing(plan=plan.name, approver="ana")
        await env.run(steps.prepare, closing)
        found = await env.run(ValidationActivities(here).validate, ValidateInput(plan=plan.name, kind="decommission"))
        assert found.clean
        # As if the validation had been a while ago: what changed is known to within some seconds.
        shop.classic.execute("UPDATE migrator.tenant SET changed_at = changed_at - interval '1 hour'")
        shop.classic.execute(
            "UPDATE migrator.heartbeat SET reference_at = reference_at - interval '1 hour',"
            " nobody_at = nobody_at - interval '1 hour'"
        )
        shop.classic.execute("UPDATE shop.tenant SET name = 'changed' WHERE tenant_id = 2")
        await shop.caught_up()
        changed = drain.changed_tenants(shop.classic, decommission.MARGIN_S)
        before = [read_so_far(conn) for conn in (shop.classic, shop.limitless)]

        closing = await env.run(steps.close, closing)
        await env.run(steps.drain, closing)
        await env.run(steps.validate, closing)
        await env.run(steps.sequences, closing)
    # A mirror that is in a cycle when its partition is closed ends with LeaseLost; here they end before.
    await env.run(steps.close_positions, closing)
    await env.run(steps.hand_over, closing)
    after = [read_so_far(conn) for conn in (shop.classic, shop.limitless)]

    assert changed == ["2"]
    read = [b - a for a, b in zip(before, after, strict=True)]
    assert all(0 < n < ROWS // 10 for n in read), f"{read} rows read of {ROWS} and more"
    actions = shop.limitless.execute("SELECT DISTINCT confdeltype FROM pg_constraint WHERE contype = 'f'").fetchall()
    assert actions == [("c",)], "nothing is left to be added behind the point of no return"


async def test_rows_of_no_tenant_and_reference_rows_are_noticed_when_they_change(shop: Shop, plan: Plan) -> None:
    """So that they are looked for in the pause exactly when there may be some."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        here = ValidationActivities(Context(plan))
        await ActivityEnvironment().run(here.validate, ValidateInput(plan=plan.name, kind="decommission"))
        quiet = (drain.reference_changed(shop.classic, 0), drain.nobodys_changed(shop.classic, 0))
        shop.classic.execute("UPDATE shop.currency SET rate = 2 WHERE code = 'EUR'")
        await shop.caught_up()
        reference = drain.reference_changed(shop.classic, 0)
        nobodys = drain.nobodys_changed(shop.classic, 0)
        shop.classic.execute("INSERT INTO shop.line (id, purchase_id) VALUES (900001, NULL)")
        await shop.caught_up()

    assert quiet == (False, False)
    assert (reference, nobodys) == (True, False)
    assert drain.nobodys_changed(shop.classic, 0)


async def test_what_would_fail_in_the_pause_is_said_before_it(shop: Shop, plan: Plan) -> None:
    """All of it at once: a table somebody holds, a sequence without room, a right on Limitless that is missing."""
    await shop.start()
    for conn in (shop.classic, shop.limitless):
        conn.execute("CREATE SEQUENCE shop.narrow AS integer")
    shop.classic.execute("SELECT setval('shop.narrow', 2147483640)")
    shop.limitless.execute("ALTER TABLE migrator.settled RENAME COLUMN decisions TO something")
    small = Plan.model_validate({**dump(plan), "decommission": {"max_pause_s": 1.0, "sequence_headroom": 10}})
    with psycopg.connect(shop.classic_dsn) as job:
        job.execute("UPDATE shop.currency SET rate = rate")
        with pytest.raises(NoGo) as no:
            decommission._prepare(shop.classic, shop.limitless, small)

    said = "\n".join(no.value.blockers)
    assert "shop.narrow would start at" in said
    assert "shop.currency could not be locked" in said
    assert "storing the terminal route would fail on Limitless" in said
    assert write_stop.unguarded(shop.classic, shop.tables), "nothing was closed"
    assert tries.latest(shop.classic) is None
    assert hand_over.rehearse(shop.limitless), "and the rehearsal leaves nothing behind"
