"""A pg_snapshot as a value: which transactions it covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A `pg_snapshot` as a value: 64-bit transaction ids, never wrapped.

    A transaction is visible when it had committed before the snapshot was taken: below `xmax` and not in `xip`.
    (Aborted ones count as visible too; they left nothing to see.)
    """

    xmin: int
    xmax: int
    xip: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the snapshot that PostgreSQL prints as *text*, for example `10:20:10,14,15`.

        Raises:
            ValueError: if *text* is not a pg_snapshot.
        """
        try:
            xmin, xmax, xip = text.split(":")
            running = frozenset(int(x) for x in xip.split(",") if x)
            snapshot = cls(int(xmin), int(xmax), running)
        except ValueError:
            raise ValueError(f"not a pg_snapshot: {text!r}") from None
        if not 0 < snapshot.xmin <= snapshot.xmax or any(not snapshot.xmin <= x < snapshot.xmax for x in running):
            raise ValueError(f"not a pg_snapshot: {text!r}")
        return snapshot

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.xip)))}"

    def covers(self, xid: int) -> bool:
        """Return whether transaction *xid* had ended before this snapshot."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.xip)

    def includes(self, other: Snapshot) -> bool:
        """Return whether everything *other* sees is seen here too.

        Snapshots of one server grow, so this orders them; equal snapshots include each other.
        """
        if self.xmax < other.xmax:
            return False
        return all(x >= other.xmax or x in other.xip for x in self.xip)


def earliest(snapshots: list[Snapshot]) -> Snapshot:
    """Return the snapshot that all others include.

    Raises:
        ValueError: if *snapshots* is empty.
    """
    lowest_so_far = snapshots[0] if snapshots else None
    if lowest_so_far is None:
        raise ValueError("no snapshots")
    for snapshot in snapshots[1:]:
        if lowest_so_far.includes(snapshot):
            lowest_so_far = snapshot
    return lowest_so_far
