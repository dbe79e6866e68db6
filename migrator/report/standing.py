"""Where do we stand? One sentence for who has no time, and the answers that it is made of. Pure.

Each answer is known or says that it is not. The sentence names no tenant and quotes no reason: it may be read out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from migrator.model.blocker import Blocker
from migrator.model.cost import Against, Basis
from migrator.model.counted import counted
from migrator.model.migration import SHOWN, MigrationFacts
from migrator.model.status import Status
from migrator.report import words
from migrator.report.outlook import WEEK_S, Outlook, is_finished, outlook, phase_name

PHASE_BLOCKED = "phase.blocked"
"""Code of what keeps a phase from being left."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, its answer, and what stands behind it. said: how the sentence says it, where that is another way."""

    question: str
    answer: str
    note: str
    css: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer.

    Attributes:
        state: in a few words, for a badge; css: good, bad, wait or nothing.
        answers: question by question.
    """

    state: str
    css: str
    sentence: str
    answers: tuple[Answer, ...]
    outlook: Outlook


def stand(facts: MigrationFacts) -> Standing:
    """Return where the migration stands."""
    status, ends = facts.status, outlook(facts)
    if not status.installed:
        return Standing("Not begun", "", "Nothing has begun on this cluster.", (), ends)
    if status.phase is None:
        why = status.blockers[0] if status.blockers else "its tables cannot be read"
        return Standing("Not readable", "bad", f"{str(why).capitalize()}.", (), ends)
    state, css = _state(facts)
    where, tenants, validated = _where(facts, ends), _tenants(facts), _validated(facts)
    incidents, cost, waits, end = _incidents(facts), _cost(facts), _waits(facts), _end(ends)
    told: tuple[Answer, ...] = (where, tenants, validated, incidents, cost, waits, end)
    if is_finished(facts):
        told = (where, tenants, incidents, cost)
    sentence = "; ".join(answer.said or answer.answer for answer in told)
    return Standing(
        state,
        css,
        f"{sentence[:1].upper()}{sentence[1:]}.",
        (where, tenants, validated, incidents, cost, _writer(facts), waits, end),
        ends,
    )


def _state(facts: MigrationFacts) -> tuple[str, str]:
    status = facts.status
    people = _for_people(status)
    if status.phase_state in ("failed", "undone"):
        return {"failed": "Failed or aborted", "undone": "Undone"}[status.phase_state], "bad"
    if is_finished(facts):
        return "Finished", "good"
    if status.switch != "limitless" and status.write_mode != "limitless_only":
        return "Rolled back", "bad"
    if people:
        return f"Blocked: {counted(people, 'cause')}", "bad"
    if _worker_is_missing(facts):
        return "No worker runs", "bad"
    if status.phase_state == "waiting":
        return "Waits for an approval", "wait"
    if status.phase_state == "pending" and not status.workers:
        return "Waits to be started", "wait"
    return ("Recovers by itself", "wait") if _causes(status) else ("Goes on by itself", "good")


def _causes(status: Status) -> list[Blocker]:
    """Return what blocks, but for what a phase that runs still has to reach: that is its work."""
    return [b for b in status.blockers if not (status.phase_state == "running" and b.code == PHASE_BLOCKED)]


def _for_people(status: Status) -> int:
    """Return how many causes people must see to."""
    return len({b.code for b in _causes(status) if not b.heals_by_itself})


def _where(facts: MigrationFacts, ends: Outlook) -> Answer:
    """Week k of n, by the plan's calendar."""
    status, calendar = facts.status, facts.calendar
    phase = phase_name(status.phase)
    note = f"{phase}: {status.phase_state}"
    if status.started_at is None:
        return Answer("Where are we?", f"{phase}, not begun", note)
    since = f"plan {status.plan}, begun on {words.date(status.started_at)}"
    until = ends.end if ends.ended and ends.end else status.at
    week = int(max((until - status.started_at).total_seconds(), 0.0) // WEEK_S) + 1
    planned = f" of {calendar.weeks:g}" if calendar else ", of how many is not known"
    if is_finished(facts):
        return Answer("Where are we?", f"finished in week {week}{planned}", since, "good")
    wave = f", wave {status.wave}" if status.wave and status.phase == "cutover" else ""
    late = "bad" if calendar and week > calendar.weeks else ""
    day = f"; {facts.counting.text}" if facts.counting and status.phase == "stabilize" else ""
    answer = f"week {week}{planned}: {phase}{wave}"
    return Answer("Where are we?", answer, f"{note}{day}; {since}", late)


def _tenants(facts: MigrationFacts) -> Answer:
    status, asked = facts.status, "Tenants on Limitless?"
    if status.write_mode == "limitless_only":
        return Answer(asked, "every tenant reads and writes on Limitless", "classic is left", "good")
    if not status.tenants:
        return Answer(asked, "tenants are not known yet", "they are listed when dual write begins")
    on = dict(status.by_level).get("limitless", 0)
    states = ", ".join(f"{words.count(n)} {state}" for state, n in status.by_state)
    held = f"; {words.count(status.held_count)} held on classic by people" if status.held_count else ""
    waves = f"; {counted(len([w for w in facts.waves if w.finished_at]), 'wave')} finished"
    share = words.percent(on / status.tenants)
    answer = f"{words.count(on)} of {counted(status.tenants, 'tenant')} ({share}) read from Limitless"
    quarantined = dict(status.by_state).get("quarantined", 0)
    apart = f", {words.count(quarantined)} quarantined" if quarantined else ""
    return Answer(asked, answer + apart, f"rows: {states}{held}{waves}", "bad" if quarantined else "")


def _validated(facts: MigrationFacts) -> Answer:
    status, asked = facts.status, "Are both sides equal?"
    found = status.validation
    if status.write_mode == "limitless_only":
        return Answer(asked, "both sides were equal at the hand-over", "nothing is compared any more")
    if found is None or found.finished_at is None or found.age_s is None:
        return Answer(asked, "nothing has been validated yet", "the first validation follows the backfill")
    ago = words.seconds_long(found.age_s)
    if found.divergent_tenants:
        answer = f"{counted(found.divergent_tenants, 'tenant')} differ{'' if found.divergent_tenants > 1 else 's'}"
        return Answer(asked, f"{answer} between the sides", f"last validated {ago} ago", "bad")
    oldest = found.oldest_clean_s
    note = (
        "no tenant is known to be clean"
        if oldest is None
        else f"the oldest verdict is {words.seconds_long(oldest)} old"
    )
    unseen = f"; {counted(found.never, 'tenant')} never validated" if found.never else ""
    stale = oldest is None or (facts.calendar is not None and oldest > facts.calendar.max_age_s)
    limit = f"; a gate takes {words.seconds_long(facts.calendar.max_age_s)}" if stale and facts.calendar else ""
    css = "" if stale or found.never else "good"
    return Answer(asked, f"validated {ago} ago, nothing differs", f"{note}{limit}{unseen}", css)


def _incidents(facts: MigrationFacts) -> Answer:
    asked, count = "Incidents?", facts.incident_count
    most = "at least " if len(facts.rollbacks) >= SHOWN else ""
    back = f"{most}{counted(len(facts.rollbacks), 'rollback')} decided" if facts.rollbacks else "no rollback"
    if not count:
        return Answer(asked, "no incident", back, "good")
    kinds = Counter[str]()
    for incident in facts.incidents:
        kinds[incident.kind] += incident.times
    newest = facts.incidents[0]
    ago = words.seconds_long(max((facts.status.at - newest.at).total_seconds(), 1.0))
    newest_ones = "" if kinds.total() == count else f"the newest {words.count(kinds.total())}: "
    listed = newest_ones + ", ".join(f"{words.count(n)} {kind.replace('_', ' ')}" for kind, n in kinds.most_common())
    restarts = ""
    if facts.counting and facts.counting.restarts:
        restarts = f"; the days began again {counted(facts.counting.restarts, 'time')}"
    return Answer(asked, f"{counted(count, 'incident')}, the last {ago} ago", f"{listed}; {back}{restarts}", "")


def _cost(facts: MigrationFacts) -> Answer:
    asked, bill = "Cost against projection?", facts.status.bill
    if bill is None:
        return Answer(asked, "the cost is not known", "there is no plan, or the stored one cannot be read")
    if bill.forecast is None:
        return Answer(asked, "the cost is not known yet", bill.summary)
    modelled = {Basis.MODEL: ", as a model", Basis.MIXED: ", partly as a model"}.get(bill.basis or Basis.MODEL, "")
    answer = f"${words.count(bill.forecast.monthly)} a month"
    projected = f"projected ${words.count(bill.projected_monthly_usd)} a month; " if bill.projected_monthly_usd else ""
    note = f"{projected}${words.count(bill.forecast.so_far)} so far in {bill.month}"
    if modelled:
        note += "; a model prices the capacity that the plan reserves: the bill is at least that"
    if bill.ratio is None:
        return Answer(asked, f"{answer}{modelled}, without a projection", note)
    css = {Against.OVER: "bad", Against.WITHIN: "good"}.get(bill.against, "")
    return Answer(asked, f"{answer}, {bill.ratio:.2g} times the projection{modelled}", note, css)


def _writer(facts: MigrationFacts) -> Answer:
    asked, runway = "Does classic's writer last?", facts.status.runway
    if facts.status.write_mode == "limitless_only":
        return Answer(asked, "it carries nothing any more", "")
    if runway is None:
        return Answer(
            asked, "not known", "the stored plan cannot be read" if facts.status.plan else "no plan is stored"
        )
    spared = "; no gate asks, this is no production server" if runway.spared else ""
    needed = f"needed for {runway.needed_weeks:g} weeks"
    if runway.closes is None:
        return Answer(asked, "not known", f"{needed}; {runway.summary}{spared}", "" if runway.spared else "bad")
    if runway.weeks is None:
        return Answer(asked, "yes, without end", f"{needed}{spared}", "good")
    css = "good" if runway.closes else "" if runway.spared else "bad"
    answer = f"{'yes' if runway.closes else 'no'}, it is full in {runway.weeks:g} weeks"
    return Answer(asked, answer, f"{needed}{spared}", css)


def _worker_is_missing(facts: MigrationFacts) -> bool:
    """Nothing goes on by itself while no worker runs."""
    status = facts.status
    return not status.workers and status.phase_state in ("running", "waiting", "blocked") and status.plan is not None


def _waits(facts: MigrationFacts) -> Answer:
    """What waits for whom."""
    asked, status = "What waits for whom?", facts.status
    step = status.next_steps[0] if status.next_steps else ""
    people = _for_people(status)
    if is_finished(facts):
        return Answer(asked, "nothing waits", step, "good")
    if people:
        answer = f"{counted(people, 'cause')} {'waits' if people == 1 else 'wait'} for people"
        return Answer(asked, answer, step, "bad")
    if _worker_is_missing(facts):
        return Answer(asked, "it waits for a worker: none runs", "Start one: migrator worker --plan PLAN.toml", "bad")
    if status.phase_state == "waiting":
        return Answer(asked, f"the gate of {phase_name(status.phase)} waits for an approval", step, "wait")
    if causes := _causes(status):
        many = len({b.code for b in causes})
        clear = "clears" if many == 1 else "clear"
        return Answer(asked, f"{counted(many, 'cause')} {clear} without people", step, "wait")
    if status.phase_state in ("failed", "undone") or (status.phase_state == "pending" and not status.workers):
        return Answer(asked, "it waits for people to start it", step, "wait")
    return Answer(asked, "nothing waits for people", step, "good")


def _end(ends: Outlook) -> Answer:
    asked = "When does it end?"
    planned = f"by the plan's calendar {words.date(ends.planned_end)}" if ends.planned_end else "no calendar is known"
    if ends.ended:
        answer = f"it ended on {words.date(ends.end)}" if ends.end else "it has ended"
        return Answer(asked, answer, f"{planned}{_late(ends)}", "good")
    if ends.end is None:
        said = f"the end is not known ({planned})" if ends.planned_end else "the end is not known"
        return Answer(asked, "not known", f"{ends.why_not}; {planned}", "", said)
    css = "bad" if (ends.late_s or 0) > WEEK_S else ""
    answer = f"at the earliest on {words.date(ends.end)}"
    note = f"{planned}; not counted: the time that gates wait for people, incidents to come, waves that are deferred"
    return Answer(asked, f"{answer}{_late(ends)}", note, css, f"it ends {answer}{_late(ends)}")


def _late(ends: Outlook) -> str:
    late_s = ends.late_s
    if late_s is None:
        return ""
    if abs(late_s) < 86_400:
        return ", as planned"
    return f", {words.seconds_long(abs(late_s))} {'later' if late_s > 0 else 'earlier'} than planned"
