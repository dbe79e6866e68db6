"""Who may still work with the old shape of a table?

A mirror reads its tables in the snapshot of a cycle, a copy and a validator after their transaction on classic began.
So the old shape is gone when every position includes a snapshot taken after the change, and no transaction of a copy
or a validator is older than it. A copy that died meanwhile is locked out by its lease.
"""

from __future__ import annotations

import time

from migrator.change.work import Recorded, Work
from migrator.errors import ClusterUnavailable
from migrator.model.position import Snapshot

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
    """Return when nobody works with the shape of before `recorded.at` any more.

    Raises:
        ClusterUnavailable: somebody still does after `work.patience_s`.
    """
    began = told = time.monotonic()
    while waiting := _waited_for(work, recorded):
        now = time.monotonic()
        if now - began > work.patience_s:
            raise ClusterUnavailable(
                "the mirror" if "mirror" in waiting[0] else "classic",
                f"{', '.join(waiting)} still works with the old shape after {work.patience_s:.0f} s",
                "See why it stands still: migrator mirror status; running this again goes on from here.",
            )
        if now - told > _TELL_EVERY_S:
            work.tell(f"{recorded.change.words}: waiting for {', '.join(waiting)}")
            told = now
        time.sleep(_LOOK_S)
    _lock_out_the_dead(work, recorded)


def _waited_for(work: Work, recorded: Recorded) -> list[str]:
    rows = work.limitless.execute(
        "SELECT part, snapshot FROM migrator.mirror_position WHERE state = 'open' ORDER BY part"
    )
    since = recorded.seen_from
    behind = [
        f"mirror partition {part}"
        for part, snapshot in rows
        if since is not None and not Snapshot.parse(snapshot).includes(since)
    ]
    return behind + [str(name) for (name,) in work.classic.execute(_OLDER, (recorded.at,))]


def _lock_out_the_dead(work: Work, recorded: Recorded) -> None:
    """Take their lease from copies that began before and have no session on classic: they may yet commit."""
    old = [
        str(unit)
        for (unit,) in work.classic.execute(
            "SELECT unit_id FROM migrator.copy_unit WHERE state = 'copying' AND started_at < to_timestamp(%s)",
            (recorded.at,),
        )
    ]
    if old:
        work.limitless.execute(
            "UPDATE migrator.copy_lease SET epoch = epoch + 1 WHERE unit_id = ANY (%s) AND state = 'copying'", (old,)
        )
