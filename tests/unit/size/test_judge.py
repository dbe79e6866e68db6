"""Every figure grows with what it rests on, names its source, and is unknown where that is."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.plan.load import load
from migrator.plan.schema import Plan
from migrator.size.judge import Measured, Room, judge
from tests import ROOT

ADR = load(ROOT / "plans" / "adr.example.toml")
"""50,000 transactions/s, 4 TB."""

KNOWN = Measured(
    rows=8e9, bytes=4e12, tenants=10_000, row_writes_per_s=100_000.0, row_writes_source="as said", processes=500,
    classic=Room(5000, 10, 900), limitless=Room(5000, 10, 0),
)  # fmt: skip


def with_(plan: Plan, section: str, **values: object) -> Plan:
    return plan.model_copy(update={section: getattr(plan, section).model_copy(update=values)})


def test_the_decisions_own_figures_fit_its_plan() -> None:
    """By hand: 200,000 rows/s are 14 partitions of 15,000 and 3 halves of a processor; 4 TB at 120 MB/s 9.3 h."""
    found = judge(ADR, KNOWN)

    assert found.problems == ()
    assert found.value("dual_write.parts") == 14
    assert found.value("workers.mirror") == 3
    assert found.value("workers.bulk") == 1
    assert found.value("copy") == pytest.approx(9.26, abs=0.01)
    assert found.value("connections on classic") == 3 * 17 + 2 * 8 + 3 + 3 * 6 + 5 + 500
    assert found.value("connections on Limitless") == 17 + 8 + 2 + 6 + 5
    assert found.value("journal an hour") == 18_000
    assert found.value("capture on classic") == pytest.approx(2.6)
    assert found.value("shims on classic") == pytest.approx(0.34)
    assert 256 < (found.value("memory of a worker") or 0) < 1024


def test_every_figure_says_why_and_from_where() -> None:
    for figure in judge(ADR, KNOWN).figures:
        assert figure.reason and figure.source and figure.unit, figure


@pytest.mark.parametrize(
    ("plan", "known", "word"),
    [
        (with_(ADR, "dual_write", parts=4), KNOWN, "raise dual_write.parts to 14"),
        (ADR, replace(KNOWN, classic=Room(500, 10, 480)), "10 of 500 are left beside 480 of others"),
        (ADR, replace(KNOWN, classic=Room(500, 10, 900)), "0 of 500 are left"),
        (ADR, replace(KNOWN, limitless=Room(30, 3, 0)), "27 of 30 are left"),
        (ADR, replace(KNOWN, classic=Room(5000, 10, 0, sees_all=False)), "GRANT pg_monitor"),
        (ADR, replace(KNOWN, limitless=None), "does not answer"),
        (with_(ADR, "dual_write", journal_limit_mb=1024.0), KNOWN, "lasts 3 minutes"),
        (with_(ADR, "backfill", mb_per_s=None), KNOWN, "--mb-per-s"),
        (ADR, replace(KNOWN, unanalysed=2), "run ANALYZE"),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_do(plan: Plan, known: Measured, word: str) -> None:
    problems = judge(plan, known).problems

    assert len(problems) == 1 and word in problems[0], problems


@given(st.sets(st.sampled_from([f.name for f in fields(Measured) if f.default is None])))
def test_what_is_unknown_never_passes_for_enough(unknown: set[str]) -> None:
    found = judge(ADR, replace(KNOWN, **dict.fromkeys(unknown)))  # type: ignore[arg-type]

    assert bool(found.problems) is bool(unknown - {"tenants"}), "no figure rests on the number of tenants"
    assert all(figure.problem for figure in found.figures if figure.value is None)


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.integers(0, 5000), st.integers(1, 61))
def test_more_load_never_needs_less(one: float, other: float, processes: int, parts: int) -> None:
    plan = with_(ADR, "dual_write", parts=parts)
    low, high = (
        judge(plan, replace(KNOWN, row_writes_per_s=writes, processes=processes)) for writes in sorted((one, other))
    )

    for name in ("dual_write.parts", "workers.mirror", "connections on classic", "journal an hour"):
        assert (low.value(name) or 0) <= (high.value(name) or 0), name


def test_nothing_is_written_and_nothing_fails() -> None:
    """A database that is not used yet: the least of everything, and a journal that never fills."""
    found = judge(ADR, replace(KNOWN, row_writes_per_s=0.0, processes=0))

    assert found.problems == ()
    assert (found.value("dual_write.parts"), found.value("workers.mirror")) == (1, 2)
    assert found.value("journal's limit") is None
