"""Every timeout and retry, with its reason. There are no others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig


@dataclass(frozen=True)
class Policy:
    """How one kind of activity is run.

    Attributes:
        start_to_close: the longest one attempt may take.
        heartbeat: silence in seconds after which the worker counts as lost; None for activities that end in seconds.
        retry: what happens after a retryable failure; the others are never retried (see failures).
    """

    reason: str
    start_to_close: timedelta
    retry: RetryPolicy
    heartbeat: timedelta | None = None

    def on(self, task_queue: str, summary: str = "") -> ActivityConfig:
        """Return the options of an activity of this kind on *task_queue*."""
        config = ActivityConfig(
            task_queue=task_queue,
            start_to_close_timeout=self.start_to_close,
            heartbeat_timeout=self.heartbeat,
            retry_policy=self.retry,
        )
        if self.heartbeat is not None:
            # A cancellation waits until the old attempt has closed its connections.
            config["cancellation_type"] = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        if summary:
            config["summary"] = summary
        return config


def _forever(first_s: float, longest_s: float) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(seconds=first_s),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=longest_s),
        maximum_attempts=0,
    )


QUICK = Policy(
    "A few statements on classic. Retried without limit: while classic is unreachable nothing can be decided, and as "
    "soon as it answers the migration goes on without a person.",
    timedelta(seconds=60),
    _forever(0.5, 15),
)
WORK = Policy(
    "Audit, provisioning, finalizing: minutes on a big catalog. Ten tries span about ten minutes of an outage; "
    "after that the phase is blocked and says why.",
    timedelta(hours=6),
    RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=120),
        maximum_attempts=10,
    ),
    heartbeat=timedelta(seconds=30),
)
ENDLESS = Policy(
    "Mirrors and the breaker monitor run until they are cancelled. Eight seconds of silence mean that their worker is "
    "lost: short, because reads fall back while a mirror is down, and long enough for a busy machine. Two years is "
    "longer than any migration; an attempt that ends is started again.",
    timedelta(days=730),
    _forever(0.2, 5),
    heartbeat=timedelta(seconds=8),
)
COPY = Policy(
    "A copy unit is small by plan, but a throttled one may wait for hours. It is retried without limit, slowly: an "
    "outage of Limitless must not fail a backfill, and what is wrong with the data is not retryable.",
    timedelta(hours=24),
    _forever(1, 60),
    heartbeat=timedelta(seconds=10),
)
WATCH = Policy(
    "Gates, soaks, validations and long polls: they heartbeat, return within minutes by themselves and carry on where "
    "they were, so the history stays small.",
    timedelta(hours=12),
    _forever(0.5, 15),
    heartbeat=timedelta(seconds=15),
)
INCIDENT = Policy(
    "A rollback must happen: retried without limit and without long pauses.",
    timedelta(seconds=60),
    _forever(0.2, 2),
)
PAUSED_STEP = Policy(
    "Steps while writes are closed. Tries follow quickly; the workflow reopens writes when the plan's limit is over.",
    timedelta(minutes=10),
    _forever(0.1, 1),
    heartbeat=timedelta(seconds=8),
)
AFTER = Policy(
    "Steps past the point of no return: only forward, retried without limit.",
    timedelta(hours=2),
    _forever(0.5, 30),
    heartbeat=timedelta(seconds=30),
)
LAST_NOTE = Policy(
    "A line for status near the end, when classic may be deleted: some seconds, then the work goes on without.",
    timedelta(seconds=10),
    RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=5),
        maximum_attempts=4,
    ),
)
EVERY_POLICY = (QUICK, WORK, ENDLESS, COPY, WATCH, INCIDENT, PAUSED_STEP, AFTER, LAST_NOTE)

RPC_S = 10.0
"""A command waits this long for Temporal before it says that the outcome is unknown."""

LONG_POLL_S = 120.0
"""How long a watching activity runs before it returns, so that a workflow notices messages and replaced code."""

WATCH_EVERY_S = 5.0
"""How often the workflows beside the phases are checked."""

TROUBLE_RETRY_S = 30.0
"""A mirror that failed for good is started again this often: a person may have corrected the cause."""
