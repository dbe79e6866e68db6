"""Recorded histories: written once, replayed for ever.

    MIGRATOR_RECORD_HISTORIES=1 pytest tests/workflow

adds the ones that are missing and never touches the others: an old history stands for a migration that is running
somewhere.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle

DIRECTORY = Path(__file__).parent.parent / "histories"


async def keep(handle: WorkflowHandle[Any, Any], name: str) -> None:
    """Record the history of *handle* under *name*, if recording was asked for and there is none."""
    path = DIRECTORY / f"{name}.json"
    if os.environ.get("MIGRATOR_RECORD_HISTORIES") and not path.exists():
        path.write_text(neutral((await handle.fetch_history()).to_json()) + "\n", encoding="utf-8")


def neutral(text: str) -> str:
    """Return a history without the names of the machine and the directories it was recorded in."""
    for name, stands_for in (
        (f"@{socket.gethostname()}", "@host"),
        (str(DIRECTORY.parent.parent), "migrator"),
        (sys.prefix, "venv"),
        (sys.base_prefix, "python"),
    ):
        text = text.replace(name, stands_for)
    return text
