"""Writes that were closed by workers that are gone are opened again with one command."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from migrator.control.install import install
from migrator.plan.load import digest, dump, shim_settings
from tests.fixtures.operator import Operator
from tests.fixtures.plans import small_plan
from tests.fixtures.shop import Shop
from tests.integration.decommission.test_decommission import WRITE, begin_and_close, fingerprint

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


async def test_reopen_needs_no_worker(shop: Shop, tmp_path: Path) -> None:
    """One command, twice, without Temporal: writes are open and the mirrors may go on."""
    await shop.start()
    plan = small_plan(rehearsal=None)
    shop.classic.execute("DELETE FROM migrator.plan")
    before = fingerprint(shop)
    environment = {
        "MIGRATOR_CLASSIC_DSN": shop.classic_dsn,
        "TEST_CLASSIC_DSN": shop.classic_dsn,
        "TEST_LIMITLESS_DSN": shop.limitless_dsn,
    }
    install(shop.classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
    begin_and_close(shop)
    shop.limitless.execute("UPDATE migrator.mirror_position SET state = 'closed'")

    migrator = Operator(tmp_path, environment)
    first = migrator("decommission", "reopen", "--reason", "workers gone", "--yes")
    again = migrator("decommission", "reopen", "--reason", "workers gone", "--yes")

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert fingerprint(shop) == before
    with psycopg.connect(shop.classic_dsn, autocommit=True) as client:
        client.execute(WRITE, (5002,))
