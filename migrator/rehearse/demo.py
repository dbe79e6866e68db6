"""Loads the demo on an empty classic cluster.

One transaction: after an interruption there is nothing, and a second load with the same settings finds the first
one's mark (the comment of schema app) and agrees with it. Other data is never touched.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg import sql

from migrator.control import rehearsal
from migrator.db.connect import connect
from migrator.errors import UsageError
from migrator.plan.schema import Rehearsal
from migrator.rehearse import roles
from migrator.rehearse.sizes import DemoTenant, demo_tenants

TABLES = ("currencies", "accounts", "users", "orders", "order_items")


@dataclass(frozen=True, slots=True)
class DemoLoad:
    """What the demo holds.

    Attributes:
        tenants: largest first.
        rows: by table, counted.
        loaded: False when the same demo existed already.
    """

    tenants: tuple[DemoTenant, ...]
    rows: dict[str, int]
    seconds: float
    loaded: bool

    @property
    def total_rows(self) -> int:
        return sum(self.rows.values())


def load(classic_dsn: str, settings: Rehearsal) -> DemoLoad:
    """Create and fill schema app on classic, or find that the same demo exists.

    Raises:
        UsageError: schema app exists and is not this demo.
        ClusterUnavailable: classic cannot be reached.
    """
    began = time.monotonic()
    tenants = demo_tenants(settings.tenants, settings.rows, settings.hot_ratio, settings.seed)
    mark = _mark(settings)
    with connect(classic_dsn, "migrator-demo", autocommit=True) as conn:
        rehearsal.mark(conn)
        roles.make(conn)
        # Statistics are collected after the commit.
        with conn.transaction():
            # Two loads at once: the second waits here and then finds the first one's mark.
            conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('migrator demo', 0))")
            fresh = _is_absent(conn, mark)
            if fresh:
                _create(conn, tenants, settings.seed, mark)
        if fresh:
            conn.execute("ANALYZE app.currencies, app.accounts, app.users, app.orders, app.order_items")
        rows = {f"app.{name}": _count(conn, name) for name in TABLES}
    return DemoLoad(tuple(tenants), rows, time.monotonic() - began, fresh)


def _mark(settings: Rehearsal) -> str:
    chosen = {k: getattr(settings, k) for k in ("tenants", "rows", "hot_ratio", "seed")}
    return "migrator demo " + json.dumps(chosen, sort_keys=True)


def _is_absent(conn: psycopg.Connection, mark: str) -> bool:
    comment = conn.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'app'"
    ).fetchone()
    if comment is None:
        return True
    if comment[0] == mark:
        return False
    raise UsageError(
        "schema app on classic already holds other data; the demo is not loaded over it",
        hint="Rehearse on an empty database, or drop schema app yourself.",
    )


def _create(conn: psycopg.Connection, tenants: list[DemoTenant], seed: int, mark: str) -> None:
    files = resources.files("migrator.rehearse")
    conn.execute(files.joinpath("demo_schema.sql").read_bytes())  # from here on as the schema's owner
    conn.execute("CREATE TEMPORARY TABLE demo_size (tenant_id bigint, users bigint, orders bigint) ON COMMIT DROP")
    with conn.cursor() as cursor, cursor.copy("COPY demo_size FROM STDIN") as copy:
        for tenant in tenants:
            copy.write_row((tenant.tenant_id, tenant.users, tenant.orders))
    # A client-side cursor binds in the client, so that the file may hold several statements.
    psycopg.ClientCursor(conn).execute(files.joinpath("demo_rows.sql").read_bytes(), {"seed": seed})
    conn.execute(sql.SQL("COMMENT ON SCHEMA app IS {}").format(sql.Literal(mark)))


def _count(conn: psycopg.Connection, table: str) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("app", table))).fetchone()
    assert row is not None  # an aggregate always answers
    return int(row[0])
