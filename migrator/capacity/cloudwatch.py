"""Reads from CloudWatch what AWS bills for Limitless, and how busy its nodes are.

Quoted from the Aurora User Guide, "Monitoring Aurora PostgreSQL Limitless Database with Amazon CloudWatch": the shard
group reports `DBShardGroupCapacity` (ACU of its writers) and `DBShardGroupComputeRedundancyCapacity` (of its standbys)
by `DBShardGroupIdentifier`; nodes report `CPUUtilization` and `ACUUtilization`, in percent of the node's own maximum,
by `DBShardGroupSubClusterIdentifier` and `DBShardGroupSubClusterType`; storage is `VolumeBytesUsed` of the cluster.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from migrator.control.cost import Hour
from migrator.runway.aws import asked, client

HISTORY_DAYS = 62
"""How far back AWS is asked the first time: it keeps hours for 15 months, a forecast needs this month."""

AGAIN = timedelta(hours=3)
"""The last hours are read again each time: they were not whole, or arrived late."""


_KINDS = {"Distributed Transaction Router": "router", "Data Access Shard": "shard"}
_QUERIES_AT_ONCE = 100  # the API takes 500; a page of answers has 100,800 points

NODE_METRICS = ("CPUUtilization", "ACUUtilization")


@dataclass(frozen=True, slots=True)
class NodeUse:
    """The busiest hour of a node's last day, of its own maximum, 0 to 1. None: no value."""

    node: str
    kind: str
    cpu: float | None
    acu: float | None


@dataclass(frozen=True)
class CloudWatch:
    """A Limitless cluster as AWS measures it. cloudwatch: a boto3 client, made when it is needed."""

    cluster_id: str
    shard_group_id: str
    cloudwatch: Any = None
    region: str | None = None

    def hours(self, last: datetime | None, now: datetime) -> list[Hour]:
        """Return the whole hours before *now* of which the capacity is known, oldest first.

        Args:
            last: when the last hour that is stored began.

        Raises:
            ClusterUnavailable: AWS does not answer, or refuses; the text has its code alone.
        """
        end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        begin = end - timedelta(days=HISTORY_DAYS)
        if last is not None:
            begin = max(begin, min(last, end) - AGAIN)
        group = [{"Name": "DBShardGroupIdentifier", "Value": self.shard_group_id}]
        cluster = [{"Name": "DBClusterIdentifier", "Value": self.cluster_id}]
        found = self._values(
            {
                "acu": _query("acu", "DBShardGroupCapacity", group, "Average"),
                "peak": _query("peak", "DBShardGroupCapacity", group, "Maximum"),
                "standby": _query("standby", "DBShardGroupComputeRedundancyCapacity", group, "Average"),
                "bytes": _query("bytes", "VolumeBytesUsed", cluster, "Average"),
            },
            begin,
            end,
        )
        return [
            Hour(at, acu, *(found[name].get(at) for name in ("peak", "standby", "bytes")))
            for at, acu in sorted(found["acu"].items())
        ]

    def nodes(self, now: datetime) -> list[NodeUse]:
        """Return how busy each node was in the last day. Raises ClusterUnavailable as `hours`."""
        end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        listed = [(name, dimensions) for name in NODE_METRICS for dimensions in self._listed(name)]
        queries = {
            f"n{number}": _query(f"n{number}", name, dimensions, "Average")
            for number, (name, dimensions) in enumerate(listed)
        }
        found = self._values(queries, end - timedelta(days=1), end)
        busiest: dict[tuple[str, str], dict[str, float]] = {}
        for number, (name, dimensions) in enumerate(listed):
            values = found[f"n{number}"].values()
            if values:
                node = busiest.setdefault(_node(dimensions), {})
                node[name] = max(node.get(name, 0.0), min(max(values) / 100, 1.0))  # of its writer and its standbys
        return [
            NodeUse(node, kind, use.get("CPUUtilization"), use.get("ACUUtilization"))
            for (kind, node), use in sorted(busiest.items())
        ]

    def _listed(self, metric: str) -> list[list[dict[str, str]]]:
        """Return the dimensions under which the nodes of this shard group report *metric*."""
        found: list[list[dict[str, str]]] = []
        token: str | None = None
        group = [{"Name": "DBShardGroupIdentifier", "Value": self.shard_group_id}]
        while True:
            more = {} if token is None else {"NextToken": token}
            answer = asked(
                lambda more=more: self._client.list_metrics(
                    Namespace="AWS/RDS", MetricName=metric, Dimensions=group, RecentlyActive="PT3H", **more
                )
            )
            found += [m["Dimensions"] for m in answer["Metrics"] if _node(m["Dimensions"])[1]]
            token = answer.get("NextToken")
            if not token:
                return found

    def _values(
        self, queries: Mapping[str, dict[str, Any]], begin: datetime, end: datetime
    ) -> dict[str, dict[datetime, float]]:
        """Return the values of each query by the hour; what is no number, negative or of the future is left out."""
        found: dict[str, dict[datetime, float]] = {name: {} for name in queries}
        wanted = list(queries.values())
        for first in range(0, len(wanted), _QUERIES_AT_ONCE):
            token: str | None = None
            while begin < end:
                more = {} if token is None else {"NextToken": token}
                part = wanted[first : first + _QUERIES_AT_ONCE]
                answer = asked(
                    lambda part=part, more=more: self._client.get_metric_data(
                        MetricDataQueries=part, StartTime=begin, EndTime=end, ScanBy="TimestampAscending", **more
                    )
                )
                for result in answer["MetricDataResults"]:
                    for at, value in zip(result["Timestamps"], result["Values"], strict=False):
                        hour = at.astimezone(UTC)
                        if begin <= hour < end and math.isfinite(value) and value >= 0:
                            found[result["Id"]][hour] = float(value)
                token = answer.get("NextToken")
                if not token:
                    break
        return found

    @cached_property
    def _client(self) -> Any:
        return self.cloudwatch if self.cloudwatch is not None else client("cloudwatch", self.region)


def _query(name: str, metric: str, dimensions: Sequence[Mapping[str, str]], stat: str) -> dict[str, Any]:
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {"Namespace": "AWS/RDS", "MetricName": metric, "Dimensions": list(dimensions)},
            "Period": 3600,
            "Stat": stat,
        },
    }


_SHOWN = re.compile(r"(?:DTR|DAS)-(\d+)(?:-\d+)?")


def _node(dimensions: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """Return kind and id of the node that reports under these dimensions; '' where it is none.

    AWS shows nodes as DAS-4-112 (shard 4, instance 112); SQL calls the same shard 4.
    """
    values = {d["Name"]: d["Value"] for d in dimensions}
    name = values.get("DBShardGroupSubClusterIdentifier", "")
    shown = _SHOWN.fullmatch(name)
    kind = _KINDS.get(values.get("DBShardGroupSubClusterType", ""), "")
    return (kind, shown[1] if shown else name) if kind else ("", "")
