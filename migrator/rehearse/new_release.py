"""What the application's new release does: writes its columns, its enum value and its table."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

import psycopg

from migrator.model.side import Side
from migrator.rehearse import shop
from migrator.rehearse.holdings import Tenant
from migrator.rehearse.ledger import Change

RELEASED_ACTIONS = {"revise order": 20, "ship order": 15, "track shipment": 10, "return order": 12}
"""How often a thread does each, in percent, once the deployment in the middle has brought what it needs."""

CARRIERS = ("Courier", "Post", "Pigeon's \\wing")


class Session(Protocol):
    """The shim's interface to a transaction."""

    @property
    def connection(self) -> psycopg.Connection[Any]: ...
    @property
    def side(self) -> Side: ...


Body = Callable[[Session], list[Change]]


class NewRelease:
    """Actions of the new release, each for one tenant; False: it finds nothing to change.

    *write* runs a body in a transaction of a tenant, under the name of its action; it returns None when nothing was
    acknowledged.
    """

    def __init__(self, write: Callable[[int, str, Body], list[Change] | None], dice: random.Random) -> None:
        self._write = write
        self._dice = dice
        self.actions: dict[str, Callable[[Tenant], bool]] = {
            "revise order": self._revise_order,
            "ship order": self._ship_order,
            "track shipment": self._track_shipment,
            "return order": self._return_order,
        }

    def _revise_order(self, tenant: Tenant) -> bool:
        if not tenant.orders:
            return False
        order, before = self._dice.choice(list(tenant.orders.items()))
        revision = tenant.revisions.get(order, 0)

        def body(w: Session) -> list[Change]:
            return shop.revise_order(w.connection, tenant.tenant_id, order, before, revision)

        if self._write(tenant.tenant_id, "revise order", body):
            tenant.orders[order], tenant.revisions[order] = before + 1, revision + 1
        return True

    def _ship_order(self, tenant: Tenant) -> bool:
        if not tenant.orders:
            return False
        order, carrier = self._dice.choice(list(tenant.orders)), self._dice.choice(CARRIERS)

        def body(w: Session) -> list[Change]:
            return shop.ship_order(w.connection, w.side, tenant.tenant_id, order, carrier)

        for change in self._write(tenant.tenant_id, "ship order", body) or []:
            tenant.shipments[int(change.row.key)] = (order, 1)
        return True

    def _track_shipment(self, tenant: Tenant) -> bool:
        if not tenant.shipments:
            return False
        shipment, (order, before) = self._dice.choice(list(tenant.shipments.items()))

        def body(w: Session) -> list[Change]:
            return shop.update_shipment(w.connection, w.side, tenant.tenant_id, order, shipment, before, "closed")

        if self._write(tenant.tenant_id, "track shipment", body):
            tenant.shipments[shipment] = (order, before + 1)
        return True

    def _return_order(self, tenant: Tenant) -> bool:
        """Return an order, a shipped one if there is any, with its shipments: old and new rows in one transaction."""
        shipped = {order for order, _ in tenant.shipments.values()} & tenant.orders.keys()
        if not tenant.orders:
            return False
        order = self._dice.choice(sorted(shipped) or list(tenant.orders))
        before = tenant.orders[order]
        shipments = {key: version for key, (of, version) in tenant.shipments.items() if of == order}

        def body(w: Session) -> list[Change]:
            return shop.return_order(w.connection, w.side, tenant.tenant_id, order, before, shipments)

        if self._write(tenant.tenant_id, "return order", body):
            tenant.close(order)
        return True
