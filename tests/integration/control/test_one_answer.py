"""One state has one answer, whoever asks: status, gates, the throttle, the monitor, the decommission, the mirror."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import psycopg
import pytest

from migrator.control.install import install, install_limitless
from migrator.control.reset import undo_verdict
from migrator.control.status import collect
from migrator.dataplane.backfill.throttle import Limits, Load, throttle_reason
from migrator.dataplane.capture import install as capture
from migrator.dataplane.capture import ring
from migrator.dataplane.capture.backlog import waiting
from migrator.db.connect import connect, connect_async
from migrator.decommission.facts import gather
from migrator.model.effective import Fallback, effective
from migrator.model.route import FallbackScope, Level, Route
from migrator.model.tenant import TenantId
from migrator.plan.load import digest
from migrator.plan.schema import Plan
from migrator.traffic.breaker.monitor import MonitorSettings, pass_once
from migrator.traffic.cutover import facts
from migrator.traffic.cutover.gate import GateLimits, tenant_verdict
from migrator.traffic.route.confirm import confirmed
from tests.fixtures.shop import Shop
from workflows.activities.dual_write import _throttled
from workflows.activities.gates import _positions

pytestmark = pytest.mark.pg

DEAD_S = 45.0
LIMIT_S = 5.0


PLAN = Plan.model_validate(
    {"name": "shop", "classic": {"writer": "local:classic"}, "limitless": {"dsn": "local:limitless"}}
)


@pytest.fixture
def classic(classic_dsn: str, limitless_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Partitions 0 and 1 are well, partition 2 has a mirror that died with its last measurement at 0 s."""
    with connect(classic_dsn, "test") as conn, connect(limitless_dsn, "test") as other:
        install(conn, PLAN.name, digest(PLAN), {}, {})
        install_limitless(other)
        for part, age_s in ((0, 0.0), (1, 0.0), (2, DEAD_S)):
            conn.execute(
                "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, lag_s)"
                " VALUES (%s, 1, pg_current_snapshot()::text, clock_timestamp() - make_interval(secs => %s), 0)",
                (part, age_s),
            )
        conn.execute("INSERT INTO migrator.tenant (tenant_id, part, state, wave) VALUES ('far', 2, 'mirrored', 1)")
        conn.execute("UPDATE migrator.switch SET write_mode = 'dual'")
        yield conn


def with_limits(**sections: Any) -> Plan:
    return Plan.model_validate({**PLAN.model_dump(), **sections})


def test_a_dead_mirror_lags_for_everybody_who_asks(classic: psycopg.Connection[Any], limitless_dsn: str) -> None:
    """Its age counts in every place, the copy's throttle included."""
    waiting = classic.execute("SELECT lag_s FROM migrator.partition_status WHERE part = 2").fetchone()
    seen = {
        "status": collect(classic).parts[2].lag_s,
        "tenant gate": facts.tenant_facts(classic, [TenantId("far")])[0].lag_s,
        "decommission": gather(classic, True, "", LIMIT_S, 60).worst_lag_s,
        "waiting": waiting[0] if waiting else None,
    }

    assert all(DEAD_S <= lag < DEAD_S + 20 for lag in seen.values() if lag is not None) and None not in seen.values()
    assert [line.split(" lags")[0] for line in _positions(classic, LIMIT_S)] == ["mirror partition 2"]
    assert "the mirror lags 4" in str(_throttled(classic, with_limits(backfill={"max_lag_s": 30.0})))
    classic.execute(
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, raised_at, epoch)"
        " VALUES ('part', '2', 'classic', 'x', 'monitor', now() - interval '1 hour', 1)"
    )
    classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
        " VALUES ('far', 2, 'limitless', 1, 't', 't')"
    )
    classic.execute("UPDATE migrator.position SET fresh_at = clock_timestamp() WHERE part <> 2")  # however long it took
    (fallen,) = pass_once(classic, limitless_dsn, MonitorSettings(), collect(classic).at).open
    assert fallen.why.startswith("mirror partition 2 is 4")
    assert not tenant_verdict(
        facts.tenant_facts(classic, [TenantId("far")])[0], GateLimits(LIMIT_S, 1e9)
    ).go  # and so its gate
    assert "the mirror still runs" in " ".join(undo_verdict(classic).blockers)  # partitions 0 and 1 do


def test_after_the_hand_over_nobody_lags(classic: psycopg.Connection[Any]) -> None:
    classic.execute("UPDATE migrator.switch SET write_mode = 'limitless_only'")

    assert collect(classic).lag_s == 0


@pytest.mark.asyncio
async def test_the_journal_has_one_size(shop: Shop) -> None:
    """Of all slots with their indexes, in megabytes of a million bytes."""
    classic = shop.classic
    capture.install(classic, shop.tables, 2, 3)
    classic.execute("UPDATE shop.purchase SET note = note")
    slots = classic.execute(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
        " JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace"
        " WHERE n.nspname = 'migrator' AND c.relkind = 'r'"
    ).fetchone()
    assert slots is not None and slots[0] > 0
    async with await connect_async(shop.classic_dsn, "test") as conn:
        mirror = await ring.size_bytes(conn)

    limit_mb = float(slots[0]) / 1e6 - 0.001
    assert (waiting(classic).bytes, mirror) == (slots[0], slots[0])
    assert collect(classic).journal_mb == float(slots[0]) / 1e6
    held = _throttled(classic, with_limits(dual_write={"journal_limit_mb": limit_mb}, backfill={"max_lag_s": 1e6}))
    assert held is not None and held.startswith("the journal holds")
    assert throttle_reason(Load(journal_mb=limit_mb), Limits(journal_limit_mb=limit_mb)) is None


def test_a_silent_process_is_silent_for_everybody(classic: psycopg.Connection[Any], limitless_dsn: str) -> None:
    """It is behind, its breaker is open; it holds up no rollback, no decommission, no soak, and trips nothing."""
    classic.execute("UPDATE migrator.switch SET epoch = 9")
    for name, seen_s in (("alive", 0), ("silent", 60)):
        classic.execute(
            "INSERT INTO migrator.process (process_id, name, seen_at, staleness_s, applied_epoch)"
            " VALUES (%s, 'web', clock_timestamp() - make_interval(secs => %s), 30, 1)",
            (name, seen_s),
        )
    classic.execute(
        "INSERT INTO migrator.breaker_trip (process_id, scope, scope_key, reason)"
        " VALUES ('silent', 'all', '', 'it was ill before it died')"
    )

    status = collect(classic)
    assert {p.process_id: p.live for p in status.processes} == {"alive": True, "silent": False}
    assert confirmed(classic, 9).pending == ["web (alive)"] and confirmed(classic, 9).expired == 1
    assert gather(classic, True, "", LIMIT_S, 60).unconfirmed == ("web (alive)",)
    assert (status.breaker_trips, facts.trips(classic)) == ((), [])
    found = pass_once(classic, limitless_dsn, MonitorSettings(), status.at)
    assert (found.live, found.raised) == (1, ())


def test_the_level_in_force_is_the_same_in_sql_as_in_the_shim(classic: psycopg.Connection[Any]) -> None:
    """Every combination of route, switch and fallback, for a tenant of partition 2."""
    classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
        " VALUES ('far', 2, 'limitless', 1, 't', 't')"
    )
    caps = [None, *product(FallbackScope, ("", "0", "1", "2", "far", "near"), (Level.CLASSIC, Level.JOINING))]
    wrong = []
    for route, switch, cap in product(Level, Level, caps):
        with classic.transaction(force_rollback=True):
            classic.execute("UPDATE migrator.route SET level = %s", (route.value,))
            classic.execute("UPDATE migrator.switch SET level = %s", (switch.value,))
            fallbacks = []
            if cap is not None:
                scope, key, level = cap
                fallbacks = [Fallback(scope, key, level, 1)]
                classic.execute(
                    "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
                    " VALUES (%s, %s, %s, '', '', 1)",
                    (scope.value, key, level.value),
                )
            row = classic.execute("SELECT level FROM migrator.route_status").fetchone()
        expected = effective(Route(TenantId("far"), 2, route, 100, 1), switch, fallbacks)
        if row != (expected.value,):
            wrong.append((route, switch, cap, row, expected))

    assert wrong == []
