"""Statements over all tenants do work in proportion to their number, also before statistics have followed a wave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control import history, status, tenant, tenant_order
from migrator.control.install import install
from migrator.db.connect import connect

pytestmark = pytest.mark.pg

TENANTS = 1500
PER_TENANT = 60
"""Rows that a statement may touch for each: a plan that compares each tenant with each touches all of them."""


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A wave of tenants that was rolled back a moment ago, so that nothing is analyzed."""
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        for table in ("tenant", "route", "tenant_hold", "fallback", "report"):
            conn.execute(f"ALTER TABLE migrator.{table} SET (autovacuum_enabled = false)".encode())
        conn.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, wave, rows)"
            f" SELECT 't' || g, 1 + g % 4, 'mirrored', 1, 1 FROM generate_series(1, {TENANTS}) g;"
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " SELECT tenant_id, part, 'classic', 1, 1, 'ann', 'slow' FROM migrator.tenant;"
            "INSERT INTO migrator.tenant_hold (tenant_id, reason, held_by, wave)"
            " SELECT tenant_id, 'slow', 'ann', 1 FROM migrator.tenant;"
            "INSERT INTO migrator.report (kind, body)"
            " SELECT 'cutover.tenants', jsonb_agg(tenant_id) FROM migrator.tenant".encode()
        )
        yield conn


def work(node: dict[str, Any]) -> float:
    """Return how many rows a plan's nodes touched in all."""
    removed = sum(node.get(f"Rows Removed by {by}", 0) for by in ("Filter", "Join Filter", "Index Recheck"))
    own = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return float(own) + sum(map(work, node.get("Plans", ())))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (status, "waves"),
        (status, "held"),
        (history, "tenant_lines"),
        (history, "noted_tenants"),
        (tenant, "waiting"),
        (tenant, "wave_tenants"),
        (tenant, "left_behind"),
        (tenant, "not_on_limitless"),
        (tenant, "rolled_back"),
        (tenant, "tenant_facts"),
        (tenant, "not_watched_so"),
        (tenant, "release_interrupted"),
        (tenant, "release_but_rolled_back"),
        (tenant_order, "places"),
    ],
)
def test_no_tenant_is_compared_with_each(classic: psycopg.Connection[Any], module: Any, name: str) -> None:
    statement = module._SQL[name]
    values = {
        "tenants": [f"t{n}" for n in range(1, TENANTS + 1)],
        "wave": 1,
        "with_held": False,
        "on": True,
        "shown": 100,
    }
    row = classic.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values).fetchone()

    assert row is not None
    assert work(row[0][0]["Plan"]) < PER_TENANT * TENANTS


def test_routes_without_a_wave_are_not_compared_with_each_tenant(classic: psycopg.Connection[Any]) -> None:
    """A hash of pairs answers for a pair with a NULL by looking at all it holds; row counts do not show it."""
    row = classic.execute("EXPLAIN (FORMAT JSON) SELECT * FROM migrator.rolled_back").fetchone()

    assert row is not None
    condition = row[0][0]["Plan"]["Filter"]
    assert "hashed" in condition
    assert "(wave IS NOT NULL)" in condition
