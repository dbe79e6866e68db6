"""The decision log in a dossier: a line for each row of its hash chain, with the entry that it seals. Pure.

Then the entries that were not sealed yet. Every value is as it is hashed (migrator.control.chain), so that the chain
can be recomputed from the dossier alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from migrator.control.chain import Anchor, Entry, Fault, Seal, Verified, verify


@dataclass(slots=True)
class Followed:
    """A log that was read from its first line to its last. `unsealed`: entries behind the chain."""

    verified: Verified
    unsealed: int = 0

    @property
    def entries(self) -> int:
        return self.verified.sealed + self.unsealed


def dumped(seal: Seal | None, entry: Entry | None) -> bytes:
    """Return a line of the log."""
    body = {"seal": seal and asdict(seal), "decision": entry and asdict(entry)}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def parsed(line: bytes) -> tuple[Seal | None, Entry | None]:
    """Return what is in a line.

    Raises:
        ValueError: it is no line of a log.
    """
    try:
        body = json.loads(line)
        seal, entry = body["seal"], body["decision"]
        return (None if seal is None else Seal(**seal)), (None if entry is None else Entry(**entry))
    except (KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None


def follow(lines: Iterable[bytes], held_to: Sequence[Anchor] = (), forgiven: Iterable[str] = ()) -> Followed:
    """Recompute the chain over the lines of a log. What cannot be read is a fault, and ends it.

    Args:
        held_to, forgiven: as `migrator.control.chain.verify` takes them.
    """
    unsealed, unreadable, behind = 0, 0, 0
    read = 0

    def chain() -> Iterator[tuple[Seal, Entry | None]]:
        nonlocal unsealed, unreadable, behind, read
        for line in lines:
            read += 1
            try:
                seal, entry = parsed(line)
                usable = seal is None or _sound(seal)
            except ValueError:
                usable = False
            if not usable:
                unreadable = read
                return
            if seal is None:
                unsealed += 1
            else:
                behind = behind or (seal.seq if unsealed else 0)
                yield seal, entry

    found = Followed(verify(chain(), held_to, forgiven))
    found.unsealed = unsealed
    if unreadable:
        found.verified.blame(0, 0, f"line {unreadable} cannot be read")
    if behind:
        found.verified.blame(behind, 0, f"seal {behind} stands behind entries that are not sealed")
    return found


def _sound(seal: Seal) -> bool:
    """Return whether a seal has values of the kinds it must have: it came from a file."""
    return type(seal.seq) is int and all(type(text) is str for text in (seal.content, seal.note, seal.prev, seal.hash))


def shown(fault: Fault) -> str:
    """Return a fault in words, with the seal it shows in."""
    return f"seal {fault.seq}: {fault.text}" if fault.seq else fault.text


def decision(line: bytes) -> dict[str, Any] | None:
    """Return an entry as `migrator report decisions` shows it; None where a line has none."""
    entry = parsed(line)[1]
    if entry is None:
        return None
    values = asdict(entry)
    return {**values, **{name: json.loads(text) if (text := values[name]) else None for name in ("before", "after")}}
