"""Writes to classic what a process measured and which breakers it holds open, for operators and the monitor."""

from __future__ import annotations

import psycopg

from migrator.shim import statements as st
from migrator.shim.breakers import Breakers
from migrator.shim.link import Link
from migrator.shim.metrics import Metrics


class Reports:
    """Of one process; its watcher writes them, about once a second."""

    def __init__(self, process_id: str, metrics: Metrics, breakers: Breakers) -> None:
        self.process_id = process_id
        self._metrics = metrics
        self._breakers = breakers
        self._trips: list[tuple[str, str, str]] = []  # as classic has them

    def write(self, link: Link) -> int:
        """Write samples and the open breakers to classic; return how many samples of reads.

        Raises:
            psycopg.Error: the connection was lost.
        """
        mine = {"process_id": self.process_id}
        rows = 0
        try:
            reads = self._metrics.take_reads()
            if reads is not None:
                rows = len(reads["sides"])
                link.conn.execute(st.SAMPLES, {**mine, **reads})
            shadows = self._metrics.take_shadows()
            if shadows is not None:
                link.conn.execute(
                    st.SHADOWS,
                    {
                        **mine,
                        "compared": shadows.compared,
                        "mismatched": shadows.mismatched,
                        "classic_ms": shadows.classic_ms,
                        "limitless_ms": shadows.limitless_ms,
                    },
                )
            trips = [(scope.value, key, reason) for scope, key, reason in self._breakers.open()]
            if trips or self._trips:
                scopes, keys, reasons = ([t[i] for t in trips] for i in range(3))
                link.conn.execute(st.TRIPS, {**mine, "scopes": scopes, "keys": keys, "reasons": reasons})
                self._trips = trips
            compared = self._metrics.take_shadow_reads()
            if compared is not None:  # last: a control schema of an earlier version has no table for it
                link.conn.execute(st.SHADOW_READS, {**mine, **compared})
        except psycopg.Error:
            if link.closed:
                raise
            # A refused sample must not stop the reading of routes.
        return rows
