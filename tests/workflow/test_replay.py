"""Every recorded history replays: what runs somewhere today goes on after this code is deployed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.workflow.histories import DIRECTORY
from workflows.worker import CONTROL_WORKFLOWS, INCIDENT_WORKFLOWS, runner

EVERY = (*CONTROL_WORKFLOWS, *INCIDENT_WORKFLOWS)
RECORDED = sorted(DIRECTORY.glob("*.json"))


def started_type(path: Path) -> str:
    events = json.loads(path.read_text(encoding="utf-8"))["events"]
    return str(events[0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"])


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("path", RECORDED, ids=[p.stem for p in RECORDED])
async def test_a_recorded_history_replays(path: Path) -> None:
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    replayer = Replayer(workflows=EVERY, data_converter=pydantic_data_converter, workflow_runner=runner())

    await replayer.replay_workflow(WorkflowHistory.from_json(path.stem, text))


def test_every_workflow_type_has_a_recorded_history() -> None:
    types = {getattr(w, "__temporal_workflow_definition").name for w in EVERY}

    assert {started_type(p) for p in RECORDED} == types
