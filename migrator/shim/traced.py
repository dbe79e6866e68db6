"""Reads and writes with spans, for applications that trace with OpenTelemetry. See telemetry.py for what is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from migrator.model.ack import Ack
from migrator.shim.read import Read, ReadSteps
from migrator.shim.write import Write, WriteSteps

Facts = Mapping[str, str | int | bool]

SYSTEM = {"db.system.name": "postgresql"}


def _place() -> tuple[int, object]:
    """Return the thread and the task that run now: each has a context of its own."""
    try:
        return threading.get_ident(), asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return threading.get_ident(), None


class _Spanned:
    """A span that is current within the block."""

    def __init__(self, tracer: Tracer, name: str, kind: SpanKind, facts: Facts) -> None:
        self._span: Span = tracer.start_span(name, kind=kind, attributes=facts)
        self._place = _place()
        self._before = context.attach(trace.set_span_in_context(self._span))

    def end(self, error: BaseException | None, facts: Facts) -> None:
        if _place() == self._place:  # elsewhere another context is current
            context.detach(self._before)
        self._span.set_attributes(facts)
        _failed(self._span, error)
        self._span.end()


def _begin(tracer: Tracer, name: str, kind: SpanKind, facts: Facts) -> _Spanned | None:
    """Return a new span; None where the application's tracing fails: that must fail no read and no write."""
    with suppress(Exception):
        return _Spanned(tracer, name, kind, facts)
    return None


def _end(spanned: _Spanned | None, error: BaseException | None, facts: Facts) -> None:
    """End a span. Behind a COMMIT nothing that fails here may look like the write's own failure."""
    if spanned is not None:
        with suppress(Exception):
            spanned.end(error, facts)


def _failed(span: Span, error: BaseException | None) -> None:
    """Note that a block failed: by the error's class and SQLSTATE. Its text may quote rows."""
    if error is None or not span.is_recording():
        return
    span.set_status(Status(StatusCode.ERROR))
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    span.set_attribute("error.type", state or type(error).__name__)
    if state:
        span.set_attribute("db.response.status_code", state)


class TracedReadSteps(ReadSteps):
    """A read with the span `migrator.shim.read`."""

    def __init__(self, *args: Any, tracer: Tracer, retry: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tracer = tracer
        self._retry = retry
        self._spanned: _Spanned | None = None

    async def enter(self) -> None:
        self._spanned = _begin(
            self._tracer, "migrator.shim.read", SpanKind.CLIENT, {**SYSTEM, "migrator.retry": self._retry}
        )
        try:
            await super().enter()
        except BaseException as error:
            self._tell_span(error)
            raise

    async def leave(self, error: BaseException | None) -> None:
        try:
            await super().leave(error)
        except BaseException as raised:
            self._tell_span(raised)
            raise
        self._tell_span(error)

    def _tell_span(self, error: BaseException | None) -> None:
        spanned, self._spanned = self._spanned, None
        view = self._current.view
        level = view.level(self.tenant_id).value
        _end(spanned, error, {"migrator.side": self.side.value, "migrator.level": level, "migrator.epoch": view.epoch})


class TracedWriteSteps(WriteSteps):
    """A write with the span `migrator.shim.write`, and `migrator.shim.acknowledge` within it while it waits."""

    def __init__(self, *args: Any, tracer: Tracer, retry: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tracer = tracer
        self._retry = retry
        self._spanned: _Spanned | None = None

    async def enter(self) -> None:
        self._spanned = _begin(
            self._tracer, "migrator.shim.write", SpanKind.CLIENT, {**SYSTEM, "migrator.retry": self._retry}
        )
        try:
            await super().enter()
        except BaseException as error:
            self._tell_span(error)
            raise

    async def leave(self, error: BaseException | None) -> None:
        try:
            await super().leave(error)
        except BaseException as raised:
            self._tell_span(raised)
            raise
        self._tell_span(error)

    async def _acknowledge(self) -> None:
        if self.ack is not Ack.EVERYWHERE:
            await super()._acknowledge()
            return
        spanned = _begin(self._tracer, "migrator.shim.acknowledge", SpanKind.INTERNAL, {})
        raised: BaseException | None = None
        try:
            await super()._acknowledge()
        except BaseException as error:
            raised = error
            raise
        finally:
            _end(spanned, raised, {"migrator.ack": self.ack.value, "migrator.epoch": self._current.view.epoch})

    def _tell_span(self, error: BaseException | None) -> None:
        spanned, self._spanned = self._spanned, None
        facts: Facts = {
            "migrator.side": self.side.value,
            "migrator.ack": self.ack.value,
            "migrator.epoch": self._current.view.epoch,
            "migrator.committed": self.committed,
        }
        _end(spanned, error, facts)


class TracedRead(TracedReadSteps, Read):
    """The read of threads, with its span."""


class TracedWrite(TracedWriteSteps, Write):
    """The write of threads, with its spans."""
