"""A small mapped shop, and the same code on an engine of SQLAlchemy's own and on a shim."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
from sqlalchemy import ForeignKeyConstraint, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, HSTORE, INT4RANGE, JSONB, Range
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import JSON, TIMESTAMP, Enum, Integer, Numeric, Text

SCHEMA = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'happy');
CREATE TABLE app.orders (
    tenant_id text, id serial, state text NOT NULL DEFAULT 'new', total numeric(10, 2),
    PRIMARY KEY (tenant_id, id));
CREATE TABLE app.item (
    tenant_id text, id serial, order_id int NOT NULL, sku text NOT NULL,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, order_id, sku),
    FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE app.page (
    tenant_id text, id int, body text, version int NOT NULL,
    PRIMARY KEY (tenant_id, id));
CREATE TABLE app.thing (
    tenant_id text, id int PRIMARY KEY, doc jsonb, plain json, tags text[], moods app.mood[], mood app.mood,
    amount numeric, at timestamptz, span int4range, raw bytea);
"""


class Base(DeclarativeBase):
    pass


class Mood(enum.Enum):
    sad = "sad"
    happy = "happy"


MOOD = Enum(Mood, name="mood", schema="app")


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = ({"schema": "app"},)

    tenant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    state: Mapped[str] = mapped_column(Text, server_default="new")
    total: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    items: Mapped[list[Item]] = relationship(back_populates="order", cascade="all, delete-orphan", order_by="Item.sku")


class Item(Base):
    __tablename__ = "item"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "order_id"], ["app.orders.tenant_id", "app.orders.id"]),
        UniqueConstraint("tenant_id", "order_id", "sku"),
        {"schema": "app"},
    )

    tenant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    order_id: Mapped[int] = mapped_column(Integer)
    sku: Mapped[str] = mapped_column(Text)
    order: Mapped[Order] = relationship(back_populates="items")


class Page(Base):
    __tablename__ = "page"
    __table_args__ = ({"schema": "app"},)

    tenant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    body: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - as SQLAlchemy's mappings say it


class Thing(Base):
    __tablename__ = "thing"
    __table_args__ = ({"schema": "app"},)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    tenant_id: Mapped[str] = mapped_column(Text)
    doc: Mapped[Any] = mapped_column(JSONB)
    plain: Mapped[Any] = mapped_column(JSON)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    moods: Mapped[list[Mood]] = mapped_column(ARRAY(MOOD))
    mood: Mapped[Mood] = mapped_column(MOOD)
    amount: Mapped[Decimal] = mapped_column(Numeric)
    at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    span: Mapped[Range[int]] = mapped_column(INT4RANGE)
    raw: Mapped[bytes]


def a_thing(number: int) -> Thing:
    return Thing(
        id=number, tenant_id="t1", doc={"a": [1, None, "ü"]}, plain=[1.5], tags=["x", "y z"], mood=Mood.happy,
        moods=[Mood.sad, Mood.happy], amount=Decimal("1.10"), at=datetime(2030, 1, 2, 3, 4, tzinfo=UTC),
        span=Range(1, 5), raw=b"\x00\xff",
    )  # fmt: skip


def build(dsn: str, _limitless: str = "") -> None:
    """Make the tables in an empty database."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(SCHEMA.encode())


__all__ = ["HSTORE", "Base", "Item", "Mood", "Order", "Page", "Thing", "a_thing", "build", "text"]
