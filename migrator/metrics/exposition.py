"""Writes samples in Prometheus' text format, and serves them: by a small server of its own, or as a route of another.

No tenant's name and no secret is among them, so there is no password; bind the address to where Prometheus is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from migrator.errors import UsageError
from migrator.metrics.address import Address
from migrator.metrics.metric import Kind, Metric, Sample
from migrator.metrics.source import Source

if TYPE_CHECKING:
    from prometheus_client import Metric as Family
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

PATH = "/metrics"

More = Callable[[], bytes]
"""Gives what else is served beside the samples, in the same format."""


def families(samples: Sequence[Sample], plan: str) -> Iterator[Family]:
    """Yield what prometheus_client writes, one family per metric, in the order in which they come first."""
    found: dict[str, Family] = {}
    for sample in samples:
        metric = sample.metric
        family = found.get(metric.name)
        if family is None:
            family = found[metric.name] = _family(metric)
        labels = [plan, *sample.labels]
        match family:
            case HistogramMetricFamily():
                assert sample.histogram is not None
                bounds = [*map(floatToGoString, sample.histogram.bounds), "+Inf"]
                counts = zip(bounds, map(float, sample.histogram.counts), strict=True)
                family.add_metric(labels, [*counts], sample.histogram.total)
            case CounterMetricFamily() | GaugeMetricFamily():
                family.add_metric(labels, sample.value)
    yield from found.values()


def _family(metric: Metric) -> Family:
    labels = ["plan", *(label.name for label in metric.labels)]
    match metric.kind:
        case Kind.GAUGE:
            return GaugeMetricFamily(metric.base, metric.help, labels=labels)
        case Kind.COUNTER:
            return CounterMetricFamily(metric.base, metric.help, labels=labels)
        case Kind.HISTOGRAM:
            return HistogramMetricFamily(metric.base, metric.help, labels=labels)


class _OfSource(Collector):
    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Family]:
        samples = self._source.samples()
        yield from families(samples, self._source.plan)


def page(source: Source, more: More = bytes) -> Callable[[], bytes]:
    """Return what writes the page: samples of *source*, of this process, and *more*."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfSource(source))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry) + more()


def routes(source: Source) -> list[Route]:
    """Return the route `/metrics` for a Starlette application. A slow classic keeps only its thread waiting."""
    from starlette.responses import Response
    from starlette.routing import Route

    written = page(source)

    def metrics(request: Request) -> Response:  # no coroutine, so that Starlette runs it in a thread
        return Response(written(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})

    return [Route(PATH, metrics, methods=["GET"])]


class MetricsServer(ThreadingHTTPServer):
    """Serves one page until shut down. `server_address` has the port when 0 was asked for."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: Address, written: Callable[[], bytes]) -> None:
        self.address_family = address.family
        self.written = written
        try:
            super().__init__((address.host, address.port), _Handler)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at {address}: {error.strerror or error}", hint="Choose another HOST:PORT."
            ) from None

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{Address(str(host), int(port))}{PATH}"

    def start(self) -> None:
        """Serve in a thread that does not outlive the process."""
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.25}, name="migrator-metrics-server", daemon=True
        ).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a scraper that hangs up is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version = "migrator"
    sys_version = ""
    timeout = 10  # seconds: a caller that sends nothing must not keep a thread

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self._answer(404, b"there is only GET /metrics\n", "text/plain; charset=utf-8")
        else:
            self._answer(200, self.server.written(), CONTENT_TYPE_LATEST)

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # the base class' name
        """Say nothing: a scrape every few seconds is no event, and request lines may hold anything."""
