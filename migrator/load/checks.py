"""May this test run against these servers? Facts are read here, and judged: every blocker at once."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.catalog.read import is_limitless
from migrator.db.named import load
from migrator.model.counted import counted

Connection = psycopg.Connection[Any]

CLASSIC_SHARE = 0.5
"""A test takes at most so much of the connections that classic has free: the application needs the others."""

OWN_FILES = 64
"""Open files that a generator's process needs besides its connections."""

_SQL = load("migrator.load", "load.sql")


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What a target says of itself. free: connections that may still be opened; None: a pooler, or unknown."""

    database: str
    has_control: bool
    is_replica: bool
    is_limitless: bool
    free: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done with a target.

    Attributes:
        side: "classic" or "Limitless".
        given: the target was given by a reference of its own: a copy, or a pooler.
        connections: of all processes; `processes` of them.
        up_to: the bound on transactions a second that the operator gave; None: none.
        highest: the highest rate of the ramp.
        commits: whether writes are kept.
        reading: tenants that read from Limitless now.
        watched: whether anything of classic can be watched.
    """

    side: str
    given: bool
    connections: int
    processes: int
    up_to: float | None
    highest: float
    commits: bool
    writes: bool
    reading: int = 0
    watched: bool = True


def read(conn: Connection, *, pooled: bool = False) -> TargetFacts:
    """Return the facts of the server behind *conn*; *pooled*: behind a pooler, whose clients it does not count."""
    row = conn.execute(_SQL["target"]).fetchone()
    assert row is not None
    database, has_control, replica, free, of_role = row
    room = free if of_role is None else min(free, of_role)
    return TargetFacts(
        str(database), bool(has_control), bool(replica), is_limitless(conn), None if pooled else int(room)
    )


def judge(facts: TargetFacts, wanted: Wanted, files: int | None = None) -> list[str]:
    """Return why the test may not run against this target; empty when it may. Pure.

    Args:
        files: that a process may open; None: no bound.
    """
    side, found = wanted.side, []
    if wanted.commits and facts.has_control:
        found.append(
            f"{side}: --commit needs a scratch copy, and database {facts.database} has the schema migrator: it is one"
            " of a migration. Drop that schema on the copy (DROP SCHEMA migrator CASCADE), or let writes be rolled back"
        )
    if wanted.commits and not wanted.given:
        found.append(f"{side}: --commit is for a scratch copy: name it with --{side.lower()} REF")
    if wanted.writes and facts.is_replica:
        found.append(f"{side}: it is a read replica, and the workload has transactions that write")
    if side == "Limitless" and not facts.is_limitless:
        found.append("Limitless: that server is not Aurora Limitless, so what it can do says nothing about one")
    if side == "classic" and facts.is_limitless:
        found.append("classic: that server is Aurora Limitless")
    if wanted.reading and wanted.up_to is None and not wanted.given:
        reads = counted(wanted.reading, "tenant reads", "tenants read")
        found.append(f"Limitless: {reads} from it now: name the most that the test may offer, --limitless-up-to RATE")
    if wanted.up_to is not None and wanted.highest > wanted.up_to * 1.001:
        found.append(f"{side}: the ramp offers {wanted.highest:,.0f}/s, and {wanted.up_to:,.0f}/s is the most it may")
    if not wanted.watched:
        found.append(
            "classic: neither sessions of others (GRANT pg_monitor) nor its processors (classic.cluster_id) can be"
            " seen, so the test could not end by itself"
        )
    share = CLASSIC_SHARE if side == "classic" and not wanted.given else 1.0
    if facts.free is not None and wanted.connections > facts.free * share:
        may = max(int(facts.free * share), 0)
        found.append(
            f"{side}: {counted(wanted.connections, 'connection')} are wanted, and the test may take {may}"
            f" ({facts.free} are free): lower --connections, or go through a pooler (--pooled)"
        )
    each = -(-wanted.connections // wanted.processes)
    if files is not None and each + OWN_FILES > files:
        found.append(
            f"each process would open {each} connections, and may open {files} files: ulimit -n, or --processes"
        )
    return found


def files_limit() -> int | None:
    """Return how many files a process may open; None: no bound."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
