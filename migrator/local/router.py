"""The process between clients and the stand-in that makes it answer as a cluster of routers.

    python -m migrator.local.router --listen PORT --server HOST:PORT [--routers N] [--mark FILE] [--journal FILE]

One process with one port; each connection belongs to one of N routers in turn, as if it had been sent there by DNS.
Statements are changed on their way in (statement.py), answers on their way out (answers.py); everything else passes by
its length, unread. There is no TLS. When the server is unreachable, or ends, the client's connection is reset.

*mark* is a path that tells this process from others; the process does not touch it. The *journal* is for tests: one
JSON object per line for each text that a client sent, and for each answer that was true for one router only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import socket
import struct
from pathlib import Path

from migrator.local import answers, lacks, statement
from migrator.local.frames import Frames

CANCEL, TLS, GSS = 80877102, 80877103, 80877104
HIGH_WATER = 1 << 20

ROUTERS = 200
"""So many consecutive connections each have a router of their own: on a cluster two of them share one now and then, and
a wrong comparison then succeeds."""


class Journal:
    """Texts and router-local answers, each once per application."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", buffering=1) if path else None
        self._seen: set[tuple[str, str, str]] = set()

    def note(self, what: str, application: str, text: bytes, **more: object) -> None:
        key = (what, application, text.decode(errors="replace"))
        if self._file is not None and key not in self._seen:
            self._seen.add(key)
            self._file.write(json.dumps({"what": what, "application": application, "text": key[2], **more}) + "\n")


class Half(asyncio.Protocol):
    """One end of a connection; the other end is `peer`."""

    peer: Half | None = None
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.peer is not None:
            self.peer.end(reset=exc is not None)

    def end(self, reset: bool) -> None:
        """Close in order, after what was written; or so that the other side sees a reset."""
        if reset:
            with contextlib.suppress(OSError, AttributeError):
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()


class ToServer(Half):
    """The router's connection to the server."""

    def __init__(self, client: ToClient) -> None:
        self.peer = self.client = client

    def data_received(self, data: bytes) -> None:
        self.client.answered(data)


class ToClient(Half):
    """A client's connection to one router."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.number = 0
        self.application = ""
        self.lacks: frozenset[str] = frozenset()
        self._waiting = b""  # what came before the server was reached
        self._begun = False
        self._requests = Frames(b"QP")
        self._answers: answers.Answers | None = None

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.transport.write(self._asked(data))
            return
        self._waiting += data
        if not self._begun:
            self._begin()

    def _begin(self) -> None:
        """Read the start of the conversation; the rest waits until the server is reached."""
        while len(self._waiting) >= 8:
            size, code = struct.unpack_from("!ii", self._waiting)
            if len(self._waiting) < size:
                return
            packet, rest = self._waiting[:size], self._waiting[size:]
            if code in (TLS, GSS):
                self.transport.write(b"N")
                self._waiting = rest
                continue
            self._begun = True
            if code != CANCEL:
                self.number = self.house.next_router()
                packet = self._introduce(packet)
            self.transport.pause_reading()
            task = asyncio.get_running_loop().create_task(self._reach(packet, rest))
            self.house.tasks.add(task)
            task.add_done_callback(self.house.tasks.discard)
            return

    def _introduce(self, packet: bytes) -> bytes:
        """The startup packet with the number of the router in it, as a setting of the session."""
        fields = iter(packet[8:-1].split(b"\0"))  # name, value, name, value, and an empty name at the end
        given = {name: next(fields, b"") for name in fields}
        self.application = given.get(b"application_name", b"").decode(errors="replace")
        self.lacks = lacks.given(given.get(b"options", b""))
        self._answers = answers.Answers(self.number, keeps_state="sqlstate" not in self.lacks)
        body = packet[4:-1] + b"rds_aurora.router\0%d\0\0" % self.number
        return struct.pack("!i", len(body) + 4) + body

    async def _reach(self, packet: bytes, rest: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_connection(lambda: ToServer(self), *self.house.server)
        except OSError:
            self.end(reset=True)
            return
        self.peer = server
        if self.transport.is_closing():
            server.end(reset=True)
            return
        server.transport.write(packet)
        if rest:
            server.transport.write(self._asked(rest))
        self.transport.resume_reading()

    def _asked(self, data: bytes) -> bytes:
        """What the server gets of what the client sent."""
        if self._answers is None:
            return data
        out = []
        for kind, message in self._requests.feed(data):
            if kind == ord("Q"):
                out.append(self._message(b"Q", b"", message[5:-1], b"\0"))
            elif kind == ord("P"):
                name, _, rest = message[5:].partition(b"\0")
                text, _, types = rest.partition(b"\0")
                count = len(types) // 4
                kinds = map(self._answers.back, struct.unpack_from(f"!{count}I", types, 2))
                types = types[:2] + struct.pack(f"!{count}I", *kinds)
                out.append(self._message(b"P", name + b"\0", text, b"\0" + types))
            else:
                out.append(message)
        return b"".join(out)

    def _message(self, kind: bytes, before: bytes, text: bytes, after: bytes) -> bytes:
        self.house.journal.note("statement", self.application, text)
        assert self._answers is not None
        found = statement.read(text, self.lacks)
        self._answers.asked(text, found.explains)
        body = before + found.text + after
        return kind + struct.pack("!i", len(body) + 4) + body

    def answered(self, data: bytes) -> None:
        """Pass on the server's answer."""
        if self._answers is None:
            self.transport.write(data)
            return
        passed_on = self._answers.feed(data)
        for text, columns in self._answers.local_answers():  # before the client can act on the answer
            self.house.journal.note("local answer", self.application, text, columns=columns)
        self.transport.write(passed_on)


class House:
    """What all connections share."""

    def __init__(self, server: tuple[str, int], routers: int, journal: Path | None) -> None:
        self.server = server
        self.journal = Journal(journal)
        self.tasks: set[asyncio.Task[None]] = set()
        self._turn = itertools.cycle(range(1, routers + 1))

    def next_router(self) -> int:
        return next(self._turn)


async def serve(listen: int, server: tuple[str, int], routers: int, journal: Path | None, host: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    house = House(server, routers, journal)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    await loop.create_server(lambda: ToClient(house), host, listen)
    await over.wait()


def main() -> None:
    """The command line of the process."""
    parser = argparse.ArgumentParser(description="routers in front of the stand-in for Limitless")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--server", required=True, help="host:port")
    parser.add_argument("--routers", type=int, default=ROUTERS, help="1 to 200")
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--mark")
    given = parser.parse_args()
    host, _, port = given.server.rpartition(":")
    asyncio.run(serve(given.listen, (host, int(port)), given.routers, given.journal, given.host))


if __name__ == "__main__":
    main()
