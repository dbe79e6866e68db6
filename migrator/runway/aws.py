"""Asks AWS, with bounded waits: its errors become this tool's, without their texts."""

from __future__ import annotations

from typing import Any, Literal

from migrator.aws import answers
from migrator.errors import ClusterUnavailable, UsageError

CONNECT_S = 5
READ_S = 15
ATTEMPTS = 2
"""What asks AWS has other things to watch: an AWS that does not answer is given up within a minute."""


def client(service: Literal["cloudwatch", "rds"], region: str | None) -> Any:
    """Return a boto3 client with this machine's credentials; *region* None: its region as well.

    Raises:
        ClusterUnavailable: the AWS extra is not installed, or there is no region.
    """
    try:
        return answers.client(service, region, connect_s=CONNECT_S, read_s=READ_S, attempts=ATTEMPTS)
    except UsageError as error:  # a measurement that cannot be had stops nothing else
        raise ClusterUnavailable("AWS", "the AWS extra is not installed", error.hint) from None


def asked(ask: Any) -> Any:
    """Return what AWS answers to *ask*, a function without arguments.

    Raises:
        ClusterUnavailable: it does not answer, or refuses; the text has its code alone.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise ClusterUnavailable(
            "AWS",
            f"it answers {code}",
            "The worker needs cloudwatch:GetMetricData, cloudwatch:GetMetricStatistics, cloudwatch:ListMetrics, "
            "rds:DescribeDBClusters and rds:DescribeDBInstances.",
        ) from None
    except BotoCoreError as error:
        raise ClusterUnavailable("AWS", type(error).__name__, "Check region and credentials.") from None
