"""The parts of a connection string, by libpq's names."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import conninfo, pq

from migrator.errors import UsageError

RANDOM_HOSTS = pq.version() >= 160_000
"""Whether this libpq knows load_balance_hosts; an older one refuses what it does not know."""


def parts_of(text: str) -> dict[str, Any]:
    """Return the parts of a connection string. Raises UsageError, which does not show it."""
    try:
        return dict(conninfo.conninfo_to_dict(text))
    except psycopg.ProgrammingError:
        raise UsageError(
            "the connection string cannot be read (not shown)",
            hint="Use postgresql://user:password@host:port/database or key=value pairs.",
        ) from None


def spread(parts: dict[str, Any]) -> dict[str, Any]:
    """Return *parts* of a connection to Limitless, several hosts of which are its routers: any of them answers.

    Each connection begins with another host, unless load_balance_hosts says otherwise; a host that does not accept it
    is passed over.
    """
    if RANDOM_HOSTS and "," in str(parts.get("host") or parts.get("hostaddr") or ""):
        parts.setdefault("load_balance_hosts", "random")
    return parts
