"""Write tokens, and the session token that carries several of them as text from one process to the next. Pure.

A session token names writes that a read has to see. It stays small, because of two writes of one session that came one
after the other the later one speaks for both: classic ends transactions one after the other, so a snapshot that sees
the later one sees the earlier one too. That holds per mirror partition (each has a position of its own), and across a
restore of classic as well: what was restored comes before everything that is committed afterwards, and what was not
restored is lost.
"""

from __future__ import annotations

import base64
import functools
import math
import operator
import re
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from migrator.errors import TokenInvalid
from migrator.shim.view import ALL_PARTS, REFERENCE_BIT, View, parts_of

MAX_WRITES = 16
"""A session token names at most so many writes. More (of threads that write at the same time) are named together, as
everything up to the last of them: a read then waits, or goes to classic, a little longer than it must."""

MAX_TEXT = 1024
"""No session token is longer, in characters; one write takes about 50."""

_VERSION = "m1"
_CONTRACT = "w1-"
_WRITE = re.compile(r"w1-([0-9]{1,18})-([0-9a-f]{32})-([0-9]{1,19})-([0-9]{1,19})", re.ASCII)
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SAME, _UUID, _LSN, _UP_TO = 1, 2, 4, 8
"""Flags of a write: labelled as the one before; its mark is a uuid; it has an LSN; `up_to`."""


@dataclass(frozen=True, slots=True)
class Token:
    """Names one committed write: a read given it sees that write.

    Attributes:
        xid: its transaction on classic; 0 for a write on Limitless, after the hand-over.
        parts: bit mask of the mirror partitions it touched.
        epoch, mark: the route epoch it saw, with its mark: the history of classic in which *xid* means something.
        lsn: a position in classic's WAL at or after the end of its commit, in bytes; None when it was not asked for.
        up_to: it names every transaction up to *xid*.
    """

    xid: int
    parts: int
    epoch: int = -1
    mark: str = ""
    lsn: int | None = None
    up_to: bool = False


ON_LIMITLESS = Token(0, ALL_PARTS)
"""Names every write on Limitless: no read on classic sees any of them."""


@dataclass(frozen=True, slots=True)
class SessionToken:
    """Names the writes that a read has to see. `str()` is its text, for a cookie, a header or a URL: A-Z a-z 0-9 - _.

    It is no secret and no proof of anything: it says which side may answer, never whose data may be read.
    """

    writes: tuple[Token, ...] = ()

    @property
    def lsn(self) -> int | None:
        """The position in classic's WAL that all of it is before; None when that is not known of a write."""
        lsns = [-1 if w.lsn is None else w.lsn for w in self.writes]
        return None if -1 in lsns else max(lsns, default=0)

    @property
    def on_limitless(self) -> bool:
        """Whether a write in it was made on Limitless, so that classic does not have it."""
        return any(w.xid == ON_LIMITLESS.xid for w in self.writes)

    def missing(self, view: View, part: int) -> bool:
        """Return whether a read on Limitless of a tenant in partition *part* could miss a write in it."""
        mask = 1 << part | REFERENCE_BIT
        return any(w.parts & mask and not _held(view, w, w.parts & mask) for w in self.writes)

    def after(self, write: Token, known: Sequence[Token] = ()) -> SessionToken:
        """Return this with *write* added.

        Args:
            known: writes that had returned before the COMMIT of *write* was sent. *write* speaks for them in the
                partitions it touched. Only for a COMMIT that was answered.
        """
        if self.on_limitless or write.xid == ON_LIMITLESS.xid:
            return SessionToken((ON_LIMITLESS,))  # which has all that classic ever had
        before = set(known)
        return _small([_followed(w, write) if w in before else w for w in self.writes if w != write] + [write])

    def merged(self, other: SessionToken) -> SessionToken:
        """Return what names the writes of both."""
        if self.on_limitless or other.on_limitless:
            return SessionToken((ON_LIMITLESS,))
        return _small(list(dict.fromkeys((*self.writes, *other.writes))))

    def trimmed(self, view: View) -> SessionToken:
        """Return this without the partitions that hold a write already: positions never go back within a history."""
        if view.settled:
            return SessionToken((ON_LIMITLESS,)) if self.on_limitless else SessionToken()
        return _small([replace(w, parts=0) if w.xid and _held(view, w, w.parts) else w for w in self.writes])

    def __str__(self) -> str:
        body = bytes([len(self.writes)]) + b"".join(map(_write, self.writes, (None, *self.writes)))
        return _VERSION + base64.urlsafe_b64encode(_summed(body)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> SessionToken:
        """Return what `str()` made *text* of; or the write tokens of the contract in SQL, with dots between them.

        Raises:
            TokenInvalid: it is not such a text, it was damaged, or a later release made it.
        """
        if text.startswith(_CONTRACT):
            return _of_contract(text)
        if len(text) > MAX_TEXT or not _ALPHABET.fullmatch(text) or len(text) < 8:
            raise TokenInvalid("it is not a session token, or part of one")
        if text[:2] != _VERSION:
            raise TokenInvalid(f"its version is {text[:2]}, this release reads {_VERSION}")
        try:
            found = _read(base64.urlsafe_b64decode(text[2:] + "=" * (-len(text[2:]) % 4)))
        except (ValueError, IndexError):
            raise TokenInvalid("it was cut off or changed on its way") from None
        if str(found) != text:
            raise TokenInvalid("it was cut off or changed on its way")
        return found


def _of_contract(text: str) -> SessionToken:
    if len(text) > 2 * MAX_TEXT:
        raise TokenInvalid("it names more writes than a session token may")
    found = SessionToken()
    for part in text.split("."):
        if part == _CONTRACT + "over":
            found = found.merged(SessionToken((ON_LIMITLESS,)))
            continue
        fields = _WRITE.fullmatch(part)
        if fields is None or int(fields[4]) > ALL_PARTS:
            raise TokenInvalid("it was cut off or changed on its way")
        mark = str(uuid.UUID(fields[2]))
        found = found.merged(SessionToken((Token(int(fields[3]), int(fields[4]), int(fields[1]), mark),)))
    return found


def session_token(given: SessionToken | Token | str | bytes | None) -> SessionToken | None:
    """Return a token in whichever form an application has it; None for none. Some frameworks give cookies as bytes.

    Raises:
        TokenInvalid: it cannot be read, or is of another type.
    """
    if given is None or isinstance(given, SessionToken):
        return given
    if isinstance(given, Token):
        return SessionToken((given,))
    if isinstance(given, bytes):
        given = given.decode("ascii", "replace")
    if not isinstance(given, str):
        raise TokenInvalid(f"it is of type {type(given).__name__}, not text")
    return SessionToken.parse(given)


def _held(view: View, write: Token, parts: int) -> bool:
    if not view.knows(write.epoch, write.mark):
        return False
    if write.up_to:
        return all(p in view.positions and view.positions[p].xmin > write.xid for p in parts_of(parts))
    return not view.behind(write.xid, parts)


def _followed(earlier: Token, later: Token) -> Token:
    """Return what *later* does not speak for of *earlier*, which had returned before.

    It takes the label of *later*: in a history that continues after *later* its number means what it meant, or it was
    lost. One without a history stays so.
    """
    left = earlier.parts & ~later.parts
    if not earlier.mark:
        return replace(earlier, parts=left, lsn=later.lsn)
    return replace(earlier, parts=left, epoch=later.epoch, mark=later.mark, lsn=later.lsn)


def _small(writes: list[Token]) -> SessionToken:
    """Return at most MAX_WRITES that promise no less than *writes*, the newest of them last."""
    # What no partition has to hold any more counts for classic's WAL alone, up to the furthest; unknown is furthest.
    done = max((w for w in writes if not w.parts), key=_reach, default=None)
    rest = [w for w in writes if w.parts]
    if done is not None and not any(_reach(w) >= _reach(done) for w in rest):
        rest = [done, *rest]
    if len(rest) > MAX_WRITES:
        label = rest[-1].epoch, rest[-1].mark
        same = [w for w in rest if (w.epoch, w.mark) == label]
        rest = [*(w for w in rest if w not in same), _together(same, *label)]
    if len(rest) > MAX_WRITES:
        rest = [_together(rest, -1, "")]
    return SessionToken(tuple(rest))


def _reach(write: Token) -> float:
    return math.inf if write.lsn is None else write.lsn


def _together(writes: Sequence[Token], epoch: int, mark: str) -> Token:
    parts = functools.reduce(operator.or_, (w.parts for w in writes))
    return Token(max(w.xid for w in writes), parts, epoch, mark, SessionToken(tuple(writes)).lsn, up_to=True)


# -- the text: a count, the writes, a checksum over all of it. Numbers are seven bits to a byte, the lowest first.


def _summed(body: bytes) -> bytes:
    return body + zlib.crc32(_VERSION.encode() + body).to_bytes(4, "big")


def _write(write: Token, before: Token | None) -> bytes:
    same = before is not None and (before.epoch, before.mark) == (write.epoch, write.mark)
    mark, is_uuid = _mark(write.mark)
    flags = _SAME * same | _UUID * (is_uuid and not same) | _LSN * (write.lsn is not None) | _UP_TO * write.up_to
    label = b"" if same else _number(write.epoch + 1) + (mark if is_uuid else bytes([len(mark)]) + mark)
    lsn = b"" if write.lsn is None else _number(write.lsn)
    return bytes([flags]) + label + _number(write.xid) + _number(write.parts) + lsn


def _mark(mark: str) -> tuple[bytes, bool]:
    try:
        found = uuid.UUID(mark)
    except ValueError:
        return mark.encode()[:255], False
    return (found.bytes, True) if str(found) == mark else (mark.encode()[:255], False)


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _read(data: bytes) -> SessionToken:
    """Raises ValueError or IndexError for what `str()` does not make."""
    body, rest = data[:-4], data[1:-4]
    if _summed(body) != data or body[0] > MAX_WRITES:
        raise ValueError("damaged")
    writes: list[Token] = []
    for _ in range(body[0]):
        write, rest = _read_write(rest, writes)
        writes.append(write)
    if rest:
        raise ValueError("too long")
    return SessionToken(tuple(writes))


def _read_write(data: bytes, before: Sequence[Token]) -> tuple[Token, bytes]:
    flags, data = data[0], data[1:]
    if flags & _SAME:
        epoch, mark = before[-1].epoch, before[-1].mark
    else:
        number, data = _read_number(data)
        size = 16 if flags & _UUID else data[0]
        data = data if flags & _UUID else data[1:]
        epoch, mark = number - 1, str(uuid.UUID(bytes=data[:16])) if flags & _UUID else data[:size].decode()
        data = data[size:]
    xid, data = _read_number(data)
    parts, data = _read_number(data)
    lsn, data = _read_number(data) if flags & _LSN else (None, data)
    return Token(xid, parts, epoch, mark, lsn, bool(flags & _UP_TO)), data


def _read_number(data: bytes) -> tuple[int, bytes]:
    value = 0
    for place in range(10):
        value |= (data[place] & 0x7F) << 7 * place
        if data[place] < 0x80:
            if value >= 1 << 64:
                break
            return value, data[place + 1 :]
    raise ValueError("a number is too large")
