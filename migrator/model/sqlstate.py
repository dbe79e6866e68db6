"""Sorts PostgreSQL errors by what they mean to the tool.

Sorted by SQLSTATE, never by message text (messages are translated, and they quote values).
"""

from __future__ import annotations

from collections.abc import Set
from enum import StrEnum


class Fault(StrEnum):
    """What an error says about the cluster it came from."""

    UNREACHABLE = "unreachable"  # no connection, or it was lost: counts for the breaker
    OVERLOADED = "overloaded"  # out of some resource, or too slow: counts for the breaker
    CONFLICT = "conflict"  # deadlock, serialization, lock not available: try again, counts against neither side
    DATA = "data"  # the row is refused: constraint, type, size
    CALLER = "caller"  # wrong SQL, missing rights, wrong password: the caller's own


READ_ONLY = "25006"
"""read_only_sql_transaction: in a write, the server is a writer no longer; in a read, the statement is none."""

_EXACT: dict[str, Fault] = {
    "57014": Fault.OVERLOADED,  # query_canceled: statement_timeout
    "57P01": Fault.UNREACHABLE,  # admin_shutdown
    "57P02": Fault.UNREACHABLE,  # crash_shutdown
    "57P03": Fault.UNREACHABLE,  # cannot_connect_now
    "57P05": Fault.UNREACHABLE,  # idle_session_timeout
    READ_ONLY: Fault.UNREACHABLE,  # read_only_sql_transaction: a writer that failed over. Not of a read: see below
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
    return not made_by_a_read(sqlstate) and (sqlstate[:2] in _OF_THE_SCHEMA or counts_for_breaker(fault_of(sqlstate)))


_OF_A_READ = frozenset((
    "25001", READ_ONLY,  # SET TRANSACTION too late, VACUUM; a change in a block that only reads
    "25P02",  # says only that an earlier statement failed
    "25P03", "25P04",  # idle_in_transaction_session_timeout, transaction_timeout: the block took too long
    "08P01",  # where the connection lives on: a statement with more or fewer parameters than it names
    "53400",  # configuration_limit_exceeded: its temp_file_limit
    "42601", "42602", "42611", "42622", "42701", "42702", "42712", "42803", "42939",
    "42P02", "42P03", "42P05", "42P08", "42P10", "42P18", "42P19", "42P20",  # its wording
))  # fmt: skip


def made_by_a_read(sqlstate: str) -> bool:
    """Return whether a statement of a read makes this error by itself, whichever server it is sent to.

    Only what PostgreSQL (appendix A) raises for the text of a statement, its parameters and its session's own limits.
    What another schema, right or version may be the cause of is not among them.
    """
    return sqlstate in _OF_A_READ or sqlstate.startswith("54")  # too complex, too deep, too long


CANCELED = "57014"
"""query_canceled: by a timeout, or by who asked for it."""

_ENDED_BLOCKS = frozenset(("25P03", "25P04"))


def ended_by_caller(sqlstates: Set[str]) -> bool:
    """Return whether the server closed the connection because the application's block took too long."""
    return not _ENDED_BLOCKS.isdisjoint(sqlstates)


def is_lost_in_a_read(sqlstate: str) -> bool:
    """Return whether an error that a read was told means that the connection, or one behind the router, was lost."""
    return is_lost(sqlstate) and not made_by_a_read(sqlstate)
