"""What one mirror partition works with: connections, members, checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from migrator.dataplane.mirror.batch import TableBatch
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.position import PartitionCheckpoint
from migrator.model.table import Table

Connection = psycopg.AsyncConnection[Any]


@dataclass(slots=True)
class Partition:
    """One partition: its connections, its members, and its checkpoint.

    Attributes:
        reader: classic, for the snapshot; hash and merge joins are off, so that a few dirty keys never read a
            whole table because their number was guessed wrong.
        control: classic, commits on its own (tokens, fences, publishing).
        members: tenants that follow classic (`batch.REFERENCE` in partition 0).
        unmirrored: tenants seen in the journal that are not members; reported to classic once.
        fresh_at: monotonic time at which the position's snapshot was taken.
        applied: rows written since this mirror started.
        shape: what `control.tables.VERSIONS` was in the snapshot that *tables* were read in; -1: the next cycle reads
            them again.
        mark: what `control.watch.MARK` was when capture was last found intact, at `watched` (monotonic).
        shape_mark: the same of `SHAPE_MARK`, which is read less often; last at `glanced` (monotonic).
        classic_dsn: for one more connection at the reader's snapshot, when a batch is large.
        held_back: the batch that a foreign key on Limitless refused last; see `mirror.foreign_key_wait`.
        marked: tenants whose changed_at on classic is recent enough, since `marked_since` (monotonic).
    """

    part: int
    tables: Mapping[int, Table]
    reader: Connection
    control: Connection
    limitless: Connection
    stand: PartitionCheckpoint
    options: MirrorOptions
    members: set[str]
    classic_dsn: str = field(default="", repr=False)
    unmirrored: set[str] = field(default_factory=set)
    fresh_at: float = 0.0
    applied: int = 0
    shape: int = -1
    mark: str = ""
    watched: float = float("-inf")
    shape_mark: str = ""
    glanced: float = float("-inf")
    held_back: list[TableBatch] = field(default_factory=list)
    marked: set[str] = field(default_factory=set)
    marked_since: float = 0.0

    def ordered(self) -> list[tuple[int, Table]]:
        """Tables of this partition (with tenants, or without for partition 0), parents first."""
        return [(n, t) for n, t in self.tables.items() if t.sharded == (self.part != 0)]
