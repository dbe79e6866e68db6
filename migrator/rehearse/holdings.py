"""The rows that one thread of the traffic may write, with their versions."""

from __future__ import annotations

from dataclasses import dataclass, field

from migrator.rehearse.ledger import RowKey


@dataclass(slots=True)
class Tenant:
    """A tenant as one thread knows it: the rows it is the only one to write, with their versions.

    Attributes:
        items, shipments: to their order and version.
        revisions: of orders that the new release has revised.
    """

    tenant_id: int
    weight: float
    known: bool = False
    account: int | None = None
    users: dict[int, int] = field(default_factory=dict)
    orders: dict[int, int] = field(default_factory=dict)
    items: dict[int, tuple[int, int]] = field(default_factory=dict)
    revisions: dict[int, int] = field(default_factory=dict)
    shipments: dict[int, tuple[int, int]] = field(default_factory=dict)

    def forget(self, row: RowKey) -> None:
        """Stop writing a row whose content is unknown, and rows with its key."""
        key = int(row.key)
        for rows in (self.users, self.orders, self.items, self.revisions, self.shipments):
            rows.pop(key, None)
        if row.table == "accounts":
            self.account = None

    def close(self, order: int) -> None:
        """Stop writing an order that is not to change any more, with its shipments."""
        self.orders.pop(order, None)
        self.shipments = {k: v for k, v in self.shipments.items() if v[0] != order}

    def drop(self, order: int) -> None:
        """Remove a deleted order and its children."""
        self.close(order)
        self.revisions.pop(order, None)
        self.items = {k: v for k, v in self.items.items() if v[0] != order}
