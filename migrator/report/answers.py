"""Answers what a decision needs of an audit: can we, what does it take, by when, what does it cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from migrator.report import words
from migrator.report.effort import Area, span

MONTH_HOURS = 730


@dataclass(frozen=True, slots=True)
class Prices:
    """The plan's own prices in US dollars; 0 is not known. AWS publishes none for an ACU-hour of Limitless."""

    acu_hour_usd: float = 0.0
    classic_monthly_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, its answer in a few words, and what stands behind it; *but* belongs into the sentence as well."""

    question: str
    answer: str
    note: str
    css: str = ""
    but: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answers, and all of them in one sentence."""

    sentence: str
    answers: Sequence[Answer]


def decide(report: Mapping[str, Any], areas: Sequence[Area], prices: Prices) -> Decision:
    """Return the answers for a report's JSON."""
    can, takes = _can(report), _takes(areas)
    when, cost = _when(report), _cost(report["sizing"], prices)
    by = ", ".join(filter(None, (when.answer, when.but)))
    sentence = f"{can.answer}; it takes {takes.answer}; {by}; {cost.answer}."
    return Decision(sentence, (can, takes, when, cost))


def _can(report: Mapping[str, Any]) -> Answer:
    asked = "Can we?"
    bare = [f for f in report["findings"] if f["severity"] == "blocker" and not f["acknowledged"]]
    rewrites = sum(f["severity"] == "rewrite" and not f["acknowledged"] for f in report["findings"])
    unseen = [f for f in bare if f["rule"] == "AUD-EVD-05"]
    if unseen:
        others = len(bare) - len(unseen)
        known = f"besides that {_number(others, 'blocker')}" if others else "no other blocker is known"
        return Answer(asked, "Not known yet: the audit lacks evidence", f"{unseen[0]['evidence']}; {known}", "bad")
    if bare:
        note = f"without a mechanical fix; {_number(rewrites, 'rewrite')} besides"
        return Answer(asked, f"Not as it is: {_number(len(bare), 'blocker')} first", note, "bad")
    if rewrites:
        return Answer(asked, f"Yes, after {_number(rewrites, 'mechanical change')}", "no blocker is open", "good")
    return Answer(asked, "Yes", "no blocker and no rewrite is open", "good")


def _takes(areas: Sequence[Area]) -> Answer:
    low, high = sum(a.low for a in areas), sum(a.high for a in areas)
    hardest = [a.name for a in areas if a.complexity == "high"]
    note = f"hardest: {', '.join(hardest)}" if hardest else "no area is of high complexity"
    days = span(low, high)
    unit = "person-day" if days == "up to 1" else "person-days"
    return Answer("What does it take?", f"{days} {unit} of changes", f"an estimate by assumptions, see below; {note}")


def _when(report: Mapping[str, Any]) -> Answer:
    asked, runway = "By when?", report["runway"]
    weeks = runway.get("calendar_weeks")
    if weeks is None:
        return Answer(asked, "no calendar was given", "give --weeks")
    until = _after(report["created_at"], weeks)
    answer = f"{weeks:g} weeks until classic is retired" + (f", {until} at the earliest" if until else "")
    lasts = (runway.get("weeks") or {}).get("triggers")
    if runway.get("closes") is None:
        return Answer(asked, answer, "how long the classic writer lasts is not known: give --writer-cpu-pct")
    if runway["closes"]:
        return Answer(asked, answer, "the classic writer lasts as long", "good")
    but = f"but the classic writer is full after {lasts:g} weeks"
    return Answer(asked, answer, f"{but}: see runway", "bad", but)


def _after(created_at: str, weeks: float) -> str:
    try:
        return (datetime.fromisoformat(created_at) + timedelta(weeks=weeks)).strftime("%-d %B %Y")
    except (ValueError, OverflowError):
        return ""


def _cost(size: Mapping[str, Any], prices: Prices) -> Answer:
    asked = "What does it cost?"
    if not size:
        note = "give --writer-cpu-pct and --writer-vcpus, and cost.acu_hour_usd in the plan"
        return Answer(asked, "the running cost is not known", note)
    low, high = (size["max_acu"][end] for end in ("low", "high"))
    capacity = f"{words.count(low)} to {words.count(high)} ACU at the peak"
    if not prices.acu_hour_usd:
        return Answer(asked, capacity, "for money, put your price into the plan: cost.acu_hour_usd")
    month = prices.acu_hour_usd * MONTH_HOURS
    now = f"; classic today: ${words.count(prices.classic_monthly_usd)}" if prices.classic_monthly_usd else ""
    return Answer(
        asked,
        f"${words.count(low * month)} to ${words.count(high * month)} a month at most",
        f"{capacity} all month, at ${prices.acu_hour_usd:g} an ACU-hour, without storage{now}",
    )


def _number(count: int, word: str) -> str:
    return f"{words.count(count)} {word}" + ("" if count == 1 else "s")
