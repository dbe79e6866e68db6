"""Ends a wait for a server that does not answer, from another thread than the one that waits."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

import psycopg


def hang_up(conn: psycopg.Connection[Any] | None) -> None:
    """Shut *conn*'s socket, so that who waits for its server has an error at once; what is closed already stays so."""
    if conn is None:
        return
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
