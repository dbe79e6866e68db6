"""The library inside application processes: routed reads, acknowledged writes. Needs psycopg, nothing else.

    with Shim(classic=..., limitless=..., name="web-1") as shim:
        shim.run_write(tenant, lambda w: w.connection.execute("INSERT ..."))
        rows = shim.run_read(tenant, lambda r: r.connection.execute("SELECT ...").fetchall())

The promise: what `write` acknowledged is seen by every read that starts afterwards, in any process, on whichever
side it is answered, while tenants move there and back. view.py, watcher.py and write.py say why it holds. A write may
ask for less, by its level of acknowledgement (migrator.model.ack): a session's own reads see it, or it is committed.

AsyncShim is the same for asyncio; its part (migrator.shim.aio) is imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from migrator.model.ack import Ack
from migrator.shim.acknowledge import CommittedUnconfirmed
from migrator.shim.core import Shim
from migrator.shim.listener import (
    BreakerClosed,
    BreakerOpened,
    Event,
    FallbackRaised,
    Listener,
    LoggingListener,
    ReadFellBack,
    ReplicaServes,
    ReplicaTakenOut,
    RoutesApplied,
    RoutesLost,
    SettledOnLimitless,
    ShadowDiffered,
)
from migrator.shim.read import Read
from migrator.shim.replica_lender import ReadsBounded
from migrator.shim.session import Session
from migrator.shim.settings import Settings
from migrator.shim.stats import Stats, Waits
from migrator.shim.token import SessionToken, Token
from migrator.shim.write import Write

if TYPE_CHECKING:
    from migrator.shim.aio import AsyncShim

__all__ = [
    "Ack",
    "AsyncShim",
    "BreakerClosed",
    "BreakerOpened",
    "CommittedUnconfirmed",
    "Event",
    "FallbackRaised",
    "Listener",
    "LoggingListener",
    "Read",
    "ReadFellBack",
    "ReadsBounded",
    "ReplicaServes",
    "ReplicaTakenOut",
    "RoutesApplied",
    "RoutesLost",
    "Session",
    "SessionToken",
    "Settings",
    "SettledOnLimitless",
    "ShadowDiffered",
    "Shim",
    "Stats",
    "Token",
    "Waits",
    "Write",
]


def __getattr__(name: str) -> Any:
    """Import what only applications on asyncio need."""
    if name == "AsyncShim":
        from migrator.shim.aio import AsyncShim

        return AsyncShim
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
