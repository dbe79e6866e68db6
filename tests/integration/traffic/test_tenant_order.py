"""Which tenants a wave takes: a person's order, the plan's canaries, new tenants, holds that end on a date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migrator.control.history import decisions
from migrator.control.tenant_order import orders
from migrator.errors import NoGo, UsageError
from migrator.model.blocker import Blocker
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.traffic.cutover import choice, facts, order, singly, wave
from migrator.traffic.incident.rollback import bring_back, hold, roll_back
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import held
from tests.fixtures.plans import small_plan
from tests.integration.traffic.test_holds import levels
from tests.integration.traffic.world import World, ids, up
from workflows.activities.cutover import _advance, _finish
from workflows.messages import WaveStep

pytestmark = pytest.mark.pg

T1, T2, U1 = TenantId("t1"), TenantId("t2"), TenantId("u1")
HARD = ("T 1", 'größe "ß"', "'; DROP --", "")
"""Names that need quoting, are not ASCII, or are nothing."""


def plan(**waves: Any) -> Plan:
    return small_plan(waves={"sizes": [1, 2], "soak_s": 0.2, "baseline_s": 0.2, "hot_ratio": 1000.0, **waves})


def add(world: World, *tenants: str, rows: int = 10) -> None:
    world.classic.cursor().executemany(
        "INSERT INTO migrator.tenant (tenant_id, part, state, rows) VALUES (%s, 1, 'mirrored', %s)",
        [(tenant, rows) for tenant in tenants],
    )


def chosen(world: World, found: Plan, *, late: bool = False) -> list[str]:
    """The tenants of the next wave, which is chosen; [] when nothing waits."""
    asked = wave.next_wave(world.classic, found, late).wave
    return [] if asked is None else list(facts.wave_tenants(world.classic, asked.number))


def move(world: World, number: int) -> None:
    with world.mirror():
        assert _advance(world.classic, plan(), WaveStep(plan="p", number=number)).done
    _finish(world.classic, WaveStep(plan="p", number=number))


def put(world: World, *tenants: str, into: int, **waves: Any) -> order.Ordered:
    return order.put(world.classic, plan(**waves), ids(*tenants), into, who="ann", reason="they asked")


def log(world: World, kind: str) -> list[tuple[str, Any, Any]]:
    return [(d["subject"], d["before"], d["after"]) for d in decisions(world.classic, 100) if d["kind"] == kind]


# -- holds -----------------------------------------------------------------------------------------------------------


def test_a_hold_ends_on_its_date_and_the_next_wave_takes_the_tenant(world: World) -> None:
    up(world, "t1")
    until = datetime.now(UTC) + timedelta(days=3)
    assert hold(world.classic, [T1], who="ann", reason="release on Friday", until=until).changed == 1
    assert [(h.tenant_id, h.until) for h in held(world.classic)] == [(T1, until)]
    assert chosen(world, plan(sizes=[10])) == ["t2", "u1"]
    move(world, 1)

    world.classic.execute("UPDATE migrator.tenant_hold SET until = clock_timestamp()")
    assert held(world.classic) == []
    assert chosen(world, plan(sizes=[10])) == ["t1"]
    assert [subject for subject, _, _ in log(world, "tenant.released")] == ["tenant/t1"]
    assert world.classic.execute("SELECT count(*) FROM migrator.tenant_hold").fetchone() == (0,)


def test_another_date_takes_the_place_of_the_one_before_and_a_rollback_has_none(world: World) -> None:
    soon, later = (datetime.now(UTC) + timedelta(days=n) for n in (1, 9))
    up(world, "t1")
    for until, newly in ((soon, 1), (soon, 0), (later, 1), (None, 1), (None, 0)):
        assert hold(world.classic, [T1], who="ann", reason="r", until=until).held == newly
        assert held(world.classic)[0].until == until
    hold(world.classic, [T1], who="ann", reason="r", until=soon)

    roll_back(world.classic, tenants=[T1], who="bob", reason="slow")

    assert [(h.held_by, h.until) for h in held(world.classic)] == [("bob", None)]


def test_a_hold_until_a_moment_that_has_passed_is_refused_and_nothing_moves(world: World) -> None:
    up(world, "t1")
    past = datetime.now(UTC) - timedelta(minutes=1)

    with pytest.raises(UsageError, match="has passed"):
        hold(world.classic, [T1], who="ann", reason="r", until=past)

    assert levels(world) == {"t1": "limitless"} and held(world.classic) == []


# -- order by hand -----------------------------------------------------------------------------------------------------


def test_tenants_move_in_the_wave_that_a_person_says(world: World) -> None:
    """Forward, back, and a name of every kind; the others keep the plan's order."""
    add(world, *HARD)
    put(world, HARD[1], into=1)
    put(world, "t1", into=3)
    put(world, HARD[3], HARD[2], into=2)
    assert [list(w.tenants) for w in choice.coming(world.classic, plan())] == [
        [HARD[1]], sorted((HARD[3], HARD[2])), ["t1", "t2"], ["u1", HARD[0]],
    ]  # fmt: skip

    assert chosen(world, plan()) == [HARD[1]]
    move(world, 1)
    assert HARD[1] not in orders(world.classic), "what was ordered is done"
    assert chosen(world, plan()) == sorted((HARD[3], HARD[2]))


def test_an_order_that_is_not_the_gates_or_the_plans_is_refused_with_every_reason(world: World) -> None:
    add(world, "big", rows=1_000_000)
    add(world, "bad")
    world.classic.execute("UPDATE migrator.tenant SET state = 'quarantined', reason = '23514' WHERE tenant_id = 'bad'")
    up(world, "t1", "t2")
    roll_back(world.classic, tenants=[T2], who="bob", reason="slow")
    world.classic.execute("UPDATE migrator.tenant SET wave = 1 WHERE tenant_id = 'u1'")

    with pytest.raises(NoGo) as refused:
        put(world, "t1", "t2", "bad", into=1)
    assert [Blocker.read(b).code for b in refused.value.blockers] == [
        "wave.begun", "tenant.moved", "tenant.held", "tenant.quarantined", "wave.full",
    ]  # fmt: skip
    with pytest.raises(NoGo, match="tenant big is hot, so it moves alone: 2 tenants would be in wave 2"):
        put(world, "big", "u1", into=2, hot_ratio=20.0)
    assert orders(world.classic) == {} and log(world, "tenant.ordered") == []
    assert put(world, "big", into=2, hot_ratio=20.0).ordered == ("big",)
    with pytest.raises(NoGo, match="2 tenants would be in wave 2, the plan allows 1"):
        put(world, "u1", into=2, sizes=[1])


def test_a_wave_that_has_begun_gives_up_a_tenant_whose_reads_it_has_not_moved(world: World) -> None:
    found = plan(sizes=[3, 3])
    assert chosen(world, found) == ["t1", "t2", "u1"]
    assert put(world, "t2", into=2, sizes=[3, 3]).left == (T2,)

    move(world, 1)

    assert levels(world) == {"t1": "limitless", "t2": "classic", "u1": "limitless"}
    assert log(world, "tenant.ordered") == [("tenant/t2", {"wave": 1}, {"wave": 2})]
    assert put(world, "t2", into=2, sizes=[3, 3]).ordered == (), "saying it twice changes nothing"
    assert chosen(world, found) == ["t2"]


def test_a_step_that_runs_does_not_move_a_tenant_that_leaves_meanwhile(world: World) -> None:
    """The step has read who is in the wave; the order comes before it moves them."""
    found = plan(sizes=[3, 3])
    chosen(world, found)
    expected = {t: s.epoch for t, s in facts.standings(world.classic, [T1, T2, U1]).items()}
    put(world, "t2", into=2, sizes=[3, 3])
    calls = []

    def late(conn: Any, **kw: Any) -> Any:
        calls.append(kw)
        return promote_reads(
            conn, **{**kw, "tenants": [T1, T2, U1], "expected": {t: expected.get(t, 0) for t in (T1, T2, U1)}}
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wave, "promote_reads", late)
        first = _advance(world.classic, found, WaveStep(plan="p", number=1))
    assert calls and not first.done
    assert set(levels(world).values()) == {"classic"}
    move(world, 1)
    assert levels(world)["t2"] == "classic"


def test_reads_come_back_and_wait_for_a_later_wave(world: World) -> None:
    """It counts as an incident, and stops no wave; the hand that brought it back says when it goes again."""
    found = plan(sizes=[3, 3])
    chosen(world, found)
    move(world, 1)
    with pytest.raises(NoGo, match="reads from Limitless since wave 1; bring it back with --to classic --wave 3"):
        put(world, "t1", into=3)
    with pytest.raises(NoGo, match="bring it back with --to classic --wave 2"):
        put(world, "t1", into=1)  # the wave that has begun would refuse it again
    order.put(world.classic, found, [T1], 3, who="ann", reason="not yet", back=True)
    assert bring_back(world.classic, [T1], who="ann", reason="not yet").changed == 1

    assert levels(world)["t1"] == "classic" and facts.rolled_back(world.classic) == [] and held(world.classic) == []
    add(world, "v1", "v2")
    facts.first_tenants(world.classic)
    assert chosen(world, plan(sizes=[3], new_tenants="next_wave"), late=True) == ["v1", "v2"]
    move(world, 2)
    assert chosen(world, found, late=True) == ["t1"]


def test_an_order_is_taken_back(world: World) -> None:
    put(world, "u1", into=1)
    assert order.withdraw(world.classic, [U1, T1], who="ann", reason="no").ordered == (U1,)
    assert order.withdraw(world.classic, [U1], who="ann", reason="no").ordered == ()
    assert chosen(world, plan()) == ["t1"]
    assert log(world, "tenant.ordered")[-1] == ("tenant/u1", {"wave": 1}, None)


def test_when_only_tenants_of_later_waves_wait_they_move(world: World) -> None:
    """A number says in which order, not when: to keep a tenant where it is there is the hold."""
    put(world, "t1", into=7)
    put(world, "t2", "u1", into=5)
    assert [list(w.tenants) for w in choice.coming(world.classic, plan(sizes=[2]))] == [["t2", "u1"], ["t1"]]


# -- canaries and new tenants ------------------------------------------------------------------------------------------


def test_canaries_move_first_and_a_persons_word_comes_before_the_plans(world: World) -> None:
    found = plan(sizes=[2, 9], canaries=["u1", "t2"])
    assert [list(w.tenants) for w in choice.coming(world.classic, found)] == [["t2", "u1"], ["t1"]]
    order.put(world.classic, found, [U1], 2, who="ann", reason="r")
    assert chosen(world, found) == ["t1", "t2"]


def test_a_canary_that_is_no_tenant_stops_the_first_wave_only(world: World) -> None:
    found = plan(sizes=[2], canaries=["u1", "U1"])
    answer = wave.next_wave(world.classic, found, False)
    assert answer.wave is None and [b.subject for b in answer.blockers] == ["U1"]
    assert chosen(world, plan(sizes=[2], canaries=["u1"])) == ["t1", "u1"]
    move(world, 1)
    assert chosen(world, found) == ["t2"]


@pytest.mark.parametrize(
    ("policy", "cutover", "after"),
    [
        ("after_waves", [["t1"], ["t2", "u1"], []], [["a new"]]),
        ("next_wave", [["t1"], ["a new", "t2"], ["u1"], []], []),
        ("classic", [["t1"], ["t2", "u1"], []], []),
    ],
)
def test_new_tenants_are_where_the_plan_says(
    world: World, policy: str, cutover: list[list[str]], after: list[list[str]]
) -> None:
    found = plan(new_tenants=policy)
    seen = [chosen(world, found)]
    add(world, "a new", rows=0)
    for number in range(1, len(cutover)):
        move(world, number)
        seen.append(chosen(world, found))
    assert seen == cutover

    assert wave.late_tenants(world.classic, found) == len(after)
    assert [chosen(world, found, late=True) for _ in after] == after
    if policy == "classic":
        put(world, "a new", into=9)
        assert wave.late_tenants(world.classic, found) == 1
        assert chosen(world, found, late=True) == ["a new"], "a person named it"


def test_new_tenants_without_end_do_not_keep_the_cutover_from_ending(world: World) -> None:
    found = plan(sizes=[9], new_tenants="next_wave")
    assert chosen(world, found) == ["t1", "t2", "u1"]
    move(world, 1)
    add(world, "n1", "n2")

    assert wave.next_wave(world.classic, found, False).done
    assert chosen(world, found, late=True) == ["n1", "n2"]


# -- reads of single tenants -------------------------------------------------------------------------------------------


def test_single_tenants_move_through_the_gate_of_a_wave_all_or_none(world: World) -> None:
    """Held, never validated, unknown to the copy, or everything rolled back: each is named, and no read moves."""
    found = plan()
    validated = (
        "UPDATE migrator.tenant SET divergent = 0, clean_at = now(), clean_fingerprint = migrator.schema_fingerprint()"
        " WHERE tenant_id <> 'u1'"
    )
    world.classic.execute(validated.encode())
    put(world, "t1", into=2)
    hold(world.classic, [T2], who="bob", reason="slow")
    with pytest.raises(NoGo) as refused:
        singly.to_limitless(world.classic, found, ids("t1", "t2", "u1", "x"), who="ann", reason="r")
    codes = [Blocker.read(b).code for b in refused.value.blockers]
    assert codes == ["tenant.not_copied", "tenant.held", "validation.missing"]
    roll_back(world.classic, all=True, who="bob", reason="3 a.m.")
    with pytest.raises(NoGo, match="all reads were rolled back by bob"):
        singly.to_limitless(world.classic, found, [T1], who="ann", reason="r")
    assert levels(world) == {} and T1 in orders(world.classic)

    with world.mirror():
        assert wave.forward(world.classic, "bob", "over").blockers == ()
        assert singly.to_limitless(world.classic, found, [T1], who="ann", reason="r").done
        assert singly.to_limitless(world.classic, found, [T1], who="ann", reason="r").done

    assert levels(world) == {"t1": "limitless"} and orders(world.classic) == {}
    assert bring_back(world.classic, [T1], who="ann", reason="r").changed == 1
    assert T1 in facts.waiting(world.classic)
