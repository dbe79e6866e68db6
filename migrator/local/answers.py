"""Rewrites the server's answers as one router of several would give them.

Object identifiers of user objects are the router's own: each router shows them shifted by its own constant, in
columns of the types for identifiers and in descriptions of columns. A client that compares them across connections, or
hands one to another connection, fails here as it does on a cluster. EXPLAIN says when all data is on one shard.
Errors of rows come from a shard, whose text the router wraps.
"""

from __future__ import annotations

import re
import struct

from migrator.local.frames import Frames

FIRST_OF_USERS = 16384  # below it identifiers are the same on every server
DISTANCE = 1 << 24

# oid and its kin; regclass and the like show names, and numbers only for what has none.
IDENTIFIERS = frozenset((26, 24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 3734, 3769, 4191))
# Transaction numbers, snapshots, row addresses, arrays of identifiers: as local, and shown as they are.
LOCAL = frozenset((27, 28, 29, 5069, 5038, 2970, 30, 1028, 2210)) | IDENTIFIERS

# Errors of rows: integrity constraints, and conflicts between transactions.
_OF_SHARDS = (b"23", b"40")
WRAPPED = b"failed to execute remote query"
OTHER_WORDS = b"remote statement failed"
DEADLOCK = b"aborting transaction participating in a distributed deadlock"
_SLICE = re.compile(rb"\b\w+_fs(\d{5})\b")
_BEGINS = 11  # byte of a row of one column where its text begins
SSO = b"Single Shard Optimized"


class Answers:
    """The answers on one connection of router *number*."""

    def __init__(self, number: int, *, keeps_state: bool = True) -> None:
        self.shift = number * DISTANCE
        self._keeps_state = keeps_state  # False: a wrapped error has a SQLSTATE and words of the router's own
        self._frames = Frames(b"TtE")
        self._text = b""
        self._explains = False
        self._moved: list[tuple[int, int]] = []  # columns that hold identifiers, with their format
        self._slices: set[bytes] = set()
        self._nodes: list[bytes] = []  # of a plan, from the top
        self._found: list[tuple[bytes, list[str]]] = []

    def asked(self, text: bytes, explains: bool) -> None:
        """The client sent this; what comes next counts as its answer."""
        self._text, self._explains, self._slices, self._nodes = text, explains, set(), []
        self._want()

    def local_answers(self) -> list[tuple[bytes, list[str]]]:
        """Texts whose answers held what is true for one router only, with the columns; each is returned once."""
        found, self._found = self._found, []
        return found

    def feed(self, data: bytes) -> bytes:
        """Return what the client gets of *data*."""
        out = []
        for kind, message in self._frames.feed(data):
            if kind == ord("T"):
                message = self._described(message)
            elif kind == ord("t"):
                message = self._parameters(message)
            elif kind == ord("D"):
                message = self._row(message)
            elif kind == ord("E"):
                message = self._failed(message)
            elif kind == ord("C"):
                message = self._ended(message)
            out.append(message)
        return b"".join(out)

    def _want(self) -> None:
        """Rows are read only where something in them can change."""
        self._frames.wanted = b"TtEDC" if self._moved or self._explains else b"TtE"

    def back(self, oid: int) -> int:
        """The server's number of an identifier that this router has shown."""
        return oid - self.shift if oid >= self.shift + FIRST_OF_USERS else oid

    def move(self, oid: int) -> int:
        """An identifier as this router shows it."""
        return oid + self.shift if oid >= FIRST_OF_USERS else oid

    def _described(self, message: bytes) -> bytes:
        body = bytearray(message)
        count, at = struct.unpack_from("!h", message, 5)[0], 7
        local, self._moved = [], []
        for column in range(count):
            end = message.index(b"\0", at)
            name = message[at:end].decode(errors="replace")
            table, _, kind, _, _, form = struct.unpack_from("!IhIhih", message, end + 1)
            struct.pack_into("!I", body, end + 1, self.move(table))
            struct.pack_into("!I", body, end + 7, self.move(kind))
            if kind in LOCAL:
                local.append(name)
            if kind in IDENTIFIERS:
                self._moved.append((column, form))
            at = end + 19
        if local:
            self._found.append((self._text, local))
        self._want()
        return bytes(body)

    def _parameters(self, message: bytes) -> bytes:
        kinds = struct.unpack_from(f"!{struct.unpack_from('!h', message, 5)[0]}I", message, 7)
        return message[:7] + struct.pack(f"!{len(kinds)}I", *map(self.move, kinds))

    def _row(self, message: bytes) -> bytes:
        if self._explains:
            self._slices.update(_SLICE.findall(message))
            node = message[_BEGINS:].rpartition(b"->  ")[2]
            if not self._nodes or len(node) < len(message) - _BEGINS:  # other lines say more about a node
                self._nodes.append(node.split(b" ")[0])
        if not self._moved:
            return message
        values: list[bytes | None] = []
        count, at = struct.unpack_from("!h", message, 5)[0], 7
        for _ in range(count):
            size = struct.unpack_from("!i", message, at)[0]
            values.append(message[at + 4 : at + 4 + size] if size >= 0 else None)
            at += 4 + max(size, 0)
        for column, form in self._moved:
            value = values[column] if column < count else None
            if value is None:
                continue
            if form == 1 and len(value) == 4:
                values[column] = struct.pack("!I", self.move(int.from_bytes(value, "big")))
            elif form == 0 and value.isdigit():
                values[column] = b"%d" % self.move(int(value))
        return _data_row(values)

    def _failed(self, message: bytes) -> bytes:
        """An error of rows as a router passes it on: the shard's text is the detail, names of constraints are lost."""
        fields = {field[:1]: field[1:] for field in message[5:].split(b"\0") if field}
        if fields.get(b"C", b"")[:2] not in _OF_SHARDS:
            return message
        told = [fields[name] for name in (b"M", b"D") if name in fields]
        kept: dict[bytes, bytes] = {name: fields[name] for name in (b"S", b"V", b"C") if name in fields}
        if fields[b"C"] == b"40P01":
            kept |= {b"M": DEADLOCK, b"D": fields.get(b"D", b"")}
        else:
            context = b"remote SQL command: " + self._text
            kept |= {b"M": WRAPPED, b"D": b"\n".join(told), b"W": context}
            if not self._keeps_state:
                kept |= {b"C": b"XX000", b"M": OTHER_WORDS}
        body = b"".join(name + value + b"\0" for name, value in kept.items()) + b"\0"
        return b"E" + struct.pack("!i", len(body) + 4) + body

    def _ended(self, message: bytes) -> bytes:
        if self._explains and message[5:].startswith(b"EXPLAIN") and self._on_one_shard():
            return _data_row([SSO]) + message
        return message

    def _on_one_shard(self) -> bool:
        """One slice is left after pruning, or one row is inserted; its slice is not in the plan."""
        return len(self._slices) == 1 or self._nodes == [b"Insert", b"Result"]


def _data_row(values: list[bytes | None]) -> bytes:
    body = struct.pack("!h", len(values)) + b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values
    )
    return b"D" + struct.pack("!i", len(body) + 4) + body
