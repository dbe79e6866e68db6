"""Where naming rows is no use: reference tables as a whole, and rows on Limitless of unknown tenants."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from migrator.cli.exits import ExitCode
from migrator.consistency.run import validate
from migrator.dataplane.repair import clear_unknown_tenants
from tests.fixtures.operator import Done
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.integration.consistency.test_commands import operator

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


def corrupt(shop: Shop) -> None:
    shop.limitless.execute("DELETE FROM shop.currency WHERE code = 'JPY'")
    shop.limitless.execute("UPDATE shop.currency SET rate = 7 WHERE code = 'EUR'")
    shop.limitless.execute("INSERT INTO shop.currency SELECT 'X' || g, g FROM generate_series(10, 40) g")
    shop.limitless.execute("INSERT INTO shop.tenant VALUES (777, 'nobody')")
    shop.limitless.execute(
        "INSERT INTO shop.line (tenant_id, id, sku) SELECT 777, g, 'ghost' FROM generate_series(1, 9) g"
    )


def decisions(shop: Shop) -> list[tuple[str, str]]:
    cursor = shop.classic.execute(
        "SELECT who, reason FROM migrator.decision WHERE kind = 'divergence.repaired' ORDER BY id"
    )
    return [(str(who), str(reason)) for who, reason in cursor]


async def test_reference_tables_and_strays_are_brought_over_again(shop: Shop, tmp_path: Path) -> None:
    """The dry run changes nothing; then rows of unknown tenants go, and reference tables are as classic has them."""
    run = operator(shop, tmp_path)

    async def migrator(*words: str) -> Done:
        return await asyncio.to_thread(run, *words)

    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        corrupt(shop)
        dry = await migrator("validate", "--recopy", "--dry-run")
        untouched = (
            decisions(shop),
            shop.classic.execute("SELECT FROM migrator.tenant WHERE tenant_id = '777'").rowcount,
        )
        done = await migrator("validate", "--recopy", "--yes", "--json")
        recorded = shop.classic.execute(
            "SELECT count(*) FILTER (WHERE repaired_by = 'ana'), count(*) FILTER (WHERE tenant_id = '777'),"
            " count(*) FILTER (WHERE tenant_id IS NULL) FROM migrator.divergence"
        ).fetchone()
        await shop.copy_all()
        await shop.caught_up()
        after = await validate(shop.classic_dsn, shop.limitless_dsn)
        again = clear_unknown_tenants(shop.classic, "ana", ["777"], "asked twice")

    assert dry.code == ExitCode.DIVERGENCE and "classic → limitless: would copy again the reference tables" in dry.err
    assert "1 tenant that classic does not have" in dry.err
    assert untouched == ([], 0)
    assert done.code == ExitCode.DIVERGENCE and done.json["copied_again"] == 1
    assert done.json["report"]["strays"] == ["777"] and done.json["report"]["stray_rows"] == 10
    assert recorded == (2 * (33 + 2), 2 * 2, 2 * 33), "recorded before anything was changed, by both runs"
    assert after.clean and {"777", None} <= {v.tenant_id for v in after.tenants}
    assert shop.differences() == {}
    assert [who for who, _ in decisions(shop)] == ["ana", "ana"]
    assert all(reason.startswith("classic → limitless") for _, reason in decisions(shop))
    assert again == 0


async def test_reference_tables_alone_are_compared_again_at_once(shop: Shop, tmp_path: Path) -> None:
    """No tenant is touched, nobody's reads move for it, and the answer is about the state after the repair."""
    run = operator(shop, tmp_path)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute("DELETE FROM shop.currency")
        done = await asyncio.to_thread(run, "validate", "--recopy", "--yes", "--json")

    assert done.code == ExitCode.OK and done.json["after_repair"]["divergent_rows"] == 0
    assert done.json["copied_again"] == 0 and shop.differences() == {}


async def test_a_stray_that_signs_up_meanwhile_keeps_its_rows(shop: Shop) -> None:
    """Its rows on classic appear after they were found: what is copied is what classic has then."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute("INSERT INTO shop.tenant VALUES (777, 'nobody')")
        found = await validate(shop.classic_dsn, shop.limitless_dsn)
        shop.classic.execute("INSERT INTO shop.tenant VALUES (777, 'somebody by now')")
        clear_unknown_tenants(shop.classic, "ana", found.strays, "1 divergent row")

        async def equal() -> bool:
            await shop.copy_all()
            return shop.differences() == {}

        await until(equal, "it is copied")
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert found.strays == ("777",) and report.clean
