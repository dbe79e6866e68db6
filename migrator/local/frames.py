"""Cuts a stream of PostgreSQL's protocol into messages, of which only some kinds are read."""

from __future__ import annotations

from collections.abc import Iterator


class Frames:
    """Cuts a stream of messages: whole messages of the kinds in `wanted` are read, others pass unchanged."""

    def __init__(self, wanted: bytes) -> None:
        self.wanted = wanted
        self._held = b""
        self._passing = 0  # bytes still to come of a message that passes

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Cut *data* into (kind, whole message) for the wanted and (0, bytes) for the rest.

        `wanted` may be changed between two steps: it counts from the next message on.
        """
        if self._held:
            data, self._held = self._held + data, b""
        start, at, end = 0, min(self._passing, len(data)), len(data)
        self._passing -= at
        while end - at >= 5:
            kind, size = data[at], 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            if kind in self.wanted:
                if end - at < size:
                    break
                if at > start:
                    yield 0, data[start:at]
                yield kind, data[at : at + size]
                at = start = at + size
            elif at + size > end:
                self._passing, at = at + size - end, end
            else:
                at += size
        if at > start:
            yield 0, data[start:at]
        self._held = data[at:]
