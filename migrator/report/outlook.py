"""When does the migration end? From what it still has to do, how fast that went so far, and what the plan says. Pure.

The answer is the earliest end: nothing is added for gates that wait for a person, for incidents to come, or for the
hours of the hand-over. What cannot be known yet is said, and no date is made up for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from migrator.model.counted import counted
from migrator.model.migration import Calendar, MigrationFacts
from migrator.report import words

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
LAST_WAVES = 5
"""So many finished waves say how long the next ones take."""


@dataclass(frozen=True, slots=True)
class Leg:
    """What is still to be done. seconds: None where that is not known. *basis*: where they come from."""

    phase: str
    what: str
    seconds: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """The end, and what it is computed from.

    Attributes:
        planned_end: by the plan's calendar; None without one.
        end: the earliest; when it ended, if it has. None where it is not known.
        why_not: why it is not known.
        late_s: how much later than planned; negative: earlier.
    """

    planned_end: datetime | None = None
    end: datetime | None = None
    ended: bool = False
    legs: tuple[Leg, ...] = ()
    why_not: str = ""

    @property
    def late_s(self) -> float | None:
        if self.end is None or self.planned_end is None:
            return None
        return (self.end - self.planned_end).total_seconds()


def outlook(facts: MigrationFacts) -> Outlook:
    """Return when it ends, by what is known now."""
    status, calendar = facts.status, facts.calendar
    began = status.started_at
    planned = _after(began, calendar.weeks * WEEK_S) if began and calendar else None
    if is_finished(facts):
        ended = max((p.finished_at for p in status.phases if p.finished_at), default=None)
        return Outlook(planned, ended, True, why_not="" if ended else "when it ended was not recorded")
    if calendar is None:
        return Outlook(planned, why_not="there is no plan, or the stored one cannot be read by this version")
    if why := _stopped(facts):
        return Outlook(planned, why_not=why)
    legs = tuple(_legs(facts, calendar))
    unknown = [leg for leg in legs if leg.seconds is None]
    if unknown:
        return Outlook(planned, legs=legs, why_not=f"{unknown[0].what}: {unknown[0].basis}")
    end = _after(status.at, sum(leg.seconds or 0 for leg in legs))
    return Outlook(planned, end, legs=legs, why_not="" if end else "further away than a calendar goes")


def is_finished(facts: MigrationFacts) -> bool:
    return facts.status.phase_state == "done"


def _stopped(facts: MigrationFacts) -> str:
    """Return why nothing goes on by itself or by an approval; '' where it does."""
    status = facts.status
    if status.phase_state == "failed":
        return f"{phase_name(status.phase)} has failed or was aborted"
    if status.phase_state == "undone":
        return f"{phase_name(status.phase)} was undone"
    if status.switch != "limitless" and status.write_mode != "limitless_only":
        return "all reads were rolled back to classic"
    if facts.counting and facts.counting.paused:
        return "an incident has paused the days of the stabilization until a person resumes them"
    return ""


def _legs(facts: MigrationFacts, calendar: Calendar) -> Iterator[Leg]:
    """Yield what is left, in its order."""
    status = facts.status
    left = [p.phase for p in status.phases if p.state != "done"]
    if "provision" in left:
        yield Leg("provision", "audit and provisioning", None, "how long people take for them is not known")
    if "dual_write" in left:
        yield _copy(facts)
    if "cutover" in left:
        yield _waves(facts, calendar)
    if "stabilize" in left:
        yield _days(facts, calendar)
    if "decommission" in left:
        yield Leg("decommission", "the hand-over", 0.0, "hours, not counted")


def _copy(facts: MigrationFacts) -> Leg:
    what, copied = "the backfill", facts.status.backfill
    if copied is None:
        return Leg("dual_write", what, None, "it has not begun, so it has no rate yet")
    if copied.done == copied.units:
        return Leg("dual_write", what, 0.0, "done")
    if copied.eta_s is None:
        return Leg("dual_write", what, None, "it copies nothing now, so it has no rate")
    return Leg("dual_write", what, copied.eta_s, f"{words.count(copied.rows_per_s)} rows/s in the last five minutes")


def _waves(facts: MigrationFacts, calendar: Calendar) -> Leg:
    """Small tenants go by the plan's sizes, hot ones each alone. A wave takes what the last ones took, or its soaks."""
    numbers = [w.wave for w in facts.waves]
    to_come = waves_to_come(facts.waiting, calendar.sizes, max(numbers, default=0))
    took = [(w.finished_at - w.chosen_at).total_seconds() for w in facts.waves if w.finished_at and w.chosen_at][
        -LAST_WAVES:
    ]
    each_s, hot_s = calendar.soak_s * calendar.steps, calendar.soak_s * calendar.hot_steps
    basis = f"{words.seconds_long(each_s)} each by the plan"
    if took:
        mean_s = sum(took) / len(took)
        each_s, hot_s = max(mean_s, each_s), max(mean_s, hot_s)
        basis = f"{words.seconds_long(each_s)} each, by the last {len(took)} and the plan"
    begun = [w for w in facts.waves if w.chosen_at and not w.finished_at]
    left_s = sum(max(each_s - (facts.status.at - w.chosen_at).total_seconds(), 0) for w in begun if w.chosen_at)
    if not facts.status.tenants:
        return Leg("cutover", "the waves", None, "tenants are not known yet")
    many = to_come + facts.waiting_hot + len(begun)
    return Leg("cutover", counted(many, "wave"), to_come * each_s + facts.waiting_hot * hot_s + left_s, basis)


def waves_to_come(tenants: int, sizes: Sequence[int], done: int) -> int:
    """Return how many waves *tenants* make after *done* ones, by the plan's *sizes*; the last repeats."""
    count = 0
    for size in sizes[done:-1]:
        if tenants <= 0:
            return count
        tenants -= size
        count += 1
    return count + max(0, -(-tenants // sizes[-1]))


def _days(facts: MigrationFacts, calendar: Calendar) -> Leg:
    what = f"{calendar.stabilization_days:g} days of stabilization"
    if facts.counting is not None and "cutover" not in [p.phase for p in facts.status.phases if p.state != "done"]:
        left_s = max(facts.counting.deadline_s - facts.status.at.timestamp(), 0.0)
        return Leg("stabilize", what, left_s, facts.counting.text)
    return Leg("stabilize", what, calendar.stabilization_days * DAY_S / calendar.scale, "by the plan, without incident")


def _after(moment: datetime, seconds: float) -> datetime | None:
    try:
        return moment.astimezone(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def phase_name(phase: str | None) -> str:
    return (phase or "the migration").replace("_", " ")
