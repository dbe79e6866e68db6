"""What did provisioning make on Limitless?"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "provisioned.sql")


def forget(limitless: Connection, kind: str, schema: str, name: str, detail: str = "") -> None:
    """Forget an object that the caller's transaction drops."""
    limitless.execute(_SQL["forget"], {"kind": kind, "schema": schema, "name": name, "detail": detail})
