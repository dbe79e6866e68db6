"""Raises a shared fallback: the one route change that application processes make themselves."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from migrator.model.route import FallbackScope, Level
from migrator.shim import statements as st
from migrator.shim.link import PINNED


def raise_fallback(
    conn: psycopg.Connection[Any],
    scope: FallbackScope,
    key: str,
    *,
    by: str,
    reason: str,
    level: Level = Level.CLASSIC,
    held: bool = False,
    incident: bool = True,
) -> int:
    """Make reads of what *scope* and *key* cover come from classic; return the epoch to confirm. Owns its transaction.

    Raising what is raised already changes nothing and returns the epoch of the first time, so many processes may
    raise it for the same reason at once. One that was eased (joining) goes back to *level*.

    Args:
        held: a manual fallback: only a person clears it.
        incident: whether it counts against the stabilization window.
    """
    arguments: dict[str, Any] = {
        "scope": scope.value, "key": key, "by": by, "reason": reason, "level": level.value, "held": held,
        "incident": incident,
    }  # fmt: skip
    with conn.transaction():
        conn.execute(f"{PINNED} SET LOCAL lock_timeout = '3s'".encode())
        conn.execute(st.LOCK_SWITCH)
        current = conn.execute(st.FALLBACK, arguments).fetchone()
        if current is not None and Level(current[0]).rank <= level.rank:
            if held and not current[2]:
                conn.execute(st.HOLD_FALLBACK, arguments)
            return int(current[1])
        row = conn.execute(st.NEXT_EPOCH).fetchone()
        assert row is not None  # the switch row is part of the schema
        before = None if current is None else json.dumps({"level": current[0], "epoch": current[1]})
        conn.execute(st.PUT_FALLBACK, {**arguments, "epoch": row[0], "before": before})
        conn.execute(st.ANNOUNCE)
        return int(row[0])
