"""A small multi-tenant application on SQLAlchemy 2: orders and their items, per tenant.

Nothing in it knows which cluster answers. What it was before a migration is one line: sessions came from
`sessionmaker(create_engine(...))`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ForeignKey, Numeric, Text, Uuid, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from migrator.sqlalchemy import ShimSessions

DDL = """
CREATE SCHEMA shop;
CREATE TABLE shop.customer_order (
    id uuid PRIMARY KEY, tenant_id text NOT NULL, state text NOT NULL, total numeric(12, 2) NOT NULL);
CREATE INDEX ON shop.customer_order (tenant_id);
CREATE TABLE shop.item (
    id uuid PRIMARY KEY, tenant_id text NOT NULL, order_id uuid NOT NULL REFERENCES shop.customer_order,
    sku text NOT NULL, price numeric(12, 2) NOT NULL);
CREATE INDEX ON shop.item (order_id);
"""
"""The tables on classic; `migrator` makes those on Limitless."""


class Base(DeclarativeBase):
    """The tables of this application."""


class Order(Base):
    """An order of a tenant; its total is kept as the sum of its items."""

    __tablename__ = "customer_order"
    __table_args__ = ({"schema": "shop"},)

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    tenant_id: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="open")
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2), default=Decimal(0))
    items: Mapped[list[Item]] = relationship(back_populates="order", cascade="all, delete-orphan", order_by="Item.sku")


class Item(Base):
    """One line of an order."""

    __tablename__ = "item"
    __table_args__ = ({"schema": "shop"},)

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    tenant_id: Mapped[str] = mapped_column(Text)
    order_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.customer_order.id"))
    sku: Mapped[str] = mapped_column(Text)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    order: Mapped[Order] = relationship(back_populates="items")


@dataclass(frozen=True)
class Summary:
    """What a tenant's page shows."""

    orders: int
    paid: int
    revenue: Decimal


class Shop:
    """What the application does, for one tenant at a time."""

    def __init__(self, sessions: ShimSessions[Session]) -> None:
        self._sessions = sessions

    def place_order(self, tenant: str, prices: Mapping[str, Decimal], order_id: uuid.UUID) -> None:
        """Store an order with its items. The caller chooses its id, so that it can look whether it is there."""

        def place(session: Session) -> None:
            items = [Item(tenant_id=tenant, sku=sku, price=price) for sku, price in prices.items()]
            total = sum(prices.values(), Decimal(0))
            session.add(Order(id=order_id, tenant_id=tenant, total=total, items=items))

        self._sessions.run_write(tenant, place)

    def pay(self, tenant: str, order_id: uuid.UUID) -> None:
        """Mark an order as paid; two payments at once wait for each other."""

        def pay(session: Session) -> None:
            session.get_one(Order, order_id, with_for_update=True).state = "paid"

        self._sessions.run_write(tenant, pay)

    def take_off(self, tenant: str, order_id: uuid.UUID, sku: str) -> None:
        """Take an item off an order, by the session itself: several statements, one commit."""
        with self._sessions.write(tenant) as session:
            order = session.get_one(Order, order_id, with_for_update=True)
            for item in [i for i in order.items if i.sku == sku]:
                order.items.remove(item)
                order.total -= item.price
            session.commit()

    def order(self, tenant: str, order_id: uuid.UUID) -> Order | None:
        """Return an order with its items, detached: to be shown."""

        def load(session: Session) -> Order | None:
            return session.get(Order, order_id, options=[selectinload(Order.items)])

        return self._sessions.run_read(tenant, load)

    def summary(self, tenant: str) -> Summary:
        """Return what a tenant's page shows, of one moment."""

        def load(session: Session) -> Summary:
            paid = func.count(Order.id).filter(Order.state == "paid")
            revenue = func.coalesce(func.sum(Order.total).filter(Order.state == "paid"), 0)
            row = session.execute(select(func.count(Order.id), paid, revenue).where(Order.tenant_id == tenant)).one()
            return Summary(row[0], row[1], Decimal(row[2]))

        return self._sessions.run_read(tenant, load)
