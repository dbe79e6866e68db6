"""Reads and writes of tasks with spans, for applications that trace with OpenTelemetry."""

from __future__ import annotations

from migrator.shim.aio.blocks import AsyncRead, AsyncWrite
from migrator.shim.traced import TracedReadSteps, TracedWriteSteps


class AsyncTracedRead(TracedReadSteps, AsyncRead):
    """A read with its span."""


class AsyncTracedWrite(TracedWriteSteps, AsyncWrite):
    """A write with its spans."""
