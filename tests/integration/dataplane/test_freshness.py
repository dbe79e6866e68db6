"""Limitless says itself how old its rows are: by partition to everybody, by tenant to those who may."""

from __future__ import annotations

import psycopg
import pytest

from migrator.control.grants import reader_statements
from tests.fixtures.roles import Roles
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.fixtures.world import PARTS

pytestmark = [pytest.mark.pg, pytest.mark.once]


async def test_rows_are_as_old_as_their_partitions_snapshot(shop: Shop) -> None:
    await shop.start()
    unknown = value(shop.limitless, "SELECT count(*) FROM migrator.freshness WHERE age_s IS NULL")
    assert unknown == PARTS + 1, "no mirror has moved a partition yet"
    async with shop.mirrors():
        await shop.copy_all()
        tenants = value(shop.limitless, "SELECT count(*) FROM migrator.tenant_freshness")
        assert tenants == value(shop.classic, "SELECT count(*) FROM migrator.tenant")
        first = value(shop.limitless, "SELECT min(fresh_at) FROM migrator.freshness")

        async def moved_on() -> bool:
            return bool(value(shop.limitless, "SELECT min(fresh_at) FROM migrator.freshness") > first)

        await until(moved_on, "idle partitions get fresher, too")
        known = value(shop.limitless, "SELECT bool_and(age_s >= 0 AND fresh_at IS NOT NULL) FROM migrator.freshness")
        assert known

    stopped = value(shop.limitless, "SELECT max(age_s) FROM migrator.freshness")
    assert value(shop.limitless, "SELECT max(age_s) FROM migrator.freshness") > stopped, "nothing follows any more"
    assert value(shop.limitless, "SELECT count(*) FROM migrator.tenant_freshness WHERE tenant_id = 'none'") == 0
    shop.limitless.execute(
        "INSERT INTO migrator.settled (epoch, write_mode, at, decisions) VALUES (9, 'limitless_only', now(), '')"
    )
    assert value(shop.limitless, "SELECT max(age_s) FROM migrator.tenant_freshness") == 0


def test_a_report_may_ask_and_sees_no_tenant_without_a_right(shop: Shop, roles: Roles) -> None:
    role = roles.on_limitless("bi")
    with psycopg.connect(roles.dsn(shop.limitless_dsn, "bi"), autocommit=True) as conn:
        assert conn.execute("SELECT count(*) FROM migrator.freshness").fetchone() is not None
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT FROM migrator.tenant_freshness")
        for statement in reader_statements(shop.limitless, role):
            shop.limitless.execute(statement)
        assert conn.execute("SELECT count(*) FROM migrator.tenant_freshness").fetchone() is not None
