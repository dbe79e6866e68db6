"""Gates ask what real traffic showed: shadow reads before each wave, shadow runs and load tests before dual write."""

from __future__ import annotations

from typing import Any

import pytest

from migrator import gates, traffic_test
from migrator.control import samples, votes
from migrator.control.history import add_report
from migrator.control.shadow_reads import unaccepted
from migrator.control.status import collect
from migrator.model.condition import Kind
from migrator.model.phase import Phase
from migrator.model.shadow_read import DIFFER, NONE_COMPARED
from migrator.model.standing import Limits, conditions
from migrator.model.traffic_test import Pace, Paces, Percentiles, ShadowResult, Shards, StatementResult, Writes
from migrator.model.wave import NextWave
from migrator.plan.schema import Plan
from migrator.traffic.cutover import wave
from migrator.traffic_test import BASIS
from tests.fixtures.plans import small_plan
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]

SAME = Paces(Pace.NOT_SLOWER, Pace.NOT_SLOWER, Pace.TOO_FEW)
FAST = Percentiles(1, 2, 3)
FINE = StatementResult("fine", "SELECT 1", 500, FAST, FAST, {}, {}, Shards.ONE, 500, 0, SAME)
CROSSING = StatementResult("c1", "SELECT 2", 500, FAST, FAST, {}, {}, Shards.MANY, 500, 0, SAME)


def found(world: World, fingerprint: str, *, compared: int = 10, differing: int = 0, undecided: int = 0) -> None:
    world.classic.execute(
        "INSERT INTO migrator.shadow_read_sample"
        " (process_id, fingerprint, tenant_id, statement, note, compared, differing, reordered, undecided)"
        " VALUES ('p', %s, %s, 'SELECT ?', 'classic: 1 row; Limitless: 2 rows', %s, %s, 0, %s)",
        (fingerprint, "t1" if differing else "", compared, differing, undecided),
    )


def next_wave(world: World, ratio: float = 0.1, *acknowledged: str) -> NextWave:
    gates_section = {**small_plan().gates.model_dump(), "acknowledged": list(acknowledged)}
    shim = {**small_plan().shim.model_dump(), "shadow_ratio": ratio}
    waves = {"sizes": [1], "soak_s": 0.2, "baseline_s": 0.2, "hot_ratio": 1000.0}
    return wave.next_wave(world.classic, small_plan(waves=waves, gates=gates_section, shim=shim), False)


def codes(answer: NextWave) -> list[str]:
    return [blocker.code for blocker in answer.blockers]


def test_a_statement_whose_answers_differ_holds_the_waves(world: World) -> None:
    found(world, "good")
    found(world, "bad", differing=2)

    assert codes(next_wave(world)) == [DIFFER] and next_wave(world).held
    assert "reads.differ:bad" in next_wave(world).blockers[0] and "t1" in next_wave(world).blockers[0]
    assert next_wave(world, 0.1, "reads.differ:good").held, "another statement's name accepts nothing"
    assert next_wave(world, 0.1, "reads.differ:bad").wave is not None


def test_what_was_added_up_counts_and_what_is_old_does_not(world: World) -> None:
    found(world, "bad", differing=2)
    world.classic.execute("UPDATE migrator.shadow_read_sample SET at = at - interval '2 minutes'")
    samples.fold(world.classic)
    assert codes(next_wave(world)) == [DIFFER]

    world.classic.execute("UPDATE migrator.shadow_read SET at = at - interval '8 days'")
    found(world, "good")
    assert next_wave(world).wave is not None


def test_enough_clean_reads_after_a_correction_clear_it(world: World) -> None:
    """Neither few of them, nor many in a moment; and another difference begins anew."""
    found(world, "bad", differing=2)
    world.classic.execute("UPDATE migrator.shadow_read_sample SET at = at - interval '3 hours'")
    found(world, "bad", compared=30)
    assert "30 of 100 clean reads since" in next_wave(world).blockers[0]
    samples.fold(world.classic)
    found(world, "bad", compared=70)
    assert next_wave(world).wave is not None and unaccepted(world.classic, {}) == ()

    found(world, "bad", differing=1)
    found(world, "bad", compared=10_000)
    assert codes(next_wave(world)) == [DIFFER] and len(unaccepted(world.classic, {})) == 1


def test_nothing_compared_is_not_nothing_wrong(world: World) -> None:
    assert codes(next_wave(world)) == [NONE_COMPARED]
    found(world, "busy", compared=0, undecided=40)
    assert codes(next_wave(world)) == [NONE_COMPARED] and "40 were undecided" in next_wave(world).blockers[0]
    assert next_wave(world, 0.0).wave is not None, "a plan that asks for no shadow reads"


def test_nothing_compared_is_accepted_by_name(world: World) -> None:
    assert next_wave(world, 0.1, NONE_COMPARED).wave is not None


def test_a_difference_is_a_condition_until_it_is_accepted(world: World) -> None:
    def kinds() -> list[Kind]:
        return [c.kind for c in conditions(collect(world.classic), Limits())]

    assert Kind.READS_DIFFER not in kinds()
    found(world, "bad", differing=2)
    assert Kind.READS_DIFFER in kinds() and Kind.BLOCKED not in kinds()
    world.classic.execute("""UPDATE migrator.plan SET body = '{"gates": {"acknowledged": ["reads.differ:bad"]}}'""")
    assert Kind.READS_DIFFER not in kinds()


def plan_with(**section: Any) -> Plan:
    return small_plan(traffic_test=section)


def shadow(world: World, plan: Plan, *statements: StatementResult) -> int:
    """Store a run as the command does: with what it is of."""
    made_of = traffic_test.basis(world.classic, plan)
    body = ShadowResult(statements, "csvlog", 60, 3, Writes.ROLLED_BACK).to_json() | {"more": 1, BASIS: made_of}
    return add_report(world.classic, "shadow", body)


def asked(world: World, plan: Plan) -> list[str]:
    answer = gates._provision(world.classic, plan)
    return [b.code for b in answer.blockers if b.code.startswith(("shadow", "load"))]


def test_the_gate_before_dual_write_wants_what_the_plan_asks_for(world: World) -> None:
    required = plan_with(shadow_required=True, load_required=True)
    assert asked(world, required) == ["shadow.missing", "load.missing"]
    assert asked(world, plan_with()) == []
    answer = gates._provision(world.classic, plan_with())
    assert any("asks for none" in line for line in answer.notes)
    gates.note_passed(world.classic, Phase.PROVISION, "ana", answer.notes)
    reason = world.classic.execute("SELECT reason FROM migrator.decision WHERE kind = 'gate.passed'").fetchone()
    assert reason is not None and "no shadow run" in reason[0], "it does not pass silently"


def test_results_are_judged_by_the_newest(world: World) -> None:
    before = votes.facts_of(world.classic, "provision")
    plan = plan_with(shadow_required=True)
    shadow(world, plan, FINE, CROSSING)
    assert asked(world, plan) == ["shadow.crossing"]
    assert votes.facts_of(world.classic, "provision") != before, "an approval is of what was tried, too"

    accepted = plan.gates.model_copy(update={"acknowledged": ["shadow.crossing:c1"]})
    accepting = plan.model_copy(update={"gates": accepted})
    assert asked(world, accepting) == []
    shadow(world, plan, FINE)
    assert asked(world, plan) == []
    shadow(world, plan.model_copy(update={"name": "another"}), FINE)
    assert asked(world, plan) == ["shadow.changed"]
    shadow(world, plan, FINE)
    world.classic.execute("CREATE SCHEMA IF NOT EXISTS shop; CREATE TABLE shop.brought_later (id int)")
    assert asked(world, plan) == ["shadow.changed"], "statements on it were not run"
    world.classic.execute("DROP TABLE shop.brought_later")
    assert asked(world, plan) == []
    world.classic.execute("UPDATE migrator.report SET at = at - interval '31 days' WHERE kind = 'shadow'")
    assert asked(world, plan) == ["shadow.old"]
    add_report(world.classic, "shadow", {"statements": "none"})
    assert asked(world, plan) == ["shadow.unreadable"]
    assert traffic_test.read(world.classic, plan).load is None
