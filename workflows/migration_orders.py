"""Refuses orders that a migration cannot carry out now. Raises ApplicationError, whose type the client knows."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from migrator.errors import UsageError
    from migrator.model.gate import gate_of
    from migrator.model.phase import Phase
    from workflows.messages import Approve, Order, Report
    from workflows.migration_state import Migration


def may_approve(m: Migration, request: Approve) -> None:
    if not request.approver.strip():
        raise ApplicationError("an approval needs a name", type="UsageError")
    old = m.approvals.get(request.gate)
    if old is not None and not is_renewal(request):
        if old.approver != request.approver:
            raise ApplicationError(f"{request.gate} was approved by {old.approver}", type="AlreadyApproved")
        return
    if request.gate.startswith("wave-") and request.gate[5:].isdigit():
        if m.phase is not Phase.CUTOVER:
            raise ApplicationError("no wave waits for an approval", type="NotWaiting")
        return
    try:
        gate_of(request.gate)
    except UsageError as error:
        raise ApplicationError(str(error), type="UsageError") from None
    if m.waiting_for != request.gate:
        now = f"it is in phase {m.phase.value}, {m.state}" if m.phase else "it has just begun"
        # Approving ahead would approve evidence that does not exist yet.
        raise ApplicationError(f"{request.gate} does not wait for an approval: {now}", type="NotWaiting")


def is_renewal(request: Approve) -> bool:
    """Whether an approval is recorded again: classic knows whether a wave's still counts, this workflow does not."""
    return request.again and request.gate.startswith("wave-")


def may_abort(m: Migration, order: Order) -> None:
    if m.phase is Phase.DECOMMISSION:
        raise ApplicationError(
            "the hand-over is running; it reopens writes by itself when it cannot be finished", type="TooLate"
        )
    if not order.reason.strip():
        raise ApplicationError("an abort needs a reason", type="UsageError")


def may_cut_over(m: Migration) -> None:
    if m.phase not in (Phase.CUTOVER, Phase.STABILIZE):
        now = m.phase.value if m.phase else "beginning"
        raise ApplicationError(
            f"there is nothing to cut over in phase {now}; the cutover begins by itself when dual_write is left",
            type="NotWaiting",
        )


def may_report(report: Report) -> None:
    if not report.reason.strip() or not report.reported_by.strip():
        raise ApplicationError("an incident needs a reason and a name", type="UsageError")
