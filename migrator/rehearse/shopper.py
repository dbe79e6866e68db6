"""One thread of the traffic: chooses its next operation, runs it and records it in the ledger."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import psycopg

from migrator.errors import CommitUnknown, MigratorError
from migrator.model.ack import Ack
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.rehearse import shop
from migrator.rehearse.expectations import Memory
from migrator.rehearse.holdings import Tenant
from migrator.rehearse.ledger import Change, LedgerWriter, Outcome, RowKey, Seen
from migrator.rehearse.new_release import RELEASED_ACTIONS, NewRelease, Session
from migrator.shim import CommittedUnconfirmed

T = TypeVar("T")

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "SEK", "PLN", "JPY", "BRL")
SIGN_UP_BASE = 1_000_000
"""Tenants that sign up during the rehearsal have ids from here, one block per thread."""

ACTIONS = {
    "insert order": 40,
    "update order": 22,
    "close order": 5,
    "update user": 12,
    "insert user": 4,
    "update item": 7,
    "delete item": 4,
    "delete order": 4,
    "update account": 1.5,
    "update currency": 0.5,
    "sign up": 0.06,
}
"""How often a thread does what, in percent."""

LEVELS = {Ack.EVERYWHERE: 80, Ack.SESSION: 12, Ack.NONE: 8}
"""How often a write is acknowledged by which level, in percent."""


class ShimLike(Protocol):
    """The part of the public shim that an application needs."""

    def run_read(self, tenant: TenantId, fn: Callable[[Any], T]) -> T: ...
    def run_write(self, tenant: TenantId, fn: Callable[[Any], T], *, ack: Ack) -> T: ...
    def session(self, token: str | None = None) -> CallerSession: ...


class CallerSession(Protocol):
    """The same of a session."""

    @property
    def token(self) -> str: ...
    def run_read(self, tenant: TenantId, fn: Callable[[Any], T]) -> T: ...
    def run_write(self, tenant: TenantId, fn: Callable[[Any], T]) -> T: ...


@dataclass(slots=True)
class _Try:
    """The transaction under way: its number in the ledger, and what it changes."""

    number: int = 0
    changes: list[Change] = field(default_factory=list)


class Shopper:
    """One writer of the traffic, and the reader beside it. Only the writer's thread calls `write_once`."""

    def __init__(
        self,
        shim: ShimLike,
        ledger: LedgerWriter,
        memory: Memory,
        tenants: list[Tenant],
        writer: int,
        writers: int,
        seed: int,
    ) -> None:
        self._shim = shim
        self._ledger = ledger
        self._memory = memory
        self._tenants = tenants
        self._writer = writer
        self._name = f"thread {writer}"
        self._writers = writers
        self._dice = random.Random(seed * 1000 + writer)
        self._weights = list(itertools.accumulate(t.weight for t in tenants))
        self._currencies = dict.fromkeys(CURRENCIES[writer::writers], 0)
        self._numbers = itertools.count(1)
        self._last: list[RowKey] = []
        self._session: CallerSession | None = None  # once something was written in it
        self._own = False  # whether the last write was
        self._released = False
        self._shares = dict(ACTIONS)
        self._actions: dict[str, Callable[[Tenant], bool]] = {
            "insert order": self._insert_order,
            "update order": self._update_order,
            "close order": self._close_order,
            "update user": self._update_user,
            "insert user": self._insert_user,
            "update item": self._update_item,
            "delete item": self._delete_item,
            "delete order": self._delete_order,
            "update account": self._update_account,
            "update currency": self._update_currency,
            "sign up": self._sign_up,
        }
        self._new_release = NewRelease(self._write, self._dice)

    def release(self) -> None:
        """Run the application's new release from now on."""
        self._released = True
        self._actions |= self._new_release.actions
        self._shares = ACTIONS | RELEASED_ACTIONS

    def write_once(self) -> None:
        """Do one write of any kind, and read every other one back at once.

        Where the kind finds nothing to change, an order is inserted.
        """
        tenant = self._dice.choices(self._tenants, cum_weights=self._weights)[0]
        if not tenant.known and not self._look_around(tenant):
            return
        kind = self._dice.choices(*zip(*self._shares.items(), strict=True))[0]
        self._last = []
        if not self._actions[kind](tenant):
            self._insert_order(tenant)
        if self._last and (self._own or self._dice.random() < 0.5):
            self._read_back(self._last, self._session if self._own else None)

    def read_once(self) -> None:
        """Read back rows that a thread of this process wrote last, or browse. Has a thread of its own."""
        recent = self._memory.recent()
        if not recent or self._dice.random() < 0.15:
            self._browse()
            return
        first = self._dice.choice(recent)
        rows = [r for r in recent if (r.table, r.tenant) == (first.table, first.tenant)][-8:]
        self._read_back(list(dict.fromkeys(rows)))

    # Reading

    def _read_back(self, rows: list[RowKey], session: CallerSession | None = None) -> None:
        table = self._dice.choice(rows).table
        rows = [r for r in rows if r.table == table]
        tenant = int(rows[0].tenant or self._tenants[0].tenant_id)
        expected = self._memory.floor(rows, own=session is not None)
        began = time.monotonic()

        def fn(r: Session) -> tuple[Side, dict[str, int]]:
            return r.side, shop.read_rows(r.connection, r.side, table, tenant, [row.key for row in rows])

        answer = self._read(tenant, fn, session)
        if answer is None:
            return
        ended = time.monotonic()
        side, found = answer
        seen = {row: found.get(row.key) for row in rows}
        missed = self._memory.missed(expected, seen)
        name = self._name if session is not None else ""
        self._ledger.read(began, ended, side, [Seen(row, seen[row]) for row in rows], len(missed), name)

    def _browse(self) -> None:
        """Search users, or list a tenant's newest orders: rows of all processes, for the proof to judge."""
        tenant = self._dice.choices(self._tenants, cum_weights=self._weights)[0].tenant_id
        names = {"tenant": tenant, "pattern": f"%{self._dice.choice('aeiou')}n%"}
        search = self._dice.random() < 0.3
        began = time.monotonic()

        def fn(r: Session) -> tuple[Side, list[tuple[Any, ...]]]:
            return r.side, r.connection.execute(shop.SEARCH if search else shop.LATEST, names).fetchall()

        answer = self._read(tenant, fn)
        if answer is None:
            return
        side, found = answer
        rows = [] if search else [Seen(RowKey("orders", str(tenant), str(r[0])), int(r[1])) for r in found]
        self._ledger.read(began, time.monotonic(), side, rows, 0)

    def _read(self, tenant: int, fn: Callable[[Any], T], session: CallerSession | None = None) -> T | None:
        began = time.monotonic()
        try:
            return (session or self._shim).run_read(TenantId(str(tenant)), fn)
        except (MigratorError, psycopg.Error) as error:
            self._ledger.failure("read", began, error)
            return None

    def _look_around(self, tenant: Tenant) -> bool:
        """Find which loaded rows of *tenant* this thread writes."""

        def fn(r: Session) -> tuple[list[int], list[int]]:
            share = (self._writers, self._writer, 40)
            orders = shop.own_rows(r.connection, "orders", tenant.tenant_id, *share)
            return orders, shop.own_rows(r.connection, "users", tenant.tenant_id, *share)

        keys = self._read(tenant.tenant_id, fn)
        if keys is None:
            return False
        tenant.orders |= dict.fromkeys(keys[0], 0)
        tenant.users |= dict.fromkeys(keys[1], 0)
        if tenant.tenant_id % self._writers == self._writer and tenant.account is None:
            tenant.account = 0
        tenant.known = True
        return True

    # Writing

    def _write(self, tenant: int, kind: str, body: Callable[[Any], list[Change]]) -> list[Change] | None:
        """Run *body* in a transaction of *tenant*; returns what was acknowledged, None when nothing was."""
        now = _Try()
        (ack,) = self._dice.choices(list(LEVELS), list(LEVELS.values()))
        began = time.monotonic()

        def fn(w: Session) -> None:
            self._give_up(now)  # called again: the attempt before was certainly not committed
            changes = body(w)
            now.number, now.changes = self._ledger.intent(kind, w.side, changes, ack, self._name), changes
            self._memory.intend(changes)

        try:
            self._run_write(TenantId(str(tenant)), fn, ack)
        except (CommitUnknown, CommittedUnconfirmed) as error:
            # Committed or not, or committed and not yet seen by all: either way nothing is promised.
            self._ledger.outcome(now.number, Outcome.UNKNOWN)
            self._ledger.failure("write", began, error)
            self._forget(now.changes)
            return None
        except (MigratorError, psycopg.Error) as error:
            self._give_up(now)
            self._ledger.failure("write", began, error)
            return None
        self._ledger.outcome(now.number, Outcome.ACKNOWLEDGED, (time.monotonic() - began) * 1000)
        self._memory.acknowledge(now.changes, ack)
        self._own = ack is Ack.SESSION
        self._last = [c.row for c in now.changes]
        return now.changes

    def _run_write(self, tenant: TenantId, fn: Callable[[Any], None], ack: Ack) -> None:
        if ack is Ack.SESSION:
            # As from one request to the next: the session goes on from its text.
            self._session = self._shim.session(None if self._session is None else self._session.token)
            self._session.run_write(tenant, fn)
        else:
            self._shim.run_write(tenant, fn, ack=ack)

    def _give_up(self, now: _Try) -> None:
        if now.number:
            self._memory.abort(now.changes)
            self._ledger.outcome(now.number, Outcome.ABORTED)
        now.number, now.changes = 0, []

    def _forget(self, changes: Sequence[Change]) -> None:
        """Stop writing rows whose content is unknown."""
        for change in changes:
            for tenant in self._tenants:
                if str(tenant.tenant_id) == change.row.tenant:
                    tenant.forget(change.row)
            self._currencies.pop(change.row.key, None)

    def _insert_order(self, tenant: Tenant) -> bool:
        if not tenant.users:
            return self._insert_user(tenant)
        user = self._dice.choice(list(tenant.users))
        count = self._dice.randint(1, 4)
        code = self._dice.choice(CURRENCIES)

        def body(w: Session) -> list[Change]:
            return shop.insert_order(w.connection, w.side, tenant.tenant_id, user, code, count)

        changes = self._write(tenant.tenant_id, "insert order", body) or []
        for change in changes:
            if change.row.table == "orders":
                tenant.orders[int(change.row.key)] = 1
            else:
                tenant.items[int(change.row.key)] = (int(changes[0].row.key), 1)
        return True

    def _update_order(self, tenant: Tenant) -> bool:
        return self._change_order(
            tenant,
            "update order",
            lambda w, order, before: shop.update_order(w.connection, tenant.tenant_id, order, before),
        )

    def _close_order(self, tenant: Tenant) -> bool:
        return self._change_order(
            tenant,
            "close order",
            lambda w, order, before: shop.close_order(w.connection, w.side, tenant.tenant_id, order, before),
        )

    def _change_order(self, tenant: Tenant, kind: str, body: Callable[[Any, int, int], list[Change]]) -> bool:
        if not tenant.orders:
            return False
        order, before = self._dice.choice(list(tenant.orders.items()))
        if self._write(tenant.tenant_id, kind, lambda w: body(w, order, before)):
            tenant.orders[order] = before + 1
        return True

    def _update_user(self, tenant: Tenant) -> bool:
        if not tenant.users:
            return False
        user, before = self._dice.choice(list(tenant.users.items()))
        if self._write(
            tenant.tenant_id, "update user", lambda w: shop.update_user(w.connection, tenant.tenant_id, user, before)
        ):
            tenant.users[user] = before + 1
        return True

    def _insert_user(self, tenant: Tenant) -> bool:
        email = f"new{self._writer}.{next(self._numbers)}@tenant{tenant.tenant_id}.example"
        made = self._write(
            tenant.tenant_id, "insert user", lambda w: shop.insert_user(w.connection, tenant.tenant_id, email)
        )
        for change in made or []:
            tenant.users[int(change.row.key)] = 1
        return True

    def _update_item(self, tenant: Tenant) -> bool:
        if not tenant.items:
            return False
        item, (order, before) = self._dice.choice(list(tenant.items.items()))

        def body(w: Session) -> list[Change]:
            return shop.update_item(w.connection, w.side, tenant.tenant_id, order, item, before)

        if self._write(tenant.tenant_id, "update item", body):
            tenant.items[item] = (order, before + 1)
        return True

    def _delete_item(self, tenant: Tenant) -> bool:
        if not tenant.items:
            return False
        item, (order, before) = self._dice.choice(list(tenant.items.items()))

        def body(w: Session) -> list[Change]:
            return shop.delete_item(w.connection, w.side, tenant.tenant_id, order, item, before)

        if self._write(tenant.tenant_id, "delete item", body):
            del tenant.items[item]
        return True

    def _delete_order(self, tenant: Tenant) -> bool:
        if len(tenant.orders) < 5:
            return False
        order, before = self._dice.choice(list(tenant.orders.items()))
        released = self._released

        def body(w: Session) -> list[Change]:
            revision = tenant.revisions.get(order)
            return shop.delete_order(w.connection, w.side, tenant.tenant_id, order, before, revision, released=released)

        if self._write(tenant.tenant_id, "delete order", body):
            tenant.drop(order)
        return True

    def _update_account(self, tenant: Tenant) -> bool:
        before = tenant.account
        if before is None:
            return False
        if self._write(
            tenant.tenant_id, "update account", lambda w: shop.update_account(w.connection, tenant.tenant_id, before)
        ):
            tenant.account = before + 1
        return True

    def _update_currency(self, tenant: Tenant) -> bool:
        if not self._currencies:
            return False
        code, before = self._dice.choice(list(self._currencies.items()))
        if self._write(tenant.tenant_id, "update currency", lambda w: shop.update_currency(w.connection, code, before)):
            self._currencies[code] = before + 1
        return True

    def _sign_up(self, _tenant: Tenant) -> bool:
        tenant = Tenant(SIGN_UP_BASE + self._writer * 10_000 + next(self._numbers), self._tenants[-1].weight, True, 1)
        changes = self._write(tenant.tenant_id, "sign up", lambda w: shop.sign_up(w.connection, tenant.tenant_id))
        if changes:
            tenant.users = {int(c.row.key): 1 for c in changes if c.row.table == "users"}
            self._tenants.append(tenant)
            self._weights.append(self._weights[-1] + tenant.weight)
        return True
