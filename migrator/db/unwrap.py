"""Connections on which an error has the SQLSTATE of what happened, also where a router of Limitless wrapped it, and
knows the side it came from.

In the one place that every statement's result passes, so that code that catches an error by its class is right on both
sides.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import TupleRow

from migrator.db.origin import origin_of, remember
from migrator.model.wrapped import Rule, true_state


class Unwraps:
    """What is known of the cluster at hand: its side, and its rules (see `migrator.control.answers.learn`)."""

    rules: tuple[Rule, ...] = ()
    side: str = ""


def unwrapped(error: psycopg.Error, rules: tuple[Rule, ...]) -> psycopg.Error:
    """Return *error* under its true SQLSTATE, with everything else it says; itself when it is not wrapped."""
    seen = error.diag.sqlstate
    true = true_state(seen, error.diag.message_primary, error.diag.message_detail, rules)
    if true is None or true == seen:
        return error
    try:
        kind = psycopg.errors.lookup(true)
    except KeyError:
        return error
    found = kind(*error.args, info=error._info, encoding=error._encoding)
    remember(found, origin_of(error).side, origin_of(error).statement)
    return found


def error_of(conn: object, result: psycopg.pq.abc.PGresult) -> psycopg.Error:
    """Return the error in *result*, which was read from *conn* below psycopg's cursors."""
    rules = conn.rules if isinstance(conn, Unwraps) else ()
    error = unwrapped(psycopg.errors.error_from_result(result), rules)
    remember(error, conn.side if isinstance(conn, Unwraps) else "")
    return error


class Connection(psycopg.Connection[TupleRow], Unwraps):
    def wait(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().wait(*args, **kwargs)
        except psycopg.Error as error:
            remember(error, self.side)
            true_error = unwrapped(error, self.rules)
            if true_error is error:
                raise
            raise true_error from None


class AsyncConnection(psycopg.AsyncConnection[TupleRow], Unwraps):
    async def __aexit__(self, *error: Any) -> None:
        # A task that is cancelled again while it rolls back would leave the connection open.
        try:
            await super().__aexit__(*error)
        finally:
            await self.close()

    async def wait(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().wait(*args, **kwargs)
        except psycopg.Error as error:
            remember(error, self.side)
            true_error = unwrapped(error, self.rules)
            if true_error is error:
                raise
            raise true_error from None
