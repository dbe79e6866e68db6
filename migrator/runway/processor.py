"""Reads how busy the writer's processors are: of a server on this machine from /proc, of an Aurora cluster from
CloudWatch. Anywhere else only the plan can say it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from migrator.runway.aws import asked, client
from migrator.runway.counters import Session

SAME_S = 3.0
"""A process is a session's server process when it began within so many seconds of it: a pid alone may be any process's,
of another container for example."""


# -- this machine ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Used:
    """A server process of this tool's session: what its processor time is counted for."""

    pid: int
    started_s: float
    part: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor time of this machine since it was started, in seconds of one core."""

    busy_s: float
    total_s: float
    cores: int

    def since(self, before: Machine) -> float | None:
        """Return the share of all cores that was busy since *before*; None when no time passed."""
        total = self.total_s - before.total_s
        if total <= 0 or self.busy_s < before.busy_s:
            return None
        return min((self.busy_s - before.busy_s) / total, 1.0)


def machine(proc: Path = Path("/proc")) -> Machine | None:
    """Return this machine's processor time; None where there is no /proc."""
    try:
        fields = [int(f) for f in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, iowait, irq, softirq, steal = (fields + [0] * 8)[:8]
    busy = user + nice + system + irq + softirq
    return Machine(busy / tick, (busy + idle + iowait + steal) / tick, os.cpu_count() or 1)


def is_here(pid: int, started_s: float, proc: Path = Path("/proc")) -> bool:
    """Return whether the server process *pid*, whose session began at *started_s* (since 1970), is of this machine."""
    found = _process(pid, proc)
    return found is not None and found[0] == "postgres" and abs(found[1] - started_s) <= SAME_S


def used(sessions: Iterable[Session], proc: Path = Path("/proc")) -> dict[Used, float]:
    """Return the processor seconds of those *sessions* whose server processes are of this machine."""
    found = {}
    for session in sessions:
        seen = _process(session.pid, proc)
        if seen is not None and seen[0] == "postgres" and abs(seen[1] - session.started_s) <= SAME_S:
            found[Used(session.pid, session.started_s, session.part)] = seen[2]
    return found


def _process(pid: int, proc: Path) -> tuple[str, float, float] | None:
    """Return the name of a process, when it began (since 1970), and its processor seconds."""
    try:
        text = (proc / str(pid) / "stat").read_text()
        booted = next(
            int(line.split()[1]) for line in (proc / "stat").read_text().splitlines() if line.startswith("btime ")
        )
    except (OSError, StopIteration, ValueError):
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    tick = os.sysconf("SC_CLK_TCK")
    return name, booted + int(fields[19]) / tick, (int(fields[11]) + int(fields[12])) / tick


# -- AWS -------------------------------------------------------------------------------------------------------------


HISTORY_DAYS = 62
"""How far back CloudWatch is asked the first time: it keeps hours for longer, but a fit of growth needs no more."""

_PERIOD_S = 3600


@dataclass(frozen=True)
class CloudWatch:
    """The writer of an Aurora cluster as AWS measures it.

    Attributes:
        cloudwatch, rds: boto3 clients, made when they are needed.
    """

    cluster_id: str
    cloudwatch: Any = None
    rds: Any = None
    region: str | None = None

    def hours(self, since: datetime | None, now: datetime) -> list[tuple[datetime, float]]:
        """Return the writer's use of its processors (0 to 1) for each whole hour after *since*, oldest first.

        Raises:
            ClusterUnavailable: AWS does not answer, or refuses; the text has its code alone.
        """
        end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        begin = end - timedelta(days=HISTORY_DAYS)
        if since is not None:
            begin = max(begin, since + timedelta(hours=1))
        if begin >= end:
            return []
        query = {
            "Id": "cpu",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/RDS",
                    "MetricName": "CPUUtilization",
                    "Dimensions": [
                        {"Name": "DBClusterIdentifier", "Value": self.cluster_id},
                        {"Name": "Role", "Value": "WRITER"},
                    ],
                },
                "Period": _PERIOD_S,
                "Stat": "Average",
            },
        }
        found: dict[datetime, float] = {}
        token: str | None = None
        while True:
            more = {} if token is None else {"NextToken": token}
            answer = asked(
                lambda more=more: self._cloudwatch().get_metric_data(
                    MetricDataQueries=[query], StartTime=begin, EndTime=end, ScanBy="TimestampAscending", **more
                )
            )
            for result in answer["MetricDataResults"]:
                found.update(zip(result["Timestamps"], result["Values"], strict=False))
            token = answer.get("NextToken")
            if not token:
                return [(at.astimezone(UTC), min(max(value / 100, 0.0), 1.0)) for at, value in sorted(found.items())]

    def vcpus(self) -> int | None:
        """Return the vCPUs of the writer's instance class; None where the class does not say it.

        Raises:
            ClusterUnavailable: as `hours`.
        """
        clusters = asked(lambda: self._rds().describe_db_clusters(DBClusterIdentifier=self.cluster_id))["DBClusters"]
        members = clusters[0]["DBClusterMembers"] if clusters else []
        writer = next((m["DBInstanceIdentifier"] for m in members if m["IsClusterWriter"]), None)
        if writer is None:
            return None
        instances = asked(lambda: self._rds().describe_db_instances(DBInstanceIdentifier=writer))["DBInstances"]
        return vcpus_of(instances[0]["DBInstanceClass"]) if instances else None

    def acu_use(self, shard_group_id: str, now: datetime) -> float | None:
        """Return the use of the shard group's maximum capacity (0 to 1), as of the last minutes; None: no value.

        Raises:
            ClusterUnavailable: as `hours`.
        """
        dimensions = [{"Name": "DBShardGroupIdentifier", "Value": shard_group_id}]
        answer = asked(
            lambda: self._cloudwatch().get_metric_statistics(
                Namespace="AWS/RDS",
                MetricName="DBShardGroupACUUtilization",
                Dimensions=dimensions,
                StartTime=now - timedelta(minutes=5),
                EndTime=now,
                Period=60,
                Statistics=["Average"],
            )
        )
        points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
        return float(points[-1]["Average"]) / 100 if points else None

    def _cloudwatch(self) -> Any:
        return self.cloudwatch if self.cloudwatch is not None else client("cloudwatch", self.region)

    def _rds(self) -> Any:
        return self.rds if self.rds is not None else client("rds", self.region)


def vcpus_of(instance_class: str) -> int | None:
    """Return the vCPUs of an instance class: `db.r7g.16xlarge` has 64. None for classes that scale by themselves."""
    size = instance_class.rpartition(".")[2]
    if size in ("medium", "large"):
        return 2
    times = size.removesuffix("xlarge")
    if times == size or (times and not times.isdigit()):
        return None
    return 4 * int(times or 1)
