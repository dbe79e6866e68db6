"""The tee: writes down a share of what an application's reads and writes run, for a shadow run to repeat.

Off unless asked for. Its file is a trace: statements with their parameters, which are values of rows, personal data
among them. It is readable for its owner alone, and bounded in size and in time. What cannot be written ends the tee,
never a statement.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from psycopg.abc import PQGen

from migrator.errors import UsageError
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.model.trace import Call, header, line
from migrator.shim.core import Shim
from migrator.shim.lent import MEETS, Cursor
from migrator.shim.link import Link
from migrator.shim.pool import Lender
from migrator.shim.token import SessionToken

SOURCE = "shim"
_TEED = "teed"
"""Attribute of a lent connection: the block that it is in."""


class Tee:
    """Where a process writes down a share of its blocks. Threads share it.

    Args:
        path: the file. An earlier one of the same owner is continued.
        share: of reads and writes, 0 to 1.
        most_mb: size of the file at which it ends.
        for_s: seconds after which it ends.

    Raises:
        UsageError: the file cannot be written, or others could read it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        share: float = 0.01,
        most_mb: float = 100.0,
        for_s: float = 3600.0,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not MEETS:
            raise UsageError("this version of psycopg is built otherwise than the tee needs it")
        self._path = Path(path)
        self._share, self._most, self._chance, self._clock = share, most_mb * 1e6, chance, clock
        self._until_s = clock() + for_s
        self._lock = threading.Lock()
        self._file: int | None = _opened(self._path)

    @property
    def on(self) -> bool:
        """Whether anything more is written down."""
        return self._file is not None

    def sampled(self) -> bool:
        """Return whether the next block is written down."""
        if self._file is None or self._chance() >= self._share:
            return False
        if self._clock() > self._until_s:
            self.close()
        return self._file is not None

    def write(self, call: Call) -> None:
        """Write *call* down; raises nothing."""
        try:
            data = (line(call) + "\n").encode("utf-8", "replace")
        except Exception:  # of a value that has no text: the application's statement has run, and goes on
            return
        with self._lock:
            if self._file is None:
                return
            try:
                full = os.fstat(self._file).st_size + len(data) > self._most
                done = not full and os.write(self._file, data) == len(data)
            except OSError:
                done = False
            if not done:
                self._close()

    def close(self) -> None:
        """End the tee; its file stays."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.close(file)


def _opened(path: Path) -> int:
    """Return the file *path*, with the first line of a trace in it."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    found = os.fstat(file)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(file)
        raise UsageError(
            f"{path} is another user's, or others may read it", hint="Remove it: a trace holds values of rows."
        )
    if not found.st_size:
        os.write(file, (header(SOURCE) + "\n").encode())
    return file


class _Block:
    """One read or write that is written down: a session of its own, as its statements belong together."""

    def __init__(self, tee: Tee, tenant_id: TenantId) -> None:
        self._tee = tee
        self._tenant_id = tenant_id
        self._session = secrets.token_hex(4)

    def ran(self, query: Any, ms: float) -> None:
        """Write down a statement that succeeded, as psycopg sent it."""
        formats = query.formats or ()
        values = tuple(
            None if v is None else bytes(v) if n < len(formats) and formats[n] else bytes(v).decode("utf-8", "replace")
            for n, v in enumerate(query.params or ())
        )
        self._tee.write(
            Call(
                query.query.decode("utf-8", "replace"), values, tuple(query.types or ()), self._session,
                time.time() - ms / 1000, round(ms, 3), str(self._tenant_id),
            )
        )  # fmt: skip


class TeeCursor(Cursor):
    """A cursor of a lent connection whose statements are written down."""

    __slots__ = ()

    def _maybe_prepare_gen(self, pgq: Any, *, prepare: bool | None = None, binary: bool | None = None) -> PQGen[None]:
        began = time.perf_counter()
        yield from super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)
        block = vars(self._conn).get(_TEED)
        if block is not None:
            with suppress(Exception):  # the statement has run; what it was is not worth an error
                block.ran(pgq, (time.perf_counter() - began) * 1000)


class _Teed:
    """Lends connections whose cursors write down what they run."""

    def __init__(self, inner: Lender, block: _Block) -> None:
        self._inner = inner
        self._block = block

    def take(self, begin: str, *, silent_s: float | None = None) -> Link:
        link = self._inner.take(begin, silent_s=silent_s)
        assert isinstance(link, Link)  # a tee is of the front for threads
        link.conn.cursor_factory = TeeCursor
        vars(link.conn)[_TEED] = self._block
        return link

    def give(self, link: Link, *, discard: bool = False) -> None:
        self._inner.give(link, discard=discard)

    def ended(self, link: Link, states: frozenset[str], *, lost: bool) -> str | None:
        return self._inner.ended(link, states, lost=lost)


class TeeShim(Shim):
    """A shim with a tee: the same in everything else. The caller closes the tee."""

    def __init__(self, *args: Any, tee: Tee, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tee = tee

    def _lenders(self, tenant_id: TenantId, *, writes: bool = False) -> Callable[[Side], Lender]:
        pools = super()._lenders(tenant_id, writes=writes)
        return self._over(pools, tenant_id) if writes else pools

    def _readers(self, tenant_id: TenantId, after: SessionToken | None, only_writer: bool) -> Callable[[Side], Lender]:
        return self._over(super()._readers(tenant_id, after, only_writer), tenant_id)

    def _over(self, pools: Callable[[Side], Lender], tenant_id: TenantId) -> Callable[[Side], Lender]:
        if not self._tee.sampled():
            return pools
        block = _Block(self._tee, tenant_id)
        return lambda side: _Teed(pools(side), block)
