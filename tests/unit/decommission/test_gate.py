"""The last gate: every blocker at once, each fault alone is enough."""

from __future__ import annotations

from dataclasses import replace

from migrator.decommission.actions import actions
from migrator.decommission.gate import DecommissionFacts, decommission_verdict
from migrator.model.route import Level, WriteMode

GOOD = DecommissionFacts(WriteMode.DUAL, Level.LIMITLESS, window_over=True, window="day 90 of 90")


def test_all_well_is_go() -> None:
    assert decommission_verdict(GOOD).go


def test_each_fault_alone_keeps_classic() -> None:
    faults = [
        {"write_mode": WriteMode.CLASSIC_ONLY},
        {"window_over": False},
        {"switch": Level.CLASSIC},
        {"not_limitless": ("a",)},
        {"unmirrored": ("a",)},
        {"divergent": ("a",)},
        {"stale": ("a",)},
        {"fallbacks": ("Limitless is unhealthy",)},
        {"worst_lag_s": None},
        {"worst_lag_s": 6.0},
        {"unconfirmed": ("web-1",)},
        {"prepared": ("gid",)},
        {"capture": ("table s.t is gone",)},
    ]
    for fault in faults:
        assert len(decommission_verdict(replace(GOOD, **fault)).blockers) == 1, fault  # type: ignore[arg-type]


def test_long_lists_are_shortened_and_counted() -> None:
    verdict = decommission_verdict(replace(GOOD, unmirrored=tuple(f"t{i}" for i in range(12))))

    assert verdict.blockers == ("tenants that are not mirrored: t0, t1, t2, t3, t4, … (12 in all)",)


def test_the_dry_run_names_the_point_of_no_return() -> None:
    steps = actions(release_classic=True)
    first_final = next(i for i, a in enumerate(steps) if a.undo is None)

    assert steps[first_final].id == "hand-over"
    assert all(a.undo is None for a in steps[first_final:])
