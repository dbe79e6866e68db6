"""Waits until no mirror, copy or validation works with the old shape of a table.

A mirror reads its tables in the snapshot of a cycle, a validator in the one a mirror lends it, a copy after its
transaction on classic began. So the old shape is out of use when every position includes a snapshot taken after the
change, and then every transaction of a copy or a validator that was open at that moment has ended. A copy without a
session meanwhile loses its lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import not_

from migrator.control.copy_unit import copying_since_before, revoke_leases
from migrator.control.partition import open_positions
from migrator.dataplane.change.progress import Recorded, Work
from migrator.errors import ClusterUnavailable
from migrator.model.position import Snapshot
from migrator.poll import until

_LOOK_S = 0.1
_TELL_EVERY_S = 5.0

_OLDER = """
SELECT application_name FROM pg_stat_activity
 WHERE datname = current_database()
   AND (application_name LIKE 'migrator copy %%' OR application_name LIKE 'migrator validate%%')
   AND xact_start < to_timestamp(%s)
 ORDER BY 1
"""


def wait_seen(work: Work, recorded: Recorded) -> None:
    """Return when nothing works with the shape from before `recorded.at` any more.

    Raises:
        ClusterUnavailable: a mirror, copy or validation still does after `work.timeout_s`.
    """
    wait_since(work, recorded.change.words, recorded.seen_from, recorded.at)


def wait_since(work: Work, words: str, seen_from: Snapshot | None, at: float) -> None:
    """The same for what was committed before the snapshot *seen_from* was taken, *at* (seconds of classic's clock
    since 1970)."""
    deadline = time.monotonic() + work.timeout_s
    _until_nobody(work, words, deadline, lambda: _behind(work, seen_from))
    row = work.classic.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    cutoff = float(row[0]) if row else time.time()
    _until_nobody(work, words, deadline, lambda: _older(work, cutoff))
    _lock_out_the_dead(work, at)


def _until_nobody(work: Work, words: str, deadline: float, look: Callable[[], list[str]]) -> None:
    told = time.monotonic()

    def look_and_tell() -> list[str]:
        nonlocal told
        waiting = look()
        if waiting and time.monotonic() - told > _TELL_EVERY_S:
            work.tell(f"{words}: waiting for {', '.join(waiting)}")
            told = time.monotonic()
        return waiting

    waiting = until(look_and_tell, deadline - time.monotonic(), _LOOK_S, done=not_)
    if waiting:
        raise ClusterUnavailable(
            "the mirror" if "mirror" in waiting[0] else "classic",
            f"{', '.join(waiting)} still works with the old shape after {work.timeout_s:.0f} s",
            "See what stalls it: migrator mirror status; running this again goes on from here.",
        )


def _behind(work: Work, seen_from: Snapshot | None) -> list[str]:
    """Return the mirror partitions whose position does not include the change."""
    return [
        f"mirror partition {part}"
        for part, snapshot in open_positions(work.limitless)
        if seen_from is not None and not Snapshot.parse(snapshot).includes(seen_from)
    ]


def _older(work: Work, cutoff: float) -> list[str]:
    """Return the copies and validators whose transaction on classic began before *cutoff* (classic's clock)."""
    return [str(name) for (name,) in work.classic.execute(_OLDER, (cutoff,))]


def _lock_out_the_dead(work: Work, at: float) -> None:
    """Take their lease from copies that began before and have no session on classic: they may yet commit."""
    old = copying_since_before(work.classic, at)
    if old:
        revoke_leases(work.limitless, old)
