"""Undoes the dual write: classic is as it was before capture, Limitless is empty.

What a dry run prints is what a run does: the steps are values. Classic comes first; Limitless may not answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control.reset import reset_classic, reset_limitless
from migrator.dataplane.capture.install import remove
from migrator.model.action import Action, Step
from migrator.provision import empty

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Classic:
    """Where dual write is undone on classic, and who does it."""

    conn: Connection
    who: str


ON_CLASSIC = (
    Step[Classic](
        Action("undo/capture", "Take capture off classic: triggers, journal, guards", "migrator run puts it on again"),
        lambda on: remove(on.conn),
    ),
    Step[Classic](
        Action("undo/control", "Forget copies, positions and fallbacks; every route says classic", "migrator run"),
        lambda on: reset_classic(on.conn, on.who),
    ),
)

ON_LIMITLESS = (
    Step[Connection](
        Action("undo/positions", "Forget mirror positions and copy leases on Limitless", "migrator run"),
        reset_limitless,
    ),
    Step[Connection](
        Action("undo/rows", "Empty the tables on Limitless", "migrator run copies everything again"), empty
    ),
)
