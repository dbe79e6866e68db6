"""A tracer that sends its spans to an OpenTelemetry collector."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from migrator.metrics.otlp import resource


def provider(url: str, service: str) -> TracerProvider:
    """Return a provider whose spans go to *url*; headers come from OTEL_EXPORTER_OTLP_HEADERS."""
    made = TracerProvider(resource=resource(service), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))
    return made
