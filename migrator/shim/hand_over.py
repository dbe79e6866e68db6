"""When a write on Limitless may return: once no process reads classic under routes of before the hand-over.

Either all live processes have applied the hand-over; or so much time has passed since this process learnt of it that
routes of before it have run out in all of them: none was read later than the hand-over, and each is valid for its
process' staleness limit. Under routes that have run out a process asks classic for the write mode; see read.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import psycopg

from migrator.errors import ClusterUnavailable
from migrator.model.route import WriteMode
from migrator.shim import statements as st
from migrator.shim.current_view import CurrentView
from migrator.shim.pool import Pool
from migrator.shim.settings import Settings
from migrator.shim.steps import got
from migrator.shim.view import View

Until = Callable[[Callable[[View], bool], float], "bool | Awaitable[bool]"]
"""Waits until the current view satisfies something, or so many seconds are over; returns whether it did."""

FURTHER_S = 5.0
"""A write waits so much longer than a process needs to apply a change, or to fall silent; then something is wrong."""


async def wait_until_known(current: CurrentView, settings: Settings, until: Until) -> float | None:
    """Return None when every read that starts now goes to Limitless; else how long that was waited for, in s."""
    if current.known_to_all:
        return None
    started_s = current.now_s()
    final_s = started_s + settings.registered_s + 2 * settings.poll_s + FURTHER_S
    with current.attention():
        while not current.known_to_all:
            now = current.now_s()
            silent_s = current.settled_s + max(settings.registered_s, current.longest_s)
            if now >= silent_s:
                current.all_know()
            elif now >= final_s:
                return now - started_s
            else:
                await got(until(lambda _: current.known_to_all, max(0.001, min(silent_s, final_s) - now)))
    return None


def settled_on(limitless: Pool, current: CurrentView) -> bool:
    """Return whether Limitless says that the migration is over; note in *current* when all processes know that."""
    try:
        link = limitless.connect()
    except ClusterUnavailable:
        return False
    try:
        found = link.conn.execute(st.SETTLED)
        said = dict(zip([c.name for c in found.description or ()], found.fetchone() or (), strict=False))
        if said.get("retiring_try") is not None:
            current.all_know()  # classic is retired no sooner
        return said.get("write_mode") == WriteMode.LIMITLESS_ONLY
    except psycopg.Error:
        return False  # the table exists only after the hand-over
    finally:
        link.close()
