"""Traffic on the shop, and its own ledger: what was acknowledged must be there, whatever is migrated meanwhile."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy.exc import OperationalError

from examples.sqlalchemy.shop import Shop
from migrator.errors import ClusterUnavailable, CommitUnknown, ReadStale
from migrator.shim import CommittedUnconfirmed

NOTHING_WRITTEN = (ClusterUnavailable, OperationalError)
"""A write that ends with one of these is certainly not committed: a lost COMMIT is CommitUnknown."""


@dataclass
class Entry:
    """What an order must look like: its total, its items, its state.

    doubt: the answer to a COMMIT was lost. unseen: it is committed, and a read may miss it for a while.
    """

    tenant: str
    items: dict[str, Decimal]
    state: str = "open"
    doubt: bool = False
    unseen: bool = False


@dataclass
class Ledger:
    """What the application was told, kept apart from both clusters.

    Attributes:
        orders: by their id.
        missed: reads that did not show what had been acknowledged before.
        reads, writes: how many were answered.
        refused: how many were not, with an error that says so; nothing is known to be lost by them.
    """

    orders: dict[uuid.UUID, Entry] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    reads: int = 0
    writes: int = 0
    refused: int = 0


class Traffic(threading.Thread):
    """One user of one tenant: places orders, pays them, takes items off, and looks at once. Ends with `stop`."""

    def __init__(self, shop: Shop, tenant: str, seed: int, think_s: float = 0.0) -> None:
        super().__init__(name=f"traffic-{tenant}")
        self.ledger = Ledger()
        self.error: BaseException | None = None
        self._shop = shop
        self._tenant = tenant
        self._think_s = think_s
        self._dice = random.Random(seed)
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()

    def run(self) -> None:
        try:
            while not self._over.wait(self._think_s):
                self._step()
        except BaseException as error:
            self.error = error

    def _step(self) -> None:
        known = [key for key, entry in self.ledger.orders.items() if not (entry.doubt or entry.unseen)]
        what = self._dice.choice(["place", "pay", "take off", "look", "look", "summary"])
        if what == "place" or not known:
            self._place()
            return
        key = self._dice.choice(known[-20:])
        entry = self.ledger.orders[key]
        if what == "pay":
            self._write(key, entry, "paid", entry.items)
        elif what == "take off" and entry.items and entry.state == "open":
            sku = self._dice.choice(sorted(entry.items))
            self._write(key, entry, entry.state, {k: v for k, v in entry.items.items() if k != sku}, sku)
        elif what == "look":
            self._look(key, entry)
        else:
            self._look_at_all()

    def _place(self) -> None:
        key = uuid.uuid4()
        prices = {f"sku-{n}": Decimal(self._dice.randint(100, 999)) / 100 for n in range(self._dice.randint(1, 3))}
        entry = Entry(self._tenant, prices, doubt=True)
        self.ledger.orders[key] = entry
        try:
            self._shop.place_order(self._tenant, prices, key)
            entry.doubt = False
            self.ledger.writes += 1
        except CommittedUnconfirmed:
            entry.doubt, entry.unseen = False, True
        except CommitUnknown:
            self.ledger.refused += 1
        except NOTHING_WRITTEN:
            self.ledger.refused += 1
            del self.ledger.orders[key]

    def _write(self, key: uuid.UUID, entry: Entry, state: str, items: dict[str, Decimal], sku: str = "") -> None:
        try:
            if sku:
                self._shop.take_off(self._tenant, key, sku)
            else:
                self._shop.pay(self._tenant, key)
            self.ledger.writes += 1
        except CommittedUnconfirmed:
            entry.unseen = True
        except CommitUnknown:
            entry.doubt = True
            self.ledger.refused += 1
            return
        except NOTHING_WRITTEN:
            self.ledger.refused += 1
            return
        entry.state, entry.items = state, items

    def _look(self, key: uuid.UUID, entry: Entry) -> None:
        try:
            found = self._shop.order(self._tenant, key)
        except (ReadStale, *NOTHING_WRITTEN):
            self.ledger.refused += 1
            return
        self.ledger.reads += 1
        if found is None:
            self.ledger.missed.append(f"order {key} is missing")
        elif (found.state, {i.sku: i.price for i in found.items}) != (entry.state, entry.items):
            self.ledger.missed.append(f"order {key} is {found.state}, {len(found.items)} items; not {entry}")

    def _look_at_all(self) -> None:
        sure = [entry for entry in self.ledger.orders.values() if not (entry.doubt or entry.unseen)]
        try:
            found = self._shop.summary(self._tenant)
        except (ReadStale, *NOTHING_WRITTEN):
            self.ledger.refused += 1
            return
        self.ledger.reads += 1
        doubtful = len(self.ledger.orders) - len(sure)
        if not len(sure) <= found.orders <= len(sure) + doubtful:
            self.ledger.missed.append(f"{found.orders} orders, {len(sure)} were acknowledged, {doubtful} in doubt")


def wrong(ledger: Ledger, rows: Sequence[tuple[uuid.UUID, str, Decimal, dict[str, Decimal]]]) -> list[str]:
    """Return what *rows* (id, state, total, prices by sku) of one tenant lack or have too much, against its ledger."""
    found = {key: (state, total, prices) for key, state, total, prices in rows}
    problems = [f"order {key} was never placed" for key in found.keys() - ledger.orders.keys()]
    for key, entry in ledger.orders.items():
        if entry.doubt:
            continue
        expected = (entry.state, sum(entry.items.values(), Decimal(0)), entry.items)
        if found.get(key) != expected:
            problems.append(f"order {key}: {found.get(key)}, not {expected}")
    return problems
