"""Which decisions are told as events: what does not last always, what lasts only when nothing looked meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migrator.control.notify import Act
from migrator.model.condition import Kind
from migrator.notify.happened import events

AT = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)


def act(kind: str, subject: str, who: str = "ann", count: int = 1, after: Any = None, reason: str = "slow") -> Act:
    noun = subject.partition("/")[0]
    subjects = tuple(subject if n == 0 else f"{noun}/t{n}" for n in range(min(count, 5)))
    return Act(tuple(range(7, 7 + count)), AT, who, kind, reason, noun, subjects, None, after)


def told(one: Act, missed: bool = False, standing: tuple[str, ...] = ()) -> list[str]:
    until = AT + timedelta(seconds=1) if missed else None
    return [f"{e.kind.value} {e.severity.value} {e.key}" for e in events([one], until, standing)]


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (act("rollback.decided", "tenant/42", count=10_000), "rollback error tenants-7"),
        (act("route.moved", "tenant/42", who="guard", after={"level": "classic"}), "slo_breach error wave-7"),
        (act("incident.reported", "incident"), "incident error incident-7"),
        (act("window.restarted", "window"), "window_restarted warning window-7"),
        (act("gate.passed", "dual_write"), "phase_done info dual_write-7"),
        (act("wave.chosen", "wave-3"), "wave_begun info wave-3-7"),
        (act("wave.finished", "wave-3"), "wave_done info wave-3-7"),
        (act("write_mode.changed", "switch", after={"write_mode": "limitless_only"}), "handed_over warning switch-7"),
        (act("writes.reopened", "decommission/1"), "writes_closed error decommission-7"),
    ],
)
def test_what_does_not_last_is_told_always(one: Act, line: str) -> None:
    assert told(one) == told(one, missed=True) == [line]


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (act("rollback.decided", "switch"), "rollback critical all-7"),
        (act("fallback.raised", "fallback/all/"), "fallback error all-7"),
        (act("fallback.raised", "fallback/part/3"), "fallback warning part-3-7"),
        (act("divergence.found", "validation"), "divergence error validation-7"),
    ],
)
def test_what_lasts_is_told_from_the_log_only_if_it_was_missed_and_is_over(one: Act, line: str) -> None:
    assert told(one) == []
    assert told(one, missed=True) == [line]
    kind, key = line.split()[0], line.split()[2].removesuffix("-7")
    assert told(one, missed=True, standing=(kind if key == "validation" else f"{kind}/{key}",)) == []


@pytest.mark.parametrize(
    "one",
    [
        act("route.moved", "tenant/42", who="cutover", after={"level": "limitless"}),
        act("route.moved", "tenant/42", who="guard", after={"level": "joining"}),
        act("route.moved", "tenant/42", who="ann", after=None),
        act("fallback.raised", "fallback/tenant/42"),
        act("write_mode.changed", "switch", after={"write_mode": "dual"}),
        act("write_mode.changed", "switch", after="limitless_only"),
    ],
)
def test_what_wakes_nobody(one: Act) -> None:
    assert told(one, missed=True) == []


def test_many_tenants_are_one_event_that_names_a_few() -> None:
    (event,) = events([act("rollback.decided", "tenant/a/b\n<x>", count=10_000)], None, ())

    assert (event.kind, event.count, event.subjects[0]) == (Kind.ROLLBACK, 10_000, "a/b\n<x>")
    assert event.instant and event.since == AT and "10,000 tenants" in event.text
