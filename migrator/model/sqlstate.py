"""Sorts PostgreSQL errors by what they mean to the tool.

Sorted by SQLSTATE, never by message text (messages are translated, and they quote values).
"""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """What an error says about the cluster it came from."""

    UNREACHABLE = "unreachable"  # no connection, or it was lost: counts for the breaker
    OVERLOADED = "overloaded"  # out of some resource, or too slow: counts for the breaker
    CONFLICT = "conflict"  # deadlock, serialization, lock not available: try again, counts against neither side
    DATA = "data"  # the row is refused: constraint, type, size
    CALLER = "caller"  # wrong SQL, missing rights, wrong password: the caller's own


_EXACT: dict[str, Fault] = {
    "57014": Fault.OVERLOADED,  # query_canceled: statement_timeout
    "57P01": Fault.UNREACHABLE,  # admin_shutdown
    "57P02": Fault.UNREACHABLE,  # crash_shutdown
    "57P03": Fault.UNREACHABLE,  # cannot_connect_now
    "57P05": Fault.UNREACHABLE,  # idle_session_timeout
    "25006": Fault.UNREACHABLE,  # read_only_sql_transaction: seen during a failover
    "25P03": Fault.UNREACHABLE,  # idle_in_transaction_session_timeout
    "55P03": Fault.CONFLICT,  # lock_not_available
    "40001": Fault.CONFLICT,
    "40P01": Fault.CONFLICT,
    "23503": Fault.CONFLICT,  # in a mirror a missing parent means wait; see docs/protocols.md
    "28P01": Fault.CALLER,
    "3D000": Fault.CALLER,
}
_CLASSES: dict[str, Fault] = {
    "08": Fault.UNREACHABLE,
    "53": Fault.OVERLOADED,
    "57": Fault.OVERLOADED,
    "58": Fault.UNREACHABLE,
    "XX": Fault.UNREACHABLE,
    "40": Fault.CONFLICT,
    "22": Fault.DATA,
    "23": Fault.DATA,
    "54": Fault.DATA,  # program_limit_exceeded: a row or value too large
}


def fault_of(sqlstate: str | None) -> Fault:
    """Return what *sqlstate* means; None (the connection broke before any answer) is UNREACHABLE."""
    if not sqlstate:
        return Fault.UNREACHABLE
    return _EXACT.get(sqlstate) or _CLASSES.get(sqlstate[:2], Fault.CALLER)


def counts_for_breaker(fault: Fault) -> bool:
    """Return whether *fault* says something about the cluster's health, whichever server reports it."""
    return fault in (Fault.UNREACHABLE, Fault.OVERLOADED)


FOLLOWS = "25P02"
"""in_failed_sql_transaction: says only that an earlier statement failed."""

_LOST = ("57P01", "57P02", "57P03", "57P05", "25P03")


def is_lost(sqlstate: str | None) -> bool:
    """Return whether the connection was lost or refused: then no other server has to be asked whose fault that is."""
    return not sqlstate or sqlstate.startswith("08") or sqlstate in _LOST


def is_wrapper(sqlstate: str) -> bool:
    """Return whether a router may have wrapped another error in this one, and lost its SQLSTATE.

    Source: Aurora User Guide, limitless query tracing: "failed to execute remote query", the cause in DETAIL.
    """
    return sqlstate.startswith("XX")


_OF_THE_SCHEMA = ("42", "3F", "0A", "28")


def points_at_cluster(sqlstate: str) -> bool:
    """Return whether an error rather speaks against a copy of the schema or the cluster than against a value.

    A right, a table, a function or a feature that is not there was there when the application was written; that a
    number is too large is in the data, which both sides share. Decides only where nothing better is known.
    """
    return sqlstate[:2] in _OF_THE_SCHEMA or counts_for_breaker(fault_of(sqlstate))
