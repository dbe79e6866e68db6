"""The watch over a wave on real tables: whom the guard rolls back, and what is nobody's fault."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from migrator.cutover import facts, soak
from migrator.cutover.guard import GuardLimits, Sample, Watch
from migrator.model.tenant import TenantId
from tests.fixtures.shop import Shop

pytestmark = pytest.mark.pg

LIMITS = GuardLimits(p99_factor=2.0, p99_floor_ms=1.0, error_ratio=0.01, min_reads=5, patience=1, max_failed=1)
A, B, C = TenantId("1"), TenantId("2"), TenantId("3")


@pytest.fixture
def classic(shop: Shop) -> psycopg.Connection[Any]:
    """Three tenants of wave 1 that read from Limitless."""
    conn = shop.classic
    for tenant in (A, B, C):
        conn.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, wave, divergent, clean_at)"
            " VALUES (%s, 1, 'mirrored', 1, 0, now())",
            (tenant,),
        )
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " VALUES (%s, 1, 'limitless', 1, 1, 'cutover', 'wave 1')",
            (tenant,),
        )
    return conn


def measured(conn: psycopg.Connection[Any], tenant: str, reads: int, errors: int) -> None:
    conn.execute(
        "INSERT INTO migrator.read_sample (process_id, tenant_id, side, reads, errors, buckets)"
        " VALUES ('p', %s, 'limitless', %s, %s, ARRAY[%s])",
        (tenant, reads, errors, reads),
    )


def look(conn: psycopg.Connection[Any], answers: bool = True) -> soak.Look:
    return soak.watch_wave(conn, 1, Watch(), {t: Sample(100, 0, 10.0) for t in (A, B, C)}, 0.0, answers, LIMITS)


def levels(conn: psycopg.Connection[Any]) -> dict[str, str]:
    return dict(conn.execute("SELECT tenant_id, level FROM migrator.route ORDER BY tenant_id").fetchall())


def test_only_the_suffering_tenant_goes_back(classic: psycopg.Connection[Any]) -> None:
    """Its route says so, with the guard's name and the reason; the others stay and the cutover goes on."""
    measured(classic, A, 100, 50)
    measured(classic, B, 100, 0)

    found = look(classic)

    assert (found.left, found.rolled_back, found.held) == (2, 1, "")
    assert levels(classic) == {A: "classic", B: "limitless", C: "limitless"}
    assert [(b.tenant_id, b.who) for b in facts.rolled_back(classic)] == [(A, facts.GUARD)]


def test_beyond_the_limit_everybody_goes_back_and_the_cutover_holds(classic: psycopg.Connection[Any]) -> None:
    measured(classic, A, 100, 50)
    measured(classic, B, 100, 50)

    found = look(classic)

    assert found.held.startswith("wave 1: 2 tenants of the wave were rolled back")
    assert set(levels(classic).values()) == {"classic"}


def test_an_outage_is_not_counted_against_anybody(classic: psycopg.Connection[Any]) -> None:
    """Errors while Limitless is away, while reads have fallen back, or while a breaker is open prove nothing."""
    for tenant in (A, B, C):
        measured(classic, tenant, 100, 100)
    away = look(classic, answers=False)
    classic.execute(
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
        " VALUES ('part', '1', 'classic', 'the mirror lags', 'web-1', 2)"
    )
    fallen = look(classic)

    assert (away.stands_still, away.rolled_back) == ("Limitless does not answer", 0)
    assert (fallen.stands_still, fallen.rolled_back) == ("reads have fallen back to classic: the mirror lags", 0)
    assert set(levels(classic).values()) == {"limitless"}


@pytest.mark.parametrize("statement", [
    "UPDATE migrator.switch SET level = 'classic', changed_by = 'ana', reason = 'drill'",
    "UPDATE migrator.route SET level = 'classic', changed_by = 'ana', reason = 'drill' WHERE tenant_id = '2'",
])  # fmt: skip
def test_what_an_operator_rolled_back_holds_the_cutover(classic: psycopg.Connection[Any], statement: str) -> None:
    """Seen on the tables, with or without a message."""
    classic.execute(statement.encode())

    assert "ana: drill" in look(classic).held


def test_a_quarantined_tenant_does_not_stop_the_others(classic: psycopg.Connection[Any]) -> None:
    classic.execute("UPDATE migrator.tenant SET state = 'quarantined', reason = '22P05' WHERE tenant_id = '3'")

    found = look(classic)

    assert (found.left, found.rolled_back, found.stands_still) == (2, 1, None)
    assert levels(classic)[C] == "classic"


def test_an_interrupted_wave_gives_its_tenants_back(classic: psycopg.Connection[Any]) -> None:
    """Those whose reads never moved, and those half-way, wait again; whoever arrived or was rolled back does not."""
    classic.execute("UPDATE migrator.route SET level = 'joining' WHERE tenant_id = '1'")
    classic.execute("UPDATE migrator.route SET reads_pct = 10 WHERE tenant_id = '2'")
    classic.execute("INSERT INTO migrator.tenant (tenant_id, part, state, wave) VALUES ('4', 1, 'mirrored', 1)")

    facts.release_interrupted(classic)

    assert facts.waiting(classic) == {"1", "2", "4"}
