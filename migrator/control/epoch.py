"""When does another history of classic begin?

Epochs order the changes of routes within one history. After classic was restored or lost its tail it hands out the same
numbers again, so each carries a mark (migrator.epoch_mark) that never comes again.
"""

from __future__ import annotations

from typing import Any

import psycopg


def begin_history(classic: psycopg.Connection[Any]) -> None:
    """Let every process and every token of before count as of another history, in the caller's transaction.

    Processes read all routes again before they answer anything; a read that is given an older token goes to classic.
    """
    classic.execute("UPDATE migrator.switch SET epoch = epoch + 1")  # its trigger makes the new mark
    classic.execute("DELETE FROM migrator.epoch_mark m USING migrator.switch s WHERE m.epoch < s.epoch")
    classic.execute("SELECT pg_notify('migrator', 'route')")
