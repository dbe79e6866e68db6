"""What is told of a history that does not replay."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowHistory

from workflows.replay import refusal


@pytest.mark.parametrize(
    ("failure", "event", "words"),
    [
        (RuntimeError(), None, "RuntimeError"),
        (RuntimeError("x\n  y"), None, "x y"),
        (RuntimeError("does not handle this event: HistoryEvent(id: 17, TimerStarted)"), 17, "TimerStarted"),
        (RuntimeError("a" * 1000), None, "aaa"),
    ],
)
def test_a_refusal_says_where_and_why(failure: Exception, event: int | None, words: str) -> None:
    told = _told(failure)

    assert told[0] == event and words in told[1] and len(told[1]) <= 300 and "\n" not in told[1]


def _told(failure: Exception) -> tuple[int | None, str]:
    history = WorkflowHistory.from_json("cutover/shop/wave-1", _STARTED)
    found = refusal(history, failure)
    assert str(found).startswith("workflow cutover/shop/wave-1 (run r-1)")
    return found.event, found.why


_STARTED = """{"events": [{"eventId": "1", "eventTime": "2026-01-01T00:00:00Z",
 "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
 "workflowExecutionStartedEventAttributes": {"workflowType": {"name": "Wave"}, "originalExecutionRunId": "r-1"}}]}"""
