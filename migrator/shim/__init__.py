"""The library inside application processes: routed reads, acknowledged writes. Needs psycopg, nothing else.

    with Shim(classic=..., limitless=..., name="web-1") as shim:
        shim.run_write(tenant, lambda w: w.connection.execute("INSERT ..."))
        rows = shim.run_read(tenant, lambda r: r.connection.execute("SELECT ...").fetchall())

The promise: what `write` acknowledged is seen by every read that starts afterwards, in any process, on whichever
side it is answered, while tenants move there and back. view.py, watcher.py and write.py say why it holds.
"""

from migrator.shim.core import Shim
from migrator.shim.listener import (
    BreakerClosed,
    BreakerOpened,
    Event,
    FallbackRaised,
    Listener,
    LoggingListener,
    ReadFellBack,
    RoutesApplied,
    RoutesLost,
    SettledOnLimitless,
    ShadowDiffered,
)
from migrator.shim.read import Read
from migrator.shim.routing import Token
from migrator.shim.settings import Settings
from migrator.shim.write import CommittedUnconfirmed, Write

__all__ = [
    "BreakerClosed",
    "BreakerOpened",
    "CommittedUnconfirmed",
    "Event",
    "FallbackRaised",
    "Listener",
    "LoggingListener",
    "Read",
    "ReadFellBack",
    "RoutesApplied",
    "RoutesLost",
    "Settings",
    "SettledOnLimitless",
    "ShadowDiffered",
    "Shim",
    "Token",
    "Write",
]
