"""What servers of the webhook need from the command line: the plan's [alarms] with secrets, a certificate, a log,
classic as it is now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from migrator import settings
from migrator.errors import MigratorError, NotInstalled, UsageError

if TYPE_CHECKING:
    from migrator.plan.alarms import Alarms
    from migrator.traffic.incident.logged import Log
    from migrator.traffic.incident.serve import Certificate
    from migrator.traffic.incident.sources import Sources


RENEW_S = 30.0


class Renewed:
    """A connection string that is had anew twice a minute, as a password may change while a server runs for months.

    Where it cannot be had, the last one serves, so that a rollback does not depend on who keeps secrets. Thread-safe;
    one thread asks, the others take the last one meanwhile.

    Args:
        find: returns it, or raises a MigratorError.
    """

    def __init__(self, find: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._asking = threading.Lock()
        self._last = find()
        self._at_s = clock()

    def __call__(self) -> str:
        if self._clock() - self._at_s >= RENEW_S and self._asking.acquire(blocking=False):
            try:
                self._at_s = self._clock()
                self._last = self._find()
            except MigratorError:
                pass
            finally:
                self._asking.release()
        return self._last


def alarm_sources(plan: Path | None, classic_dsn: Callable[[], str]) -> Callable[[], Sources]:
    """Return what reads whose alarms are taken, as they are now: from --plan, MIGRATOR_PLAN, or classic.

    The secrets are had when it is called, so one in a file may be replaced.
    """
    from migrator.traffic.incident.sources import resolved

    path = plan or settings.plan_path()

    def read() -> Sources:
        return resolved(_in_file(path) if path is not None else _on_classic(classic_dsn()), settings.secret)

    return read


def _in_file(path: Path) -> Alarms:
    from migrator.plan.load import load

    return load(path).alarms


def _on_classic(dsn: str) -> Alarms:
    from migrator.control.install import active_plan
    from migrator.db.connect import connect
    from migrator.plan.alarms import Alarms
    from migrator.plan.load import from_earlier

    with connect(dsn, "migrator-incident", statement_timeout_s=5, side="classic") as conn:
        try:
            return from_earlier(active_plan(conn)).alarms
        except NotInstalled:
            return Alarms()  # nothing was begun: no alarm can ask for anything


def certificate(cert: Path | None, key: Path | None) -> Certificate | None:
    """Return the certificate of --tls-cert and --tls-key; None without them.

    Raises:
        UsageError: only one is given, or they cannot be used.
    """
    if (cert is None) != (key is None):
        raise UsageError("--tls-cert and --tls-key go together", hint="Give both, or leave TLS to a proxy before it.")
    if cert is None or key is None:
        return None
    from migrator.traffic.incident.serve import Certificate

    return Certificate(cert, key)


def log() -> Log:
    """Configure the log of this process; return what writes the webhook's events."""
    from migrator import logs
    from migrator.traffic.incident.logged import log as tell

    logs.configure(settings.log_level(), settings.log_format())
    return tell
