"""What the application sees, and what is lost, when a server's container is paused, cut off, killed or restarted.

Everything goes on meanwhile: capture, mirrors, a copy, validation, routes moved there and back; in the middle of the
fault an operator rolls everybody back. With MIGRATOR_FAULT_TABLE set, the measured outcomes are appended to that file
as rows of the table in docs/reliability.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.errors import ClusterUnavailable
from tests.containers.town import Town, longest_gap
from tests.fixtures.postgres import Servers
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

FAULT_S = 6.0
"""Longer than every wait of the shim here, so that it has to act."""


def _paused(server: Any, stack: ExitStack) -> None:
    server.freeze()
    stack.callback(server.thaw)


def _disconnected(server: Any, stack: ExitStack) -> None:
    server.disconnect()
    stack.callback(server.reconnect)


def _packets_dropped(server: Any, stack: ExitStack) -> None:
    server.silence()
    stack.callback(server.speak)


def _killed(server: Any, stack: ExitStack) -> None:
    server.kill()
    stack.callback(server.start)


def _restarted(server: Any, stack: ExitStack) -> None:
    server.stop()
    stack.callback(server.start)


FAULTS: dict[str, Callable[[Any, ExitStack], None]] = {
    "paused": _paused,
    "off the network": _disconnected,
    "with packets dropped": _packets_dropped,
    "killed": _killed,
    "stopped and started": _restarted,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("side", ["limitless", "classic"])
async def test_nothing_is_lost(shop: Shop, servers: Servers, side: str, fault: str) -> None:
    town = Town(shop)
    units = await town.settle()
    with town.open(units):
        eventually(lambda: town.moves > 0, "tenants read from Limitless")
        eventually(lambda: town.ledger.read_sides.get("limitless", 0) > 100, "reads come from Limitless")
        eventually(lambda: town.validations > 0, "a validation has passed")

        began = time.monotonic()
        with ExitStack() as stack:
            FAULTS[fault](getattr(servers, side), stack)
            eventually(lambda: time.monotonic() > began + FAULT_S / 2, "half of the fault", FAULT_S)
            rolled_back = None
            if side == "limitless":
                rolled_back = town.roll_back()
            else:
                with suppress(ClusterUnavailable, psycopg.Error):  # classic is what a rollback needs
                    rolled_back = town.roll_back()
            eventually(lambda: time.monotonic() > began + FAULT_S, "all of the fault", FAULT_S + 10)
        healed = time.monotonic()

        eventually(town.forward, "forward again")
        writes, reads = len(town.ledger.write_times), dict(town.ledger.read_sides)
        eventually(lambda: len(town.ledger.write_times) > writes + 50, "writes go on")
        eventually(
            lambda: town.ledger.read_sides.get("limitless", 0) > reads.get("limitless", 0) + 50, "reads move again"
        )
        recovered = time.monotonic() - healed
        seen = town.validations
        eventually(lambda: town.validations > seen, "validation goes on")
        eventually(lambda: _all_joined(shop), "the copy has joined")
    ended = time.monotonic()

    with psycopg.connect(shop.classic_dsn) as look, psycopg.connect(shop.limitless_dsn) as there:
        shop.classic, shop.limitless = look, there  # those of before the fault may be gone
        async with shop.mirrors():
            await shop.caught_up()
        look.rollback()
        differences = shop.differences()
    lost = town.lost()
    _row(side, fault, town, began, ended, rolled_back, recovered, len(lost))
    assert town.bugs == []
    assert lost == []
    assert town.ledger.stale == []
    assert town.divergent == 0
    assert differences == {}


def _all_joined(shop: Shop) -> bool:
    with psycopg.connect(shop.classic_dsn) as conn:
        row = conn.execute("SELECT count(*) FROM migrator.copy_unit WHERE state <> 'joined'").fetchone()
    return row == (0,)


def _row(
    side: str, fault: str, town: Town, began: float, ended: float, rolled_back: Any, recovered: float, lost: int
) -> None:
    path = os.environ.get("MIGRATOR_FAULT_TABLE")
    if not path:
        return
    ledger = town.ledger
    back = f"{rolled_back.seconds:.2f} s, {rolled_back.confirmed} of {rolled_back.processes}" if rolled_back else "–"
    cells = (
        f"{side} {fault}",
        f"{longest_gap(ledger.write_times, began, ended):.1f} s",
        f"{longest_gap(ledger.read_times, began, ended):.1f} s",
        str(sum(ledger.errors.values())),
        str(len(ledger.write_times)),
        str(lost),
        str(len(ledger.stale)),
        back,
        f"{recovered:.1f} s",
    )
    with Path(path).open("a") as table:
        table.write("| " + " | ".join(cells) + " |\n")
