"""Deletes old rows of the tool's own tables.

Everything that grows with time has its bound here, in the samples (samples.py) or where it is written: incidents are
joined by a trigger, processes and workers are deleted where they are counted, route epochs keep 10,000 marks.
Decisions of people, steps of the migration and incidents are evidence and stay; of what the tool decides at every
check, one a day is evidence enough. What describes tenants, copies or changes of the schema grows with them, not with
time.
"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control import samples
from migrator.db.named import load

Connection = psycopg.Connection[Any]

BATCH = 5_000
"""Rows that one statement deletes."""
REPORTS = 400
"""Reports kept of each kind: more than a year of daily ones."""

KEPT_DAYS = 100
"""What is kept by its age: the 90 days of the stabilization and some more."""
PICTURE_DAYS = 400
"""The same for hours of all tenants together, of which pictures of the whole migration are made: 10,000 rows each."""

_RULES = load("migrator.control", "upkeep.sql")
"""Each deletes what is too old of one table."""


def add_up(conn: Connection) -> bool:
    """Add up samples, once; return whether there is more. To be called every few seconds."""
    return samples.fold(conn) >= samples.BATCH


def prune(conn: Connection, limit: int = BATCH) -> bool:
    """Delete what no rule keeps, at most *limit* rows of each table; return whether there is more.

    Each statement commits by itself, so it may be killed at any instant, and several may run at once.
    """
    values = {"limit": limit, "days": KEPT_DAYS, "pictures": PICTURE_DAYS, "reports": REPORTS}
    return max([conn.execute(rule, values).rowcount for rule in _RULES.values()]) >= limit
