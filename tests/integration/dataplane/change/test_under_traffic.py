"""Every change reaches both sides while rows are written, copied, mirrored and validated."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.provision.apply import verify
from tests.fixtures.shop import Shop
from tests.integration.dataplane.change.helpers import applied, differences, resolved
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

EVERYTHING = """
ALTER TABLE shop.purchase ADD COLUMN channel text, ADD COLUMN state text NOT NULL DEFAULT 'open';
ALTER TABLE shop.purchase ADD COLUMN seen_at timestamptz DEFAULT now();
ALTER TABLE shop.line ADD COLUMN token uuid DEFAULT gen_random_uuid();
ALTER TABLE shop.currency ADD COLUMN "Full name" varchar(40) COLLATE "C" DEFAULT 'none';
ALTER TABLE shop.purchase DROP COLUMN note;
CREATE INDEX purchase_state ON shop.purchase (state, (lower(channel))) WHERE state <> 'done';
CREATE UNIQUE INDEX CONCURRENTLY purchase_whole ON shop.purchase (tenant_id, id);
CREATE INDEX line_old ON shop.line (sku);
DROP INDEX shop.line_old;
"""


class NewWriter(threading.Thread):
    """Writes the new columns as soon as they are there."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn, self.stop, self.written = dsn, threading.Event(), 0

    def run(self) -> None:
        r = random.Random(7)
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            while not self.stop.is_set():
                for statement in (
                    "UPDATE shop.purchase SET channel = 'Web' || total, state = 'done' WHERE id = %s",
                    "UPDATE shop.purchase SET seen_at = clock_timestamp() WHERE id = %s",
                    "UPDATE shop.line SET token = gen_random_uuid() WHERE id = %s",
                ):
                    try:
                        conn.execute(statement, (r.randint(1, 700),))
                        self.written += 1
                    except psycopg.errors.UndefinedColumn:
                        time.sleep(0.005)  # not there yet
                    except psycopg.errors.DeadlockDetected:
                        pass


async def test_everything_while_writers_copies_mirrors_and_validation_run(shop: Shop) -> None:
    """In the end both sides hold the same rows in every column, and validation, which ran all along, agrees."""
    await shop.start()
    new = NewWriter(shop.classic_dsn)
    with Writers(shop.classic_dsn, 11, 1) as writers:
        new.start()
        try:
            async with shop.mirrors():
                copying = asyncio.create_task(shop.copy_all(120))
                change = asyncio.create_task(applied(shop, EVERYTHING, timeout_s=60))
                looks = 0
                while not change.done():
                    report = await validate(shop.classic_dsn, shop.limitless_dsn)
                    assert report.divergent_rows == 0, report.sample
                    looks += 1
                done = await change
                await copying
                writers.stop.set()
                new.stop.set()
                await asyncio.to_thread(new.join)
                for thread in writers.threads:
                    await asyncio.to_thread(thread.join)
                await shop.caught_up()
                report = await validate(shop.classic_dsn, shop.limitless_dsn)
        finally:
            new.stop.set()
            new.join()

    assert len(done.finished) == 10
    assert report.divergent_rows == 0
    assert looks > 0 and new.written > 0 and writers.committed > 10
    assert differences(shop) == {}
    assert verify(shop.classic, shop.limitless, resolved(shop), shop.plan).blockers == ()
    filled = shop.classic.execute("SELECT count(*) FROM shop.line WHERE token IS NULL").fetchone()
    assert filled == (0,)
    # What was frozen for rows of before is one moment, not one per side, and new rows get a new one.
    shop.classic.execute("INSERT INTO shop.purchase (id, tenant_id, slot) VALUES (9999, 1, 9999)")
    row = shop.classic.execute("SELECT seen_at > now() - interval '1 s' FROM shop.purchase WHERE id = 9999").fetchone()
    assert row == (True,)
