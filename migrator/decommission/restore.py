"""Restores classic's last copy beside everything else, compares it with what classic held, and removes it.

The proof that the copy is one. Three ways: on this machine a second server on a copy of the data directory; on AWS a
cluster of its own from the snapshot (aws_restore.py); elsewhere whatever a person has restored, by its reference.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextlib import closing as closing_
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from migrator.control import drill, retirement
from migrator.db.connect import connect
from migrator.db.error_text import server_message
from migrator.decommission import fingerprint
from migrator.errors import ClusterUnavailable, MigratorError, PlanInvalid
from migrator.model.drill import DrillKind
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]
APP = "migrator drill"

Restored = AbstractContextManager[str]
"""A restored copy, by its connection string; removed when it is left."""


@dataclass(frozen=True, slots=True)
class RestoreDrill:
    """The result of a drill.

    Attributes:
        copy: what was restored.
        exact: it was compared with what classic held in the end; else only looked at, as the hand-over is to come.
        tables, rows: that were read.
        ready_s: until the copy answered.
        problems: why it did not pass; empty when it did.
    """

    copy: str
    exact: bool
    tables: int = 0
    rows: int = 0
    ready_s: float = 0.0
    seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems


def practise(limitless: Connection | None, plan: Plan, copy: str, restored: Restored) -> RestoreDrill:
    """Restore *copy*, compare it and remove it. limitless: None where nothing is known there yet."""
    began = time.monotonic()
    wanted = retirement.tables(limitless) if limitless is not None and retirement.read(limitless) else {}
    exact = bool(wanted)
    result = RestoreDrill(copy, exact)
    try:
        with restored as dsn, closing_(connect(dsn, APP, side="the restored copy")) as conn:
            result = replace(result, ready_s=time.monotonic() - began)
            result = _compared(conn, plan, result, limitless if exact else None)
    except PlanInvalid as error:
        result = replace(result, problems=tuple(f"the restored copy: {problem}" for problem in error.problems[:10]))
    except (MigratorError, psycopg.Error) as error:
        why = server_message(error) if isinstance(error, psycopg.Error) else str(error)
        result = replace(result, problems=(f"the copy could not be restored and read: {why}",))
    return replace(result, seconds=time.monotonic() - began)


def _compared(conn: Connection, plan: Plan, result: RestoreDrill, limitless: Connection | None) -> RestoreDrill:
    tables = fingerprint.migrated_tables(conn, plan.tables)  # the copy has the tool's tables, too
    wanted = retirement.tables(limitless) if limitless is not None else {}
    found: dict[str, int] = {}

    def read(table: Any) -> Any:
        one = fingerprint.of_table(conn, table)
        found[one.name] = one.rows
        return one

    if wanted:
        problems = fingerprint.differences(wanted, {table.qualified: table for table in tables}, read)
    else:
        problems = []
        for table in tables:  # no row that cannot be read: that is all that can be said while classic takes writes
            read(table)
    return replace(result, tables=len(found), rows=sum(found.values()), problems=tuple(problems))


def keep(classic: Connection | None, limitless: Connection | None, who: str, done: RestoreDrill) -> None:
    """Store the result where it is asked for: on classic while that answers, and on Limitless behind the hand-over."""
    body = {
        "copy": done.copy, "exact": done.exact, "tables": done.tables, "rows": done.rows,
        "ready_s": round(done.ready_s, 1), "problems": list(done.problems[:20]),
    }  # fmt: skip
    if classic is not None:
        drill.add(classic, DrillKind.RESTORE, who, done.copy, done.passed, done.seconds, body)
    if limitless is not None and retirement.read(limitless) is not None:
        outcome = "restored and compared: equal" if done.passed else f"restore drill did not pass: {done.problems[0]}"
        at = limitless.execute("SELECT clock_timestamp()").fetchone()
        assert at is not None
        values = {**body, "passed": done.passed and done.exact, "who": who, "at": at[0].isoformat(),
                  "seconds": round(done.seconds, 1)}  # fmt: skip
        retirement.extend(limitless, who, f"{done.copy}: {outcome}", restored=values)


# -- ways to restore ---------------------------------------------------------------------------------------------------


@contextmanager
def given(open_dsn: Callable[[], str]) -> Iterator[str]:
    """What a person has restored: it is read, and left as it is."""
    yield open_dsn()


@contextmanager
def local(home: Path) -> Iterator[str]:
    """A copy of the local classic server: of its data directory once it is stopped, else taken from it as it runs."""
    from migrator.local import process  # only where local servers exist
    from migrator.local.replica import make_replica
    from migrator.local.server import Server, copy_cluster
    from migrator.local.stack import DATABASE, attach

    classic = attach(home).classic
    data = classic.data.parent / f"{classic.data.name}-drill"
    remove(data)  # of a drill that was killed
    if classic.pid is not None:
        server = make_replica(classic, data, process.free_port())
        (data / "standby.signal").unlink(missing_ok=True)  # a server of its own, not a replica
        server = replace(server, detached=False)
    else:
        copy_cluster(classic.data, data)
        server = Server("classic-drill", data, classic.bin, process.free_port(), classic.password)
    try:
        server.start()
        yield server.dsn(DATABASE)
    finally:
        server.abandon()
        remove(data)


def remove(data: Path) -> None:
    """Delete a data directory that a drill made, and its log."""
    shutil.rmtree(data, ignore_errors=True)
    (data.parent / f"{data.name}.log").unlink(missing_ok=True)


def with_host(dsn: str, host: str, port: int | None) -> str:
    """Return *dsn* with another host and port: the same role and password reach a restored cluster.

    Raises:
        ClusterUnavailable: the connection string cannot be read.
    """
    from psycopg import conninfo

    try:
        parts = conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        raise ClusterUnavailable("the restored copy", "classic's connection string cannot be read") from None
    parts.pop("hostaddr", None)
    return conninfo.make_conninfo("", **{**parts, "host": host, **({"port": port} if port else {})})
