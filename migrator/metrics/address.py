"""An address to listen at, as it is written in a plan and on the command line."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from migrator.errors import UsageError

_WRITTEN = re.compile(r"^(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:/\[\]@]+)):(?P<port>[0-9]{1,5})$")


@dataclass(frozen=True, slots=True)
class Address:
    """port: 0 for any that is free."""

    host: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Return the address written HOST:PORT, or [IPv6]:PORT.

    Raises:
        UsageError: it is none. A port alone is none either: whom it is open to must be said.
    """
    match = _WRITTEN.match(text)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(
            f"{text!r} is not an address to listen at",
            hint="Write HOST:PORT, for example 127.0.0.1:9464, or 0.0.0.0:9464 for all interfaces.",
        )
    return Address(match["six"] or match["host"], int(match["port"]))
