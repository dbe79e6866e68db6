"""Can writes pass the journal unseen, and what if they could?

The guard refuses what it sees. It does not see a superuser's `SET event_triggers = off`, an event trigger that is
disabled, or commands on objects that all databases share. So every mirror looks by itself, in the snapshots of its
cycles, and every gate asks. A loss once noticed stays: what was written meanwhile is in no journal, and putting the
trigger back does not bring it. Only copying everything again does (`migrator mirror recopy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from migrator.control.watch import DIFFERENCES, differences, loss, problems
from migrator.model.capture import ADVICE, Difference

__all__ = ["ADVICE", "DIFFERENCES", "LOST", "MARK", "NOTE_LOSS", "differences", "found", "loss", "problems"]

LOST = sql.SQL("(SELECT problems FROM migrator.capture_loss)")
"""Why the journal cannot be trusted, as somebody noticed before; NULL: nobody did."""

# Row versions, so that what was disabled and enabled again shows. Reads a few hundred rows; the whole comparison reads
# every column, which is too much for each cycle.
MARK = sql.SQL(
    "(SELECT concat_ws(' ',"
    " (SELECT sum(hashtextextended(concat(t.oid, ' ', t.xmin), 0)) FROM pg_trigger t"
    "   WHERE t.tgname LIKE 'migrator\\_%'),"
    " (SELECT sum(hashtextextended(concat(t.oid, ' ', t.xmin), 0)) FROM pg_event_trigger t),"
    " (SELECT sum(hashtextextended(concat(c.oid, ' ', c.relnamespace, ' ', c.relname), 0)) FROM pg_class c"
    "   WHERE c.oid = ANY (ARRAY(SELECT relid FROM migrator.captured_table))),"
    " (SELECT sum(hashtextextended(concat(e.oid, ' ', e.xmin), 0)) FROM pg_enum e)))"
)
"""Another value than before, in a snapshot: `DIFFERENCES` is worth a look."""


def found(rows: Sequence[Sequence[Any]]) -> list[Difference]:
    """Return what `DIFFERENCES` selected."""
    return [Difference(code, kind, name, tuple(facets), oid) for code, kind, name, facets, oid in rows]


NOTE_LOSS = """
WITH lost AS (
    INSERT INTO migrator.capture_loss (problems, noticed_by) VALUES (%(problems)s, %(by)s) ON CONFLICT DO NOTHING
    RETURNING array_to_string(problems, '; ') AS reason
), incident AS (
    INSERT INTO migrator.incident (kind, reason, reported_by) SELECT %(kind)s, reason, %(by)s FROM lost
)
INSERT INTO migrator.decision (who, kind, subject, reason) SELECT %(by)s, 'capture.lost', 'everything', reason FROM lost
"""
"""Record that writes may have passed the journal, once, as an incident and a decision."""
