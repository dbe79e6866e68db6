"""What a worker says of itself: metrics of the migration and of Temporal on one page, and by OTLP, with traces.

Temporal's core has a Prometheus endpoint of its own. It is bound to this machine alone, and its text is appended to the
page, so that one address has everything. Names that begin with `temporal_` are documented by Temporal.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from temporalio.client import Interceptor
from temporalio.runtime import OpenTelemetryConfig, PrometheusConfig, Runtime, TelemetryConfig

from migrator import settings
from migrator.errors import UsageError
from migrator.metrics.address import address
from migrator.plan.schema import Plan

if TYPE_CHECKING:
    from migrator.metrics.source import Source

TRIES = 5
"""A port that was free a moment ago may be taken."""
SERVICE = "migrator-worker"
STOP_S = 5.0
"""How long the end of a worker waits for spans that are not sent yet."""

log = structlog.get_logger(__name__)


@dataclass
class Telemetry:
    """What a worker's connection to Temporal needs. runtime: None for the process' usual one."""

    runtime: Runtime | None = None
    interceptors: list[Interceptor] = field(default_factory=list)


@contextlib.contextmanager
def telemetry(plan: Plan, listen: str | None = None) -> Iterator[Telemetry]:
    """Serve and send what the plan, the environment and *listen* want, until left.

    What plan and environment want and cannot have is a warning: mirrors and routes matter more than being measured, and
    a plan that is applied must not end the workers that start after it.

    Args:
        listen: HOST:PORT of the command line.

    Raises:
        UsageError: *listen* cannot be served.
    """
    wanted = listen or plan.metrics.listen
    metrics_to, traces_to = _otlp(plan, "metrics"), _otlp(plan, "traces")
    told = Telemetry()
    with contextlib.ExitStack() as stack:
        if wanted or metrics_to:
            source = stack.enter_context(contextlib.closing(_source(plan)))
            if wanted:
                _serve(stack, told, source, wanted, must=listen is not None)
            if metrics_to:
                _send(stack, told, source, plan, metrics_to)
        if traces_to:
            _trace(stack, told, traces_to)
        yield told


def _otlp(plan: Plan, signal: str) -> str | None:
    """Return the URL that *signal* is sent to; None: it is not."""
    if not settings.otlp_wanted(signal):
        return None
    own = settings.otlp_endpoint(signal)
    if own and settings.otlp_protocol(signal) == "grpc":
        log.warning("otlp.not_sent", signal=signal, reason="OTEL_EXPORTER_OTLP_PROTOCOL is grpc; only HTTP is spoken")
        return None
    return own or (f"{plan.metrics.otlp.rstrip('/')}/v1/{signal}" if plan.metrics.otlp else None)


def _source(plan: Plan) -> Source:
    from migrator.metrics.source import Classic, Source

    return Source(Classic(lambda: settings.resolve(plan.classic.writer)), plan.name)


def _serve(stack: contextlib.ExitStack, told: Telemetry, source: Source, wanted: str, *, must: bool) -> None:
    written: list[Callable[[], bytes]] = []
    try:
        try:
            from migrator.metrics.exposition import MetricsServer, page
        except ImportError:
            raise UsageError("metrics need prometheus-client", hint="pip install 'migrator[serve]'") from None
        server = MetricsServer(address(wanted), lambda: written[0]())
    except UsageError as error:
        if must:
            raise
        log.warning("metrics.not_served", address=wanted, error=str(error))
        return
    stack.callback(server.server_close)
    sdk = SdkMetrics.started()
    told.runtime = sdk.runtime
    written.append(page(source, sdk.page))
    server.start()
    stack.callback(server.shutdown)
    log.info("metrics.served", url=server.url)


@dataclass
class SdkMetrics:
    """A runtime of Temporal's core, and the port where it serves its metrics: seconds, and `_total` on counters."""

    runtime: Runtime
    port: int

    @classmethod
    def started(cls) -> SdkMetrics:
        for tries_left in reversed(range(TRIES)):
            with contextlib.closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            config = PrometheusConfig(
                bind_address=f"127.0.0.1:{port}",
                counters_total_suffix=True,
                unit_suffix=True,
                durations_as_seconds=True,
            )
            try:
                return cls(Runtime(telemetry=TelemetryConfig(metrics=config)), port)
            except (RuntimeError, ValueError):
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    def page(self) -> bytes:
        """Return its metrics as text; nothing when it gives none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=2) as answer:
                body: bytes = answer.read()
                return body
        except (OSError, urllib.error.URLError):
            return b""


def _send(stack: contextlib.ExitStack, told: Telemetry, source: Source, plan: Plan, url: str) -> None:
    try:
        from migrator.metrics.otlp import Sender
    except ImportError:
        _lacks_otel("metrics")
        return
    every_s = settings.otlp_every_s() or plan.metrics.otlp_every_s
    sender = Sender(source, url, every_s, SERVICE)
    sender.start()
    stack.callback(sender.stop)
    if told.runtime is None:  # else Temporal's own metrics are on the page: its core has one exporter
        headers = dict(settings.otlp_headers())
        config = OpenTelemetryConfig(
            url=url,
            headers=headers,
            http=True,
            durations_as_seconds=True,
            metric_periodicity=timedelta(seconds=every_s),
        )
        told.runtime = Runtime(telemetry=TelemetryConfig(metrics=config))
    log.info("metrics.sent", every_s=every_s)


def _trace(stack: contextlib.ExitStack, told: Telemetry, url: str) -> None:
    try:
        from temporalio.contrib.opentelemetry import TracingInterceptor

        from migrator.metrics.tracing import provider
    except ImportError:
        _lacks_otel("traces")
        return
    made = provider(url, SERVICE)
    stack.callback(_within, STOP_S, made.shutdown)
    # Workflows are begun by commands, which trace nothing: without a span of their own they would have none.
    told.interceptors.append(TracingInterceptor(made.get_tracer(SERVICE), always_create_workflow_spans=True))
    log.info("traces.sent")


def _within(seconds: float, fn: Callable[[], object]) -> None:
    """Run *fn*, and leave it behind when it takes longer: an unreachable collector keeps no worker from ending."""
    thread = threading.Thread(target=fn, name="migrator-traces-end", daemon=True)
    thread.start()
    thread.join(seconds)


def _lacks_otel(signal: str) -> None:
    """Say that the SDK is missing."""
    reason = "OpenTelemetry's SDK is not installed: pip install 'migrator[otel]'"
    log.warning("otlp.not_sent", signal=signal, reason=reason)
