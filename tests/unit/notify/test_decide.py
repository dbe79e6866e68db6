"""Who is told what: once, when it lasts, when it gets worse, again after long, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migrator.model.condition import Condition, Kind, Severity
from migrator.model.standing import make
from migrator.notify.decide import Known, step
from migrator.plan.notify import Notify

AT = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
WAITS = make(Kind.GATE_WAITS, "audit waits", "migrator approve audit", key="audit", since=AT)
STALLED = make(Kind.MIRROR_STALLED, "2 mirror partitions do not follow", "migrator mirror status")
DIFFERS = make(Kind.DIVERGENCE, "rows of 3 tenants differ", "migrator validate", count=3)


def section(receivers: dict[str, Any] | None = None, **values: Any) -> Notify:
    named = receivers or {"team": {}}
    return Notify.model_validate(
        {"receiver": {name: {"kind": "slack", "url": "env:X", **more} for name, more in named.items()}, **values}
    )


class Told:
    """Looks one after the other, and what each told."""

    def __init__(self, plan: Notify | None = None) -> None:
        self.plan, self.known = plan or section(), dict[str, Known]()
        self.quiet: datetime | None = None

    def look(self, after_s: float, *standing: Condition, happened: Sequence[Condition] = ()) -> list[str]:
        now = AT + timedelta(seconds=after_s)
        found = step(self.known, standing, happened, self.plan, now, self.quiet)
        for name in found.drop:
            del self.known[name]
        self.known |= found.put
        return [f"{m.receiver} {m.action.value} {m.condition.name}" for m in found.messages]


def test_what_stands_is_told_once_and_its_end_after_a_while() -> None:
    told = Told()

    assert told.look(0, WAITS) == ["team opened gate_waits/audit"]
    assert [told.look(n, WAITS) for n in range(5, 500, 5)] == [[]] * 99
    assert told.look(500) == told.look(559) == []
    assert told.look(560) == ["team over gate_waits/audit"]
    assert told.look(565) == [] and told.known == {}


def test_what_often_clears_by_itself_is_told_once_it_lasts() -> None:
    told = Told()

    assert told.look(0, STALLED) == told.look(29, STALLED) == []
    assert told.look(30, STALLED) == ["team opened mirror_stalled"]


def test_a_blip_wakes_nobody_neither_then_nor_when_it_is_over() -> None:
    told = Told()

    assert [told.look(0, STALLED), *(told.look(n) for n in range(5, 200, 5))] == [[]] * 40


def test_one_that_comes_and_goes_is_one_message_and_one_end() -> None:
    told, lines = Told(), []
    for n in range(0, 600, 5):
        lines += told.look(n, *([STALLED] if n % 20 < 10 else []))
    for n in range(600, 800, 5):
        lines += told.look(n)

    assert lines == ["team opened mirror_stalled", "team over mirror_stalled"]


def test_an_error_is_repeated_and_a_warning_is_not() -> None:
    told = Told(section(repeat_s=3_600.0))
    lines = [line for n in range(0, 8_000, 100) for line in told.look(n, WAITS, DIFFERS)]

    assert lines == [
        "team opened gate_waits/audit", "team opened divergence",
        "team repeated divergence", "team repeated divergence",
    ]  # fmt: skip


def test_each_receiver_is_repeated_as_it_says() -> None:
    told = Told(section({"often": {"repeat_s": 60.0}, "never": {"repeat_s": 0.0}}))
    lines = [line for n in range(0, 200, 10) for line in told.look(n, DIFFERS)]

    assert lines == ["often opened divergence", "never opened divergence", *["often repeated divergence"] * 3]


def test_what_is_acknowledged_is_repeated_only_when_it_gets_worse() -> None:
    told = Told(section(repeat_s=60.0))
    told.look(0, DIFFERS)
    told.known["divergence"] = replace(told.known["divergence"], acknowledged_by="ann")

    assert [told.look(n, DIFFERS) for n in (100, 200)] == [[], []]
    assert told.look(300, replace(DIFFERS, count=29)) == []
    assert told.look(400, replace(DIFFERS, count=30)) == ["team repeated divergence"]
    assert told.look(500, replace(DIFFERS, count=30)) == ["team repeated divergence"]  # and by nobody any more


def test_one_that_gets_more_urgent_reaches_those_who_want_only_that() -> None:
    told = Told(section({"team": {}, "oncall": {"severity": "critical"}}))

    assert told.look(0, DIFFERS) == ["team opened divergence"]
    assert told.look(5, replace(DIFFERS, severity=Severity.CRITICAL)) == [
        "team repeated divergence", "oncall opened divergence",
    ]  # fmt: skip
    told.look(10)
    assert told.look(70) == ["team over divergence", "oncall over divergence"]


def test_the_gate_of_another_wave_is_another_occurrence() -> None:
    """The one before ended less than `over_after_s` ago, so it was never told as over."""
    told = Told()
    told.look(0, WAITS)
    told.look(5)

    assert told.look(10, replace(WAITS, since=AT + timedelta(seconds=8))) == ["team opened gate_waits/audit"]


def test_a_gate_that_is_asked_again_and_again_is_told_once() -> None:
    """A wave of which no tenant may move is tried every few seconds: its phase runs, and is blocked anew."""
    told, lines = Told(), []
    for n in range(0, 300, 5):
        shut = make(Kind.GATE_SHUT, "cutover", "wait", key="cutover", since=AT + timedelta(seconds=n))
        lines += told.look(n, *([shut] if n % 20 else []))

    assert lines == ["team opened gate_shut/cutover"]


def test_an_end_reaches_those_who_were_told_even_if_they_want_less_by_now() -> None:
    told = Told(section({"team": {}, "other": {"kinds": ["rollback"]}}))
    told.look(0, WAITS)
    told.plan = section({"team": {"kinds": ["rollback"]}, "other": {}})

    assert told.look(5, WAITS) == ["other opened gate_waits/audit"]
    told.look(10)
    assert told.look(70) == ["team over gate_waits/audit", "other over gate_waits/audit"]


def test_after_a_gap_nothing_that_stands_is_told_at_once_and_what_happened_is() -> None:
    told = Told()
    told.quiet = AT + timedelta(seconds=15)
    wave = replace(make(Kind.WAVE_DONE, "wave-3 is done", "", key="wave-3-17", since=AT), instant=True)

    assert told.look(0, WAITS, happened=[wave]) == ["team happened wave_done/wave-3-17"]
    assert told.look(14, WAITS) == []
    assert told.look(15, WAITS) == ["team opened gate_waits/audit"]


def test_the_end_of_the_migration_is_told_once_and_is_never_over() -> None:
    told, finished = Told(), make(Kind.FINISHED, "finished", "", since=AT, instant=True)

    assert told.look(0, finished) == ["team happened finished"]
    assert [told.look(n, finished) for n in (5, 1_000)] == [[], []]
    assert [told.look(n) for n in (2_000, 3_000)] == [[], []]


def test_a_failing_receiver_is_told_to_the_others() -> None:
    told = Told(section({"team": {}, "oncall": {}}, tell_after_s=0.0))
    failing = make(Kind.RECEIVER_FAILING, "oncall takes nothing", "", key="oncall")

    assert told.look(0, failing) == ["team opened receiver_failing/oncall"]


@pytest.mark.parametrize("count", [1, 9, 10, 10_000])
def test_more_of_the_same_is_told_again_from_ten_times_on(count: int) -> None:
    told = Told()
    told.look(0, replace(DIFFERS, count=1))

    assert bool(told.look(5, replace(DIFFERS, count=count))) is (count >= 10)
