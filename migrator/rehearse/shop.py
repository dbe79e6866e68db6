"""The statements of the demo's application, on either side.

Every row carries a version that its only writer counts up, so that a ledger can name its content. On Limitless
every statement binds the tenant; on classic order items do not know theirs, as in the application's old code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.errors import InvariantBroken
from migrator.model.side import Side
from migrator.rehearse.ledger import Change, RowKey

Connection = psycopg.Connection[Any]

REVISION = "orders.revision"
"""The ledger's name for columns of an order that come in the middle (release.py), and only the new release writes."""

RETURNED = "orders.returned"
"""The same for the enum value that comes: 1 for an order in state 'returned', else 0."""

SHIPMENTS = "shipments"
"""The table that comes."""

RELEASED = (REVISION, RETURNED, SHIPMENTS)
"""What the deployment in the middle brings, by its names in the ledger."""

READ: dict[tuple[str, Side], str] = {
    ("accounts", Side.CLASSIC): "SELECT tenant_id, (settings->>'v')::bigint FROM app.accounts"
    " WHERE tenant_id = %(tenant)s AND tenant_id = ANY(%(keys)s)",
    ("users", Side.CLASSIC): "SELECT id, substr(tags[1], 2)::bigint FROM app.users"
    " WHERE tenant_id = %(tenant)s AND id = ANY(%(keys)s)",
    ("orders", Side.CLASSIC): "SELECT id, (details->>'v')::bigint FROM app.orders"
    " WHERE tenant_id = %(tenant)s AND id = ANY(%(keys)s)",
    ("order_items", Side.CLASSIC): "SELECT i.id, (i.attributes->>'v')::bigint FROM app.order_items i"
    " JOIN app.orders o ON o.id = i.order_id WHERE o.tenant_id = %(tenant)s AND i.id = ANY(%(keys)s)",
    ("order_items", Side.LIMITLESS): "SELECT id, (attributes->>'v')::bigint FROM app.order_items"
    " WHERE tenant_id = %(tenant)s AND id = ANY(%(keys)s)",
    ("currencies", Side.CLASSIC): "SELECT code, (rate * 1000000)::bigint %% 10000 FROM app.currencies"
    " WHERE code = ANY(%(keys)s)",
    (REVISION, Side.CLASSIC): "SELECT id, revision FROM app.orders WHERE tenant_id = %(tenant)s AND id = ANY(%(keys)s)",
    (RETURNED, Side.CLASSIC): "SELECT id, (state = 'returned')::int FROM app.orders"
    " WHERE tenant_id = %(tenant)s AND id = ANY(%(keys)s)",
    (SHIPMENTS, Side.CLASSIC): "SELECT s.id, s.version FROM app.shipments s"
    " JOIN app.orders o ON o.id = s.order_id WHERE o.tenant_id = %(tenant)s AND s.id = ANY(%(keys)s)",
    (SHIPMENTS, Side.LIMITLESS): "SELECT id, version FROM app.shipments"
    " WHERE tenant_id = %(tenant)s AND id = ANY(%(keys)s)",
}
"""Reads of rows by key; where Limitless has no entry of its own, classic's statement suits both."""

OWN: dict[str, str] = {
    "orders": "SELECT id FROM app.orders WHERE tenant_id = %s AND id %% %s = %s AND details->>'v' = '0'"
    " ORDER BY id LIMIT %s",
    "users": "SELECT id FROM app.users WHERE tenant_id = %s AND id %% %s = %s AND tags[1] = 'v0' ORDER BY id LIMIT %s",
}
"""Keys of loaded rows, never written so far, that belong to one writer."""

INSERT_ITEM: dict[Side, str] = {
    Side.CLASSIC: "INSERT INTO app.order_items (order_id, sku, quantity, price, attributes)"
    " VALUES (%(order)s, %(sku)s, %(quantity)s, 9.99, '{\"v\": 1}') RETURNING id",
    Side.LIMITLESS: "INSERT INTO app.order_items (tenant_id, order_id, sku, quantity, price, attributes)"
    " VALUES (%(tenant)s, %(order)s, %(sku)s, %(quantity)s, 9.99, '{\"v\": 1}') RETURNING id",
}
UPDATE_ITEM: dict[Side, str] = {
    Side.CLASSIC: "UPDATE app.order_items SET quantity = quantity + 1,"
    " attributes = attributes || jsonb_build_object('v', %(after)s::bigint)"
    " WHERE order_id = %(order)s AND id = %(item)s",
    Side.LIMITLESS: "UPDATE app.order_items SET quantity = quantity + 1,"
    " attributes = attributes || jsonb_build_object('v', %(after)s::bigint)"
    " WHERE tenant_id = %(tenant)s AND order_id = %(order)s AND id = %(item)s",
}
DELETE_ITEM: dict[Side, str] = {
    Side.CLASSIC: "DELETE FROM app.order_items WHERE order_id = %(order)s AND id = %(item)s",
    Side.LIMITLESS: "DELETE FROM app.order_items"
    " WHERE tenant_id = %(tenant)s AND order_id = %(order)s AND id = %(item)s",
}
ITEMS_OF: dict[Side, str] = {
    Side.CLASSIC: "SELECT id, (attributes->>'v')::bigint FROM app.order_items WHERE order_id = %(order)s",
    Side.LIMITLESS: "SELECT id, (attributes->>'v')::bigint FROM app.order_items"
    " WHERE tenant_id = %(tenant)s AND order_id = %(order)s",
}
INSERT_SHIPMENT: dict[Side, str] = {
    Side.CLASSIC: "INSERT INTO app.shipments (order_id, carrier, version)"
    " VALUES (%(order)s, %(carrier)s, 1) RETURNING id",
    Side.LIMITLESS: "INSERT INTO app.shipments (tenant_id, order_id, carrier, version)"
    " VALUES (%(tenant)s, %(order)s, %(carrier)s, 1) RETURNING id",
}
UPDATE_SHIPMENT: dict[Side, str] = {
    Side.CLASSIC: "UPDATE app.shipments SET state = %(state)s, version = %(after)s"
    " WHERE order_id = %(order)s AND id = %(shipment)s",
    Side.LIMITLESS: "UPDATE app.shipments SET state = %(state)s, version = %(after)s"
    " WHERE tenant_id = %(tenant)s AND order_id = %(order)s AND id = %(shipment)s",
}
SHIPMENTS_OF: dict[Side, str] = {
    Side.CLASSIC: "SELECT id, version FROM app.shipments WHERE order_id = %(order)s",
    Side.LIMITLESS: "SELECT id, version FROM app.shipments WHERE tenant_id = %(tenant)s AND order_id = %(order)s",
}

SEARCH = (
    "SELECT id, full_name FROM app.users"
    " WHERE tenant_id = %(tenant)s AND full_name ILIKE %(pattern)s ORDER BY id LIMIT 10"
)
LATEST = (
    "SELECT o.id, (o.details->>'v')::bigint, o.total / c.rate FROM app.orders o"
    " JOIN app.currencies c ON c.code = o.currency_code"
    " WHERE o.tenant_id = %(tenant)s ORDER BY o.placed_at DESC LIMIT 10"
)
"""A tenant's newest orders, of all writers, with their versions."""


def read_rows(connection: Connection, side: Side, table: str, tenant: int, keys: Sequence[str]) -> dict[str, int]:
    """Return the version of each row among *keys* that exists."""
    statement = READ.get((table, side)) or READ[table, Side.CLASSIC]
    typed: list[Any] = list(keys) if table == "currencies" else [int(k) for k in keys]
    rows = connection.execute(statement, {"tenant": tenant, "keys": typed}).fetchall()
    return {str(key): int(version) for key, version in rows}


def own_rows(connection: Connection, table: str, tenant: int, writers: int, writer: int, limit: int) -> list[int]:
    """Return some keys of *table* that *writer* (of *writers*) is the only one to write."""
    return [int(r[0]) for r in connection.execute(OWN[table], (tenant, writers, writer, limit)).fetchall()]


def insert_order(connection: Connection, side: Side, tenant: int, user: int, currency: str, items: int) -> list[Change]:
    """Insert an order and its items; returns the new rows."""
    row = connection.execute(
        "INSERT INTO app.orders (tenant_id, user_id, currency_code, total, details)"
        " VALUES (%s, %s, %s, %s, jsonb_build_object('v', 1, 'channel', 'rehearsal')) RETURNING id",
        (tenant, user, currency, items * 9.99),
    ).fetchone()
    order = _key(row)
    changes = [_new("orders", tenant, order)]
    for number in range(items):
        sku = f"SKU-{number:04}"
        item = connection.execute(
            INSERT_ITEM[side], {"tenant": tenant, "order": order, "sku": sku, "quantity": number + 1}
        ).fetchone()
        changes.append(_new("order_items", tenant, _key(item)))
    return changes


def insert_user(connection: Connection, tenant: int, email: str) -> list[Change]:
    row = connection.execute(
        "INSERT INTO app.users (tenant_id, email, full_name, tags)"
        " VALUES (%s, %s, 'Margaret Hamilton', ARRAY['v1', 'rehearsal']) RETURNING id",
        (tenant, email),
    ).fetchone()
    return [_new("users", tenant, _key(row))]


def sign_up(connection: Connection, tenant: int) -> list[Change]:
    """Insert an account that did not exist and its first user."""
    connection.execute(
        "INSERT INTO app.accounts (tenant_id, name, settings) VALUES (%s, %s, '{\"v\": 1}')",
        (tenant, f"Tenant {tenant} (new)"),
    )
    return [_new("accounts", tenant, tenant), *insert_user(connection, tenant, "first@new.example")]


def update_account(connection: Connection, tenant: int, before: int) -> list[Change]:
    done = connection.execute(
        "UPDATE app.accounts SET settings = settings || jsonb_build_object('v', %s::bigint) WHERE tenant_id = %s",
        (before + 1, tenant),
    )
    return [_one(done, Change(_row("accounts", tenant, tenant), before, before + 1))]


def update_user(connection: Connection, tenant: int, user: int, before: int) -> list[Change]:
    done = connection.execute(
        "UPDATE app.users SET tags[1] = 'v' || %s::bigint, full_name = left(full_name, 20) || ' ' || %s::bigint"
        " WHERE tenant_id = %s AND id = %s",
        (before + 1, before + 1, tenant, user),
    )
    return [_one(done, Change(_row("users", tenant, user), before, before + 1))]


def update_order(connection: Connection, tenant: int, order: int, before: int) -> list[Change]:
    done = connection.execute(
        "UPDATE app.orders SET state = 'paid', total = total + 0.01,"
        " details = details || jsonb_build_object('v', %s::bigint) WHERE tenant_id = %s AND id = %s",
        (before + 1, tenant, order),
    )
    return [_one(done, Change(_row("orders", tenant, order), before, before + 1))]


def revise_order(connection: Connection, tenant: int, order: int, before: int, revision: int) -> list[Change]:
    """Use the columns of the new release; a float with all its digits goes with the version."""
    done = connection.execute(
        "UPDATE app.orders SET revision = %(next)s, weight = sqrt(%(next)s::double precision),"
        " details = details || jsonb_build_object('v', %(after)s::bigint)"
        " WHERE tenant_id = %(tenant)s AND id = %(order)s",
        {"next": revision + 1, "after": before + 1, "tenant": tenant, "order": order},
    )
    changed = _one(done, Change(_row("orders", tenant, order), before, before + 1))
    return [changed, Change(_row(REVISION, tenant, order), revision, revision + 1)]


def close_order(connection: Connection, side: Side, tenant: int, order: int, before: int) -> list[Change]:
    """Close an order: by the procedure on classic, by its two statements on Limitless (procedures are not copied)."""
    if side is Side.CLASSIC:
        connection.execute("CALL app.close_order(%s, %s, %s)", (tenant, order, before + 1))
    else:
        connection.execute(
            "UPDATE app.orders SET state = 'closed', details = details || jsonb_build_object('v', %s::bigint,"
            " 'closed', true) WHERE tenant_id = %s AND id = %s",
            (before + 1, tenant, order),
        )
    return [Change(_row("orders", tenant, order), before, before + 1)]


def update_item(connection: Connection, side: Side, tenant: int, order: int, item: int, before: int) -> list[Change]:
    names = {"tenant": tenant, "order": order, "item": item, "after": before + 1}
    done = connection.execute(UPDATE_ITEM[side], names)
    return [_one(done, Change(_row("order_items", tenant, item), before, before + 1))]


def delete_item(connection: Connection, side: Side, tenant: int, order: int, item: int, before: int) -> list[Change]:
    done = connection.execute(DELETE_ITEM[side], {"tenant": tenant, "order": order, "item": item})
    return [_one(done, Change(_row("order_items", tenant, item), before, None))]


def delete_order(
    connection: Connection,
    side: Side,
    tenant: int,
    order: int,
    before: int,
    revision: int | None = None,
    *,
    released: bool = False,
) -> list[Change]:
    """Delete an order with its children: by the foreign keys' cascade on classic, one after the other on Limitless.

    *revision*: the version of its new columns, if the new release has written them; *released*: it may have shipments.
    """
    names = {"tenant": tenant, "order": order}
    changes = []
    for table, children in (("order_items", ITEMS_OF), (SHIPMENTS, SHIPMENTS_OF)):
        if table == SHIPMENTS and not released:
            continue  # the table does not exist yet
        rows = connection.execute(children[side], names).fetchall()
        changes += [Change(_row(table, tenant, key), int(version), None) for key, version in rows]
        if side is Side.LIMITLESS:
            where = sql.SQL("tenant_id = %(tenant)s AND order_id = %(order)s")
            connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier("app", table), where), names)
    done = connection.execute("DELETE FROM app.orders WHERE tenant_id = %(tenant)s AND id = %(order)s", names)
    if revision is not None:
        changes.append(Change(_row(REVISION, tenant, order), revision, None))
    return [_one(done, Change(_row("orders", tenant, order), before, None)), *changes]


def ship_order(connection: Connection, side: Side, tenant: int, order: int, carrier: str) -> list[Change]:
    """Insert a shipment of an order; its key comes from an identity column."""
    names = {"tenant": tenant, "order": order, "carrier": carrier}
    return [_new(SHIPMENTS, tenant, _key(connection.execute(INSERT_SHIPMENT[side], names).fetchone()))]


def update_shipment(
    connection: Connection, side: Side, tenant: int, order: int, shipment: int, before: int, state: str
) -> list[Change]:
    names = {"tenant": tenant, "order": order, "shipment": shipment, "after": before + 1, "state": state}
    done = connection.execute(UPDATE_SHIPMENT[side], names)
    return [_one(done, Change(_row(SHIPMENTS, tenant, shipment), before, before + 1))]


def return_order(
    connection: Connection, side: Side, tenant: int, order: int, before: int, shipments: Mapping[int, int]
) -> list[Change]:
    """Give an order and its *shipments* (with their versions) the new state; they do not change after that."""
    done = connection.execute(
        "UPDATE app.orders SET state = 'returned', details = details || jsonb_build_object('v', %s::bigint)"
        " WHERE tenant_id = %s AND id = %s",
        (before + 1, tenant, order),
    )
    changes = [
        _one(done, Change(_row("orders", tenant, order), before, before + 1)),
        Change(_row(RETURNED, tenant, order), 0, 1),
    ]
    for shipment, version in shipments.items():
        changes += update_shipment(connection, side, tenant, order, shipment, version, "returned")
    return changes


def update_currency(connection: Connection, code: str, before: int) -> list[Change]:
    """Set a rate; its last four decimals are the row's version."""
    done = connection.execute(
        "UPDATE app.currencies SET rate = trunc(rate, 2) + %s * 0.000001 WHERE code = %s", (before + 1, code)
    )
    return [_one(done, Change(RowKey("currencies", "", code), before, before + 1))]


def _row(table: str, tenant: int, key: object) -> RowKey:
    return RowKey(table, str(tenant), str(key))


def _new(table: str, tenant: int, key: object) -> Change:
    return Change(_row(table, tenant, key), None, 1)


def _key(row: Any) -> int:
    return int(row[0])


def _one(done: psycopg.Cursor[Any], change: Change) -> Change:
    """Return *change* if exactly one row was touched: its writer is the only one, so it knows that it exists."""
    if done.rowcount != 1:
        raise RowVanished(f"{change.row.table} {change.row.key} of tenant {change.row.tenant or '-'} is missing")
    return change


class RowVanished(InvariantBroken):
    """An acknowledged row is missing when its only writer changes it."""
