"""What happened between two readings of counters? Pure.

A counter that went back counts nothing, whatever the reason: a reset, a restart, another server behind the same name.
The reasons are said; a rate is never negative. Time is this process's monotonic clock, since a server's clock may jump.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from migrator.runway.counters import PARTS, Counters, Session, Statements, by_part
from migrator.runway.processor import Used

CLOCK_S = 5.0
"""Classic's clock may run apart from this process's by so much between two readings before it is called a jump."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Metrics by name (a rate each, or a size as it is now), the seconds they are about, and what could not be said."""

    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    unknown: tuple[str, ...] = ()


def between(before: Counters, now: Counters) -> Rates:
    """Return what went on from *before* to *now*, in amounts a second; sizes as they are now."""
    seconds = now.taken_s - before.taken_s
    sizes = {"journal_bytes": float(now.journal_bytes), "database_bytes": float(now.database_bytes)}
    if now.is_replica:
        return Rates({}, 0.0, ("the server is a replica: its statistics are not the writer's",))
    if before.started_s != now.started_s or before.is_replica:
        why = "the server was restarted, or another one is the writer now: counters begin anew"
        return Rates(sizes, max(seconds, 0.0), (why,))
    if seconds <= 0:
        return Rates(sizes, 0.0, ("no time passed between two readings",))
    unknown: list[str] = []
    apart = abs((now.at - before.at).total_seconds() - seconds)
    if apart > CLOCK_S:
        unknown.append(f"classic's clock jumped by {apart:.0f} s against this process's: rates are by the latter")
    values = {**sizes, "journal_growth": (now.journal_bytes - before.journal_bytes) / seconds}  # net: slots are emptied

    def take(name: str, earlier: float | None, later: float | None, same: bool, of: str) -> None:
        if earlier is None or later is None:
            return
        if not same:
            unknown.append(f"{of} were reset")
        elif later < earlier:
            unknown.append(f"{of} went back")
        else:
            values[name] = (later - earlier) / seconds

    same = before.database_since_s == now.database_since_s
    take("transactions", before.transactions, now.transactions, same, "statistics of the database")
    take("row_writes", 0, _written(before.row_writes, now.row_writes), same, "statistics of tables")
    take("wal_bytes", before.wal_bytes, now.wal_bytes, before.wal_since_s == now.wal_since_s, "statistics of WAL")
    take("capture_ms", before.capture_ms, now.capture_ms, same, "statistics of functions")
    return Rates(values, seconds, tuple(dict.fromkeys(unknown)))


def _written(before: Mapping[int, int], now: Mapping[int, int]) -> int:
    """Return the rows written. A table that is new counts from its beginning; one that is gone, or whose own statistics
    were reset, takes its last rows with it."""
    return sum(max(count - before.get(table, 0), 0) for table, count in now.items())


STATEMENT_METRICS = ("own_calls", "own_ms", "own_wal", "read_ms", "write_ms")


def statements_between(before: Statements, now: Statements, seconds: float) -> Rates:
    """Return what statements took, a second. Entries that lost their place take their counts with them."""
    if before.since[0] != now.since[0]:
        return Rates({}, 0.0, ("statistics of statements were reset",))
    unknown = []
    if before.since[1] != now.since[1]:
        unknown.append(
            "pg_stat_statements had no room and dropped entries (pg_stat_statements.max): it counts too little"
        )
    values = {}
    for name in STATEMENT_METRICS:
        change = float(getattr(now, name)) - float(getattr(before, name))
        if change < 0:
            unknown.append("statistics of statements went back")
        elif seconds > 0:
            values[name] = change / seconds
    if now.hidden:
        unknown.append("texts of statements are hidden from this role (GRANT pg_read_all_stats): shares are unknown")
        values = {}
    return Rates(values, seconds if values else 0.0, tuple(dict.fromkeys(unknown)))


def of_looks(looks: Sequence[Sequence[Session]]) -> dict[str, float]:
    """Return for each part the sessions it has, how many run a statement, and how many of these wait for nothing.

    Means over the looks. What waits for nothing is using a processor, or waits for one: an upper bound of cores.
    """
    if not looks:
        return {}
    found: dict[str, float] = {}
    for part in PARTS:
        sessions = [by_part(tuple(look))[part] for look in looks]
        found[f"sessions.{part}"] = sum(map(len, sessions)) / len(looks)
        found[f"active.{part}"] = sum(s.active for look in sessions for s in look) / len(looks)
        found[f"running.{part}"] = sum(s.running for look in sessions for s in look) / len(looks)
    return found


def cores(before: Mapping[Used, float], now: Mapping[Used, float], seconds: float) -> dict[str, float]:
    """Return the cores that each part's sessions used. One that began in between counts from its beginning; one that
    ended in between is not counted."""
    if seconds <= 0:
        return {}
    found = dict.fromkeys((f"cores.{part}" for part in PARTS), 0.0)
    for session, used_s in now.items():
        found[f"cores.{session.part}"] += max(used_s - before.get(session, 0.0), 0.0) / seconds
    return found
