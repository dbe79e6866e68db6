"""Opens input files as text: finds encoding and compression by the first bytes, never by the name."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from migrator.errors import UsageError

HEAD_BYTES = 65_536
_GZIP = b"\x1f\x8b"
_TORN = (gzip.BadGzipFile, EOFError, zlib.error)
_PLAIN = "give the output of pg_dump --schema-only --format=plain"
_REFUSED = (
    (b"PGDMP", f"is a pg_dump archive in custom format, a binary file, and was not read: {_PLAIN}"),
    (b"PK\x03\x04", "is a zip archive, a binary file, and was not read: unpack it"),
    (b"BZh", "is compressed with bzip2, a binary file, and was not read: unpack it"),
    (b"\xfd7zXZ\x00", "is compressed with xz, a binary file, and was not read: unpack it"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd, a binary file, and was not read: unpack it"),
    (b"\x04\x22\x4d\x18", "is compressed with lz4, a binary file, and was not read: unpack it"),
)
_TAR = slice(257, 262)
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Form:
    """How the text of a file is found; `refusal` says why there is none."""

    encoding: str = "utf-8-sig"
    compressed: bool = False
    refusal: str | None = None


def form_of(head: bytes, compressed: bool = False) -> Form:
    """Return the form of a file that begins with *head*, after decompression where *compressed*."""
    if not head:
        return Form(compressed=compressed, refusal="is empty")
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return Form(encoding, compressed)
    for magic, why in _REFUSED:
        if head.startswith(magic):
            return Form(compressed=compressed, refusal=why)
    if head[_TAR] == b"ustar":
        return Form(compressed=compressed, refusal=f"is a tar archive, a binary file, and was not read: {_PLAIN}")
    if b"\x00" not in head:
        return Form(compressed=compressed)
    even, odd = head[::2].count(0), head[1::2].count(0)
    # Text in UTF-16 without its mark: every other byte of ASCII characters is NUL.
    if odd > len(head) // 4 and even * 20 < odd:
        return Form("utf-16-le", compressed)
    if even > len(head) // 4 and odd * 20 < even:
        return Form("utf-16-be", compressed)
    return Form(compressed=compressed, refusal="is a binary file and was not read")


def probe(path: Path) -> Form:
    """Return the form of the file *path*.

    Raises:
        UsageError: if the file cannot be opened or decompressed.
    """
    with _told(path), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if not head.startswith(_GZIP):
            return form_of(head)
        file.seek(0)
        with gzip.open(file) as inner:
            return form_of(_head(inner), compressed=True)


def _head(file: gzip.GzipFile) -> bytes:
    """Return the beginning of a compressed file, also where it is torn soon."""
    head = b""
    try:
        while len(head) < HEAD_BYTES and (block := file.read1(HEAD_BYTES - len(head))):
            head += block
    except _TORN:
        if not head:
            raise
    return head


class _UntilTorn(io.RawIOBase):
    """Gives what can be read of a compressed file; *torn* is told why no more could."""

    def __init__(self, file: gzip.GzipFile, torn: Callable[[str], None]) -> None:
        self._file = file
        self._torn = torn

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._file.read1(len(buffer))
        except _TORN as error:
            self._torn(str(error))
            return 0
        buffer[: len(block)] = block
        return len(block)


def read_text(path: Path) -> tuple[str, list[str]]:
    """Return the text of a file (gzip too) and what was wrong with it; no text where it was not read.

    Raises:
        UsageError: if the file cannot be opened or decompressed.
    """
    form = probe(path)
    if form.refusal:
        return "", [f"{path} {form.refusal}"]
    with _told(path):
        data = gzip.decompress(path.read_bytes()) if form.compressed else path.read_bytes()
    if form.encoding != "utf-8-sig":
        return data.decode(form.encoding, errors="replace").removeprefix("\ufeff"), [
            f"{path}: read as {form.encoding.upper()}"
        ]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = data.decode("utf-8", errors="replace")
        return text, [f"{path}: not UTF-8 from line {line} on; bytes that are not were replaced"]


@contextmanager
def open_text(path: Path, form: Form, torn: Callable[[str], None] | None = None) -> Iterator[IO[str]]:
    """Open the text of *path*, which is of the form *form*, line by line.

    Args:
        torn: called with the reason where a compressed file cannot be read to its end, which its text then has there.

    Raises:
        UsageError: if the file cannot be opened or, without *torn*, decompressed, also while it is read.
    """
    with _told(path), ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        data: IO[bytes] = file
        if form.compressed:
            inner = stack.enter_context(gzip.open(file))
            data = cast("IO[bytes]", inner if torn is None else io.BufferedReader(_UntilTorn(inner, torn)))
        yield io.TextIOWrapper(data, encoding=form.encoding, errors="replace", newline="\n")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory") from None
    except PermissionError:
        raise UsageError(f"{path}: this user may not read it") from None
    except _TORN as error:
        raise UsageError(f"{path}: {error}") from None
