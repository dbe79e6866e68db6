"""A shop that release 0.1.0 left in the middle of its migration, loaded from what that release really left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from migrator.control.install import install
from migrator.control.tables import captured_tables
from migrator.control.upgrade import Step, run, upgrade_steps
from migrator.dataplane.capture import install as capture
from migrator.db.connect import connect
from migrator.plan.load import digest, dump, shim_settings
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.provision.apply import provision
from tests import ROOT
from tests.fixtures.operator import Operator
from tests.fixtures.postgres import Machines, fresh_name, with_parts
from tests.fixtures.shop import SCHEMA, TABLES, Shop, rows
from tests.fixtures.world import PARTS

Connection = psycopg.Connection[Any]
HISTORIES = ROOT / "tests" / "histories"
VISITS = """
CREATE TABLE shop.visit (tenant_id bigint NOT NULL, day date NOT NULL, id bigint NOT NULL, page text,
                         PRIMARY KEY (tenant_id, day, id)) PARTITION BY RANGE (day);
CREATE TABLE shop.visit_2026 PARTITION OF shop.visit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shop.visit_2027 PARTITION OF shop.visit FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
"""
PLAN = Plan.model_validate(
    {
        "name": "shop",
        "classic": {"writer": "env:MIGRATOR_CLASSIC_DSN"},
        "limitless": {"dsn": "env:MIGRATOR_LIMITLESS_DSN"},
        "tables": {"schemas": ["shop"], "table": TABLES},
        "dual_write": {"parts": PARTS},
    }
)
_BURN = """
DO $$ BEGIN
    WHILE pg_current_xact_id()::text::numeric < {} LOOP COMMIT; END LOOP;
END $$
"""


@dataclass
class Earlier:
    """Both sides at version 1, and a third database where this version installed the same anew."""

    shop: Shop
    fresh: Connection
    operator: Operator

    @property
    def classic(self) -> Connection:
        return self.shop.classic

    @property
    def limitless(self) -> Connection:
        return self.shop.limitless

    def differences(self) -> dict[str, Any]:
        """As the shop's, and of the partitioned table."""
        query = "SELECT tenant_id, day, id, page FROM shop.visit"
        here, there = rows(self.classic, query), rows(self.limitless, query)
        found: dict[str, Any] = dict(self.shop.differences())
        return found if here == there else {**found, "shop.visit": (here, there)}


def renewal() -> Step:
    """The step that the command adds for capture."""
    from migrator.cli.upgrade import capture_step

    return capture_step()


def steps(conn: Connection, side: str) -> tuple[Step, ...]:
    return upgrade_steps(conn, side, "test", [renewal()] if side == "classic" else [])


def version(conn: Connection) -> int:
    row = conn.execute("SELECT max(version) FROM migrator.installed").fetchone()
    assert row is not None
    return int(row[0])


def upgrade_classic(conn: Connection) -> None:
    """What the command does on this side."""
    run(conn, "classic", steps(conn, "classic"))


@dataclass(frozen=True)
class Seed:
    """Databases of which every test gets a copy: loading takes seconds, copying a moment."""

    classic: str
    limitless: str
    fresh: str


@contextmanager
def seed(machines: Machines) -> Iterator[Seed]:
    """Load both sides once; Limitless gets its tables from this version's provisioning: a cluster is in no dump."""
    made = Seed(fresh_name("seed"), fresh_name("seed"), fresh_name("fresh"))
    classic_dsn, limitless_dsn = machines.new_classic(made.classic), machines.new_limitless(made.limitless)
    try:
        with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
            with connect(machines.new_classic(made.fresh), "test") as fresh:
                _install(fresh, limitless)
            _load_limitless(limitless)
            load_classic(classic)
        yield made
    finally:
        machines.drop(made.classic, made.limitless)
        machines.drop(made.fresh)


@contextmanager
def earlier(machines: Machines, found: Seed, home: Path) -> Iterator[Earlier]:
    """Both sides as 0.1.0 left them, for one test."""
    names = fresh_name("classic"), fresh_name("limitless")
    classic_dsn = machines.new_classic(names[0], template=found.classic)
    limitless_dsn = machines.new_limitless(names[1], template=found.limitless)
    fresh_dsn = with_parts(machines.classic_admin, dbname=found.fresh)
    try:
        with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
            with connect(fresh_dsn, "test") as fresh:
                tables = tuple(captured_tables(fresh).values())
                environment = {"MIGRATOR_CLASSIC_DSN": classic_dsn, "MIGRATOR_LIMITLESS_DSN": limitless_dsn}
                shop = Shop(classic_dsn, limitless_dsn, classic, limitless, tables, PLAN)
                yield Earlier(shop, fresh, Operator(home, environment))
    finally:
        machines.drop(*names)


def _install(fresh: Connection, limitless: Connection) -> None:
    fresh.execute(SCHEMA + VISITS)
    install(fresh, PLAN.name, digest(PLAN), dump(PLAN), shim_settings(PLAN))
    tables = resolve_tables(fresh, PLAN.tables)
    result = provision(fresh, limitless, tables, PLAN)
    assert result.verdict.go, result.verdict.blockers
    capture.install(fresh, tables, PARTS, 3)


def load_classic(conn: Connection) -> None:
    """Load the dump, once transaction numbers here are beyond those in it."""
    text = (HISTORIES / "control_v1_classic.sql").read_text(encoding="utf-8")
    beyond = re.search(r"^-- Transaction numbers in it are below this one: (\d+)$", text, re.MULTILINE)
    assert beyond
    conn.execute(_BURN.format(beyond[1]).encode())
    with conn.transaction():
        conn.execute("SET LOCAL check_function_bodies = off")
        conn.execute(text.encode())


def _load_limitless(conn: Connection) -> None:
    text = (HISTORIES / "control_v1_limitless.sql").read_text(encoding="utf-8")
    conn.execute("DROP SCHEMA migrator CASCADE")
    with conn.transaction():
        conn.execute(text.encode())
