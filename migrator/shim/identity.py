"""Who a process is among those that run the shim."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass

import psycopg

from migrator.shim import statements as st
from migrator.shim.link import Link


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is among the others."""

    process_id: str
    name: str

    @classmethod
    def new(cls, name: str) -> Identity:
        """Return one that no registration had before, of this process or of a copy of it."""
        return cls(f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}", name)


def forget_gone(link: Link, name: str) -> None:
    """Take processes off the register that ended without saying so; *name*: of the one that comes.

    Raises:
        psycopg.Error: the connection was lost.
    """
    try:
        link.conn.execute(st.FORGET_GONE, {"name": name})
    except psycopg.Error:  # another process cleans up as well
        if link.closed:
            raise
