"""What does this tool cost classic's writer now? The last minutes' samples, part by part, and what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from migrator.control import history, writer_load
from migrator.control.tables import anything_captured
from migrator.control.writer_load import Recent
from migrator.errors import PlanInvalid
from migrator.model.status import PartCost, RunwayLine, WriterCost
from migrator.plan.load import from_earlier
from migrator.runway import forecast
from migrator.runway.counters import PARTS
from migrator.runway.judge import CAPTURE_US

Connection = psycopg.Connection[Any]

UNKNOWN = "writer.unknown"
"""Kind of the report that holds what could not be measured."""


def current_cost(conn: Connection) -> WriterCost | None:
    """Return what the last minutes say; None while no worker samples."""
    found = writer_load.recent(conn)
    if not found:
        return None
    noted = history.newest_report(conn, UNKNOWN)
    return costed(found, anything_captured(conn), tuple(noted["body"]["lines"]) if noted else ())


def costed(found: Mapping[str, Recent], captured: bool, unknown: tuple[str, ...]) -> WriterCost:
    """Return the cost that *found* shows. Pure."""

    def mean(metric: str) -> float | None:
        return found[metric].mean if metric in found else None

    parts = [p for p in (_part(part, mean) for part in PARTS) if p is not None]
    if captured:
        parts.insert(0, _capture(mean))
    cores = [p.cores for p in parts if p.cores is not None]
    vcpus = mean(forecast.VCPUS[forecast.LOCAL])
    return WriterCost(
        age_s=min(r.age_s for r in found.values()),
        cpu=mean(forecast.LOCAL),
        vcpus=None if vcpus is None else round(vcpus),
        transactions_per_s=mean("transactions"),
        row_writes_per_s=mean("row_writes"),
        wal_bytes_per_s=mean("wal_bytes"),
        parts=tuple(parts),
        own_cores=sum(cores) if cores else None,
        own_statements_per_s=mean("own_calls"),
        own_ms_per_s=mean("own_ms"),
        own_wal_bytes_per_s=mean("own_wal"),
        journal_bytes=mean("journal_bytes"),
        journal_bytes_per_s=mean("journal_growth"),
        unknown=unknown,
    )


def _part(part: str, mean: Any) -> PartCost | None:
    sessions = mean(f"sessions.{part}")
    if not sessions:
        return None
    active = mean(f"active.{part}") or 0.0
    if part == "shims":  # what runs there is the application's own work, but for the statements counted apart
        return PartCost(part, sessions, active, None, "their sessions run the application's statements")
    measured = mean(f"cores.{part}")
    if measured is not None:
        return PartCost(part, sessions, active, measured, "measured: processor time of its sessions")
    return PartCost(part, sessions, active, mean(f"running.{part}"), "estimate: sessions that wait for nothing")


def _capture(mean: Any) -> PartCost:
    """It runs inside the application's statements: no session of its own."""
    spent = mean("capture_ms")
    if spent is not None:
        return PartCost(
            "capture", 0, 0, spent / 1000, "measured: time in its functions (track_functions), waits included"
        )
    writes = mean("row_writes")
    if writes is None:
        return PartCost("capture", 0, 0, None, "unknown: row writes are not counted")
    low, high = CAPTURE_US
    text = f"modelled: {low:g} to {high:g} us for each row written, the higher one; track_functions = pl measures it"
    return PartCost("capture", 0, 0, writes * high / 1e6, text)


def runway_line(conn: Connection, body: Mapping[str, Any]) -> RunwayLine | None:
    """Return how long the writer lasts for the stored plan *body*; None where that cannot be read."""
    try:
        plan = from_earlier(body)
    except PlanInvalid:
        return None
    answer = forecast.forecast(conn, plan)
    return RunwayLine(
        answer.closes,
        None if answer.weeks is None else round(answer.weeks, 1),
        round(answer.needed_weeks, 1),
        answer.summary,
        tuple(option.text for option in answer.options),
        answer.doubts,
        forecast.spares(conn, plan),
    )
