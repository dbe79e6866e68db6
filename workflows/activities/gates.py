"""Asks a phase's gate, for activities."""

from __future__ import annotations

from migrator import gates
from migrator.control.history import evidence
from migrator.gates import (
    _audit,
    _cutover,
    _differences,
    _dual_write,
    _positions,
    _provision,
    _stabilize,
    note_blockers,
    note_passed,
)
from migrator.model.gate import GateAnswer
from migrator.model.phase import Phase
from workflows.activities.base import Context

__all__ = [
    "_audit", "_cutover", "_differences", "_dual_write", "_positions", "_provision", "_stabilize", "ask", "evidence",
    "note_blockers", "note_passed",
]  # fmt: skip


async def ask(context: Context, phase: Phase, approver: str = "") -> GateAnswer:
    """Return what the gate of *phase* says now."""
    return await context.on_classic(gates.ask, context.open_limitless, phase, context.plan)
