"""A TCP proxy that breaks a network on purpose, without root and without another package.

A TCP proxy on a free loopback port, an asyncio server in its own thread, in front of anything that listens:
PostgreSQL as well as Temporal's gRPC port. It costs 0.3 to 0.9 ms per round trip. Bytes are read as they pass, so
connections must be unencrypted (sslmode=disable gssencmode=disable).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from psycopg import conninfo

CHUNK = 64 * 1024
T = TypeVar("T")


@dataclass
class Faults:
    """The faults of a connection. One object is shared by all connections unless a hook gives one its own."""

    delay_s: float = 0.0  # before every chunk, in both directions
    lose_reply_to: bytes | None = None  # once: the request that contains this is passed on, its reply is lost
    cut_after: int | None = None  # reset the connection after this many bytes from the server


class Link:
    """One client connection through the proxy."""

    def __init__(self, number: int, faults: Faults, client: asyncio.StreamWriter) -> None:
        self.number = number
        self.faults = faults
        self.first = b""  # the first chunk the client sent
        self._writers = [client]

    @property
    def application(self) -> str:
        """The application_name a PostgreSQL client announced, or ''."""
        _, _, rest = self.first.partition(b"\0application_name\0")
        return rest.partition(b"\0")[0].decode(errors="replace")

    def reset(self) -> None:
        """Tear both halves down so that both ends see a reset, not an orderly end. Call it in the proxy's thread."""
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def close(self) -> None:
        """End both halves in order, so that what was written still arrives; nothing to do after a reset."""
        for writer in self._writers:
            writer.close()


class Proxy:
    """A proxy in front of one address; use it as a context manager, from any thread.

    `on_link` is called in the proxy's thread for each connection once its first bytes are known; it may give the
    link its own `faults`. `bind`: the address it listens on, for clients that are not on this machine.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        listen: int = 0,
        on_link: Callable[[Link], None] | None = None,
        bind: str = "127.0.0.1",
    ) -> None:
        self.target = (host, port)
        self._bind = bind
        self.port = listen  # 0 until it listens: then a free one
        self.faults = Faults()
        self.on_link = on_link
        self.accepted = 0  # connections so far
        self.lost = threading.Event()  # set when a reply has been lost
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._flow = asyncio.Event()
        self._flow.set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {port}", daemon=True)

    @classmethod
    def to_dsn(cls, dsn: str) -> Self:
        """Make a proxy in front of the server a connection string names."""
        parts = conninfo.conninfo_to_dict(dsn)
        return cls(str(parts["host"]), int(str(parts["port"])))

    @property
    def address(self) -> str:
        """host:port of the proxy."""
        return f"127.0.0.1:{self.port}"

    def dsn(self, dsn: str) -> str:
        """Return *dsn* as it reads through the proxy."""
        return conninfo.make_conninfo(
            dsn, host="127.0.0.1", port=str(self.port), sslmode="disable", gssencmode="disable"
        )

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        self._run(self._listen())

    def close(self) -> None:
        """Reset every connection, stop listening and end the thread."""
        if not self._thread.is_alive():
            return
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._links)

    @property
    def links(self) -> tuple[Link, ...]:
        """The connections that are open now, oldest first."""
        return tuple(sorted(self._links, key=lambda link: link.number))

    @property
    def refusing(self) -> bool:
        return self._server is None

    def refuse(self) -> None:
        """New connections are refused from now on; open ones go on (`reset_all` ends them)."""
        self._run(self._deaf())

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._run(self._listen())

    def stall(self) -> None:
        """Bytes stop in both directions, sockets stay open: a silent network loss."""
        self._call(self._flow.clear)

    def resume(self) -> None:
        """Let the bytes go on; none were lost."""
        self._call(self._flow.set)

    def reset_all(self) -> None:
        """Reset every open connection."""

        def reset() -> None:
            for link in list(self._links):
                link.reset()

        self._call(reset)

    def cut_off(self) -> None:
        """A loud network loss: reset open connections and refuse new ones."""
        self.refuse()
        self.reset_all()

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.faults.delay_s, self.faults.lose_reply_to, self.faults.cut_after = 0.0, None, None
        self.lost.clear()
        self.resume()
        self.accept()

    def delay(self, seconds: float) -> None:
        """Hold every chunk back this long, in each direction."""
        self.faults.delay_s = seconds

    def lose_reply_to(self, request: bytes) -> None:
        """Let the next request that contains *request* through, drop its reply and reset both sides. Once.

        `lost` is set when it has happened: what was asked for was done, and the client cannot know.
        """
        self.lost.clear()

        async def arm() -> None:
            for _ in range(10):  # what was sent before this call is in the socket: it passes first
                await asyncio.sleep(0)
            self.faults.lose_reply_to = request

        self._run(arm())

    def cut_after(self, count: int | None) -> None:
        """Reset each new or open connection once *count* bytes have come from the server on it; None: never."""
        self.faults.cut_after = count

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call(self, work: Callable[[], object]) -> None:
        async def run() -> None:
            work()

        self._run(run())

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self._bind, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _deaf(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _shut(self) -> None:
        await self._deaf()
        for link in list(self._links):
            link.reset()
        waiting = list(self._tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = Link(self.accepted, self.faults, writer)
        task = asyncio.current_task()
        assert task is not None
        self._links.add(link)
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._relay(link, reader, writer)
        finally:
            link.close()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _relay(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.first = await reader.read(CHUNK)
        if not link.first:
            return
        if self.on_link:
            self.on_link(link)
        up_reader, up_writer = await asyncio.open_connection(*self.target)
        link._writers.append(up_writer)
        doomed = asyncio.Event()  # the request whose reply is to be lost has been passed on
        pumps = [
            asyncio.create_task(self._requests(link, reader, up_writer, doomed)),
            asyncio.create_task(self._replies(link, up_reader, writer, doomed)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        chunk, tail = link.first, b""
        while chunk:
            needle = link.faults.lose_reply_to
            if needle is not None and needle in tail + chunk:
                link.faults.lose_reply_to = None
                doomed.set()
            tail = chunk[-len(needle) :] if needle else b""
            await self._pass_on(link, chunk, writer)
            chunk = await reader.read(CHUNK)
        await self._finish(writer)

    async def _replies(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        count = 0
        while chunk := await reader.read(CHUNK):
            if doomed.is_set():
                link.reset()
                self.lost.set()
                return
            limit = link.faults.cut_after
            count += len(chunk)
            if limit is not None and count >= limit:
                await self._pass_on(link, chunk[: max(0, len(chunk) - (count - limit))], writer)
                link.reset()
                return
            await self._pass_on(link, chunk, writer)
        await self._finish(writer)

    async def _pass_on(self, link: Link, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        if link.faults.delay_s:
            await asyncio.sleep(link.faults.delay_s)
        await self._flow.wait()
        writer.write(chunk)
        await writer.drain()

    async def _finish(self, writer: asyncio.StreamWriter) -> None:
        """Pass an orderly end on, after everything before it."""
        await self._flow.wait()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
