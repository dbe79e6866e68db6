"""A tenant that a person keeps on classic stays there, whoever else would move it, until it is released by name."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from migrator.control.reset import reset_classic
from migrator.control.status import collect
from migrator.decommission.facts import gather
from migrator.decommission.gate import decommission_verdict
from migrator.errors import PreconditionFailed
from migrator.model.route import FallbackScope, Level
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.traffic.breaker.monitor import MonitorSettings, pass_once
from migrator.traffic.cutover import facts
from migrator.traffic.incident.rollback import hold, roll_back
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import routes
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import held, release
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import World, ids, put, up
from workflows.activities.cutover import _advance, _defer, _finish, _forward, _next_wave
from workflows.activities.gates import _cutover
from workflows.messages import Forward, WaveStep

pytestmark = pytest.mark.pg

T1, T2, U1 = TenantId("t1"), TenantId("t2"), TenantId("u1")
PLAN = Plan.model_validate(
    {
        "name": "test",
        "classic": {"writer": "local:classic"},
        "limitless": {"dsn": "local:limitless"},
        "waves": {"sizes": [10]},
        "gates": {"cutover": "auto"},
    }
)


def levels(world: World) -> dict[str, str]:
    return {route.tenant_id: route.level.value for route in routes(world.classic)}


def wave(world: World, number: int) -> None:
    """Everybody who waits moves up in one wave, as the cutover does it."""
    found = _next_wave(world.classic, PLAN, False).wave
    assert found is not None and found.number == number
    with world.mirror():
        assert _advance(world.classic, PLAN, WaveStep(plan="test", number=number)).done
    _finish(world.classic, WaveStep(plan="test", number=number))


def forward(world: World) -> str:
    with world.mirror():
        return _forward(world.classic, Forward(plan="test", who="ann", reason="mended")).text


def test_a_tenant_moved_by_hand_and_rolled_back_is_in_no_later_wave(world: World) -> None:
    up(world, "t1")
    result = roll_back(world.classic, tenants=[T1], who="ann", reason="slow")

    assert (result.changed, result.held, result.unchecked) == (1, 1, ())
    wave(world, 1)
    assert levels(world) == {"t1": "classic", "t2": "limitless", "u1": "limitless"}
    assert [(h.tenant_id, h.held_by, h.reason, h.wave) for h in held(world.classic)] == [(T1, "ann", "slow", None)]


def test_nothing_that_moves_reads_up_moves_a_tenant_that_is_held(world: World) -> None:
    """By name, by percentage, by the switch, by a fallback that heals."""
    up(world, "t1", "t2", "u1")
    roll_back(world.classic, tenants=[T1], who="ann", reason="slow")

    with pytest.raises(PreconditionFailed, match="1 tenant is held on classic"):
        promote_reads(world.classic, tenants=[T1, T2], who="bob", reason="hurry")
    with pytest.raises(PreconditionFailed, match="t1 by ann: slow"):
        promote_reads(world.classic, tenants=[T1], pct=10, who="cutover", reason="wave 1, 10 %", wave=1)
    roll_back(world.classic, all=True, who="ann", reason="all")
    with world.mirror():
        assert promote_reads(world.classic, switch=True, who="ann", reason="forward").done
    raise_fallback(world.classic, FallbackScope.TENANT, "t1", by="web", reason="errors")
    settings = MonitorSettings(open_s=0, validate_before_close=False)

    def cleared() -> list[str]:
        found = pass_once(world.classic, world.limitless_dsn, settings, collect(world.classic).at)
        return [c.key for c in found.cleared]

    with world.mirror():  # which may have to catch up first
        assert eventually(cleared, "the fallback heals") == ["t1"]
    assert levels(world) == {"t1": "classic", "t2": "limitless", "u1": "limitless"}


def test_a_wave_that_was_rolled_back_is_not_chosen_again(world: World) -> None:
    """Going forward says who is held, chooses no wave of nobody, and the gate of the phase waits for a person."""
    wave(world, 1)
    result = roll_back(world.classic, wave=1, who="ann", reason="drill")
    assert (result.changed, result.held) == (3, 3)
    assert _next_wave(world.classic, PLAN, False).held.startswith("wave 1 rolled back by ann")

    said = forward(world)

    assert "3 tenants are held on classic (t1, t2, u1)" in said and "wait for a wave" not in said
    after = _next_wave(world.classic, PLAN, False)
    assert (after.done, after.wave, after.held) == (True, None, "")
    gate = _cutover(world.classic, PLAN)
    assert not gate.go and not gate.again, "another round of waves could move nobody"
    assert any("3 tenants are held" in b for b in gate.blockers)

    release(world.classic, [T1, T2], who="ann", reason="mended")
    wave(world, 2)
    assert levels(world) == {"t1": "limitless", "t2": "limitless", "u1": "classic"}
    assert facts.rolled_back(world.classic) == []


def test_a_released_wave_goes_again_as_another_one(world: World) -> None:
    """Its tenants do not count as rolled back in a wave that has not moved them yet."""
    wave(world, 1)
    roll_back(world.classic, wave=1, who="ann", reason="drill")
    release(world.classic, ids("t1", "t2", "u1"), who="ann", reason="mended")
    assert _next_wave(world.classic, PLAN, False).held, "nobody said yet that the cutover goes on"

    assert "3 tenants wait for a wave again" in forward(world)
    wave(world, 2)

    assert set(levels(world).values()) == {"limitless"}


def test_a_hold_takes_a_tenant_out_of_a_wave_that_goes_on(world: World) -> None:
    """Unlike a rollback: the wave, its ramp and the cutover go on with the others, and nothing is retried for ever."""
    found = _next_wave(world.classic, PLAN, False).wave
    assert found is not None
    hold(world.classic, [T1], who="ann", reason="their release is on Friday")
    step = WaveStep(plan="test", number=1, pct=10)
    with world.mirror():
        assert _advance(world.classic, PLAN, step).done
    result = hold(world.classic, [T2], who="ann", reason="they called")
    with world.mirror():
        assert _advance(world.classic, PLAN, step.model_copy(update={"pct": 100})).done

    assert (result.changed, result.held) == (1, 1)
    assert levels(world) == {"t2": "classic", "u1": "limitless"}
    assert _next_wave(world.classic, PLAN, False).held == ""
    assert [i["kind"] for i in _incidents(world)] == ["rollback"], "reads that came back count against the window"


def test_a_tenant_held_between_choice_and_move_is_left_by_the_next_try(world: World) -> None:
    """A rollback of one tenant of a chosen wave whose reads never moved: it is not moved, and not for ever tried."""
    assert _next_wave(world.classic, PLAN, False).wave is not None
    roll_back(world.classic, tenants=[T1], who="ann", reason="not this one")

    with world.mirror():
        assert _advance(world.classic, PLAN, WaveStep(plan="test", number=1)).done
    assert levels(world) == {"t2": "limitless", "u1": "limitless"}
    _defer(world.classic, 1, (T1,), ())  # what the wave's gate does with whom it left
    assert T1 not in facts.waiting(world.classic)


def test_a_hold_does_not_undo_the_stop_of_a_rollback(world: World) -> None:
    wave(world, 1)
    roll_back(world.classic, tenants=[T1], who="ann", reason="slow")
    hold(world.classic, [T1], who="bob", reason="contract")

    assert "ann: slow" in _next_wave(world.classic, PLAN, False).held


def test_the_decommission_waits_for_who_is_held(world: World) -> None:
    wave(world, 1)
    hold(world.classic, [U1], who="ann", reason="contract")

    blockers = decommission_verdict(gather(world.classic, True, "", 5, 3600)).blockers
    assert any(b.startswith("1 tenant is held on classic: u1") for b in blockers)
    assert not any("do not read from Limitless" in b for b in blockers), "one reason, said once"
    assert [h.tenant for h in collect(world.classic).held] == ["u1"]


def test_a_sign_up_that_only_the_application_knows_is_held(world: World) -> None:
    """No route, no row of the tool: a rollback by name works, and the tenant joins no wave when it is met."""
    with world.shim() as shim:
        shim.run_write("t9", put("t9", 1, "signed up a minute ago"))
    world.classic.execute(
        'UPDATE migrator.plan SET body = \'{"tables": {"schemas": ["app"], "tenant_key": "tenant_id"}}\''
    )

    result = roll_back(world.classic, tenants=[TenantId("t9")], who="ann", reason="their import fails")

    assert (result.already, result.held, result.unchecked) == (True, 1, ())
    world.classic.execute("INSERT INTO migrator.tenant (tenant_id, part, state) VALUES ('t9', 1, 'mirrored')")
    assert facts.waiting(world.classic) == {T1, T2, U1}


def test_holding_twice_keeps_the_first_word_and_releasing_twice_is_done(world: World) -> None:
    roll_back(world.classic, tenants=[T1], who="ann", reason="first")
    again = hold(world.classic, [T1], who="bob", reason="second")

    assert (again.held, [h.reason for h in held(world.classic)]) == (0, ["first"])
    assert release(world.classic, [T1], who="bob", reason="over") == [T1]
    assert release(world.classic, [T1], who="bob", reason="over") == []
    log = world.classic.execute(
        "SELECT kind, who FROM migrator.decision WHERE subject = 'tenant/t1' AND kind LIKE 'tenant.%' ORDER BY id"
    ).fetchall()
    assert log == [("tenant.held", "ann"), ("tenant.released", "bob")]


def test_who_is_held_stays_held_when_dual_write_begins_anew(world: World) -> None:
    roll_back(world.classic, tenants=[T1], who="ann", reason="contract")

    reset_classic(world.classic, "bob")

    assert [h.tenant_id for h in held(world.classic)] == [T1]


def test_of_a_move_and_a_hold_at_once_the_hold_wins(world: World) -> None:
    """Whichever comes first: in the end the tenant is on classic and held."""
    start = threading.Barrier(2)

    def move_up() -> None:
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            start.wait()
            try:
                promote_reads(conn, tenants=[T1], who="cutover", reason="wave 1", wave=1, timeout_s=TIMEOUT_S)
            except PreconditionFailed:
                return

    with world.mirror():
        mover = threading.Thread(target=move_up)
        mover.start()
        start.wait()
        roll_back(world.classic, tenants=[T1], who="ann", reason="stop")
        mover.join()

    assert levels(world).get("t1", Level.CLASSIC.value) == "classic"
    assert [h.tenant_id for h in held(world.classic)] == [T1]


def _incidents(world: World) -> list[dict[str, Any]]:
    from migrator.control.history import incidents

    return incidents(world.classic, 10)
