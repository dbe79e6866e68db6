"""A router: reads of the bound tenant go to an alias of routed reads, without a change of any query.

    DATABASES["reads"] = {"ENGINE": "migrator.django.backend", "MIGRATOR": {"reads_of": "default"}}
    DATABASE_ROUTERS = ["migrator.django.router.Router"]

To route single queries takes no router: `Order.objects.using("reads")`, or `reading()`.
"""

from __future__ import annotations

from typing import Any

from migrator.django.options import options_of
from migrator.django.scope import current


class Router:
    """Sends reads outside of transactions to the alias that has `reads_of`, while a tenant is bound."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """Return the alias of routed reads; None leaves it to other routers."""
        from django.db import connections

        if current().tenant is None:
            return None
        for reads, writer in self._pairs().items():
            if connections[writer].in_atomic_block or connections[writer].direct:
                return writer
            return reads
        return None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Return the writer's alias, also for what was read through the other one."""
        instance = hints.get("instance")
        return self._pairs().get(getattr(getattr(instance, "_state", None), "db", None) or "")

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        """Let rows refer to each other that were read through either alias: they are in one database."""
        pairs = self._pairs()
        places = {pairs.get(found, found) for found in (one._state.db, other._state.db)}
        return True if len(places) == 1 else None

    @staticmethod
    def _pairs() -> dict[str, str]:
        """Return aliases of routed reads, with their writers'."""
        from django.conf import settings

        found = {alias: options_of(database)[0].reads_of for alias, database in settings.DATABASES.items()}
        return {alias: writer for alias, writer in found.items() if writer}
