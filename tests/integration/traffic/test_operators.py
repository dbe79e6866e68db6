"""Two who change the same route, or want too much: one change is made, and the other is told."""

from __future__ import annotations

import threading

import psycopg
import pytest

from migrator.control.route import standings
from migrator.errors import PreconditionFailed, RouteChanged, UsageError
from migrator.model.route import FallbackScope, Level
from migrator.model.tenant import TenantId
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.fallback import clear_fallback, ease_fallback, raise_fallback
from migrator.traffic.route.move import move, routes, watch
from migrator.traffic.route.promote import current_snapshot
from tests.integration.traffic.world import World, ids

pytestmark = pytest.mark.pg

T1 = TenantId("t1")


def test_of_two_operators_one_learns_that_the_other_was_first(world: World) -> None:
    start = threading.Barrier(2)
    answers: list[object] = []

    def operate(who: str) -> None:
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            start.wait()
            try:
                answers.append(move(conn, [T1], Level.JOINING, who=who, reason="mine", expected={T1: 0}))
            except RouteChanged as error:
                answers.append(error)

    threads = [threading.Thread(target=operate, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    refused = [a for a in answers if isinstance(a, RouteChanged)]
    assert len(refused) == 1 and refused[0].tenant_id == T1
    assert [route.level for route in routes(world.classic)] == [Level.JOINING]


def test_a_tenant_rolled_back_on_its_way_up_stays_back(world: World) -> None:
    """The way up finds another version than the one it confirmed, and gives up."""
    move(world.classic, [T1], Level.JOINING, who="cutover", reason="wave 1")
    joining = standings(world.classic, [T1])[T1].version
    roll_back(world.classic, tenants=[T1], who="ann", reason="not today")

    with pytest.raises(RouteChanged):
        move(
            world.classic, [T1], Level.LIMITLESS, who="cutover", reason="wave 1", expected={T1: joining},
        )  # fmt: skip
    assert routes(world.classic)[0].level is Level.CLASSIC


def test_that_its_reads_are_sampled_moves_no_tenant(world: World) -> None:
    """Sampling begins and ends by turns, at any moment: processes have to know, and nobody on the way up gives up."""
    move(world.classic, [T1], Level.JOINING, who="cutover", reason="wave 1")
    before = standings(world.classic, [T1])[T1]
    watch(world.classic, [T1], True, who="guard")
    after = standings(world.classic, [T1])[T1]

    again = move(
        world.classic, [T1], Level.CLASSIC, who="ann", reason="not today", expected={T1: before.version}
    )  # fmt: skip

    assert after.epoch > before.epoch and after.version == before.version
    assert again > after.epoch and routes(world.classic)[0].level is Level.CLASSIC


def test_nobody_reaches_limitless_without_proof(world: World) -> None:
    with pytest.raises(PreconditionFailed):
        move(world.classic, [T1], Level.LIMITLESS, who="ann", reason="hurry")
    move(world.classic, [T1], Level.JOINING, who="ann", reason="hurry")
    with pytest.raises(UsageError):
        move(world.classic, [T1], Level.LIMITLESS, who="ann", reason="hurry")
    world.publish()
    proof = current_snapshot(world.classic)
    world.classic.execute("INSERT INTO app.note VALUES ('t1', 1, 'not mirrored yet')")
    later = current_snapshot(world.classic)
    for parts, snapshot in (((0, 1, 2), proof), ((1, 2), later), ((0, 2), later)):
        world.classic.execute("UPDATE migrator.position SET snapshot = %s", (str(proof),))
        world.publish(parts)
        if snapshot is not proof:  # the reference tables, or the tenant's own partition, are behind
            with pytest.raises(PreconditionFailed, match="has not caught up"):
                move(world.classic, [T1], Level.LIMITLESS, who="ann", reason="hurry", caught_up=snapshot)
    world.classic.execute("UPDATE migrator.tenant SET state = 'quarantined' WHERE tenant_id = 't2'")
    with pytest.raises(PreconditionFailed, match="t2 \\(quarantined\\)"):
        move(world.classic, ids("t2"), Level.JOINING, who="ann", reason="hurry")


def test_fallback_raised_twice_keeps_its_epoch_and_goes_back_from_joining(world: World) -> None:
    conn = world.classic
    first = raise_fallback(conn, FallbackScope.PART, "1", by="a", reason="r")
    assert raise_fallback(conn, FallbackScope.PART, "1", by="b", reason="r") == first
    eased = ease_fallback(conn, FallbackScope.PART, "1", by="b", reason="r")
    assert eased > first

    again = raise_fallback(conn, FallbackScope.PART, "1", by="c", reason="r")

    assert again > eased
    with pytest.raises(PreconditionFailed):
        clear_fallback(conn, FallbackScope.PART, "1", by="b", reason="r", expected=eased)
