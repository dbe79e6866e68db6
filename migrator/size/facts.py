"""Measures on both servers what the judgement needs. Reads only; what cannot be read is unknown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.catalog.size import sizes
from migrator.control import writer_load
from migrator.control.install import installed_version
from migrator.control.process import processes as processes_of
from migrator.control.tenant import tenants_by_state
from migrator.db.named import load
from migrator.model.table import Table
from migrator.runway.counters import Reader
from migrator.runway.rates import between
from migrator.size.judge import Measured, Room

Connection = psycopg.Connection[Any]

_SQL = load("migrator.size", "facts.sql")
_PEAK = "row_writes"


def measured(
    classic: Connection,
    limitless: Connection | None,
    tables: Sequence[Table],
    *,
    seconds: float,
    row_writes_per_s: float | None = None,
    processes: int | None = None,
) -> Measured:
    """Return what is known of *tables* and of both servers.

    Args:
        limitless: None when it does not answer, or is not made yet.
        seconds: how long to look at row writes where nothing was stored of them.
        row_writes_per_s, processes: what the operator says, in place of what is measured.
    """
    size = sizes(classic, [(table.schema, table.name) for table in tables])
    installed = installed_version(classic) is not None
    writes, source = (row_writes_per_s, "as said") if row_writes_per_s is not None else (None, "")
    if writes is None:
        writes, source = _writes(classic, sorted({table.schema for table in tables}), seconds, installed=installed)
    living = sum(process.live for process in processes_of(classic)) if installed and processes is None else processes
    return Measured(
        rows=size.rows,
        bytes=size.bytes,
        unanalysed=size.unanalysed,
        tenants=sum(tenants_by_state(classic).values()) if installed else None,
        row_writes_per_s=writes,
        row_writes_source=source,
        processes=living if processes is not None else living or None,  # none yet is not none ever
        classic=room(classic),
        limitless=room(limitless) if limitless is not None else None,
    )


def room(conn: Connection) -> Room:
    row = conn.execute(_SQL["room"]).fetchone()
    assert row is not None
    return Room(*row)


def _writes(conn: Connection, schemas: list[str], seconds: float, *, installed: bool) -> tuple[float | None, str]:
    """Return the rows written a second: the busiest hour that workers saw, else the higher of now and the mean."""
    days = writer_load.days(conn, (_PEAK,)).get(_PEAK, []) if installed else []
    if peaks := [day.peak for day in days if day.peak is not None]:
        return max(peaks), f"the busiest hour of {len(days)} days that workers watched"
    reader = Reader()
    before = reader.read(conn, time.monotonic(), statements=False)
    time.sleep(seconds)
    now = between(before, reader.read(conn, time.monotonic(), statements=False)).values.get(_PEAK)
    row = conn.execute(_SQL["mean_writes"], {"schemas": schemas}).fetchone()
    mean = row[0] if row else None
    found = [value for value in (now, mean) if value is not None]
    if not found:
        return None, ""
    return max(found), f"the higher of {seconds:g} s just now and the mean of the statistics: no peak"
