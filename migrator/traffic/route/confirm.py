"""Waits until every process has confirmed a route change.

A process confirms by itself, with the epoch in its heartbeat; one that is silent for longer than its staleness limit
reads classic by itself and waits for fresh routes before it acknowledges a write, so the change need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg

from migrator.control.process import processes
from migrator.poll import until
from migrator.traffic.route.change import reachable


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How far a route change got.

    Attributes:
        processes: live processes, those that confirmed included.
        confirmed: of them, how many have applied it.
        expired: silent for longer than their staleness limit.
        pending: names of live processes that have not confirmed.
    """

    processes: int
    confirmed: int
    expired: int
    pending: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every live process has confirmed and every silent one is past its staleness limit."""
        return not self.pending


def confirmed(conn: psycopg.Connection[Any], epoch: int) -> Confirmation:
    """Return how many processes have applied *epoch*."""
    with reachable():
        registered = processes(conn)
    done = sum(p.applied_epoch >= epoch for p in registered)
    pending = [p.label for p in registered if p.live and p.applied_epoch < epoch]
    return Confirmation(done + len(pending), done, len(registered) - done - len(pending), pending)


def wait_confirmed(conn: psycopg.Connection[Any], epoch: int, timeout_s: float) -> Confirmation:
    """Return as `confirmed` does, once it is complete or the time is up; `complete` says which."""
    return until(
        partial(confirmed, conn, epoch), timeout_s, 0.005, done=lambda c: c.complete, slower=1.5, longest_s=0.1
    )
