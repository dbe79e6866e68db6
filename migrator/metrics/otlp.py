"""Sends samples to an OpenTelemetry collector: the same catalogue that Prometheus reads, by the SDK's exporter.

The samples come from classic, where counters go on through restarts and histograms are counted already. Instruments of
a process could not take those in, so the SDK's data model is filled directly.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from migrator import __version__
from migrator.metrics.metric import Kind, Sample
from migrator.metrics.source import Source

SCOPE = "migrator"
TOTAL = AggregationTemporality.CUMULATIVE


def resource(service: str) -> Resource:
    """Return what is sent from: *service*, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name another."""
    found = Resource.create({SERVICE_VERSION: __version__})
    named = not str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    return found if named else found.merge(Resource({SERVICE_NAME: service}))


def data(samples: Sequence[Sample], plan: str, sender: Resource, began_ns: int, now_ns: int) -> MetricsData:
    """Return *samples* as the SDK's exporters take them, one metric for all samples of a name. Pure."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.metric.name, []).append(sample)
    found = [_metric(group, plan, began_ns, now_ns) for group in by_name.values()]
    scope = ScopeMetrics(InstrumentationScope(SCOPE, __version__), found, "")
    return MetricsData([ResourceMetrics(sender, [scope], "")])


def _metric(samples: Sequence[Sample], plan: str, began_ns: int, now_ns: int) -> Metric:
    metric = samples[0].metric
    points: Any
    match metric.kind:
        case Kind.HISTOGRAM:
            points = Histogram([_distribution(s, plan, began_ns, now_ns) for s in samples], TOTAL)
        case Kind.COUNTER:
            points = Sum([_number(s, plan, began_ns, now_ns) for s in samples], TOTAL, is_monotonic=True)
        case Kind.GAUGE:
            points = Gauge([_number(s, plan, now_ns, now_ns) for s in samples])
    return Metric(metric.otlp_name, metric.help, metric.otlp_unit, points)


def _labels(sample: Sample, plan: str) -> Mapping[str, str]:
    return {"plan": plan, **dict(zip((label.name for label in sample.metric.labels), sample.labels, strict=True))}


def _number(sample: Sample, plan: str, began_ns: int, now_ns: int) -> NumberDataPoint:
    return NumberDataPoint(_labels(sample, plan), began_ns, now_ns, sample.value)


def _distribution(sample: Sample, plan: str, began_ns: int, now_ns: int) -> HistogramDataPoint:
    histogram = sample.histogram
    assert histogram is not None
    each = [b - a for a, b in zip((0, *histogram.counts), histogram.counts, strict=False)]
    unknown = cast(float, None)  # smallest and largest value: optional in the protocol
    return HistogramDataPoint(
        _labels(sample, plan), began_ns, now_ns, histogram.count, histogram.total, each, histogram.bounds,
        unknown, unknown,
    )  # fmt: skip


class Sender:
    """Sends the samples of *source* every *every_s* seconds, in a thread that does not outlive the process.

    Args:
        url: of the collector, for example http://127.0.0.1:4318/v1/metrics.
    """

    def __init__(
        self, source: Source, url: str, every_s: float, service: str, exporter: MetricExporter | None = None
    ) -> None:
        self._source = source
        self._every_s = every_s
        self._from = resource(service)
        self._exporter = exporter or OTLPMetricExporter(url)
        self._began_ns = time.time_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="migrator-metrics-sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send once more, within *timeout_s*, and stop."""
        self._stop.set()
        self._thread.join(timeout_s)
        self._exporter.shutdown()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(self._every_s)
            self.send()

    def send(self) -> None:
        """Send what is known now. A collector that does not answer loses one reading, and the exporter logs it."""
        samples = self._source.samples()
        self._exporter.export(data(samples, self._source.plan, self._from, self._began_ns, time.time_ns()))
