"""Makes small tables small again whose rows are written all the time.

Heartbeats of processes and positions of mirrors are single rows, updated in place (HOT), so their tables stay as they
are for months: dead versions are pruned by the next update of the page. While a transaction stays open on classic for
long, nothing is pruned, and each update makes the table larger. Afterwards a vacuum finds the room, but the rows stay
at the end of a long file, and every look at them reads all of it. Then the table is written anew, which takes
milliseconds of an exclusive lock.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "compact.sql")

TABLES = ("heartbeat", "position", "process", "worker")
"""One row per partition, process or worker."""

LARGE_BYTES = 4 * 2**20
"""With 500 processes and 64 partitions all of them stay below 1 MB."""

DEAD = 5_000
"""Versions that a vacuum had to leave: as long as there are more, a long transaction needs them."""

LOCK_TIMEOUT = "100ms"
"""Heartbeats and looks queue behind the lock: no longer than they take on a busy machine anyway."""


def compact(conn: Connection) -> bool:
    """Write anew what has become large, outside a transaction; False, as there is never more to do at once.

    A table that is busy is left for the next time.
    """
    values = {"tables": list(TABLES), "bytes": LARGE_BYTES, "dead": DEAD}
    names = [str(name) for (name,) in conn.execute(_SQL["bloated"], values).fetchall()]
    if names:
        before = conn.execute("SELECT current_setting('lock_timeout')").fetchone()
        conn.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
        try:
            for name in names:
                _rewrite(conn, name)
        finally:
            conn.execute("SELECT set_config('lock_timeout', %s, false)", before)
    return False


def _rewrite(conn: Connection, name: str) -> None:
    try:
        conn.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier("migrator", name)))
    except psycopg.errors.LockNotAvailable:
        return
