"""Remembers on an error of a server which side it came from, and which of the tool's statements it ended.

Only where the statement was sent is that known; where the error becomes a message, it has come a long way.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

_KEY = "migrator_origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an error came from.

    Attributes:
        side: the side as the connection was called when it was opened; empty when it was not.
        statement: file and name of the statement (migrator.db.named); empty when it is composed, or not the tool's.
    """

    side: str = ""
    statement: str = ""


def origin_of(error: psycopg.Error) -> Origin:
    found = getattr(error, _KEY, None)
    return found if isinstance(found, Origin) else Origin()


def remember(error: psycopg.Error, side: str = "", statement: str = "") -> None:
    """Note on *error* what is known of its origin; what was noted nearer to the server stays."""
    known = origin_of(error)
    setattr(error, _KEY, Origin(known.side or side, known.statement or statement))
