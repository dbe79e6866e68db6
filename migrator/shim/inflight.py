"""Tracks the reads that are on Limitless, and marks those whose answers must be discarded."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.shim.view import View


@dataclass(eq=False, slots=True)
class Flight:
    """One read that may go to Limitless."""

    tenant_id: TenantId
    lease: int = 0
    lowered: bool = False


class Inflight:
    """All of them. A read registers *before* it looks at the routes, so no change can slip in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: set[Flight] = set()

    def begin(self, flight: Flight) -> None:
        with self._lock:
            self._flights.add(flight)

    def end(self, flight: Flight) -> None:
        with self._lock:
            self._flights.discard(flight)

    def lower(self, view: View) -> None:
        """Mark the reads whose tenant may no longer be read from Limitless under *view*.

        Called after the view is replaced and before this process confirms it on classic: a write that
        relies on that confirmation is then never missed by an answer that this process still hands out.
        """
        with self._lock:
            for flight in self._flights:
                if view.level(flight.tenant_id) is not Level.LIMITLESS:
                    flight.lowered = True
