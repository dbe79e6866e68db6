"""Spans of an application on asyncio: its own tasks keep theirs apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from migrator.shim.aio import AsyncShim
from tests.conformance.test_cancelled import get, opened, put, sleeping, sleeps, told
from tests.fixtures.tracing import all_spans
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]


@pytest.fixture
def front() -> Callable[..., Any]:
    return AsyncShim


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return all_spans()


async def test_each_block_is_a_span_below_its_tasks_own(world: World, spans: InMemorySpanExporter) -> None:
    tracer = trace.get_tracer("test")

    async def request(number: int) -> None:
        with tracer.start_as_current_span(f"request {number}"):
            await shim.run_write("t1", put(number))
            await shim.run_read("t1", get(number))

    async with opened(world) as shim:
        await asyncio.gather(request(1), request(2))
        with tracer.start_as_current_span("request 3") as last:
            task = asyncio.create_task(shim.run_read("t1", sleeps))
        await told(lambda: sleeping(world), "the statement runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # What another test left to be collected may end a span meanwhile: it is below no request of these.
    every = spans.get_finished_spans()
    mine = {span.context.trace_id for span in every if span.name.startswith("request ")}
    assert len(mine) == 3 and last.get_span_context().trace_id in mine
    found = [span for span in every if span.context.trace_id in mine]
    by_id = {span.context.span_id: span.name for span in found}
    below = sorted((by_id[span.parent.span_id], span.name) for span in found if span.parent is not None)
    names = ("migrator.shim.acknowledge", "migrator.shim.read", "migrator.shim.write")
    assert below == sorted(
        [("migrator.shim.write", names[0])] * 2
        + [(f"request {number}", name) for number in (1, 2) for name in names[1:]]
        + [("request 3", "migrator.shim.read")]
    )
    (failed,) = [span for span in found if span.status.status_code is trace.StatusCode.ERROR]
    assert dict(failed.attributes or {})["error.type"] == "CancelledError"
