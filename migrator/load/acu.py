"""Reads from CloudWatch the ACU that Limitless used while each rate was offered.

`DBShardGroupCapacity` by `DBShardGroupIdentifier` (see migrator/capacity/cloudwatch.py), by the minute. Only whole
minutes within a rate count, so a rate has to last two minutes to have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from migrator.load.project import Use
from migrator.load.run import Span
from migrator.runway.aws import asked

MINUTE = timedelta(minutes=1)


def minutes(cloudwatch: Any, shard_group_id: str, begin: datetime, end: datetime) -> dict[datetime, float]:
    """Return the mean ACU of each minute from *begin* to *end* that CloudWatch has.

    Raises:
        ClusterUnavailable: AWS does not answer, or refuses.
    """
    answer = asked(
        lambda: cloudwatch.get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName="DBShardGroupCapacity",
            Dimensions=[{"Name": "DBShardGroupIdentifier", "Value": shard_group_id}],
            StartTime=_whole(begin),
            EndTime=_whole(end) + MINUTE,
            Period=60,
            Statistics=["Average"],
        )
    )
    return {point["Timestamp"].astimezone(UTC): float(point["Average"]) for point in answer["Datapoints"]}


def uses(found: Mapping[datetime, float], began: datetime, spans: Sequence[Span]) -> list[Use]:
    """Return the ACU at each rate, of the whole minutes that lie within it. Pure."""
    made = []
    for span in spans:
        begin, end = (began + timedelta(seconds=s) for s in (span.begin_s, span.end_s))
        values = [acu for at, acu in found.items() if begin <= at and at + MINUTE <= end]
        if values:
            made.append(Use(span.served, sum(values) / len(values)))
    return made


def has_all(found: Mapping[datetime, float], until: datetime) -> bool:
    """Return whether the last whole minute before *until* is there. Pure."""
    return _whole(until) - MINUTE in found


def _whole(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)
