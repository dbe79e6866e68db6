"""Limitless follows classic exactly, whatever is written and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from migrator.plan.tables import resolve_tables
from tests.fixtures.rows import row
from tests.fixtures.shop import MIXES, Shop, new_shop
from tests.fixtures.world import PARTS

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

TENANTS = 12


def write(conn: psycopg.Connection, r: random.Random) -> None:
    """One random statement out of everything an application may do to a row, its key, its tenant, its parents."""
    purchase, line, tenant = r.randint(1, 700), r.randint(1, 1500), r.randint(1, TENANTS)
    other = r.randint(1, 700)
    statements: list[tuple[str, Sequence[object] | dict[str, object]]] = [
        (
            "INSERT INTO shop.purchase VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET total = EXCLUDED.total",
            (purchase, tenant, purchase + 1000 * tenant, r.randint(1, 9999)),
        ),
        ("UPDATE shop.purchase SET tenant_id = %s WHERE id = %s", (tenant, purchase)),
        ("DELETE FROM shop.purchase WHERE id = %s", (purchase,)),
        (
            "INSERT INTO shop.line SELECT %s, id, %s, '{}' FROM shop.purchase WHERE id = %s"
            " ON CONFLICT (id) DO UPDATE SET sku = EXCLUDED.sku",
            (line, str(r.random()), purchase),
        ),
        (
            "UPDATE shop.line SET purchase_id = %s WHERE id = %s AND EXISTS (SELECT FROM shop.purchase WHERE id = %s)",
            (other, line, other),
        ),
        ("DELETE FROM shop.line WHERE id = %s", (line,)),
        ("UPDATE shop.line SET purchase_id = NULL WHERE id = %s", (line,)),
        (
            "INSERT INTO shop.remark SELECT id, %s, 'new' FROM shop.line WHERE id = %s ON CONFLICT DO NOTHING",
            (r.randint(1, 3), line),
        ),
        ("UPDATE shop.remark SET body = %s WHERE line_id = %s", (str(r.random()), line)),
        # The parent moves and the child leaves it, in one statement.
        (
            "WITH moved AS (UPDATE shop.purchase SET tenant_id = %s WHERE id = %s RETURNING id)"
            " UPDATE shop.line l SET purchase_id = %s FROM moved WHERE l.purchase_id = moved.id"
            " AND EXISTS (SELECT FROM shop.purchase WHERE id = %s)",
            (tenant, purchase, other, other),
        ),
        # The parent moves and the child is deleted, in one statement.
        (
            "WITH moved AS (UPDATE shop.purchase SET tenant_id = %s WHERE id = %s RETURNING id)"
            " DELETE FROM shop.line l USING moved WHERE l.purchase_id = moved.id",
            (tenant, purchase),
        ),
        # A parent's key changes, or the parent goes; what its children do then is up to their foreign key.
        (
            "UPDATE shop.purchase SET id = %s WHERE id = %s",
            r.choice([(purchase + 700, purchase), (purchase, purchase + 700)]),
        ),
        ("UPDATE shop.line SET id = %s WHERE id = %s", r.choice([(line + 1500, line), (line, line + 1500)])),
        ("UPDATE shop.tenant SET tenant_id = %s WHERE tenant_id = %s", r.choice([(11, 12), (12, 11)])),
        ("DELETE FROM shop.tenant WHERE tenant_id = %s", (r.choice([11, 12]),)),
        ("INSERT INTO shop.tenant VALUES (%s, 'again') ON CONFLICT DO NOTHING", (r.choice([11, 12]),)),
        # Two rows swap a unique value.
        (
            "UPDATE shop.purchase p SET slot = q.slot FROM (SELECT id, tenant_id, slot FROM shop.purchase) q"
            " WHERE p.id IN (%(a)s, %(b)s) AND q.id IN (%(a)s, %(b)s) AND q.id <> p.id AND q.tenant_id = p.tenant_id",
            {"a": purchase, "b": other},
        ),
        ("UPDATE shop.currency SET rate = %s WHERE code = 'USD'", (r.random(),)),
        ("DELETE FROM shop.currency WHERE code = 'JPY'", ()),
        ("INSERT INTO shop.currency VALUES ('JPY', %s) ON CONFLICT DO NOTHING", (r.randint(1, 200),)),
    ]
    query, parameters = r.choice(statements)
    conn.execute(query, parameters)


class Writers:
    """Threads that write until told to stop; every third transaction or so uses a savepoint or rolls back."""

    def __init__(self, dsn: str, seed: int, count: int = 2) -> None:
        self.stop = threading.Event()
        self.committed = 0
        self.threads = [threading.Thread(target=self._run, args=(dsn, seed * 100 + n)) for n in range(count)]

    def __enter__(self) -> Writers:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _run(self, dsn: str, seed: int) -> None:
        r = random.Random(seed)
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("SET DateStyle = 'German'")
            conn.execute("SET extra_float_digits = -3")
            while not self.stop.is_set():
                try:
                    with conn.transaction():
                        for _ in range(r.randint(1, 4)):
                            with conn.transaction(force_rollback=r.random() < 0.2):
                                write(conn, r)
                        if r.random() < 0.1:
                            raise psycopg.Rollback
                    self.committed += 1
                except psycopg.errors.IntegrityError:
                    pass  # the application's own collision
                except psycopg.errors.OperationalError as error:
                    assert error.sqlstate == "40P01", error  # writers may deadlock with each other


@pytest.mark.parametrize("mix", range(len(MIXES)))
async def test_everything_written_during_copy_and_kills_arrives(classic_dsn: str, limitless_dsn: str, mix: int) -> None:
    """Writes of every kind, whatever foreign keys make of them, mirrors and copies killed at random: in the end both
    sides are equal."""
    with new_shop(classic_dsn, limitless_dsn, keys=MIXES[mix]) as shop:
        await everything(shop, mix + 1)


async def everything(shop: Shop, seed: int) -> None:
    r = random.Random(seed)
    await shop.start()
    with Writers(shop.classic_dsn, seed) as writers:
        async with shop.mirrors() as tasks:
            for unit in await asyncio.to_thread(shop.units):
                copy = asyncio.create_task(shop.copy(unit))
                if r.random() < 0.4:
                    await asyncio.wait([copy], timeout=r.random() * 0.05)
                    copy.cancel()  # a worker dies in the middle; another one takes the unit
                    await asyncio.gather(copy, return_exceptions=True)
                    copy = asyncio.create_task(shop.copy(unit, "other"))
                await copy
                part = r.randint(0, PARTS)
                tasks[part].cancel()
                await asyncio.gather(tasks[part], return_exceptions=True)
                tasks[part] = shop.mirror(part)
                _kill_a_session(shop, r)
            await shop.copy_all()
            for _ in range(5):
                _kill_a_session(shop, r)
                await shop.caught_up()
        writers.stop.set()
        for thread in writers.threads:
            thread.join()
        async with shop.mirrors():
            await shop.caught_up()

    assert shop.differences() == {}
    assert writers.committed > 100


def _kill_a_session(shop: Shop, r: random.Random) -> None:
    """Terminate one of the mirrors' sessions on one of the sides, wherever it is."""
    side = r.choice([shop.classic, shop.limitless])
    side.execute(
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
        " WHERE application_name LIKE 'migrator mirror%%' ORDER BY random() LIMIT 1) s"
    )


async def test_a_batch_larger_than_a_transaction_is_applied_in_chunks(shop: Shop) -> None:
    """A statement that touches everything arrives whole, after readers of the partition were sent to classic."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    shop.options = type(shop.options)(batch_rows=100)
    with shop.classic.transaction():
        shop.classic.execute("UPDATE shop.purchase SET total = total + 1, slot = slot + 100000")
        shop.classic.execute("DELETE FROM shop.line WHERE id % 7 = 0")
        shop.classic.execute("UPDATE shop.purchase SET slot = slot - 99999")
    async with shop.mirrors():
        await shop.caught_up()

    assert shop.differences() == {}
    assert {tenant for tenant, _ in shop.fallbacks} == {""}, "the partition fell back before the first chunk"


async def test_a_tenant_that_limitless_refuses_is_put_aside_alone(shop: Shop) -> None:
    """One tenant's impossible row stops that tenant, with the reason; everybody else goes on."""
    await shop.start()
    shop.limitless.execute("ALTER TABLE shop.purchase ADD CONSTRAINT small CHECK (total < 100000)")
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("UPDATE shop.purchase SET total = 500000 WHERE id = 3")  # tenant 1
        shop.classic.execute("UPDATE shop.purchase SET total = 7 WHERE tenant_id = 2")
        await shop.caught_up()
    state, reason = row(shop.classic, "SELECT state, reason FROM migrator.tenant WHERE tenant_id = '1'")
    others = shop.limitless.execute("SELECT DISTINCT total FROM shop.purchase WHERE tenant_id = 2").fetchall()

    assert (state, "23514" in reason, "500000" in reason) == ("quarantined", True, False)
    assert [t for t, _ in shop.fallbacks] == ["1"]
    assert [str(v) for (v,) in others] == ["7.00"]


async def test_undo_leaves_classic_as_it_was(shop: Shop) -> None:
    """Capture comes and goes without a trace in the application's part of the catalog."""
    from migrator.dataplane.capture import install as capture

    def catalog() -> list[tuple[Any, ...]]:
        return shop.classic.execute(
            "SELECT 'trigger', tgname::text, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
            " UNION ALL SELECT 'event', evtname::text, evtevent::text FROM pg_event_trigger"
            " UNION ALL SELECT 'function', proname::text, '' FROM pg_proc p"
            " JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'migrator'"
            " UNION ALL SELECT 'table', relname::text, '' FROM pg_class WHERE relname LIKE 'journal%'"
        ).fetchall()

    before = catalog()
    await shop.start()
    await shop.start()
    during = catalog()
    capture.remove(shop.classic)
    capture.remove(shop.classic)

    assert before == catalog()
    assert len(during) > len(before)


async def test_foreign_keys_on_limitless_make_partitions_wait_for_each_other(shop: Shop) -> None:
    """A parent that another partition mirrors arrives late, or leaves late, and everything arrives all the same."""
    shop.classic.execute("ALTER TABLE shop.purchase ADD currency char(3) REFERENCES shop.currency")
    shop.limitless.execute("ALTER TABLE shop.purchase ADD currency char(3)")
    shop.tables = resolve_tables(shop.classic, shop.plan.tables)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(
            "ALTER TABLE shop.purchase ADD FOREIGN KEY (currency) REFERENCES shop.currency"
            " DEFERRABLE INITIALLY DEFERRED"
        )
        for code in ("AAA", "BBB", "CCC"):
            with shop.classic.transaction():
                shop.classic.execute("INSERT INTO shop.currency VALUES (%s, 1)", (code,))
                shop.classic.execute("UPDATE shop.purchase SET currency = %s", (code,))
                shop.classic.execute("DELETE FROM shop.currency WHERE code IN ('AAA', 'BBB') AND code <> %s", (code,))
        await shop.caught_up()
    found = shop.limitless.execute("SELECT DISTINCT currency FROM shop.purchase").fetchall()
    codes = shop.limitless.execute("SELECT code FROM shop.currency ORDER BY 1").fetchall()

    assert found == [("CCC",)]
    assert [c for (c,) in codes] == ["CCC", "EUR", "JPY", "USD"]
