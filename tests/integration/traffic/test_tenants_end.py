"""The application merges a tenant into another, deletes one, or has one of its name again: what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from migrator import gates
from migrator.consistency.run import validate
from migrator.control.history import tenant_lines
from migrator.control.tenant_hold import empty_tenants
from migrator.dataplane import recovery
from migrator.decommission.facts import gather
from migrator.errors import NoGo
from migrator.model.tenant import TenantId
from migrator.traffic.cutover import choice, facts, singly
from migrator.traffic.incident.rollback import hold, roll_back
from migrator.traffic.route.promote import promote_reads
from tests.fixtures.plans import small_plan
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.fixtures.world import World, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

PLAN = small_plan(waves={"sizes": [3, 20], "soak_s": 0.2, "baseline_s": 0.2, "hot_ratio": 1000.0})
A, B = TenantId("2"), TenantId("3")

SIZE = """
INSERT INTO shop.purchase SELECT 10000 + g, 2, 1000 + g, g, 'ok', '{}' FROM generate_series(1, 8000) g;
INSERT INTO shop.line SELECT 10000 + g, 10000 + g, 'sku ' || g, ARRAY['x'] FROM generate_series(1, 8000) g;
INSERT INTO shop.remark SELECT 10000 + g, 1, 'r' FROM generate_series(1, 8000) g;
"""
MERGE = """
UPDATE shop.purchase SET slot = NULL, tenant_id = 3 WHERE tenant_id = 2;
DELETE FROM shop.tenant WHERE tenant_id = 2;
"""


ODD = """
CREATE SCHEMA "My Shop"; CREATE SCHEMA größe;
CREATE TABLE "My Shop"."Item" (tenant_id text NOT NULL, id int NOT NULL, v int, PRIMARY KEY (tenant_id, id));
CREATE TABLE größe.visit (tenant_id text NOT NULL, id int NOT NULL, v int, PRIMARY KEY (tenant_id, id))
    PARTITION BY RANGE (id);
CREATE TABLE größe.visit_1 PARTITION OF größe.visit FOR VALUES FROM (0) TO (100);
CREATE TABLE größe.visit_2 PARTITION OF größe.visit FOR VALUES FROM (100) TO (10000);
"""


async def compared(shop: Shop) -> None:
    """Validate everything once all is mirrored; both sides must be equal."""
    await shop.caught_up()
    report = await validate(shop.classic_dsn, shop.limitless_dsn)
    assert report.clean, report
    assert shop.differences() == {}


def count(shop: Shop, tenant: str) -> int:
    row = shop.limitless.execute("SELECT count(*) FROM shop.purchase WHERE tenant_id = %s", (tenant,)).fetchone()
    assert row is not None
    return int(row[0])


async def promoted(shop: Shop, *tenants: TenantId) -> None:
    """Wave 1 moves these tenants; in a thread, because it waits for mirrors that live in this loop."""
    shop.classic.execute("UPDATE migrator.tenant SET wave = 1 WHERE tenant_id = ANY (%s)", (list(tenants),))
    done = await asyncio.to_thread(
        promote_reads, shop.classic, tenants=tenants, who="cutover", reason="wave 1", wave=1, timeout_s=TIMEOUT_S
    )
    assert done.done, done


def line(shop: Shop, tenant: str) -> dict[str, object]:
    (found,) = tenant_lines(shop.classic, [tenant])
    return found


@pytest_asyncio.fixture
async def mirrored(shop: Shop) -> AsyncIterator[Shop]:
    """The shop, everything mirrored and validated."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await compared(shop)
        facts.remember_tenants(shop.classic)
        yield shop


async def test_a_merged_tenant_leaves_no_rows_and_holds_up_nothing(mirrored: Shop) -> None:
    """At size, while it reads Limitless in a wave: rows go over, verdicts follow, no gate waits for it."""
    shop = mirrored
    shop.classic.execute(SIZE.encode())
    await shop.caught_up()
    await promoted(shop, A, B)
    before = count(shop, "3")

    with shop.classic.transaction():
        shop.classic.execute(MERGE.encode())
    await compared(shop)

    assert count(shop, "2") == 0 and count(shop, "3") >= before + 8000
    assert empty_tenants(shop.classic, [A, B]) == {A}
    assert (line(shop, "2")["rows"], line(shop, "2")["empty"], line(shop, "2")["level"]) == (0, True, "limitless")
    roll_back(shop.classic, tenants=[A], who="ann", reason="too late")
    assert facts.rolled_back(shop.classic) == [], "a tenant without rows stops no cutover"
    answer = gates._cutover(shop.classic, PLAN)
    assert not any("held" in b for b in answer.blockers)
    assert gather(shop.classic, True, "", 5, 600, shop.limitless).held == ()
    assert A not in facts.waiting(shop.classic)


@pytest.mark.parametrize("way", ["merged", "deleted", "renamed"])
async def test_a_tenant_without_rows_is_forgotten_and_comes_back_as_a_new_one(mirrored: Shop, way: str) -> None:
    shop = mirrored
    await promoted(shop, A)
    with pytest.raises(NoGo, match="tenant 2 has rows on classic"):
        singly.forget(shop.classic, [A], who="ann", reason="x")
    with shop.classic.transaction():
        match way:
            case "merged":
                shop.classic.execute(MERGE.encode())
            case "deleted":
                shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = 2")
            case _:
                shop.classic.execute("INSERT INTO shop.tenant VALUES (77, 'was 2')")
                shop.classic.execute("UPDATE shop.purchase SET tenant_id = 77 WHERE tenant_id = 2")
                shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = 2")
    with pytest.raises(NoGo, match="migrator validate --tenant 2"):
        singly.forget(shop.classic, [A], who="ann", reason="x")
    await shop.copy_all()  # tenant 77 is new
    await compared(shop)
    if way != "deleted":  # reads of the others come back before they are forgotten
        hold(shop.classic, [A], who="ann", reason="they leave")

    assert singly.forget(shop.classic, [A], who="ann", reason="they left") == (A,)
    found = line(shop, "2")
    assert (found["route"], found["wave"], found["held_by"], found["empty"]) == ("classic", None, None, True)
    assert singly.forget(shop.classic, [A], who="ann", reason="again") == (A,)

    shop.classic.execute("INSERT INTO shop.tenant VALUES (2, 'again')")
    shop.classic.execute("INSERT INTO shop.purchase VALUES (90001, 2, 1, 5, 'ok', '{}')")
    await compared(shop)
    assert (line(shop, "2")["empty"], line(shop, "2")["rows"]) == (False, 2)
    assert A not in choice.may_move(shop.classic, PLAN, late=False), "a new sign-up waits for its turn"
    assert A in choice.may_move(shop.classic, PLAN, late=True)


async def test_a_tenant_that_comes_again_goes_on_where_it_was(mirrored: Shop) -> None:
    """Nobody forgot it: its reads are on Limitless, and so are its rows."""
    shop = mirrored
    await promoted(shop, A)
    shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = 2")
    await compared(shop)

    shop.classic.execute("INSERT INTO shop.tenant VALUES (2, 'again')")
    shop.classic.execute("INSERT INTO shop.purchase VALUES (90001, 2, 1, 5, 'ok', '{}')")
    await shop.caught_up()

    assert (line(shop, "2")["level"], count(shop, "2")) == ("limitless", 1)
    assert empty_tenants(shop.classic, [A]) == frozenset(), "without another validation"


async def test_a_tenant_merged_before_all_are_copied_ends_equal(shop: Shop) -> None:
    """From mirrored into pending, from pending into mirrored, and both pending."""
    await shop.start()
    async with shop.mirrors():
        shop.units(unit_tenants=1, unit_rows=100_000)  # one by one, also where a table would be read whole
        unit = value(shop.classic, "SELECT unit_id FROM migrator.copy_unit WHERE tenants = ARRAY['8']")
        await shop.copy(unit)
        for old, new in ((4, 5), (6, 8), (8, 7)):
            shop.classic.execute(
                "UPDATE shop.purchase SET slot = NULL, tenant_id = %s WHERE tenant_id = %s", (new, old)
            )
            shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = %s", (old,))
        await shop.copy_all()
        await compared(shop)

    gone = {TenantId("4"), TenantId("6"), TenantId("8")}
    assert empty_tenants(shop.classic, [TenantId(str(t)) for t in range(1, 13)]) == gone
    answer = gates._dual_write(shop.classic, PLAN)
    assert {b.code for b in answer.blockers} <= {"mirror.lags"}, "mirrors have ended, and nothing else is in the way"


async def test_a_quarantined_tenant_whose_rows_are_deleted_is_copied_again_by_the_advice(mirrored: Shop) -> None:
    """Merged into another that Limitless takes; the gate names the command, and after it nothing is in the way."""
    shop = mirrored
    shop.limitless.execute("ALTER TABLE shop.purchase ADD CONSTRAINT two CHECK (tenant_id <> 2 OR total < 100000)")
    shop.classic.execute("UPDATE shop.purchase SET total = 500000 WHERE tenant_id = 2")
    await shop.caught_up()
    assert [t for t, _ in recovery.quarantined(shop.classic)] == ["2"]
    assert not any("no rows" in b for b in gates._cutover(shop.classic, PLAN).blockers)
    shop.classic.execute(MERGE.encode())
    await shop.caught_up()

    said = [b for b in gates._cutover(shop.classic, PLAN).blockers if "quarantined" in b]
    assert len(said) == 1 and said[0].endswith("it has no rows any more: migrator mirror retry 2")
    recovery.retry(shop.classic, ["2"], "ana")
    await shop.copy_all()
    await compared(shop)

    assert empty_tenants(shop.classic, [A]) == {A} and recovery.quarantined(shop.classic) == []
    assert choice.coming(shop.classic, PLAN)[0].tenants[0] != "2"


async def test_a_tenant_that_is_deleted_while_it_is_copied_is_mirrored_and_empty(shop: Shop) -> None:
    """The copy reads an older snapshot than the deletion; the mirror takes what it brought away again."""
    await shop.start()
    async with shop.mirrors():
        shop.units(unit_tenants=1, unit_rows=100_000)  # one by one, also where a table would be read whole
        unit = value(shop.classic, "SELECT unit_id FROM migrator.copy_unit WHERE tenants = ARRAY['2']")
        copying = asyncio.create_task(shop.copy(unit))

        async def begun() -> bool:
            state = value(shop.classic, "SELECT state FROM migrator.copy_unit WHERE tenants = ARRAY['2']")
            return bool(state != "pending")

        await until(begun, "the copy has begun")
        shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = 2")
        await copying
        await shop.copy_all()
        await compared(shop)

    assert empty_tenants(shop.classic, [A]) == {A}


NAMES = ('"quoted"', "Größe", "two words", "", "it's")


async def test_tenants_of_any_name_and_table_are_merged_renamed_and_forgotten(
    classic_dsn: str, limitless_dsn: str
) -> None:
    """Two schemas with names that need quotes, a partitioned table, tenants that are text of any kind."""
    plan = plan_of("odd", schemas=["My Shop", "größe"])
    with World.made(classic_dsn, limitless_dsn, plan, ODD) as world:
        for name in NAMES:
            world.classic.execute('INSERT INTO "My Shop"."Item" SELECT %s, g, g FROM generate_series(1, 50) g', (name,))
            world.classic.execute("INSERT INTO größe.visit SELECT %s, g, g FROM generate_series(1, 50) g", (name,))
        await world.start()
        async with world.mirrors():
            await world.copy_all()
            for number, (old, new) in enumerate(pairwise(NAMES), 1):
                with world.classic.transaction():
                    world.classic.execute(
                        'UPDATE "My Shop"."Item" SET tenant_id = %s, id = id + 1000 * %s WHERE tenant_id = %s',
                        (new, number, old),
                    )
                    world.classic.execute(
                        "UPDATE größe.visit SET tenant_id = %s, id = (id + 50 * %s) WHERE tenant_id = %s",
                        (new, number, old),
                    )
            await world.caught_up()
            assert (await validate(world.classic_dsn, world.limitless_dsn)).clean
        gone = [TenantId(name) for name in NAMES[:-1]]
        assert empty_tenants(world.classic, [TenantId(name) for name in NAMES]) == set(gone)
        assert singly.forget(world.classic, gone, who="ann", reason="merged") == tuple(gone)
        with pytest.raises(NoGo, match="tenant it's has rows"):
            singly.forget(world.classic, [TenantId("it's")], who="ann", reason="merged")
        everything = 'SELECT tenant_id, count(*) FROM "My Shop"."Item" GROUP BY 1'
        assert world.limitless.execute(everything).fetchall() == [("it's", 250)]
