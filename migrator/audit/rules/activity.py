"""Rules on what happens on classic at the moment: open transactions, ages, connections, timeouts. (ACT rules)

Figures of one moment: what is not there now may be there tonight, so nothing here says that all is well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from migrator.audit.catalog import Catalog
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import Severity
from migrator.model.own_session import is_own_application

OPEN_S = 300.0
"""A transaction that is open for longer holds back more than it is worth: lock waits of the tool end after seconds."""

IDLE_S = 60.0
"""One that waits for its client for longer was forgotten."""

WRAPAROUND = 2_000_000_000
"""Transaction ids that a table may be old, about; the server stops taking writes a little before 2^31."""

NEAR = 0.5
"""Of that, from which an age is reported, where autovacuum's own limit is not crossed before."""

TIMEOUTS = {
    "statement_timeout": "",
    "lock_timeout": "",
    "idle_in_transaction_session_timeout": "",
    "idle_session_timeout": "",
    "transaction_timeout": "PostgreSQL 16, which Limitless is, does not have it",
}
_UNITS = {"": 0.001, "ms": 0.001, "us": 0.000001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SHORT_S = 1.0
"""A statement timeout below leaves little for a statement that asks every shard."""


def check_activity(seen: Mapping[str, Any], catalog: Catalog, connections: int, out: Collector) -> None:
    """Report what the sessions and the age of a live server mean for a migration; *connections* are what it takes."""
    check_timeouts(catalog, out)
    if not seen:
        return
    _open(seen, out)
    _age(seen, out)
    _connections(seen, connections, out)


def _open(seen: Mapping[str, Any], out: Collector) -> None:
    for session in seen.get("open") or ():
        application = str(session.get("application") or "")
        if is_own_application(application):
            continue
        open_s, idle_s = float(session.get("open_s") or 0), float(session.get("idle_s") or 0)
        if open_s < OPEN_S and idle_s < IDLE_S:
            continue
        who = f"role {session.get('role')}" + (f", {application}" if application else "")
        idle = f", idle for {_time(idle_s)} of it" if idle_s >= IDLE_S else ""
        # By role and application: process numbers differ from run to run, and findings are compared by name.
        out.add("AUD-ACT-01", f"sessions of {who}", f"pid {session.get('pid')}: open for {_time(open_s)}{idle}")
    if hidden := int(seen.get("hidden") or 0):
        out.add(
            "AUD-EVD-01",
            "sessions",
            f"what {hidden} sessions do is hidden from this role",
            fix="GRANT pg_read_all_stats to it",
        )


def _age(seen: Mapping[str, Any], out: Collector) -> None:
    freeze_at = int(seen.get("freeze_at") or 0)
    for name, age in (
        ("transaction ids", int(seen.get("xid_age") or 0)),
        ("multixact ids", int(seen.get("mxid_age") or 0)),
    ):
        late = name == "transaction ids" and freeze_at and age > 1.2 * freeze_at
        if not late and age < NEAR * WRAPAROUND:
            continue
        oldest = ", ".join(f"{table} ({xids:,})" for table, xids in seen.get("oldest") or ())
        out.add(
            "AUD-ACT-02",
            f"age of {name}",
            f"the oldest of this database are {age:,} {name} old, {age / WRAPAROUND:.0%} of what may be"
            + (f"; autovacuum_freeze_max_age is {freeze_at:,}" if late else "")
            + (f"; oldest: {oldest}" if oldest else ""),
        )


def _connections(seen: Mapping[str, Any], needed: int, out: Collector) -> None:
    free = int(seen.get("max_connections") or 0) - int(seen.get("connections") or 0)
    if seen.get("max_connections") is not None and free < needed:
        out.add(
            "AUD-ACT-03",
            "max_connections",
            f"{free:,} of {int(seen['max_connections']):,} connections are free now, and the migration takes about "
            f"{needed}",
        )
    limit = seen.get("role_limit")
    if limit is not None and int(limit) >= 0 and int(limit) - int(seen.get("role_connections") or 0) < needed:
        out.add(
            "AUD-ACT-03",
            f"role {seen.get('role')}",
            f"CONNECTION LIMIT {limit}, {seen.get('role_connections')} in use, and the migration takes about {needed}",
        )


def check_timeouts(catalog: Catalog, out: Collector) -> None:
    """Report the timeouts of roles and of the database, by what becomes of them."""
    for thing in catalog.things:
        if not thing.sort.endswith(" setting"):
            continue
        name, _, value = thing.name.partition("=")
        if name not in TIMEOUTS:
            continue
        whose = f"role {thing.detail}" if thing.detail else "the database"
        lacking = TIMEOUTS[name]
        seconds = seconds_of(value)
        short = name == "statement_timeout" and seconds is not None and 0 < seconds < SHORT_S
        why = lacking or ("a statement that asks every shard has little time then" if short else "")
        out.add(
            "AUD-ACT-04",
            f"{name} of {whose}",
            f"{name} = {value}" + (f": {why}" if why else ""),
            severity=Severity.WARNING if why else None,
            fix="leave it out on Limitless" if lacking else None,
            source=thing.source,
        )


def seconds_of(value: str) -> float | None:
    """Return the seconds of a timeout as a setting has it; milliseconds without a unit, None for no number."""
    found = re.fullmatch(r"\s*'?(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?'?\s*", value)
    return float(found[1]) * _UNITS[found[2] or ""] if found else None


def _time(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"
