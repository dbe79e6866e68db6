"""Begins another history of classic.

Epochs order the changes of routes within one history. After classic was restored or lost its tail it hands out the same
numbers again, so each carries a mark (migrator.epoch_mark) that never comes again.
"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.db.named import load

_SQL = load("migrator.control", "epoch.sql")


def begin_history(classic: psycopg.Connection[Any]) -> None:
    """Make every process and write token of before count as of another history, in the caller's transaction.

    Processes read all routes again before they answer anything; a read that is given an older token goes to classic.
    """
    for statement in ("next_epoch", "forget_marks", "notify"):
        classic.execute(_SQL[statement])
