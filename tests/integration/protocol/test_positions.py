"""Who may move a mirror partition: the product's own statements, walked at random beside what they are to do."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, replace

import psycopg
import pytest

from migrator.dataplane.mirror import position
from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.position import PartitionCheckpoint
from migrator.dataplane.mirror.run import _open
from migrator.db.connect import connect_async
from migrator.decommission import drain
from migrator.errors import LeaseLost
from migrator.model.position import Snapshot
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

PART = 1
STEPS = 250


@dataclass
class Truth:
    """What the row on Limitless has to be."""

    epoch: int
    snapshot: Snapshot
    token: str
    life: str
    state: str = "open"

    def stand(self) -> PartitionCheckpoint:
        return PartitionCheckpoint(PART, self.epoch, self.snapshot, self.token, self.life)

    def is_at(self, stand: PartitionCheckpoint) -> bool:
        own = (stand.epoch, stand.snapshot, stand.token)
        return self.state == "open" and (self.epoch, self.snapshot, self.token) == own


async def _truth(limitless: psycopg.AsyncConnection[tuple[object, ...]]) -> Truth:
    query = "SELECT epoch, snapshot, token, life, state FROM migrator.mirror_position WHERE part = %s"
    row = await (await limitless.execute(query, (PART,))).fetchone()
    assert row is not None
    return Truth(int(str(row[0])), Snapshot.parse(str(row[1])), str(row[2]), str(row[3]), str(row[4]))


async def test_only_who_holds_the_partition_moves_it(shop: Shop) -> None:
    """Mirrors that claim, move, freeze with what they knew, ask again and retry, while the partition is closed, opened
    and begun anew: a move happens exactly where nothing came in between."""
    await shop.start()
    dice = random.Random(1)
    moved = refused = 0
    async with await connect_async(shop.limitless_dsn, "test") as limitless:
        truth = await _truth(limitless)
        stands: list[PartitionCheckpoint] = []
        for number in range(STEPS):
            step = dice.choices(["claim", "move", "hold", "reread", "close", "open", "anew"], [6, 20, 8, 6, 1, 4, 1])[0]
            stand = dice.choice(stands) if stands else truth.stand()
            if step == "claim":
                if truth.state == "open":
                    truth.epoch += 1
                    stands = [*stands[-5:], await position.claim(limitless, PART)]
                    assert stands[-1] == truth.stand()
                else:
                    with pytest.raises(LeaseLost):
                        await position.claim(limitless, PART)
            elif step in ("move", "hold"):
                may = truth.is_at(stand)
                to, token = Snapshot(number + 10, number + 10), str(uuid.UUID(int=number))
                if step == "hold":
                    done = await position.lock_checkpoint(limitless, stand)
                else:
                    done = await position.move(limitless, stand, to, token)
                assert done == may, f"step {number}: {step} from {stand} where the row is {truth}"
                moved, refused = moved + done, refused + (not done)
                if done and step == "move":
                    truth.snapshot, truth.token = to, token
                    if dice.random() < 0.8:  # else the answer is lost, and the mirror believes in what was
                        stands = [replace(stand, snapshot=to, token=token) if s == stand else s for s in stands]
            elif step == "reread":
                if (truth.state, truth.epoch, truth.life) == ("open", stand.epoch, stand.life):
                    stands = [*stands, await position.reread(limitless, stand)]
                    assert stands[-1] == truth.stand()
                else:
                    with pytest.raises(LeaseLost):
                        await position.reread(limitless, stand)
            elif step == "anew":  # dual write was undone and begun again: epochs begin again, tokens do not
                truth = Truth(0, Snapshot(5, 5), str(uuid.uuid4()), str(uuid.uuid4()))
                await limitless.execute(
                    "UPDATE migrator.mirror_position"
                    " SET epoch = 0, snapshot = %s, token = %s, life = %s, state = 'open' WHERE part = %s",
                    (str(truth.snapshot), truth.token, truth.life, PART),
                )
            elif step == "close" and truth.state == "open":
                drain.close_positions(shop.limitless, Snapshot(1, 1))
                truth.state, truth.epoch = "closed", truth.epoch + 1
            elif step == "open" and truth.state == "closed":
                drain.reopen_positions(shop.limitless)
                truth.state, truth.epoch = "open", truth.epoch + 1
            assert await _truth(limitless) == truth, f"step {number}: {step}"
        # Each part of what a mirror believes counts by itself.
        drain.reopen_positions(shop.limitless)
        mine = await position.claim(limitless, PART)
        for other in (
            replace(mine, epoch=mine.epoch - 1),
            replace(mine, epoch=mine.epoch + 1),
            replace(mine, snapshot=Snapshot(1, 1)),
            replace(mine, token=str(uuid.uuid4())),
        ):
            assert not await position.lock_checkpoint(limitless, other), other
        assert await position.lock_checkpoint(limitless, mine)
    assert moved > 5 and refused > 5, "the walk came to both"


async def test_a_closed_partition_is_nobodys(shop: Shop) -> None:
    await shop.start()
    async with await connect_async(shop.limitless_dsn, "test") as limitless:
        stand = await position.claim(limitless, PART)
        drain.close_positions(shop.limitless, Snapshot(1, 1))
        closed = await _truth(limitless)

        assert not await position.lock_checkpoint(limitless, stand)
        assert not await position.lock_checkpoint(limitless, replace(stand, epoch=closed.epoch)), (
            "however it learned the epoch"
        )
        with pytest.raises(LeaseLost):
            await position.claim(limitless, PART)
        with pytest.raises(LeaseLost):
            await position.reread(limitless, replace(stand, epoch=closed.epoch))


@pytest.mark.parametrize("batch_rows", [10, 20_000])
async def test_a_superseded_mirror_writes_no_chunk(shop: Shop, batch_rows: int) -> None:
    """It was superseded after its last look at anything; no chunk of it, and no batch, reaches Limitless."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    options = replace(shop._options(), batch_rows=batch_rows)
    async with _open(shop.classic_dsn, shop.limitless_dsn, PART, None, options) as old:
        await run_cycle(old)
        async with await connect_async(shop.limitless_dsn, "test") as limitless:
            await position.claim(limitless, PART)
        shop.classic.execute("UPDATE shop.purchase SET total = 4711")
        shop.classic.execute("DELETE FROM shop.remark")
        cycle = asyncio.create_task(run_cycle(old))
        await asyncio.wait({cycle})

    assert isinstance(cycle.exception(), LeaseLost)
    found = shop.limitless.execute(
        "SELECT (SELECT count(*) FROM shop.purchase WHERE total = 4711), (SELECT count(*) FROM shop.remark)"
    ).fetchone()
    assert found == (0, 600)
