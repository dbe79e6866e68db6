"""Columns stand in another order on Limitless: values find their column by its name."""

from __future__ import annotations

import psycopg
import pytest

from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg]


def order(conn: psycopg.Connection) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'shop.purchase'::regclass AND attnum > 0"
    return [str(name) for (name,) in conn.execute(f"{query} AND NOT attisdropped ORDER BY attnum")]


async def test_columns_in_another_order_on_limitless(shop: Shop) -> None:
    """Through the copy, one transaction, and chunks; a column was dropped before on either side."""
    shop.limitless.execute("ALTER TABLE shop.purchase DROP COLUMN total")
    shop.limitless.execute("ALTER TABLE shop.purchase ADD COLUMN total numeric(12, 2)")
    shop.classic.execute("ALTER TABLE shop.line ADD gone text DEFAULT 'x'")
    shop.classic.execute("ALTER TABLE shop.line DROP gone")
    assert order(shop.classic) != order(shop.limitless), "the test is about that"
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        assert shop.differences() == {}
        shop.classic.execute("UPDATE shop.purchase SET total = id, slot = -slot, note = NULL WHERE id < 50")
        shop.classic.execute("INSERT INTO shop.purchase (total, id, tenant_id) VALUES (7, 9000, 3)")
        await shop.caught_up()
        assert shop.differences() == {}
    shop.options = type(shop.options)(batch_rows=50)
    async with shop.mirrors():
        shop.classic.execute("UPDATE shop.purchase SET total = -id, slot = slot + 10000")
        await shop.caught_up()

    assert shop.differences() == {}
