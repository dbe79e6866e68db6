"""A collector is sent what Prometheus would read, by the exporter of OpenTelemetry."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from migrator import settings
from migrator.metrics import catalogue as c
from migrator.metrics.gather import Reading, gather
from migrator.metrics.metric import Kind
from migrator.metrics.otlp import Sender, resource
from migrator.metrics.source import Source
from migrator.model.measured import Measured
from tests.fixtures.collector import collecting
from tests.fixtures.waiting import eventually
from tests.unit.metrics.statuses import measured, status


class Answers:
    def __init__(self) -> None:
        self.measured = measured()

    def __call__(self) -> Reading:
        return Reading(status(), self.measured)

    def give_up(self) -> None: ...
    def close(self) -> None: ...


def test_a_collector_gets_every_sample_with_kind_unit_and_labels() -> None:
    with collecting() as collector:
        sender = Sender(Source(Answers(), "shop"), f"{collector.url}/v1/metrics", 60.0, "worker")
        sender.send()
        ((path, _, body),) = collector.got
    sent = ExportMetricsServiceRequest.FromString(body)
    (group,) = sent.resource_metrics
    found = {metric.name: metric for metric in group.scope_metrics[0].metrics}

    assert path == "/v1/metrics"
    assert {a.key: a.value.string_value for a in group.resource.attributes}["service.name"] == "worker"
    for sample in gather(Answers()()):
        metric = found[sample.metric.otlp_name]
        assert (metric.description, metric.unit) == (sample.metric.help, sample.metric.otlp_unit)
        match sample.metric.kind:
            case Kind.GAUGE:
                points = metric.gauge.data_points
            case Kind.COUNTER:
                assert metric.sum.is_monotonic and metric.sum.aggregation_temporality == 2  # cumulative
                points = metric.sum.data_points
            case Kind.HISTOGRAM:
                continue
        labels = {"plan": "shop", **dict(zip((x.name for x in sample.metric.labels), sample.labels, strict=True))}
        values = [p.as_double for p in points if {a.key: a.value.string_value for a in p.attributes} == labels]
        assert values == [sample.value], sample
    (waits,) = [p for p in found[c.ACK_TIME.otlp_name].histogram.data_points if p.count]
    assert sum(waits.bucket_counts) == waits.count == 50
    assert len(waits.bucket_counts) == len(waits.explicit_bounds) + 1
    assert not waits.HasField("min")


def test_it_sends_again_and_once_more_at_the_end() -> None:
    with collecting() as collector:
        answers = Answers()
        sender = Sender(Source(answers, fresh_s=0.0), collector.url, 0.01, "worker")
        sender.start()
        eventually(lambda: len(collector.got) >= 2)
        answers.measured = Measured(journal_limit_bytes=123.0)
        sender.stop()
        last = ExportMetricsServiceRequest.FromString(collector.got[-1][2])

    (limit,) = [m for m in last.resource_metrics[0].scope_metrics[0].metrics if m.name == c.JOURNAL_LIMIT.otlp_name]
    assert limit.gauge.data_points[0].as_double == 123.0


def test_a_collector_that_refuses_ends_nothing() -> None:
    with collecting() as collector:
        collector.refuses = True
        sender = Sender(Source(Answers(), fresh_s=0.0), collector.url, 0.01, "worker")
        sender.start()
        eventually(lambda: len(collector.got) >= 2)
        collector.refuses = False
        sender.stop()


def test_opentelemetrys_own_variables_are_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource("worker").attributes["service.name"] == "worker"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,deployment.environment=prod")
    assert resource("worker").attributes["service.name"] == "ours"
    assert resource("worker").attributes["deployment.environment"] == "prod"

    assert settings.otlp_endpoint("metrics") is None and settings.otlp_wanted("traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:1/x")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "2500")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc,x-scope=1,broken")
    assert settings.otlp_endpoint("metrics") == "http://collector:4318/v1/metrics"
    assert settings.otlp_endpoint("traces") == "http://traces:1/x"
    assert settings.otlp_wanted("metrics") and not settings.otlp_wanted("traces")
    assert settings.otlp_every_s() == 2.5
    assert settings.otlp_headers() == [("authorization", "Bearer abc"), ("x-scope", "1")]
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    assert not settings.otlp_wanted("metrics")
