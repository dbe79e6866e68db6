"""One call on one side: its statement, its parameters as they were bound, its latency, its result.

A conversation with libpq instead of a cursor: parameters keep the types and the form in which they were captured, rows
come as the server's texts and one batch after the other, so that no result fills the memory.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import generators, sql
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from migrator.db.connect import connect
from migrator.db.error_text import what_happened
from migrator.model.trace import Call
from migrator.model.traffic_test import LOST
from migrator.shadow.rows import MOST_ROWS, Result, Row

APP = "migrator shadow"
_BATCH = 500
_ROWS = (ExecStatus.TUPLES_OK, ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_CHUNK)
_FIRST_OF_USERS = 16384
"""Below it object ids are the same on every server."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a call on one side.

    Attributes:
        state: SQLSTATE of its error, `LOST` when the connection broke; '' when it succeeded.
        why: the error in words, without any value.
        result: None after an error, and where it was not asked for.
    """

    ms: float
    state: str = ""
    why: str = ""
    result: Result | None = None


def session(
    dsn: str, side: str, path: list[str], timeout_s: float, *, read_only: bool = False
) -> psycopg.Connection[Any]:
    """Return a connection that sees names and rows as an application does; with *read_only* it can write nothing.

    Raises:
        ClusterUnavailable: the server cannot be reached.
    """
    conn = connect(dsn, APP, statement_timeout_s=timeout_s, lock_timeout_s=min(2.0, timeout_s), side=side)
    try:
        settle(conn, path, local=False)
        if read_only:
            conn.execute("SET default_transaction_read_only = on")
    except BaseException:
        conn.close()
        raise
    return conn


def settings(path: list[str], *, local: bool) -> sql.Composed:
    """Return the statement by which a session, or a transaction, names tables as an application does."""
    names = sql.SQL(", ").join(map(sql.Identifier, path)).as_string(None)
    return sql.SQL(
        "SELECT pg_catalog.set_config('search_path', {path}, {local}),"
        " pg_catalog.set_config('row_security', 'on', {local})"
    ).format(path=sql.Literal(names), local=sql.Literal(local))


def settle(conn: psycopg.Connection[Any], path: list[str], *, local: bool) -> None:
    """Run `settings`."""
    conn.execute(settings(path, local=local))


def ask(conn: psycopg.Connection[Any], call: Call, *, begin: str = "BEGIN", keep: bool = False) -> Answer:
    """Run *call* in a transaction that is rolled back. A connection that breaks is closed, and the answer says so."""
    try:
        conn.execute(begin.encode())
    except psycopg.Error as error:
        return _lost(conn, error, 0.0)
    began = time.perf_counter()
    try:
        result = conn.wait(conversation(conn.pgconn, call, keep=keep))
        answer = Answer(_since_ms(began), result=result)
    except psycopg.Error as error:
        answer = failed(error, _since_ms(began))
        if answer.state == LOST:
            conn.close()
            return answer
    try:
        conn.execute("ROLLBACK")
    except psycopg.Error as error:
        return _lost(conn, error, answer.ms)
    return answer


def failed(error: psycopg.Error, ms: float) -> Answer:
    """Return the answer that an error is."""
    return Answer(ms, error.sqlstate or LOST, what_happened(error))


def _lost(conn: psycopg.Connection[Any], error: psycopg.Error, ms: float) -> Answer:
    conn.close()
    return Answer(ms, LOST, what_happened(error))


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def conversation(pgconn: PGconn, call: Call, *, keep: bool) -> PQGen[Result | None]:
    """Send *call* by the extended protocol, which takes one statement; return its rows if they are to be kept.

    Raises:
        psycopg.Error: the server's error, or the connection broke.
    """
    values = [value.encode() if isinstance(value, str) else value for value in call.values]
    types = [kind if 0 < kind < _FIRST_OF_USERS else 0 for kind in call.types] or None
    formats = [int(isinstance(value, bytes)) for value in call.values] or None
    pgconn.send_query_params(call.sql.encode(), values or None, param_types=types, param_formats=formats)
    if psycopg.capabilities.has_stream_chunked():
        pgconn.set_chunked_rows_mode(_BATCH)
    else:
        pgconn.set_single_row_mode()
    yield from generators.send(pgconn)
    rows: list[Row] = []
    shape: PGresult | None = None
    error: psycopg.Error | None = None
    while (result := (yield from generators.fetch(pgconn))) is not None:
        if result.status == ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(result)
        elif result.status in _ROWS:
            shape = shape or result
            if keep and len(rows) <= MOST_ROWS:
                rows += _rows(result)
    if error is not None:
        raise error
    if shape is None or not keep:
        return None
    names = tuple((shape.fname(i) or b"").decode() for i in range(shape.nfields))
    types_there = tuple(shape.ftype(i) for i in range(shape.nfields))
    return Result(names, types_there, rows[:MOST_ROWS], len(rows) > MOST_ROWS)


def _rows(result: PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]
