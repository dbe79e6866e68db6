"""Watches classic while a test runs on it, over a connection of its own: processors, and sessions of others.

A thread, so that a server that does not answer is seen as one: what it saw last grows old, and the stop rule ends the
test.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from migrator.db.hang_up import hang_up
from migrator.db.named import load
from migrator.errors import ClusterUnavailable
from migrator.load.session import APP, look
from migrator.load.stop import Watched
from migrator.runway.aws import asked, client
from migrator.runway.processor import Machine, is_here, machine

Connection = psycopg.Connection[Any]

EVERY_S = 1.0
CONNECT_S = 10.0
BEFORE_S = 2.0
"""How long the sessions of others are counted before a test begins."""

CPU_LOOKS = 5
"""The use of processors is over so many looks: one busy second ends no test."""

AWS_EVERY_S = 30.0
AWS_OLD = timedelta(minutes=5)

_SQL = load("migrator.load", "load.sql")


class Watch:
    """Looks once a second until it is closed; use it as a context manager.

    Raises:
        ClusterUnavailable: when entered, if classic cannot be reached.
    """

    def __init__(
        self,
        dsn: str,
        cluster_id: str | None = None,
        region: str | None = None,
        cloudwatch: Any = None,
        before_s: float | None = None,
    ) -> None:
        self._dsn = dsn
        self._cluster_id, self._region, self._cloudwatch = cluster_id, region, cloudwatch
        self._before_s = BEFORE_S if before_s is None else before_s
        self._over = threading.Event()
        self._local: deque[Machine] | None = None
        self._sees_all = False
        self._cpu: float | None = None
        self._active: int | None = None
        self._before = 0
        self._seen_s = time.monotonic()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Watch:
        self._conn = look(self._dsn, CONNECT_S)
        try:
            row = self._conn.execute(_SQL["watcher"]).fetchone()
            assert row is not None
            pid, started_s, self._sees_all = int(row[0]), float(row[1]), bool(row[2])
            here = machine() if is_here(pid, started_s) else None
            self._local = deque([here], maxlen=CPU_LOOKS) if here is not None else None
            until = time.monotonic() + self._before_s
            while True:
                self._look()
                self._before = max(self._before, self._active or 0)
                if time.monotonic() >= until:
                    break
                self._over.wait(self._before_s / 10)
        except BaseException:
            self._conn.close()
            raise
        self._threads = [threading.Thread(target=self._work, name="watch of classic", daemon=True)]
        if self._local is None and self._cluster_id is not None:
            self._threads.append(threading.Thread(target=self._ask_aws, name="watch of AWS", daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        hang_up(self._conn)
        for thread in self._threads:
            thread.join(timeout=2)
        self._conn.close()

    @property
    def sees_something(self) -> bool:
        """Whether there is anything by which a test can be stopped."""
        return self._sees_all or self._local is not None or self._cluster_id is not None

    @property
    def sources(self) -> str:
        """What is watched, in words."""
        parts = ["sessions of others"] if self._sees_all else []
        parts += ["this machine's processors"] if self._local is not None else []
        parts += ["CloudWatch"] if self._local is None and self._cluster_id is not None else []
        return ", ".join(parts) or "nothing"

    def seen(self) -> Watched:
        return Watched(self._cpu, self._active, self._before, time.monotonic() - self._seen_s)

    def _work(self) -> None:
        while not self._over.wait(EVERY_S):
            with suppress(psycopg.Error):  # what was seen last grows old, and ends the test
                self._look()

    def _look(self) -> None:
        row = self._conn.execute(_SQL["active"], {"app": APP}).fetchone()
        assert row is not None
        if self._sees_all:
            self._active = int(row[0])
        if self._local is not None and (now := machine()) is not None:
            self._cpu = now.since(self._local[0])
            self._local.append(now)
        self._seen_s = time.monotonic()

    def _ask_aws(self) -> None:
        """CloudWatch has a minute's value a minute or two later: it ends a long test, sessions end a short one."""
        while True:
            with suppress(ClusterUnavailable):
                self._cpu = self.newest_of_aws(datetime.now(UTC))
            if self._over.wait(AWS_EVERY_S):
                return

    def newest_of_aws(self, now: datetime) -> float | None:
        """Return the use of the writer's processors in the newest minute that CloudWatch has; None: it has none.

        Raises:
            ClusterUnavailable: AWS does not answer, or refuses.
        """
        if self._cloudwatch is None:
            self._cloudwatch = client("cloudwatch", self._region)
        answer = asked(
            lambda: self._cloudwatch.get_metric_statistics(
                Namespace="AWS/RDS",
                MetricName="CPUUtilization",
                Dimensions=[
                    {"Name": "DBClusterIdentifier", "Value": self._cluster_id},
                    {"Name": "Role", "Value": "WRITER"},
                ],
                StartTime=now - AWS_OLD,
                EndTime=now,
                Period=60,
                Statistics=["Average"],
            )
        )
        points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
        return min(max(float(points[-1]["Average"]) / 100, 0.0), 1.0) if points else None
