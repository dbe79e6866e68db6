"""An application that uses OpenTelemetry sees the shim's reads and writes, and never a row, a statement or a tenant."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from migrator.metrics import catalogue
from migrator.metrics.metric import Origin
from migrator.model.ack import Ack
from migrator.model.side import Side
from migrator.shim import telemetry
from migrator.shim.listener import LoggingListener
from migrator.shim.metrics import Metrics
from migrator.shim.observed import Observed
from migrator.testing import Asked, Level, MemoryShim
from tests.fixtures.tracing import all_spans
from tests.fixtures.waiting import TIMEOUT_S, eventually

SECRET = "hunter2-of-tenant-acme"


@pytest.fixture(scope="module")
def sdk() -> tuple[InMemorySpanExporter, InMemoryMetricReader]:
    """The providers of this process, which are set once."""
    spans, reader = all_spans(), InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return spans, reader


@pytest.fixture
def spans(sdk: tuple[InMemorySpanExporter, InMemoryMetricReader]) -> InMemorySpanExporter:
    sdk[0].clear()
    return sdk[0]


def answers(asked: Asked) -> list[tuple[str]]:
    if "fail" in asked.text:
        raise psycopg.errors.UniqueViolation(f"Key (email)=({SECRET}) already exists")
    return [(SECRET,)]


@pytest.fixture
def shim(spans: InMemorySpanExporter) -> Iterator[MemoryShim]:
    with MemoryShim(answers, {}) as shim:
        yield shim


def attributes(span: ReadableSpan) -> dict[str, object]:
    return {name: value for name, value in (span.attributes or {}).items() if name.startswith("migrator.")}


def test_a_read_is_a_span_with_its_side(shim: MemoryShim, spans: InMemorySpanExporter) -> None:
    shim.move(SECRET, Level.LIMITLESS)
    shim.run_read(SECRET, lambda r: r.connection.execute("SELECT 1"))
    (span,) = spans.get_finished_spans()

    assert (span.name, span.status.status_code) == ("migrator.shim.read", StatusCode.UNSET)
    assert attributes(span) == {
        "migrator.side": "limitless", "migrator.level": "limitless", "migrator.retry": 0,
        "migrator.epoch": shim.stats().epoch,
    }  # fmt: skip


def test_what_runs_within_is_its_child_and_what_follows_is_not(shim: MemoryShim, spans: InMemorySpanExporter) -> None:
    tracer = trace.get_tracer("application")
    with tracer.start_as_current_span("request"):
        with shim.read("a"):
            with tracer.start_as_current_span("query"):
                pass
        with tracer.start_as_current_span("after"):
            pass
    by_name = {span.name: span for span in spans.get_finished_spans()}
    parent = {name: span.parent.span_id if span.parent else None for name, span in by_name.items()}

    assert parent["query"] == by_name["migrator.shim.read"].context.span_id
    assert parent["migrator.shim.read"] == parent["after"] == by_name["request"].context.span_id


def test_a_write_is_a_span_and_its_wait_another(shim: MemoryShim, spans: InMemorySpanExporter) -> None:
    shim.run_write("a", lambda w: w.connection.execute("UPDATE x"))
    shim.run_write("a", lambda w: w.connection.execute("UPDATE x"), ack=Ack.NONE)
    waited, write, plain = spans.get_finished_spans()

    assert [s.name for s in (waited, write, plain)] == [
        "migrator.shim.acknowledge", "migrator.shim.write", "migrator.shim.write",
    ]  # fmt: skip
    assert waited.parent is not None and waited.parent.span_id == write.context.span_id
    assert attributes(write) | attributes(waited) == {
        "migrator.side": "classic", "migrator.ack": "everywhere", "migrator.committed": True, "migrator.retry": 0,
        "migrator.epoch": shim.stats().epoch,
    }  # fmt: skip


def test_a_read_that_fell_back_is_two_spans(shim: MemoryShim, spans: InMemorySpanExporter) -> None:
    shim.move("a", Level.LIMITLESS)

    def read(r: object) -> None:
        if r.side is Side.LIMITLESS:  # type: ignore[attr-defined]
            shim.lose(Side.LIMITLESS)
        r.connection.execute("SELECT 1")  # type: ignore[attr-defined]

    shim.run_read("a", read)
    first, again = spans.get_finished_spans()

    assert (attributes(first)["migrator.side"], attributes(first)["migrator.retry"]) == ("limitless", 0)
    assert (attributes(again)["migrator.side"], attributes(again)["migrator.retry"]) == ("classic", 1)
    assert first.status.status_code is StatusCode.ERROR


def test_errors_are_told_by_their_sqlstate_and_nothing_else(shim: MemoryShim, spans: InMemorySpanExporter) -> None:
    for block in (shim.read(SECRET), shim.write(SECRET)):
        with pytest.raises(psycopg.errors.UniqueViolation), block as b:
            b.connection.execute(f"fail {SECRET}", (SECRET,))
    read, write = spans.get_finished_spans()

    for span in (read, write):
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes is not None and span.attributes["error.type"] == "23505"
    assert SECRET not in json.dumps([json.loads(span.to_json()) for span in (read, write)])


def test_an_application_that_sets_up_tracing_late_is_served(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(telemetry, "tracer", lambda: None)
        shim = MemoryShim(answers, {})
        shim.open()
        shim.run_read("a", lambda r: r.connection.execute("SELECT 1"))
        assert spans.get_finished_spans() == ()
    with closing(shim):

        def read() -> int:
            shim.run_read("a", lambda r: r.connection.execute("SELECT 1"))
            return len(spans.get_finished_spans())

        eventually(read, "its own watch finds the tracer", every_s=0.05)


def test_a_broken_provider_ends_nothing(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no exporter")

    monkeypatch.setattr(telemetry, "tracer", broken)
    with MemoryShim(answers, {}) as shim:
        assert shim.run_read("a", lambda r: r.connection.execute("SELECT 1").fetchone()) == (SECRET,)


class BrokenProcessor(SpanProcessor):
    """An application's own, with a mistake."""

    def __init__(self, *, starts: bool) -> None:
        self._starts = starts

    def on_start(self, span: object, parent_context: object = None) -> None:
        if not self._starts:
            raise RuntimeError("on_start")

    def on_end(self, span: object) -> None:
        raise RuntimeError("on_end")


class BrokenHistogram:
    def record(self, *args: object) -> None:
        raise RuntimeError("record")


@pytest.mark.parametrize("starts", [True, False])
def test_a_write_that_is_committed_never_looks_failed_by_its_tracing(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, starts: bool
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BrokenProcessor(starts=starts))
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("broken"))
    before = trace.get_current_span()
    with MemoryShim(answers, {}) as shim:
        monkeypatch.setattr(telemetry.meter(shim), "acknowledge", BrokenHistogram())
        with shim.write("a") as write:
            write.connection.execute("UPDATE x")
        assert write.committed and shim.run_read("a", lambda r: r.connection.execute("SELECT 1").fetchone())
    assert trace.get_current_span() is before


class OldMeter:
    """Of an API before 1.30, as applications have that upgrade rarely. Counts what is made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def create_observable_counter(self, name: str, callbacks: object, unit: str = "", description: str = "") -> None:
        self.made.append(name)

    create_observable_gauge = create_observable_counter

    def create_histogram(self, name: str, unit: str = "", description: str = "") -> str:
        self.made.append(name)
        return name


class NoMeter(OldMeter):
    def create_observable_gauge(self, *args: object, **options: object) -> None:
        raise RuntimeError("no gauges")


@pytest.mark.parametrize("made", [OldMeter(), NoMeter()])
def test_instruments_are_made_once_whatever_the_application_has(
    monkeypatch: pytest.MonkeyPatch, made: OldMeter
) -> None:
    monkeypatch.setattr(metrics, "get_meter", lambda scope: made)
    monkeypatch.setattr(telemetry, "_meter", None)
    monkeypatch.setattr(telemetry, "_tried", False)
    with MemoryShim(answers, {}) as shim:
        for _ in range(3):
            with suppress(RuntimeError):
                telemetry.meter(shim)
        assert len(made.made) == len(set(made.made)) >= 1
        assert shim.run_read("a", lambda r: r.connection.execute("SELECT 1").fetchone()) == (SECRET,)


def test_without_a_provider_there_is_no_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    assert telemetry.tracer() is None
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    assert telemetry.tracer() is None


def test_the_meter_tells_what_the_catalogue_says(
    sdk: tuple[InMemorySpanExporter, InMemoryMetricReader], shim: MemoryShim
) -> None:
    shim.move("a", Level.LIMITLESS)
    shim.run_read("a", lambda r: r.connection.execute("SELECT 1"))
    shim.run_write("a", lambda w: w.connection.execute("UPDATE x"))
    shim.lose(Side.LIMITLESS)
    for _ in range(9):
        shim.run_read("a", lambda r: r.connection.execute("SELECT 1"))
    data = sdk[1].get_metrics_data()
    assert data is not None
    found = {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    wanted = {m.otlp_name: m for m in catalogue.CATALOGUE if m.origin is Origin.SHIM}

    assert found.keys() == wanted.keys()
    for name, metric in wanted.items():
        assert (found[name].unit or "") == metric.otlp_unit, name
        for point in found[name].data.data_points:
            assert set(point.attributes or {}) == {label.name for label in metric.labels}, name
    waits = next(iter(found["migrator.shim.write_acknowledge"].data.data_points))
    assert isinstance(waits, HistogramDataPoint) and waits.count >= 1
    assert tuple(waits.explicit_bounds) == telemetry.BOUNDS_S


def told_of(reader: InMemoryMetricReader) -> set[object]:
    """Return the names of the shims whose reads are told; those of other tests in this process may be open as well."""
    data = reader.get_metrics_data()
    found = [m for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics]
    return {(p.attributes or {})["shim"] for m in found if m.name == "migrator.shim.reads" for p in m.data.data_points}


def test_a_closed_shim_is_told_of_no_more(sdk: tuple[InMemorySpanExporter, InMemoryMetricReader]) -> None:
    with MemoryShim(answers, {}, name="of this test") as shim:
        shim.run_read("a", lambda r: r.connection.execute("SELECT 1"))
        assert "of this test" in told_of(sdk[1])

    assert "of this test" not in told_of(sdk[1])


def test_a_shim_that_is_closed_while_its_watch_looks_is_told_of_no_more(
    sdk: tuple[InMemorySpanExporter, InMemoryMetricReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, closed, thread = threading.Event(), threading.Event(), threading.current_thread()
    meter = telemetry.meter

    def late(shim: telemetry.Told) -> telemetry.Meter | None:
        if threading.current_thread() is not thread:
            looks.set()
            assert closed.wait(TIMEOUT_S)
        return meter(shim)

    shim = MemoryShim(answers, {}, name="looked at")
    monkeypatch.setattr(telemetry, "meter", late)
    observed = Observed(shim, LoggingListener(), Metrics())
    watch = threading.Thread(target=observed.look)
    watch.start()
    assert looks.wait(TIMEOUT_S)
    observed.close()
    closed.set()
    watch.join()

    assert "looked at" not in told_of(sdk[1])
