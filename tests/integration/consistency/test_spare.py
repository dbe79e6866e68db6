"""Classic's rows are read on a replica, and the verdicts are those that the writer gives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from migrator.consistency import spare
from migrator.consistency.run import validate
from migrator.db.connect import connect_async
from migrator.model.divergence import ValidationReport
from tests.fixtures.postgres import Servers
from tests.fixtures.replica import Standby, Standbys
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.waiting import eventually
from tests.integration.consistency.test_findings import finding

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

READ = (
    "SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)::bigint"
    " FROM pg_stat_user_tables WHERE schemaname = 'shop'"
)


@pytest.fixture
def shop(servers: Servers) -> Iterator[Shop]:
    """On servers of which one has replicas."""
    with new_shop(servers.classic_dsn, servers.limitless_dsn) as made:
        yield made


@contextlib.asynccontextmanager
async def mirrored(shop: Shop) -> AsyncIterator[None]:
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
        yield


async def look(shop: Shop, replica: Standby | str) -> ValidationReport:
    dsn = replica if isinstance(replica, str) else replica.dsn
    return await validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=5, sample=10_000, replica_dsn=dsn)


def read_on_the_writer(shop: Shop) -> int:
    """How many rows of the application the writer has read so far."""
    shop.classic.execute("SELECT pg_stat_force_next_flush()")
    row = shop.classic.execute(READ).fetchone()
    assert row is not None
    return int(row[0])


async def test_the_writer_reads_none_of_the_applications_rows(shop: Shop, standbys: Standbys) -> None:
    one = standbys.make()
    async with mirrored(shop):
        before = read_on_the_writer(shop)
        report = await look(shop, one)
        after = read_on_the_writer(shop)

    assert report.clean and report.rows > 0
    assert (report.replica, report.again_rows, report.replica_notes) == (one.name, 0, ())
    assert report.replica_rows > report.rows, "orphan rows were looked for there as well"
    assert after == before


async def test_what_differs_is_found_as_on_the_writer(shop: Shop, standbys: Standbys) -> None:
    one = standbys.make()
    async with mirrored(shop):
        for text in (
            "DELETE FROM shop.purchase WHERE tenant_id = 2 AND id = 1",
            "UPDATE shop.line SET sku = 'other' WHERE tenant_id = 3 AND id = (SELECT min(id) FROM shop.line"
            " WHERE tenant_id = 3)",
            "UPDATE shop.currency SET rate = 1.10 WHERE code = 'USD'",
        ):
            shop.limitless.execute(text.encode())
        writers = await validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=5, sample=10_000)
        replicas = await look(shop, one)

    assert writers.divergent_rows == replicas.divergent_rows == 3
    assert {finding(d) for d in replicas.sample} == {finding(d) for d in writers.sample}
    assert replicas.replica_rows > 0 < replicas.again_rows < replicas.rows


async def test_a_replica_that_is_behind_makes_nothing_clean(
    shop: Shop, standbys: Standbys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows what Limitless was put back to; the writer has gone on."""
    monkeypatch.setattr(spare, "FOLLOW_S", 0.3)
    one = standbys.make()
    async with mirrored(shop):
        one.pause()
        shop.classic.execute("UPDATE shop.purchase SET total = total + 1 WHERE tenant_id = 2 AND id = 1")
        await shop.caught_up()
        shop.limitless.execute("UPDATE shop.purchase SET total = total - 1 WHERE tenant_id = 2 AND id = 1")
        report = await look(shop, one)
        one.resume()

    assert [finding(d)[:4] for d in report.sample] == [("shop.purchase", "2", "1", "mismatched")]
    assert report.replica_rows == 0 and "is more than 0.3 s behind" in report.replica_notes[0]


async def test_what_shows_the_mark_is_what_is_read(shop: Shop, standbys: Standbys) -> None:
    """Where a proxy spreads transactions over replicas, another one may be on a server that is further behind."""
    one = standbys.make()
    async with mirrored(shop):
        await look(shop, one)
        row = shop.classic.execute("SELECT run_id FROM migrator.validation ORDER BY started_at DESC LIMIT 1").fetchone()
        assert row is not None
        async with await connect_async(shop.classic_dsn, "test") as control:
            async with spare.Spare(one.dsn, row[0]).now(control) as replica:
                assert replica is not None
                shop.classic.execute("UPDATE migrator.validation SET marks = 1000000 WHERE run_id = %s", row)
                seen = "SELECT count(*) FROM migrator.validation WHERE marks = 1000000"
                await asyncio.to_thread(eventually, lambda: one.ask(seen) == 1, "the replica has it")
                later = await (await replica.execute(seen)).fetchone()

    assert later == (0,), "it reads the snapshot that showed the mark"


async def test_tenants_that_are_written_meanwhile_are_asked_of_the_writer(shop: Shop, standbys: Standbys) -> None:
    """What was committed after the fence is on the replica and not on Limitless: no difference all the same."""
    one, again, stop = standbys.make(), 0, asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await asyncio.to_thread(
                shop.classic.execute, "UPDATE shop.purchase SET total = %s WHERE tenant_id = 2", (number % 1000,)
            )

    async with mirrored(shop):
        writing = asyncio.create_task(write())
        try:
            for _ in range(20):
                report = await look(shop, one)
                assert report.clean, [finding(d) for d in report.sample]
                again += report.again_rows
                if again:
                    break
        finally:
            stop.set()
            await writing

    assert again > 0, "a tenant was read on the writer"


async def test_what_cannot_be_read_there_is_read_on_the_writer(
    shop: Shop, servers: Servers, standbys: Standbys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dead, it is the writer, it has become a writer, it follows another one: said, and everything compared."""
    monkeypatch.setattr(spare, "FOLLOW_S", 0.3)
    dead, promoted = standbys.make(), standbys.make()
    dead.server.kill()
    promoted.ask("SELECT pg_promote(true)")
    foreign = Standbys(replace(servers, classic=promoted.server))
    standbys.others.append(foreign)
    follows_another = foreign.make()
    async with mirrored(shop):
        for replica, why in (
            (dead.dsn, "did not answer"),
            (shop.classic_dsn, "is no replica"),
            (promoted.dsn, "is no replica"),
            (follows_another.dsn, "does not follow this classic"),
        ):
            report = await look(shop, replica)
            assert report.clean and report.rows > 0, why
            assert (report.replica, report.replica_rows) == ("", 0)
            assert any(why in note for note in report.replica_notes), report.replica_notes
