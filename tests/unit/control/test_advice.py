"""Status names what is blocked and the command that answers it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrator.control.advice import Facts, advise
from migrator.model.blocker import Blocker

CALM = Facts(phase="cutover", phase_state="running", write_mode="dual", parts=((1, 0.1, ""),))


def test_calm_means_nothing_to_do() -> None:
    assert advise(CALM, journal_limit_mb=10, max_lag_s=5) == ((), ("Nothing: it goes on by itself.",))


@pytest.mark.parametrize(
    ("facts", "blocker", "step"),
    [
        (
            replace(CALM, switch="classic", switch_by="ada", switch_reason="p99"),
            "rolled back by ada",
            "migrator cutover",
        ),
        (replace(CALM, fallbacks=(("tenant", "7", "slow", True),)), "tenant 7", "migrator breaker reset --tenant 7"),
        (replace(CALM, fallbacks=(("all", "", "slow", True),)), "every tenant", "migrator breaker reset --all"),
        (replace(CALM, fallbacks=(("part", "2", "lag", False),)), "partition 2", "clears by itself"),
        (replace(CALM, capture=(Blocker("", "", "table s.t is gone"),)), "table s.t is gone", "migrator mirror recopy"),
        (replace(CALM, divergent_tenants=1), "rows of 1 tenant differ", "migrator validate"),
        (
            replace(CALM, quarantined=(("9", "too large"),)),
            "tenant 9 is quarantined: too large",
            "migrator mirror retry",
        ),
        (replace(CALM, parts=((1, 9.0, ""),)), "partition 1 is 9.0 s behind", "migrator worker"),
        (replace(CALM, parts=((1, 9.0, "refused"),)), "has a problem: refused", "migrator mirror status"),
        (replace(CALM, journal_mb=11), "the journal has 11 MB", "migrator mirror status"),
        (replace(CALM, failed_units=2), "2 copy units failed", "migrator backfill status"),
        (replace(CALM, phase="dual_write", backfill_paused="month end"), "paused: month end", "--resume"),
        (replace(CALM, write_mode="closed"), "writes are closed", "open again by themselves"),
        (replace(CALM, phase_blockers=("x",), phase_next="do y"), "x", "do y"),
    ],
)
def test_what_is_blocked_has_an_answer(facts: Facts, blocker: str, step: str) -> None:
    """Each blocker comes with a step that names a command, or says that it passes by itself."""
    blockers, steps = advise(facts, journal_limit_mb=10, max_lag_s=5)

    assert len(blockers) == 1 and blocker in blockers[0]
    assert step in " ".join(steps)


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("pending", "migrator run"),
        ("waiting", "migrator approve"),
        ("failed", "migrator run"),
        ("undone", "migrator run"),
    ],
)
def test_a_phase_that_stands_still_says_how_it_goes_on(state: str, step: str) -> None:
    _, steps = advise(replace(CALM, phase_state=state), journal_limit_mb=10, max_lag_s=5)

    assert step in steps[0]


def test_after_the_point_of_no_return_there_is_nothing_to_do() -> None:
    facts = replace(CALM, write_mode="limitless_only", switch="classic", parts=())

    assert advise(facts, journal_limit_mb=10, max_lag_s=5) == (
        (),
        ("Nothing: the migration is finished and classic is retired.",),
    )
