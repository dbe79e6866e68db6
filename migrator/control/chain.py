"""Is the decision log what it was? The hash chain over its entries, recomputed from what is stored. Pure.

Each entry that was sealed has a row in the chain, numbered from 1 on without a gap: `content` is the SHA-256 of the
entry's fields, `hash` that of the row's own fields with the hash of the row before. A field is hashed as its length in
bytes, a colon, its UTF-8 text and a comma; NULL as "-,". `migrator.seal_decisions` on classic computes the same.
What the tool repeated at every check may be gone when it is old; its row in the chain stays, and says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

REPORTED = 100
"""Faults that are kept one by one; further ones are counted."""

AT_UPGRADE = "sealed at upgrade"
"""Note of a seal over an entry that was there before the chain: as it was then, whatever had been done to it."""

EMPTY = ""
"""Hash before the first row."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the decision log, every value as it is hashed.

    Attributes:
        id: migrator.decision.id.
        at: in UTC, "2026-11-29T20:00:00.000000Z".
        login: the role that was logged in; None for entries from before version 3.
        before, after: the text of the jsonb value, exactly as PostgreSQL gives it.
    """

    id: int
    at: str
    who: str
    login: str | None
    kind: str
    subject: str
    before: str | None
    after: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Seal:
    """A row of the chain. `content`, `prev` and `hash` in hexadecimal digits; `repeated`: its entry may be gone."""

    seq: int
    entry: int
    content: str
    repeated: bool
    note: str
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of the chain as somebody saw it. `seq` 0: not known, the hash alone is looked for."""

    seq: int
    hash: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is not as it was. `seq` and `entry`: of the first row it shows in; 0 where there is none."""

    seq: int
    entry: int
    text: str


@dataclass(slots=True)
class Verified:
    """What a verification found; `faults` in the order of the chain, the first `REPORTED` of them."""

    sealed: int = 0
    head: str = EMPTY
    thinned: int = 0
    at_upgrade: int = 0
    unsealed: int = 0
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)
    accepted: list[Anchor] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        return not self.fault_count

    def blame(self, seq: int, entry: int, text: str) -> None:
        self.fault_count += 1
        if len(self.faults) < REPORTED:
            self.faults.append(Fault(seq, entry, text))


def content_of(entry: Entry) -> str:
    """Return the SHA-256 of an entry's fields, in hexadecimal digits."""
    return _sha256(
        (str(entry.id), entry.at, entry.who, entry.login, entry.kind, entry.subject, entry.before, entry.after,
         entry.reason)
    )  # fmt: skip


def hash_of(seal: Seal) -> str:
    """Return the SHA-256 of a chain row's fields, in hexadecimal digits."""
    return _sha256((str(seal.seq), seal.prev, seal.content, "true" if seal.repeated else "false", seal.note))


def _sha256(fields: Sequence[str | None]) -> str:
    digest = hashlib.sha256()
    for value in fields:
        if value is None:
            digest.update(b"-,")
        else:
            text = value.encode()
            digest.update(b"%d:%b," % (len(text), text))
    return digest.hexdigest()


def verify(
    rows: Iterable[tuple[Seal, Entry | None]], anchors: Sequence[Anchor] = (), forgiven: Iterable[str] = ()
) -> Verified:
    """Recompute the chain over *rows*, in order of `seq`, and hold it to *anchors*.

    Reads each row once; memory does not grow with their number.

    Args:
        rows: every row of the chain with the entry it seals, None where that is gone.
        anchors: heads that were written down elsewhere: each must be in the chain.
        forgiven: hashes of anchors whose loss was accepted by an entry of the log (`log.restored`).
    """
    found = Verified()
    wanted = {anchor.hash for anchor in anchors}
    seen: dict[str, int] = {}
    for seal, entry in _in_turn(rows, found):
        if seal.note == AT_UPGRADE:
            found.at_upgrade += 1
        if entry is None:
            if seal.repeated:
                found.thinned += 1
            else:
                found.blame(seal.seq, seal.entry, f"entry {seal.entry} was deleted")
        elif content_of(entry) != seal.content:
            found.blame(seal.seq, seal.entry, f"entry {seal.entry} was altered: {entry.kind} of {entry.at}")
        if seal.prev != found.head:
            found.blame(seal.seq, seal.entry, f"the chain is broken before entry {seal.entry}: it follows another hash")
        if hash_of(seal) != seal.hash:
            found.blame(seal.seq, seal.entry, f"the seal of entry {seal.entry} was altered")
        found.head = seal.hash
        if seal.hash in wanted:
            seen[seal.hash] = seal.seq
    _hold_to(anchors, seen, set(forgiven), found)
    return found


def _in_turn(rows: Iterable[tuple[Seal, Entry | None]], found: Verified) -> Iterator[tuple[Seal, Entry | None]]:
    expected = 1
    for seal, entry in rows:
        if seal.seq != expected:
            missing = f"seal {expected}" if seal.seq == expected + 1 else f"seals {expected} to {seal.seq - 1}"
            found.blame(expected, 0, f"{missing} of the chain: missing, or not in its place")
        expected = seal.seq + 1
        found.sealed += 1
        yield seal, entry


def _hold_to(anchors: Sequence[Anchor], seen: dict[str, int], forgiven: set[str], found: Verified) -> None:
    for anchor in anchors:
        if seen.get(anchor.hash) == anchor.seq or (not anchor.seq and anchor.hash in seen):
            continue
        if anchor.where and anchor.hash in forgiven:  # one that an auditor brought is never forgiven
            found.accepted.append(anchor)
            continue
        name = f"{anchor.hash[:16]}…{f' on {anchor.where}' if anchor.where else ''}"
        if anchor.seq > found.sealed:
            found.blame(
                anchor.seq, 0,
                f"the log ends at seal {found.sealed}, and the anchor {name} names seal {anchor.seq}:"
                " entries were cut off its end, or classic was restored",
            )  # fmt: skip
        else:
            where = f"seal {anchor.seq}" if anchor.seq else "any seal"
            found.blame(anchor.seq, 0, f"the anchor {name} is not the hash of {where}: what came before was rewritten")
