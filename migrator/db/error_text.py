"""Reads the message and the names out of a server's error.

A router of Limitless wraps what a shard said: the primary message is its own, the shard's words are details, and fields
that name a constraint may be missing (AWS: Aurora Limitless, query tracing).
"""

from __future__ import annotations

import re

import psycopg

from migrator.model.wrapped import WRAPPER

_CONSTRAINT = re.compile(r'\b(?:constraint|index|column) "([^"]+)"')


def server_message(error: psycopg.Error) -> str:
    """Return the message without details, which may hold values; for a wrapped error, the shard's."""
    message = error.diag.message_primary or ""
    wrapped = message == WRAPPER or error.sqlstate != error.diag.sqlstate  # see migrator.db.unwrap
    if wrapped and error.diag.message_detail:
        message = error.diag.message_detail.splitlines()[0]
    return (message or type(error).__name__).strip()


def violated_name(error: psycopg.Error) -> str:
    """Return the name of what the refused row violated, a constraint or a column; '' when the error names none."""
    named = _CONSTRAINT.search(server_message(error))
    return error.diag.constraint_name or error.diag.column_name or (named[1] if named else "")
