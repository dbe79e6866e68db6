"""What shadow runs and load tests have against dual write: what is planted is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from migrator.audit.report.accepted import strange
from migrator.model.traffic_test import (
    CODES,
    SIZED,
    LoadResult,
    Pace,
    Paces,
    Percentiles,
    ShadowResult,
    Shards,
    SideLoad,
    StatementResult,
    Writes,
)
from migrator.plan.schema import Plan
from migrator.traffic_test import DAY_S, Facts, Finding, Limits, Stored, blockers_of, findings, notes_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NONE = Percentiles(0, 0, 0)
FAST = Percentiles(1, 20, 40)
SAME = Paces(Pace.NOT_SLOWER, Pace.NOT_SLOWER, Pace.TOO_FEW)
SLOW, SLOW_TAIL = replace(SAME, p50=Pace.SLOWER), replace(SAME, p99=Pace.SLOWER)
OPEN = Paces(Pace.TOO_FEW, Pace.TOO_FEW, Pace.TOO_FEW)
BOTH = Limits(shadow_required=True, load_required=True)


def statement(name: str, **changes: object) -> StatementResult:
    whole = StatementResult(name, f"SELECT {name}", 1000, FAST, FAST, {}, {}, Shards.ONE, 1000, 0, SAME)
    return replace(whole, **changes)  # type: ignore[arg-type]


def shadow(*statements: StatementResult, **changes: object) -> Stored:
    result = ShadowResult(statements or (statement("a"),), "csvlog", 60, 5, Writes.ROLLED_BACK)
    return Stored(NOW, 60, replace(result, **changes))  # type: ignore[arg-type]


def load(**changes: object) -> Stored:
    side = SideLoad(3000, 2500, 2600, FAST)
    return Stored(NOW, 60, replace(LoadResult(1000, "pg_stat_database", side, side, 60), **changes))  # type: ignore[arg-type]


def blocking(facts: Facts, limits: Limits = BOTH, acknowledged: tuple[str, ...] = ()) -> list[str]:
    return [f.name for f in findings(facts, limits, acknowledged) if f.blocks]


def test_good_results_have_nothing_against_it() -> None:
    assert blocking(Facts(shadow(), load())) == []


def test_what_is_planted_is_found_and_nothing_else() -> None:
    planted = shadow(
        statement("fine"),
        statement("slow", limitless=Percentiles(10, 200, 300), pace=SLOW_TAIL),
        statement("broken", limitless=None, limitless_errors={"42883": 1000}, shards=Shards.UNKNOWN, compared=0),
        statement("crossing", shards=Shards.MANY),
        statement("other", differing=3),
    )
    assert blocking(Facts(planted, load())) == [
        "shadow.error:broken", "shadow.differs:other", "shadow.crossing:crossing", "shadow.slower:slow"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"limitless": Percentiles(1, 49, 90), "pace": SLOW_TAIL}, []),  # below the floor, whatever the factor
        ({"limitless": Percentiles(1, 51, 90), "pace": SLOW_TAIL}, ["shadow.slower:x"]),
        ({"limitless": Percentiles(1, 900, 900)}, []),  # an outlier or two: the run's test says not slower
        ({"limitless": Percentiles(60, 900, 900), "pace": SLOW}, ["shadow.slower:x"]),
        ({"classic": Percentiles(1, 30, 40), "limitless": Percentiles(1, 59, 90), "pace": SLOW_TAIL}, []),
        (
            {"classic": NONE, "limitless": Percentiles(1, 60, 90), "pace": SLOW_TAIL},
            ["shadow.slower:x"],
        ),
        ({"calls": 19, "compared": 5}, ["shadow.too_few"]),
        ({"calls": 400, "limitless": Percentiles(60, 70, 80), "compared": 9, "pace": OPEN}, ["shadow.too_few"]),
        ({"calls": 400, "limitless": Percentiles(1, 900, 900), "compared": 9, "pace": OPEN}, []),  # below the floor
        ({"write": True, "classic": None, "pace": None}, []),  # it ran on Limitless alone
        ({"write": True, "classic": None, "limitless": None, "pace": None}, []),  # its rows were there already
        ({"classic_errors": {"40001": 5}, "limitless_errors": {"40001": 10}}, []),
        ({"classic_errors": {"40001": 5}, "limitless_errors": {"40001": 11}}, ["shadow.error:x"]),
        ({"classic_errors": {"22P02": 9}, "limitless_errors": {"XX000": 1}}, ["shadow.error:x"]),
        ({"limitless": None}, ["shadow.not_run:x"]),
        ({"shards": Shards.UNKNOWN}, ["shadow.shards_unknown"]),
        ({"compared": 0}, ["shadow.not_compared"]),
        ({"calls": 0, "compared": 0}, ["shadow.empty"]),
    ],
)
def test_a_statement_is_judged(changes: dict[str, object], found: list[str]) -> None:
    assert blocking(Facts(shadow(statement("x", **changes)), load())) == found


@pytest.mark.parametrize(
    ("changes", "growth", "found"),
    [
        ({}, 2.5, []),
        ({}, 2.51, ["load.saturated"]),
        ({"peak_per_s": 0}, 1.0, ["load.saturated"]),  # a peak that is not known cannot be carried
        ({"limitless": SideLoad(900, 900, None, FAST)}, 1.0, ["load.saturated"]),  # never asked for as much
        ({"limitless": SideLoad(3000, 3000, None, FAST)}, 3.0, []),
        ({"limitless": SideLoad(3000, 2500, 2600, FAST, {"53300": 4})}, 1.0, ["load.errors"]),
        ({"limitless": SideLoad(3000, 2500, 2600, Percentiles(1, 90, 99))}, 1.0, ["load.slower"]),
        ({"classic": None, "limitless": SideLoad(3000, 2500, 2600, Percentiles(1, 90, 99))}, 1.0, []),
        ({"stopped": "Ctrl-C"}, 1.0, ["load.stopped"]),
        ({"limitless": SideLoad(0, 0, None, None)}, 1.0, ["load.empty"]),
        ({"limitless": SideLoad(900, 0, 0, None)}, 1.0, ["load.empty"]),
    ],
)
def test_load_is_judged(changes: dict[str, object], growth: float, found: list[str]) -> None:
    assert blocking(Facts(shadow(), load(**changes)), replace(BOTH, growth=growth)) == found


@pytest.mark.parametrize("kind", ["shadow", "load"])
def test_what_is_not_there_blocks_where_the_plan_asks_for_it(kind: str) -> None:
    there = {"shadow": shadow(), "load": load()}
    none = Facts(**{**there, kind: None})
    assert blocking(none) == [f"{kind}.missing"]
    assert blocking(Facts(**{**there, kind: replace(there[kind], age_s=31 * DAY_S)})) == [f"{kind}.old"]
    assert blocking(Facts(**{**there, kind: Stored(NOW, 1, problem="calls is missing")})) == [f"{kind}.unreadable"]
    ahead = replace(there[kind], age_s=-3600)
    assert blocking(Facts(**{**there, kind: ahead})) == [f"{kind}.old"], "classic's clock was set back"
    assert blocking(Facts(**{**there, kind: replace(there[kind], changed=("schema",))})) == [f"{kind}.changed"]

    assert blocking(none, Limits()) == []
    (said,) = [note for note in notes_of(findings(none, Limits())) if f"there is no {kind}" in note]
    assert "asks for none" in said, "a gate never passes by nothing seen without saying so"


def test_a_run_that_came_to_no_call_of_a_statement_says_so() -> None:
    unseen = [statement(f"u{n}", calls=0, compared=0, classic=None, limitless=None, pace=None) for n in range(7)]
    found = [f for f in findings(Facts(shadow(statement("a"), *unseen), load()), BOTH) if f.blocks]

    assert [f.name for f in found] == ["shadow.too_few"]
    assert found[0].text.startswith("7 statements were sampled too little") and "u4, …" in found[0].text


def test_what_nobody_asked_for_is_judged_all_the_same() -> None:
    bad = shadow(statement("x", shards=Shards.MANY))
    assert blocking(Facts(bad), Limits()) == ["shadow.crossing:x"]
    assert blocking(Facts(replace(bad, age_s=31 * DAY_S)), Limits()) == [], "an old result counts as none"


def test_findings_are_accepted_by_name_or_by_code() -> None:
    two = Facts(shadow(statement("x", shards=Shards.MANY), statement("y", shards=Shards.MANY)), load())
    assert blocking(two, acknowledged=("shadow.crossing:x",)) == ["shadow.crossing:y"]
    assert blocking(two, acknowledged=("shadow.crossing",)) == []
    assert any("is acknowledged" in note for note in notes_of(findings(two, BOTH, ("shadow.crossing",))))


def test_the_worst_comes_first() -> None:
    tails = (("a", 100), ("b", 900), ("c", 300))
    slow = [statement(n, limitless=Percentiles(1, p99, 999), pace=SLOW_TAIL) for n, p99 in tails]
    assert blocking(Facts(shadow(*slow), load())) == ["shadow.slower:b", "shadow.slower:c", "shadow.slower:a"]


def test_a_blocker_says_how_to_accept_it() -> None:
    (one,) = blockers_of(findings(Facts(shadow(statement("x", shards=Shards.MANY)), load()), BOTH))
    assert (one.code, one.subject) == ("shadow.crossing", "x") and "shadow.crossing:x" in one


def test_growth_is_the_plans() -> None:
    plan = Plan.model_validate(
        {
            "name": "p",
            "classic": {"writer": "local:classic"},
            "limitless": {"dsn": "local:limitless"},
            "runway": {"monthly_growth_pct": 10, "weeks": 24},
            "traffic_test": {"growth_months": 2},
        }
    )
    assert Limits.of(plan).growth == pytest.approx(1.21)
    without = plan.model_copy(update={"traffic_test": plan.traffic_test.model_copy(update={"growth_months": None})})
    assert Limits.of(without).growth == pytest.approx(1.1 ** (24 * 7 * 12 / 365.25))


def test_a_name_that_no_finding_has_is_an_error() -> None:
    assert not strange([*CODES, "shadow.crossing:ab12", "reads.differ:ab12"])
    (line,) = strange(["shadow.crosing:ab12"])
    assert "shadow.crossing" in line


def test_every_blocking_code_is_known() -> None:
    everything = Facts(
        shadow(statement("x", limitless=None), statement("y", shards=Shards.UNKNOWN, compared=0), stopped="x"),
        load(stopped="y", peak_per_s=0),
    )
    assert {f.code for f in findings(everything, BOTH) if isinstance(f, Finding) and f.do} <= set(CODES)


def test_an_accepted_finding_that_has_grown_comes_back() -> None:
    """What the gate offers to write accepts the finding as it is, and not one that is much worse in a later run."""

    def run(p99: float) -> Facts:
        return Facts(shadow(statement("x", limitless=Percentiles(1, p99, 999), pace=SLOW_TAIL)), load())

    (first,) = blockers_of(findings(run(60), BOTH))
    assert "acknowledge shadow.slower:x<=4.5)" in first
    accepting = ("shadow.slower:x<=4.5",)
    assert blocking(run(60), acknowledged=accepting) == blocking(run(90), acknowledged=accepting) == []
    (again,) = blockers_of(findings(run(200), BOTH, accepting))
    assert "it was accepted up to 4.5, and is 10 times now" in again and "shadow.slower:x<=15)" in again
    assert blocking(run(9000), acknowledged=("shadow.slower:x",)) == [], "a name alone has no bound"


def test_every_size_is_of_a_code_that_has_one() -> None:
    everything = Facts(
        shadow(
            statement("a", limitless_errors={"42883": 10}, differing=5, shards=Shards.MANY),
            statement("b", limitless=Percentiles(1, 900, 999), pace=SLOW_TAIL),
        ),
        load(limitless=SideLoad(3000, 100, 100, Percentiles(1, 900, 999))),
    )
    sizes = {f.code: str(f.size) for f in findings(everything, BOTH) if f.size is not None}
    assert sizes == {
        "shadow.error": "1 % of its calls", "shadow.differs": "0.5 % of its answers",
        "shadow.crossing": "50 % of all calls", "shadow.slower": "45 times",
        "load.saturated": "10 times", "load.slower": "45 times",
    }  # fmt: skip
    assert set(sizes) == SIZED


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("shadow.slower:ab12<=6", None), ("load.saturated <= 1.5", None), ("shadow.slower<=nan", "is no number"),
        ("shadow.too_few<=3", "has no size"), ("shadow.slowr:ab12<=6", "did you mean shadow.slower"),
        ("shadow.slower:ab12<=", "is no number"),
    ],
)  # fmt: skip
def test_a_bound_has_to_be_one(entry: str, said: str | None) -> None:
    found = strange([entry])
    assert found == () if said is None else len(found) == 1 and said in found[0]


def test_a_generator_at_its_limit_is_not_called_saturation() -> None:
    limited = SideLoad(3000, 500, None, FAST, generator_limited=True)
    (one,) = blockers_of(findings(Facts(shadow(), load(limitless=limited)), BOTH))
    assert one.code == "load.not_reached" and "the generator was at its own limit" in one and "--processes" in one
    enough = SideLoad(3000, 1500, None, FAST, generator_limited=True)
    assert blocking(Facts(shadow(), load(limitless=enough))) == [], "what was carried was carried"
    unknown = load(limitless=limited, peak_per_s=0)
    assert blocking(Facts(shadow(), unknown)) == ["load.saturated"]
    assert SideLoad.from_json(limited.to_json()) == limited
    older = {key: value for key, value in limited.to_json().items() if key != "generator_limited"}
    assert SideLoad.from_json(older) == replace(limited, generator_limited=False)
