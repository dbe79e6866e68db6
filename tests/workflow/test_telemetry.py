"""A worker's traces and metrics reach a collector, and hold no row; what is not wanted is not started."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs
from temporalio import activity
from temporalio.client import WorkflowFailureError

from migrator.errors import UsageError
from migrator.metrics.address import address
from migrator.plan.schema import Plan
from tests.fixtures.collector import Collector, collecting
from tests.fixtures.waiting import until
from tests.workflow.serving import serving
from workflows import names
from workflows.breaker import RollbackWorkflow
from workflows.connection import connect
from workflows.messages import RollbackInput, RollbackOutcome
from workflows.telemetry import telemetry

SECRET = "hunter2"


def plan_of(**metrics: object) -> Plan:
    return Plan.model_validate(
        {
            "name": f"p{uuid.uuid4().hex[:8]}",
            "classic": {"writer": "env:NO_CLASSIC"},
            "limitless": {"dsn": "env:NO_LIMITLESS"},
            "metrics": metrics,
        }
    )


@activity.defn(name="roll_back")
async def refused(inp: RollbackInput) -> RollbackOutcome:
    raise psycopg.errors.UniqueViolation(f"Key (email)=({SECRET}) already exists")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def spans(collector: Collector) -> list[Span]:
    sent = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies("/v1/traces")]
    return [span for one in sent for group in one.resource_spans for scope in group.scope_spans for span in scope.spans]


@pytest.mark.temporal
async def test_workflows_and_activities_are_traced_without_a_row(
    collector: Collector, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(otlp=f"{collector.url}/", otlp_every_s=0.2)
    monkeypatch.setenv("MIGRATOR_TEMPORAL", temporal_address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    with telemetry(plan) as told:
        client = await connect(plan, told.runtime, told.interceptors)
        async with serving(client, plan.name, [refused]):
            with pytest.raises(WorkflowFailureError):
                await client.execute_workflow(
                    RollbackWorkflow.run,
                    RollbackInput(plan=plan.name, all=True, who="test", reason=SECRET),
                    id=f"rollback/{plan.name}",
                    task_queue=names.queue(plan.name, names.Queue.INCIDENT),
                )

        async def both() -> bool:
            return len(collector.bodies("/v1/metrics")) >= 2

        await until(both)
    found = {span.name: span for span in spans(collector)}

    assert {"RunWorkflow:Rollback", "RunActivity:roll_back"} <= found.keys()
    assert found["RunActivity:roll_back"].trace_id == found["RunWorkflow:Rollback"].trace_id
    assert found["RunActivity:roll_back"].status.code == 2  # error
    assert SECRET.encode() not in b"".join(body for _, _, body in collector.got)
    assert {headers.get("authorization") for _, headers, _ in collector.got} == {"Bearer abc"}
    sent = [ExportMetricsServiceRequest.FromString(body) for body in collector.bodies("/v1/metrics")]
    metrics = {m.name for one in sent for g in one.resource_metrics for s in g.scope_metrics for m in s.metrics}
    assert "migrator.up" in metrics, "classic cannot be reached here, and that is said"
    assert any("temporal" in name or "worker" in name for name in metrics), "Temporal's own go there too"


def test_a_worker_to_which_nothing_is_said_starts_nothing() -> None:
    with telemetry(plan_of()) as told:
        assert (told.runtime, told.interceptors) == (None, [])


def test_without_its_packages_a_worker_works_and_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked, a plan or a variable for every process of a machine; but for the command line, which insists."""
    for module in ("migrator.metrics.otlp", "migrator.metrics.tracing"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "migrator.metrics.exposition", None)
    with capture_logs() as logs, telemetry(plan_of(otlp="http://127.0.0.1:1", listen="127.0.0.1:0")) as told:
        assert (told.runtime, told.interceptors) == (None, [])
    missing = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert missing == ["metrics.not_served", "otlp.not_sent", "otlp.not_sent"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with capture_logs() as logs, telemetry(plan_of()) as told:
        assert (told.runtime, told.interceptors) == (None, [])
    assert [line["signal"] for line in logs if line["event"] == "otlp.not_sent"] == ["metrics", "traces"]
    with pytest.raises(UsageError, match="prometheus-client"), telemetry(plan_of(), "127.0.0.1:0"):
        pass


def test_a_collector_of_another_protocol_is_not_bothered(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with capture_logs() as logs, telemetry(plan_of()) as told:
        assert (told.runtime, told.interceptors) == (None, [])
    assert len([line for line in logs if line["event"] == "otlp.not_sent"]) == 2
    assert collector.got == []


def test_an_address_of_the_plan_that_is_taken_is_warned_of_and_one_that_is_asked_for_refused() -> None:
    first = plan_of(listen="127.0.0.1:0")
    with capture_logs() as logs, telemetry(first):
        taken = next(line["url"] for line in logs if line["event"] == "metrics.served").split("/")[2]
        second = plan_of(listen=taken)
        with telemetry(second) as told:
            assert told.runtime is None
        assert [line["address"] for line in logs if line["event"] == "metrics.not_served"] == [taken]
        with pytest.raises(UsageError, match="cannot be served"), telemetry(second, taken):
            pass
    with telemetry(plan_of(listen=str(address(taken)))) as told:
        assert told.runtime is not None, "and it is free again"


def test_a_collector_that_is_not_there_keeps_no_worker(unused: str) -> None:
    with telemetry(plan_of(otlp=unused, otlp_every_s=2.0)) as told:
        assert told.runtime is not None and len(told.interceptors) == 1


@pytest.fixture
def unused() -> str:
    from migrator.local.process import free_port

    return f"http://127.0.0.1:{free_port()}"
