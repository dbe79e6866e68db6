"""Asks AWS, with bounded waits: its errors become this tool's, without their texts."""

from __future__ import annotations

from typing import Any, Literal

from migrator.errors import ClusterUnavailable

CONNECT_S = 5
READ_S = 15
ATTEMPTS = 2
"""What asks AWS has other things to watch: an AWS that does not answer is given up within a minute."""


def client(service: Literal["cloudwatch", "rds"]) -> Any:
    """Return a boto3 client with this machine's region and credentials.

    Raises:
        ClusterUnavailable: the AWS extra is not installed, or there is no region.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise ClusterUnavailable("AWS", "the AWS extra is not installed", "pip install 'migrator[aws]'") from None
    bounds = Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"total_max_attempts": ATTEMPTS})
    try:
        return boto3.client("rds", config=bounds) if service == "rds" else boto3.client("cloudwatch", config=bounds)
    except BotoCoreError as error:
        raise ClusterUnavailable("AWS", type(error).__name__, "Set the region and credentials.") from None


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
