"""The decision on its own figures, what makes each option impossible, and what would change the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.decide.facts import Basis, Facts, Figure, checked, of_audit, require
from migrator.decide.judge import BUILD, OVERHEAD, RUN, Option, advice, judge, need, proposal
from migrator.decide.sensitivity import RANGES, SHARES, WHOLE, flips, outward
from migrator.decide.view import NAMES, assumption_lines, flip_lines, headline, known_lines, option_lines, to_json
from migrator.errors import UsageError


def facts(**values: float | None) -> Facts:
    """The architecture decision's figures."""
    known: dict[str, float | None] = {
        "cpu": 0.86, "vcpus": 64, "growth": 0.15, "tenants": 10_000, "largest_write_share": 0.01,
        "crossing_share": 0.2, "crossing_statements": 40, "blockers": 10, "rewrites": 30, "tables": 50,
        "transactions_per_s": 50_000, "row_writes_per_s": 40_000, "limitless_acu": None,
    }  # fmt: skip
    known.update(values)
    defaults = {n: f for n, f in Facts(**dict.fromkeys(known, _figure(1))).figures().items() if n not in known}
    return Facts(**{n: _figure(v) for n, v in known.items()}, **defaults)


def _figure(value: float | None) -> Figure:
    return Figure(value, "", Basis.GIVEN if value is not None else Basis.UNKNOWN, "a test")


def impossible(option: Option, found: Facts) -> str:
    return next(j.impossible for j in judge(found) if j.option is option)


def test_the_decisions_own_figures_give_the_decision() -> None:
    assert proposal(facts()) is Option.LIMITLESS
    assert impossible(Option.STAY, facts()) and impossible(Option.CITUS, facts())


def test_a_load_that_hardly_grows_stays() -> None:
    assert proposal(facts(growth=0.0)) is Option.STAY
    assert proposal(facts(cpu=0.2, growth=0.01)) is Option.STAY


def test_a_tenant_that_no_shard_can_hold_rules_out_every_sharding() -> None:
    found = facts(largest_write_share=0.9)
    assert proposal(found) is None
    assert headline(judge(found)).startswith("Nothing is possible")
    for option in (Option.MANUAL, Option.LIMITLESS, Option.CITUS):
        assert "largest tenant" in impossible(option, found)


def test_a_giant_tenant_may_have_a_cluster_of_its_own() -> None:
    """Only Limitless chooses its shards' servers; and where nothing lasts, it is said what buys time."""
    giant = facts(cpu=0.8, growth=0.12, largest_write_share=0.55)
    assert "largest tenant" in impossible(Option.LIMITLESS, giant)
    assert "largest tenant" not in impossible(Option.MANUAL, giant)
    assert proposal(giant) is None
    time, split = advice(judge(giant), giant)
    assert "lasts for 9 months" in time and "cluster of its own" in split


def test_a_small_database_stays_and_one_that_crosses_is_warned() -> None:
    small = facts(cpu=0.35, vcpus=8, growth=0.02, crossing_share=0.8)
    assert proposal(small) is Option.STAY and not list(advice(judge(small), small))
    crossing = facts(crossing_share=0.7)
    assert any("another shard key" in line for line in advice(judge(crossing), crossing))


def test_citus_takes_a_team() -> None:
    assert not impossible(Option.CITUS, facts().but("team", 20))


def test_what_comes_too_late_is_no_option() -> None:
    assert "ready" in impossible(Option.MANUAL, facts())
    assert not impossible(Option.MANUAL, facts(growth=0.03).but("team", 30))


def test_a_shard_group_has_a_largest_size() -> None:
    assert "ACU" in impossible(Option.LIMITLESS, facts(largest_write_share=0.0001).but("months", 36))


def test_with_a_price_limitless_is_priced_by_it() -> None:
    def cost(price: float) -> float:
        found = facts(limitless_acu=500).but("acu_hour_usd", price)
        return next(j.servers_usd for j in judge(found) if j.option is Option.LIMITLESS)

    assert cost(0.2) == pytest.approx(500 * 0.2 * 730 * 12)
    assert cost(0.4) == pytest.approx(2 * cost(0.2))


def test_the_load_grows_every_month() -> None:
    what = need(facts())
    assert what.cores == pytest.approx(0.86 * 64 * 1.15**12)
    assert 0 < what.average < 1 and what.lasts_months == pytest.approx(6.4, abs=0.2)
    assert need(facts(growth=0.0)).average == 1.0


@given(
    st.floats(0.01, 1), st.floats(0, 0.4), st.floats(0, 1), st.floats(0, 1), st.integers(0, 500), st.integers(1, 40)
)  # fmt: skip
def test_every_database_gets_an_answer(
    cpu: float, growth: float, largest: float, crossing: float, blockers: int, team: int
) -> None:
    found = facts(cpu=cpu, growth=growth, largest_write_share=largest, crossing_share=crossing, blockers=blockers)
    judged = judge(found.but("team", team))
    assert {j.option for j in judged} == set(Option)
    possible = [j for j in judged if not j.impossible]
    assert possible == sorted(possible, key=lambda j: j.total_usd)
    assert json.dumps(to_json(found, judged, ()))


def test_what_changes_the_answer_does() -> None:
    """Just before the named value the proposal is as now, at it another one."""
    found = facts()
    now = proposal(found)
    changes = flips(found)
    assert {"growth", "team"} <= {flip.name for flip in changes}
    for flip in changes:
        assert flip.value is not None
        assert proposal(found.but(flip.name, flip.at)) is flip.to and flip.to is not now
        before = flip.at + (flip.value - flip.at) * 0.02
        assert proposal(found.but(flip.name, before)) is now, flip


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.05, 1), st.floats(0, 0.3), st.floats(0, 0.6), st.floats(0, 1), st.integers(0, 200), st.integers(1, 30)
)  # fmt: skip
def test_the_figure_that_is_shown_changes_the_answer(
    cpu: float, growth: float, largest: float, crossing: float, blockers: int, team: int
) -> None:
    """Not a more exact one that is not shown; and people, servers and statements are whole."""
    found = facts(cpu=cpu, growth=growth, largest_write_share=largest, crossing_share=crossing, blockers=blockers)
    found = found.but("team", team)
    changes = flips(found)
    for flip in changes:
        at = outward(flip, found)
        assert proposal(found.but(flip.name, at)) is flip.to and flip.to is not proposal(found)
        assert abs(at - flip.at) <= max(2.0 if flip.name in WHOLE or flip.at >= 100 else 0.0, 0.021 * flip.at, 0.002)
    for flip, line in zip(changes, flip_lines(changes, found, None), strict=True):
        assert f"{NAMES[flip.name]}: at " in line


def test_the_nearest_change_comes_first() -> None:
    distances = [max(f.at, f.value or 0) / max(min(f.at, f.value or 0), 1e-9) for f in flips(facts())]
    assert distances == sorted(distances)


def test_every_number_has_a_name_and_a_source() -> None:
    assert set(NAMES) == set(facts().figures()) and set(RANGES) <= set(NAMES) and set(RANGES) >= WHOLE | SHARES
    assert all(figure.source for figure in facts().figures().values())
    said = "\n".join(assumption_lines(facts()))
    assert "assumption" in said and "unknown" in said
    known = "\n".join(known_lines(facts()))
    assert all((f"{name}: " in known) != (f"{name}: " in said) for name in NAMES.values()), "each is in one of both"
    assert set(BUILD) == set(RUN) == set(OVERHEAD) == set(Option)
    assert list(flip_lines(flips(facts()), facts())) and all(list(option_lines(j, 24)) for j in judge(facts()))


AUDIT: dict[str, Any] = {
    "database": "shop",
    "created_at": "2026-11-01T10:00:00Z",
    "findings": [],
    "summary": {
        "findings": {"blocker": 3, "rewrite": 4, "warning": 1, "info": 0},
        "statements": {
            "single_shard": {"statements": 8, "calls": 800.0, "total_ms": 1.0},
            "cross_shard": {"statements": 2, "calls": 200.0, "total_ms": 1.0},
            "unparsable": {"statements": 1, "calls": 999.0, "total_ms": 1.0},
        },
        "tables": {"sharded": 5, "reference": 2},
    },
    "tenants": {"count": 12, "largest": [{"share": 0.4, "write_share": 0.3}, {"share": 0.1, "write_share": 0.5}]},
    "runway": {
        "cpu": 0.5,
        "cpu_source": "CloudWatch, 28 days",
        "monthly_growth": 0.1,
        "growth_source": "measured over 60 days",
        "transactions_per_s": 10,
        "row_writes_per_s": None,
    },
    "sizing": {"max_acu": {"low": 20, "likely": 30, "high": 40}},
}


def test_an_audits_figures_are_read() -> None:
    found = of_audit(AUDIT)
    assert (found.cpu.value, found.growth.value, found.tables.value, found.blockers.value) == (0.5, 0.1, 7, 3)
    assert found.crossing_share.value == pytest.approx(0.2), "what was not understood is in no share"
    assert found.largest_write_share.value == 0.5 and found.limitless_acu.value == 30
    assert found.cpu.basis is Basis.MEASURED and found.row_writes_per_s.basis is Basis.UNKNOWN


def test_what_an_audit_was_told_is_not_measured() -> None:
    told = of_audit({**AUDIT, "runway": {**AUDIT["runway"], "cpu_source": "as given", "growth_source": "as given"}})
    assert (told.cpu.basis, told.growth.basis) == (Basis.GIVEN, Basis.GIVEN)
    default = of_audit({**AUDIT, "runway": {"cpu": 0.5, "monthly_growth": 0.15, "growth_source": "as given"}})
    assert default.growth.basis is Basis.ASSUMED, "no person said 15 %"
    assert default.cpu.basis is Basis.GIVEN and "does not say" in default.cpu.source, "an audit of an earlier release"


def test_an_audit_of_files_has_counted_no_calls() -> None:
    lines = [{"weight": {"calls": 1, "total_ms": None}}]
    files = of_audit({**AUDIT, "mode": "files", "database": "", "statements": lines})
    assert files.crossing_share.basis is Basis.ASSUMED and "one call" in files.crossing_share.source
    assert files.tables.source == "audit of files, 2026-11-01T10:00"
    logged = of_audit({**AUDIT, "mode": "files", "statements": [{"weight": {"calls": 7, "total_ms": None}}]})
    assert logged.crossing_share.basis is Basis.MEASURED, "a log counts them"


def test_rows_that_stand_for_writes_say_so() -> None:
    found = of_audit({**AUDIT, "tenants": {"largest": [{"share": 0.4, "write_share": None}, {"share": 0.1}]}})
    assert found.largest_write_share.value == 0.4 and found.largest_write_share.basis is Basis.ASSUMED
    assert "rows" in found.largest_write_share.source


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="vcpus") as refused:
        require(of_audit(AUDIT))
    assert "--vcpus" in str(refused.value)
    empty = {**AUDIT, "tenants": {}, "runway": {}, "sizing": {}}
    with pytest.raises(UsageError, match=r"--cpu-pct.*--growth-pct"):
        require(of_audit(empty))


@pytest.mark.parametrize("report", [{}, {"summary": 1}, {"findings": []}])
def test_what_is_no_audit_is_refused(report: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no report"):
        of_audit(report)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 101.0])
def test_a_number_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(UsageError):
        checked("--cpu-pct", value, high=100)
