"""The container of a dossier: a tar file (POSIX ustar) that has one form only.

Pure. Every byte beside the members' own follows from names, sizes and one moment, so each can be checked: the headers,
the zeros that fill a member up to a block, and the two blocks of zeros at the end, behind which nothing comes. Any
program that reads tar files reads it.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

BLOCK = 512
END = bytes(2 * BLOCK)
CHUNK = 1 << 20
MOST = 8 << 30
"""Bytes of a member: what eleven octal digits can say."""


def header(name: str, size: int, mtime: int) -> bytes:
    """Return the block before a member.

    Raises:
        ValueError: the name or the size does not fit.
    """
    if not 0 <= size < MOST or len(name) > 99 or not name.isascii() or not name.isprintable():
        raise ValueError(f"{name!r} of {size} bytes is no member of a dossier")
    made = tarfile.TarInfo(name)
    made.size, made.mtime, made.mode = size, mtime, 0o444
    return made.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    """Return the zeros behind a member of *size* bytes."""
    return bytes(-size % BLOCK)


@dataclass(slots=True)
class Piece:
    """A member as it lies in the file.

    Attributes:
        at: offset of its header.
        short: how many of its bytes are missing, because the file ends before.
        head: its header's block, as it is.
        kept: its bytes, of members that were asked for.
    """

    name: str
    size: int
    at: int
    head: bytes
    sha256: str = ""
    short: int = 0
    padded: bool = True
    kept: bytes = b""


@dataclass(slots=True)
class Scan:
    """What lies in a file: its pieces, and what is wrong with the file as a whole."""

    pieces: list[Piece] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def scan(file: BinaryIO, keep: dict[str, int]) -> Scan:
    """Read *file* from its beginning to its end, in chunks.

    Args:
        keep: names of members whose bytes are returned, and how many of them at most.
    """
    found = Scan()
    file.seek(0)
    while True:
        at = file.tell()
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            found.problems.append(f"the file ends at byte {at + len(block):,}, in the middle")
            return found
        if not any(block):
            rest = file.read(BLOCK + 1)
            if rest != bytes(BLOCK):
                what = "is cut off" if len(rest) < BLOCK else "is not the last thing in the file"
                found.problems.append(f"the end of the archive at byte {at:,} {what}")
            return found
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
            if info.size < 0 or not info.name.isprintable():  # names are shown on terminals
                raise ValueError
        except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
            where = f"behind {found.pieces[-1].name}" if found.pieces else "of the first member"
            found.problems.append(f"the header {where}, at byte {at:,}, is damaged")
            return found
        piece = _piece(file, info, at, block, keep)
        found.pieces.append(piece)
        if piece.short:
            return found


def _piece(file: BinaryIO, info: tarfile.TarInfo, at: int, block: bytes, keep: dict[str, int]) -> Piece:
    piece = Piece(info.name, info.size, at, block)
    digest, left, kept = hashlib.sha256(), info.size, []
    while left:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            break
        digest.update(chunk)
        left -= len(chunk)
        if info.size <= keep.get(info.name, -1):
            kept.append(chunk)
    piece.sha256, piece.short, piece.kept = digest.hexdigest(), left, b"".join(kept)
    if not left:
        zeros = padding(info.size)
        piece.padded = file.read(len(zeros)) == zeros
    return piece


def lines(file: BinaryIO, piece: Piece) -> Iterator[bytes]:
    """Yield the lines of a member, without their ends; at most 16 MiB each."""
    file.seek(piece.at + BLOCK)
    left, rest = piece.size - piece.short, b""
    while left:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            break
        left -= len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > 16 << 20:
            raise ValueError(f"a line of {piece.name} does not end")
    if rest:
        yield rest
