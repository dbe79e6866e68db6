"""The capture watch: detects when writes may have passed the journal.

The guard refuses what it sees. It does not see a superuser's `SET event_triggers = off`, an event trigger that is
disabled, or commands on objects that all databases share. So every mirror checks by itself, in the snapshots of
its cycles, and so does every gate. A loss once detected stays: what was written meanwhile is in no journal, and
restoring the trigger does not add it. Only copying everything again does (`migrator mirror recopy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migrator.control.watch import DIFFERENCES, SHAPE_MARK, differences, loss, problems
from migrator.model.capture import ADVICE, Difference

__all__ = ["ADVICE", "DIFFERENCES", "SHAPE_MARK", "differences", "found", "loss", "problems"]


def found(rows: Sequence[Sequence[Any]]) -> list[Difference]:
    """Return what `DIFFERENCES` selected."""
    return [Difference(code, kind, name, tuple(facets), oid) for code, kind, name, facets, oid in rows]
