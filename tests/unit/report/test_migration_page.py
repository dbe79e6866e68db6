"""Where do we stand? The sentence, the expected end, and the page, in every state that a migration can be in."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migrator.control.series import VALUES
from migrator.model.blocker import Blocker
from migrator.model.cost import Against, Basis, CostLine
from migrator.model.migration import Act, IncidentLine, MigrationFacts, WaveTime
from migrator.model.status import BackfillLine, Status, WaveLine
from migrator.report import words
from migrator.report.migration import MARKS, marks, numbered, page
from migrator.report.outlook import outlook, waves_to_come
from migrator.report.panels import runs
from migrator.report.standing import stand
from tests.unit.report.migrations import BEGAN, CALENDAR, DAY_S, FULL, NOW, ago, bill, lines, migration
from tests.unit.report.test_pages import HOSTILE, Structure

CHOSEN = {"phase", "phase_state", "state", "level", "write_mode", "switch", "scope", "code"}
"""Strings that the tool itself chooses among."""

EMPTY = MigrationFacts(Status(False, NOW, next_steps=("Start with: migrator run",)))
OTHER_VERSION = MigrationFacts(
    Status(True, NOW, 9, blockers=(Blocker("schema.version", "classic", "the tables are of version 9"),))
)
FIRST_MINUTE = replace(
    migration("audit", "running", tenants=0, by_state=(), by_level=(), wave=None, waves=(), validation=None,
              backfill=None, runway=None),
    waves=(), waiting=0, waiting_hot=0, series=lines(1),
)  # fmt: skip
BLOCKED = migration(blockers=(Blocker("mirror.problem", "1", "mirror partition 1 has a problem"),))
STATES: dict[str, tuple[MigrationFacts, str, str]] = {
    "before anything": (EMPTY, "Not begun", ""),
    "tables of another version": (OTHER_VERSION, "Not readable", "bad"),
    "in its first minute": (FIRST_MINUTE, "Goes on by itself", "good"),
    "not started": (migration("audit", "pending", workers=0), "Waits to be started", "wait"),
    "calm": (migration(), "Goes on by itself", "good"),
    "waits for an approval": (migration("dual_write", "waiting"), "Waits for an approval", "wait"),
    "blocked": (BLOCKED, "Blocked: 1 cause", "bad"),
    "lags": (migration(blockers=(Blocker("mirror.lags", "1", "it is behind", True),)), "Recovers by itself", "wait"),
    "its work is not done": (
        migration("dual_write", blockers=(Blocker("phase.blocked", "dual_write", "no tenant was counted yet"),)),
        "Goes on by itself", "good",
    ),
    "its gate says no": (
        migration("dual_write", "blocked", blockers=(
            Blocker("phase.blocked", "dual_write", "a is not equal"),
            Blocker("phase.blocked", "dual_write", "b is not equal"),
            Blocker("mirror.problem", "1", "mirror partition 1 has a problem"),
            Blocker("mirror.problem", "2", "mirror partition 2 has a problem"))),
        "Blocked: 2 causes", "bad",
    ),
    "no worker": (migration(workers=0), "No worker runs", "bad"),
    "rolled back": (migration(switch="classic", by_level=(("classic", 1000),)), "Rolled back", "bad"),
    "aborted": (migration("dual_write", "failed"), "Failed or aborted", "bad"),
    "undone": (migration("dual_write", "undone"), "Undone", "bad"),
    "without a plan that can be read": (replace(migration(), calendar=None), "Goes on by itself", "good"),
    "everything at once": (FULL, "Blocked: 1 cause", "bad"),
    "finished": (
        migration("decommission", "done", write_mode="limitless_only", workers=0), "Finished", "good",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_each_state_has_a_badge_a_sentence_and_a_page(name: str) -> None:
    """And nothing in it is a Python value, an empty answer or a hole."""
    facts, state, css = STATES[name]
    standing = stand(facts)
    html = page(facts, standing)
    seen = " ".join("".join(Structure(html).texts).split())

    assert (standing.state, standing.css) == (state, css)
    assert standing.sentence in seen and standing.sentence.endswith(".")
    assert not re.search(r"\bNone\b|\bnan\b|datetime|Blocker\(|; ;|  ", standing.sentence)
    assert all(answer.answer for answer in standing.answers)
    assert len(standing.answers) == (0 if facts.status.phase is None else 8)
    assert "<script" not in html and "default-src 'none'" in html


def everywhere(value: Any, text: str, name: str = "") -> Any:
    """Return *value* with *text* for every string that others may have written."""
    if isinstance(value, Blocker):
        return Blocker(value.code, text, text, value.heals_by_itself)
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value if name in CHOSEN else text
    if isinstance(value, tuple):
        return tuple(everywhere(v, text, name) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{
            f.name: v if f.name in ("series", "by_level", "by_state") else everywhere(v, text, f.name)
            for f in dataclasses.fields(value) if (v := getattr(value, f.name)) is not None
        })  # fmt: skip
    return value


@settings(max_examples=15, deadline=None)
@given(text=HOSTILE)
@example(text="<script>alert(1)</script>")
@example(text="a\nb --16 ‮ {{7*7}}")
def test_whatever_others_wrote_is_shown_as_text(text: str) -> None:
    """In every place at once, and hidden characters are named: no text turns round what follows it."""
    facts = replace(FULL, series=lines(6))
    hostile = Structure(page(everywhere(facts, text)))
    harmless = Structure(page(everywhere(facts, "x" * len(text))))
    shown = " ".join("".join(hostile.texts).split())

    assert hostile.elements == harmless.elements
    assert shown.count(" ".join(words.visible(text).split())) >= 10
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", shown)


def test_half_a_year_of_ten_thousand_tenants_is_small() -> None:
    """With every list as long as it gets and hundreds of points to a line: one page of less than a megabyte."""
    facts = replace(
        FULL,
        status=replace(
            FULL.status,
            waves=tuple(WaveLine(n, 250, 250, 0, 0, 1, 0) for n in range(1, 2001)),
            quarantined=tuple((f"tenant-{n}" * 20, "reason " * 200) for n in range(100)),
            next_steps=("do this " * 100,) * 5000,
        ),
        conditions=tuple(replace(FULL.conditions[0], text="so " * 999, key=str(n)) for n in range(200)),
        incidents=FULL.incidents * 50,
        acts=FULL.acts * 100,
        series=lines(400, 10 * 3600),
    )
    html = page(facts)

    assert len(html.encode()) < 1_000_000
    assert "And 1,940 earlier ones" in html and html.count(" quarantined: ") <= 20


def test_the_sentence_of_a_calm_cutover() -> None:
    """Word by word: where, who, equal, incidents, cost, waits, end."""
    assert stand(migration()).sentence == (
        "Week 9 of 24: cutover, wave 4; 190 of 1,000 tenants (19%) read from Limitless;"
        " validated 4 min ago, nothing differs; no incident; the cost is not known; nothing waits for people;"
        " it ends at the earliest on 13 November 2026, 2.5 days earlier than planned."
    )


def test_the_end_is_the_sum_of_what_is_left() -> None:
    """The last wave took two days where the plan soaks one: six small ones take as long, hot ones their three soaks;
    of the wave that has begun, what is left of two days."""
    ends = outlook(migration())
    by_name = {leg.phase: leg.seconds for leg in ends.legs}

    assert by_name == {
        "cutover": 6 * 2 * DAY_S + 2 * 3 * DAY_S + 1.5 * DAY_S,
        "stabilize": 90 * DAY_S,
        "decommission": 0.0,
    }
    assert ends.end == NOW + timedelta(days=12 + 6 + 1.5 + 90)
    assert ends.planned_end == BEGAN + timedelta(weeks=24)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (migration("audit", "waiting"), "audit and provisioning"),
        (migration("dual_write", "running", backfill=None), "has not begun"),
        (migration("dual_write", "running", backfill=BackfillLine(0, 2, 1, 1, 0, 9, 5, 5, 0, None, True, None, "", ())),
         "copies nothing now"),
        (migration("dual_write", "failed"), "dual write has failed or was aborted"),
        (migration("dual_write", "undone"), "undone"),
        (migration(switch="joining"), "rolled back"),
        (migration(tenants=0), "tenants are not known"),
        (replace(FULL, counting=replace(FULL.counting or pytest.fail(), paused=True)), "paused the days"),
        (replace(migration(), calendar=None), "no plan"),
        (replace(migration(), waiting=10**12), "further away than a calendar goes"),
    ],
)  # fmt: skip
def test_an_end_that_is_not_known_is_not_made_up(facts: MigrationFacts, why: str) -> None:
    ends = outlook(facts)
    answer = stand(facts).answers[-1]

    assert ends.end is None and why in ends.why_not
    assert answer.answer == "not known" and ends.why_not in answer.note
    assert "the end is not known" in stand(facts).sentence


def test_the_stabilization_is_over_when_its_days_are() -> None:
    """By the days that were counted, not by the plan's: an incident has moved them."""
    ends = outlook(FULL)
    assert ends.end == NOW + timedelta(days=80) and ends.late_s == (8 * 7 + 80 - 24 * 7) * DAY_S
    assert outlook(migration("stabilize")).end == NOW + timedelta(days=90), "not counted yet"
    assert outlook(replace(migration(), calendar=replace(CALENDAR, scale=90 * DAY_S))).end == NOW + timedelta(
        days=12 + 6 + 1.5, seconds=1
    ), "the days of a rehearsal pass faster"


def test_a_copy_that_runs_says_when_it_is_done() -> None:
    """Its rate, and its waves by the plan alone, as none was finished; a finished migration has its true end."""
    copied = BackfillLine(0, 2, 1, 1, 0, 9, 5, 5, 1000.0, 7200.0, False, None, "", ())
    begun = replace(migration("dual_write", "running", backfill=copied), waves=(), waiting=130, waiting_hot=0)
    ended = outlook(migration("decommission", "done"))

    assert outlook(begun).end == NOW + timedelta(seconds=7200) + timedelta(days=3 + 90)
    assert ended.ended and ended.end == ago(days=36)


@pytest.mark.parametrize(
    ("tenants", "done", "waves"),
    [(0, 0, 0), (1, 0, 1), (5, 0, 1), (6, 0, 2), (130, 0, 3), (131, 0, 4), (130, 2, 2), (100, 99, 1), (10_000, 3, 100)],
)
def test_waves_to_come(tenants: int, done: int, waves: int) -> None:
    assert waves_to_come(tenants, (5, 25, 100), done) == waves
    assert waves_to_come(tenants, (100,), done) == -(-tenants // 100)


def costs(line: CostLine | None) -> str:
    return stand(replace(FULL, status=replace(FULL.status, bill=line))).sentence


def test_figures_that_alarm_are_in_the_sentence() -> None:
    """Quarantined and divergent tenants, a bill over the projection, a model of one, a calendar that is over."""
    said = stand(FULL).sentence
    assert "1 quarantined" in said and "$15,600 a month, 1.3 times the projection;" in said
    assert "4 incidents, the last 24 hours ago" in said and "1 cause waits for people" in said
    assert "$10,000 a month, 0.83 times the projection, as a model;" in costs(bill(10_000.0, basis=Basis.MODEL))
    assert "times the projection, partly as a model;" in costs(bill(basis=Basis.MIXED))
    assert "$15,600 a month, without a projection;" in costs(bill(projected=None, against=Against.UNPROJECTED))
    assert "the cost is not known yet;" in costs(bill(None)) and "the cost is not known;" in costs(None)
    validation = FULL.status.validation
    assert validation is not None
    differs = replace(FULL.status, validation=replace(validation, divergent_tenants=2), at=NOW + timedelta(weeks=20))
    late = stand(replace(FULL, status=differs))
    assert late.sentence.startswith("Week 29 of 24") and "2 tenants differ between the sides" in late.sentence
    assert late.answers[0].css == "bad"


def test_numbers_of_more_than_is_listed_are_true() -> None:
    """Of what is read up to a number, the answer says so."""
    many = replace(FULL, incidents=FULL.incidents * 50, rollbacks=FULL.rollbacks * 100, incident_count=1234)
    answer = stand(many).answers[3]

    assert answer.answer.startswith("1,234 incidents") and "the newest 200: 150 slo breach, 50 rollback" in answer.note
    assert "at least 100 rollbacks decided" in answer.note


def test_no_reason_and_no_name_is_in_the_sentence() -> None:
    """It may be read out to anybody."""
    assert "SECRET" not in stand(everywhere(FULL, "SECRET")).sentence


def test_what_is_not_known_is_said_in_its_panel() -> None:
    """No line at all, and one with gaps: nothing is drawn across them; a point alone is seen."""
    nothing = replace(lines(50), values=dict.fromkeys(VALUES, (None,) * 50))
    assert page(replace(FULL, series=nothing, costs=())).count("not known: nothing was stored") == 12
    assert runs((None, 1, 2, None, None, 3, None)) == [(1, 3), (5, 6)]
    alone = replace(nothing, values={**nothing.values, "lag_s": (*[None] * 20, 0.5, *[None] * 29)})
    drawn = re.search(r'<path d="(M[^"]+)" class="line-lag"', page(replace(FULL, series=alone)))
    assert drawn and drawn[1].count("L") == 1


def test_the_gravest_are_numbered() -> None:
    """A rollback is not crowded out by a hundred fallbacks that came after it, and counts once."""
    many = [IncidentLine(ago(hours=n), ago(hours=n), "fallback", f"{n}", "web", 1) for n in range(100)]
    facts = replace(FULL, incidents=(*many, *FULL.incidents))
    shown = numbered(marks(facts))

    assert len(shown) == MARKS and [m.kind for m in shown[:1]] == ["rollback"]
    assert shown == sorted(shown, key=lambda mark: mark.at)
    assert [m.title for m in shown if m.kind == "rollback"] == ["Rollback of 130 tenants"]
    whole = replace(FULL, rollbacks=(Act(NOW, "ana", "rollback.decided", "switch", "x"),
                                     Act(NOW, "ana", "rollback.decided", "route/a/b", "x")))  # fmt: skip
    assert {m.title for m in marks(whole) if m.kind == "rollback"} == {
        "Rollback of all tenants", "Rollback of tenant a/b"}  # fmt: skip


def test_what_stands_has_its_severity_its_time_and_what_to_do() -> None:
    """The values that notifications carry, the most urgent first; nothing is nothing."""
    html = page(FULL)
    shown = [condition.text for condition in FULL.conditions]

    assert len(shown) >= 3 and all(text in html.replace("&#39;", "'") for text in shown)
    assert sorted(shown, key=html.index) == shown and 'class="tag s-error"' in html
    assert "Nothing stands that a person should know." in page(migration())


@settings(max_examples=20, deadline=None)
@example(6, 60, [None] * 5 + [5e-324] + [None] * 6)
@example(6, 60, [None] * 5 + [1e-308] + [None] * 6)
@given(
    st.integers(1, 12),
    st.integers(60, 40 * 86_400),
    st.lists(st.one_of(st.none(), st.floats(0, 1e15)), min_size=12, max_size=12),
)
def test_any_line_can_be_drawn(points: int, every_s: int, values: list[float | None]) -> None:
    """However short or long, whatever it holds, also one that is zero throughout."""
    drawn = replace(lines(points, every_s), values={name: tuple(values[:points]) for name in VALUES})
    svg = re.findall(r' (?:d|x|y|x1|y1|cx|height|width)="([^"]*)"', page(replace(FULL, series=drawn)))
    assert not [found for found in svg if re.search("nan|inf|e", found)]


def test_a_clock_that_is_behind_or_far_off() -> None:
    """Times before the beginning, and incidents of tomorrow, are no crash."""
    early = replace(FULL, status=replace(FULL.status, at=BEGAN - timedelta(days=3)))
    ahead = replace(FULL, incidents=(replace(FULL.incidents[0], at=NOW + timedelta(days=9)),))
    old = replace(FULL, status=replace(FULL.status, started_at=datetime(1, 1, 1, tzinfo=UTC)))

    for facts in (early, ahead, old, replace(FULL, waves=(WaveTime(1, None, NOW), WaveTime(2, NOW, None)))):
        assert "Where do we stand?" in page(facts)
