"""What a rehearsal's receiver and scraper make of what they are given."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from migrator.notify.slack import payload
from migrator.rehearse.result import _told
from migrator.rehearse.told import PROMISED, Heard, Message, Scraper, Told, heard, named, told_section
from tests.fixtures.waiting import TIMEOUT_S
from tests.unit.notify.test_messages import note

PAGE = """# HELP migrator_up whether
# TYPE migrator_up gauge
migrator_up{plan="a"} 1.0
# TYPE migrator_wait_seconds histogram
migrator_wait_seconds_bucket{plan="a",le="1.0"} 2.0
migrator_wait_seconds_count{plan="a"} 2.0
migrator_wait_seconds_sum{plan="a"} 0.5
# TYPE migrator_never_total counter
temporal_pending_count 4
"""


def test_each_event_is_matched_with_the_first_message_about_it() -> None:
    messages = [
        Message(9.0, "migrator demo: CRITICAL: reads were rolled back to classic", "of before"),
        Message(12.5, "migrator demo: ERROR: reads have fallen back to classic", "one"),
        Message(13.0, "migrator demo: OVER: reads were rolled back to classic", "no news"),
        Message(14.0, "migrator demo: CRITICAL: reads were rolled back to classic", "this one"),
    ]

    found = heard([("rollback", 11.0), ("compared", 12.0), ("limitless_killed", 12.0), ("incident", 13.0)], messages)

    assert found == [
        Heard("rollback", messages[3].headline, 3.0),
        Heard("limitless_killed", messages[1].headline, 0.5),
        Heard("incident"),
    ]


def test_what_was_promised_and_not_told_breaks_the_claim() -> None:
    events = [{"event": name, "headline": "h", "seconds": 1.0} for name in PROMISED]

    assert _told({"events": events, "messages": [{}] * 4})[2]
    missing: list[dict[str, Any]] = [{**events[0], "seconds": None}, *events[1:]]
    assert _told({"events": missing, "messages": [{}] * 3})[1:] == (
        "3 messages, at most 1.00 s later; not of limitless_killed",
        False,
    )
    assert not _told({"events": [], "messages": []})[2], "nothing heard is not nothing wrong"


def test_a_page_of_metrics_names_families_with_a_sample() -> None:
    assert set(named(PAGE)) == {"migrator_up", "migrator_wait_seconds", "temporal_pending_count"}


def test_the_receiver_takes_what_a_notifier_sends_and_counts_what_it_cannot_read() -> None:
    told = Told()
    with told.listening():
        for body in (json.dumps(payload(note())).encode(), b"{}", b"\xff"):
            with urllib.request.urlopen(urllib.request.Request(told.url, body), timeout=TIMEOUT_S) as answer:
                assert answer.status == 200

    assert [m.headline.endswith(note().condition.title) for m in told.messages] == [True]
    assert told.unreadable == 2
    section = told_section(told, Scraper(), [("rollback", 1.0)], 0.0)
    assert section["metrics"]["seen"] == 0 < section["metrics"]["of"] == len(section["metrics"]["never"])
