"""What a forked process has of its parent: memory without threads, locks as they were, and the parent's sockets.

Nothing may be said on those: two processes would talk on one connection, and a Terminate would end the parent's
session. So the child puts a socket that is closed in the place of each. Whatever still holds such a connection then
finds it lost, the parent's session ends with the parent, and the child's shims begin anew. A connection that another
thread is just making at the moment of the fork is not known yet: the child keeps its socket open, and says nothing on
it.

Python tells of a fork wherever it makes one itself, and so do embedders that follow its rules (uWSGI). A shim
compares process ids as well.
"""

from __future__ import annotations

import atexit
import os
import socket
import weakref
from contextlib import suppress
from typing import Protocol

from migrator.errors import UsageError


class Connected(Protocol):
    """Holds a connection to a server."""

    def disown(self, dead: int) -> None:
        """Put the open socket *dead* in the place of its own. What it has in memory is not to be relied on."""


class Lives(Protocol):
    """Has connections and threads, and is told what becomes of its process."""

    def begin_anew(self) -> None:
        """Go on in another process than the one so far."""

    def close(self) -> None: ...


_connected: weakref.WeakSet[Connected] = weakref.WeakSet()
_lives: weakref.WeakSet[Lives] = weakref.WeakSet()


def connected(one: Connected) -> None:
    """Have *one* disown its socket after a fork."""
    _connected.add(one)


def lives(one: Lives) -> None:
    """Tell *one* of forks, and close it when the process ends by itself."""
    _lives.add(one)


def let_go() -> None:
    """Take every socket of the shims' out of this process; other processes keep theirs."""
    links = list(_connected)
    _connected.clear()
    if not links:
        return
    ours, other = socket.socketpair()
    other.close()
    with ours:
        for link in links:
            with suppress(Exception):  # one that is half made or half closed must not keep the others from it
                link.disown(ours.fileno())


def _in_child() -> None:
    let_go()
    for one in list(_lives):
        with suppress(UsageError):  # it cannot live here, and says so when it is used
            one.begin_anew()


def _at_exit() -> None:
    """Say goodbye, so that no route change waits for this process."""
    for one in list(_lives):
        with suppress(Exception):  # it is over either way: the registration expires
            one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)
