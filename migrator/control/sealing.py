"""Seals the decision log, verifies it, and writes the head of its chain down on Limitless.

Writers append and never wait for each other. A sealer numbers what is committed, a batch in each transaction; one at a
time, and a killed one leaves nothing behind. Workers seal every few seconds, and a verification begins with it.
What was not sealed yet is not protected yet: seconds, while a worker runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

from migrator.control.chain import Anchor, Entry, Seal, Verified, verify
from migrator.db.named import load
from migrator.errors import ClusterUnavailable
from migrator.poll import until

Connection = psycopg.Connection[Any]

BATCH = 2_000
"""Entries sealed in one transaction: about a tenth of a second."""

ANCHORS = 200
"""Anchors kept on Limitless."""

_TURN_S = 20.0
_LOOK_S = 0.05
_SQL = load("migrator.control", "sealing.sql")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal. `hash` in hexadecimal digits; both empty where nothing is sealed."""

    seq: int = 0
    hash: str = ""


def seal(conn: Connection, *, everything: bool = False) -> int | None:
    """Seal one batch in the caller's transaction, or in one of its own on an autocommit connection.

    Args:
        everything: look through the whole log, not only where something new may be.

    Returns:
        How many entries were sealed; None while another session seals.
    """
    row = conn.execute(_SQL["seal"], {"most": BATCH, "everything": everything}).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def seal_all(conn: Connection) -> int:
    """Seal everything that is committed, batch by batch; return how many entries that were.

    Raises:
        ClusterUnavailable: another session has been sealing for 20 s and does not end.
    """
    done = 0
    while True:
        turn: list[int] = []
        if not until(partial(_seal_into, conn, turn), _TURN_S, _LOOK_S):
            raise ClusterUnavailable(
                "classic",
                f"another session has held the chain of the decision log for {_TURN_S:.0f} s",
                "Find it in pg_locks: it holds migrator.decision_chain.",
            )
        done += turn[0]
        if turn[0] < BATCH:
            return done


def _seal_into(conn: Connection, turn: list[int]) -> bool:
    sealed = seal(conn, everything=True)
    if sealed is None:
        return False
    turn.append(sealed)
    return True


def seal_step(conn: Connection) -> bool:
    """Seal one batch of what is new; return whether there is more. To be called every few seconds."""
    return (seal(conn) or 0) >= BATCH


def seal_missed(conn: Connection) -> bool:
    """Do the same for an entry that came so late that nothing looks for it any more. To be called now and then."""
    return (seal(conn, everything=True) or 0) >= BATCH


def head(conn: Connection) -> Head:
    """Return the newest seal of the log on classic."""
    row = conn.execute(_SQL["head"]).fetchone()
    return Head(int(row[0]), str(row[1])) if row else Head()


def read_chain(conn: Connection) -> Iterator[tuple[Seal, Entry | None]]:
    """Yield the chain in its order with the entries it seals; at one snapshot, a batch in memory at a time."""
    with conn.transaction(), conn.cursor("migrator_chain") as cursor:
        cursor.itersize = BATCH
        for row in cursor.execute(_SQL["chain"]):
            entry = Entry(*row[7:]) if row[7] is not None else None
            yield Seal(*row[:7]), entry


def unsealed(conn: Connection) -> list[Entry]:
    """Return the entries that are not sealed yet, the oldest first."""
    return [Entry(*row) for row in conn.execute(_SQL["unsealed"])]


def newest(conn: Connection, limit: int) -> list[tuple[Entry, int | None, str | None]]:
    """Return the newest entries, the oldest of them first, with number and hash of their seals; None: not sealed."""
    rows = conn.execute(_SQL["newest"], {"limit": limit}).fetchall()
    return [(Entry(*row[2:]), row[0], row[1]) for row in rows]


def forgiven(conn: Connection) -> list[str]:
    """Return the hashes of anchors whose loss a person accepted, as after classic was restored."""
    return [str(hash_) for (hash_,) in conn.execute(_SQL["forgiven"]) if hash_]


def anchors(limitless: Connection) -> list[Anchor]:
    """Return the heads that were written down on Limitless, the newest first."""
    return [Anchor(int(seq), str(hash_), "Limitless") for seq, hash_, _ in limitless.execute(_SQL["anchors"])]


def verify_log(conn: Connection, held_to: tuple[Anchor, ...] = ()) -> Verified:
    """Seal what is there, then recompute the whole chain and hold it to *held_to*.

    Raises:
        ClusterUnavailable: another session does not end sealing.
    """
    seal_all(conn)
    found = verify(read_chain(conn), held_to, forgiven(conn))
    found.unsealed = len(unsealed(conn))
    return found


def anchor(classic: Connection, limitless: Connection) -> Anchor | None:
    """Write the head of the chain down on Limitless, unless the newest anchor there is not of this chain.

    Returns:
        The anchor that this chain does not hold; None where all is well. Then nothing was written: an altered log must
        not get an anchor of its own.
    """
    now = head(classic)
    known = anchors(limitless)
    accepted = set(forgiven(classic))
    last = next((a for a in known if a.hash not in accepted), None)
    if last is not None:
        row = classic.execute(_SQL["hash_at"], {"seq": last.seq}).fetchone()
        if row is None or row[0] != last.hash:
            return last
    if now.seq and (last is None or now.seq > last.seq):
        limitless.execute(_SQL["put_anchor"], {"seq": now.seq, "hash": now.hash})
        limitless.execute(_SQL["forget_anchors"], {"kept": ANCHORS})
    return None
