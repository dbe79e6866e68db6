"""Looks at the head of classic's control tables: what changed, if anything, and the positions. One message.

An idle process does nothing else, so its statements are few and plain: their plans are made anew each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from migrator.model.position import Snapshot
from migrator.model.route import WriteMode
from migrator.shim.link import Link
from migrator.shim.view import View, lagging


@dataclass(frozen=True, slots=True)
class Look:
    """One reading, in one snapshot.

    Attributes:
        mark: of *epoch*; positions of another history cover nothing of this one.
        positions: by partition, pg_snapshot as text and its age in s by classic's clock.
    """

    epoch: int
    mark: str
    write_mode: WriteMode
    positions: Mapping[int, tuple[str, float]]

    @classmethod
    def of(cls, rows: Sequence[Sequence[str | None]]) -> Self | None:
        """Return the rows of statements.LOOK as a value; None when classic marks no epoch."""
        if not rows:
            return None
        epoch, mark, mode = rows[0][:3]
        found = {
            int(part): (snapshot, float(age)) for *_, part, snapshot, age in rows if part and snapshot and age
        }  # fmt: skip
        return cls(int(epoch or -1), mark or "", WriteMode(mode or ""), found)

    def snapshots(self) -> dict[int, str]:
        """Return the positions without their ages."""
        return {part: snapshot for part, (snapshot, _) in self.positions.items()}

    def finds(self, view: View) -> bool:
        """Return whether the routes of *view* are those of this moment."""
        return (self.epoch, self.mark, self.write_mode) == (view.epoch, view.mark, view.write_mode)


def with_positions(view: View, look: Look, max_lag_s: float) -> View:
    """Return *view* with the positions of *look*, which `finds` it; the same object when there is nothing new."""
    mask = lagging({part: age_s for part, (_, age_s) in look.positions.items()}, max_lag_s)
    known = {part: (str(snapshot), snapshot) for part, snapshot in view.positions.items()}
    positions = {}
    for part, (text, _) in look.positions.items():
        before = known.get(part)
        positions[part] = before[1] if before is not None and before[0] == text else Snapshot.parse(text)
    if positions == view.positions and mask == view.lagging:
        return view
    return replace(view, positions=positions, lagging=mask)


def ask(link: Link, message: str) -> list[list[str | None]]:
    """Send *message*, which may be several statements; return the rows of the last one, as the server's texts.

    Raises:
        psycopg.Error: a statement was refused, or the connection was lost.
    """
    pgconn = link.conn.pgconn
    with link.conn.lock:
        results: list[PGresult] = link.conn.wait(_conversation(pgconn, message.encode()))
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        if result.command_status == b"ROLLBACK":  # in the place of a COMMIT
            raise psycopg.OperationalError("classic rolled the heartbeat back")
    last = results[-1]
    columns = range(last.nfields)
    return [[_text(last.get_value(row, column)) for column in columns] for row in range(last.ntuples)]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _conversation(pgconn: PGconn, message: bytes) -> PQGen[list[PGresult]]:
    pgconn.send_query(message)
    results: list[PGresult] = yield from generators.execute(pgconn)
    return results
