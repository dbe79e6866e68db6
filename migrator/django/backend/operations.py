"""Django's operations, where they would ask a server connection."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.operations import DatabaseOperations as PostgreSQLOperations

from migrator.django.connection import ShimConnection
from migrator.django.cursor import merged


class DatabaseOperations(PostgreSQLOperations):
    """Those of Django's PostgreSQL backend."""

    def compose_sql(self, sql: Any, params: Any) -> str:
        """Return *sql* with *params* in it."""
        self.connection.ensure_connection()
        if not isinstance(self.connection.connection, ShimConnection):
            return str(super().compose_sql(sql, params))
        return merged(sql, params, self.connection.connection)
