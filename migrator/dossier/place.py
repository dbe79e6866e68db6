"""Where dossiers lie: files, and objects of S3 (s3.py). One interface, so that writing and reading do not differ.

A dossier appears under its name whole, or not at all, and nothing that lies there is ever replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from migrator.errors import PreconditionFailed, UsageError

CHUNK = 1 << 20


class Place(Protocol):
    """A name under which a dossier lies, or may lie."""

    @property
    def name(self) -> str:
        """Path, or s3://bucket/key."""
        ...

    def beside(self, ending: str) -> Place:
        """Return the place of this name with *ending* before its suffix."""
        ...

    def probe(self) -> tuple[str, ...]:
        """Try to write here, without a dossier; return what the place says of itself.

        Raises:
            PreconditionFailed, ClusterUnavailable: why a dossier cannot be written here.
        """
        ...

    def put(self, file: Path) -> tuple[str, ...] | None:
        """Put *file* here; return what the place says of it. None: something lies here already."""
        ...

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open what lies here.

        Raises:
            UsageError: nothing does, or it cannot be read.
        """
        ...


def moment_ending(kind: str, at: datetime) -> str:
    """Return how a dossier that is not the final one is told from others beside it: "-interim-20270131T120000Z"."""
    return f"-{kind}-{at:%Y%m%dT%H%M%SZ}"


def with_ending(name: str, ending: str) -> str:
    """Return a file's name with *ending* before its suffixes. Pure."""
    path = PurePosixPath(name)
    suffix = path.suffix if path.suffix != path.name else ""
    return str(path.with_name(f"{path.name.removesuffix(suffix)}{ending}{suffix}"))


@dataclass(frozen=True)
class FilePlace:
    """A file of this machine, or of a file system that others share. Its group reads it, no account writes it."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def beside(self, ending: str) -> FilePlace:
        return FilePlace(self.path.with_name(with_ending(self.path.name, ending)))

    def probe(self) -> tuple[str, ...]:
        with self._draft() as draft:
            _written(draft, b"A dossier can be written here.\n")
        return ("a file",)

    def put(self, file: Path) -> tuple[str, ...] | None:
        with self._draft() as draft:
            with file.open("rb") as source, draft.open("wb") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            draft.chmod(0o440)
            try:
                _link(draft, self.path)
            except FileExistsError:
                return None
            _sync_directory(self.path.parent)
        return ("read-only",)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        try:
            if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
                raise UsageError(
                    f"{self.path} cannot be read: it is a pipe or a device, and a dossier is read more than once",
                    hint="Write it to a file first.",
                )
            file = self.path.open("rb")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {(error.strerror or str(error)).lower()}") from None
        with file:
            yield file

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """Yield a name of its own in the same directory, and delete what lies there afterwards.

        Raises:
            PreconditionFailed: the directory cannot be made, or written to.
        """
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(6)}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a directory: end it with / to have files in it")
            yield draft
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise PreconditionFailed(
                f"a dossier cannot be written to {self.path}: {why}",
                hint="Make the directory writable for this account, or name another place: decommission.dossier.",
            ) from None
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


def _written(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(draft: Path, final: Path) -> None:
    """Give a finished file its name, unless something has it."""
    try:
        os.link(draft, final)
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without links: two that write at once are told apart by a moment's look only.
        if final.exists():
            raise FileExistsError from None
        draft.replace(final)


def _sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def spooled(chunks: Iterator[bytes]) -> Iterator[BinaryIO]:
    """Yield *chunks* as a file that can be read from any byte, and is gone afterwards."""
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
        yield file
