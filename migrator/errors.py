"""
The errors this project raises on purpose. Standard library only.

* MigratorError
  - PlanInvalid              the plan file cannot be used (lists every problem)
      WorkloadInvalid        the workload file of a load test cannot be used (lists every problem)
  - UsageError               the command was called with something that cannot work
      TokenInvalid           a session token was damaged, or is not one
  - PreconditionFailed       a side is not in the state that the call requires
      RouteChanged           another change moved the route first
      PlanMismatch           the running migration was started from another plan
      NotAuthenticated       it is not known that somebody is the approver they say they are
      NotInstalled           the control schema is missing on classic
      WrongVersion           the control schema is of another version of the tool
  - NoGo                     a gate said no; carries every blocker
  - ClusterUnavailable       a side cannot be reached or is refusing work; retryable
      WritesClosed           classic refuses writes: the short pause before decommission; retryable
  - ReadStale                a read came back after its route's freshness limit; retryable
  - CommitUnknown            the answer to COMMIT was lost; the write may or may not have happened
  - LeaseLost                another worker has taken over this mirror partition or copy unit
  - InvariantBroken          a bug, or data that no rule covers; stop and call a person
      HistoryForked          classic no longer holds what the mirror already applied
      CaptureLost            writes may have passed the journal

Sorting errors by SQLSTATE is `migrator.model.sqlstate`; exit codes are `migrator.cli.exits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class MigratorError(Exception):
    """Base of every error raised on purpose.

    `retryable` says whether the same call may succeed later without a person's help.
    `hint` is one sentence for the operator: what to do next.
    """

    retryable: ClassVar[bool] = False
    hint: str = ""

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint is not None:
            self.hint = hint


class PlanInvalid(MigratorError):
    """The plan file cannot be used."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        lines = "\n".join(f"  - {p}" for p in problems)
        count = len(problems)
        self.summary = f"{source}: {count} problem{'s' if count != 1 else ''}"
        super().__init__(f"{self.summary}\n{lines}")
        self.source = source
        self.problems = tuple(problems)


class WorkloadInvalid(PlanInvalid):
    """The workload file of a load test cannot be used."""


class UsageError(MigratorError):
    """The command was called with something that cannot work; problems: what was found, a line each."""

    problems: tuple[str, ...] = ()

    def __init__(self, message: str = "", *, hint: str | None = None, problems: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class TokenInvalid(UsageError):
    """A session token was damaged, or is not one."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the session token cannot be read: {why} (not shown)",
            hint="Read without a token when the caller's own last writes need not be seen; else write again.",
        )


class PreconditionFailed(MigratorError):
    """A side is not in the state that the call requires."""


class RouteChanged(PreconditionFailed):
    """Another change moved the route between reading and writing it."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(
            f"the route of tenant {tenant_id} was moved by another change meanwhile",
            hint="Read the route again and decide again.",
        )
        self.tenant_id = tenant_id


class PlanMismatch(PreconditionFailed):
    """The running migration was started from another plan."""


class NotAuthenticated(PreconditionFailed):
    """It is not known that somebody is the approver they say they are, or they may not approve this."""


class NotInstalled(PreconditionFailed):
    """The control schema is missing on classic."""


class WrongVersion(PreconditionFailed):
    """The control schema is of another version of the tool."""


class NoGo(MigratorError):
    """A gate said no."""

    def __init__(self, gate: str, blockers: Sequence[str], hint: str = "") -> None:
        lines = "\n".join(f"  - {b}" for b in blockers)
        self.summary = f"{gate}: no-go"
        super().__init__(f"{self.summary}\n{lines}", hint=hint)
        self.gate = gate
        self.blockers = tuple(blockers)


class ClusterUnavailable(MigratorError):
    """A side cannot be reached, or is refusing work."""

    retryable = True

    def __init__(self, side: str, why: str, hint: str = "") -> None:
        super().__init__(f"{side} is unavailable: {why}", hint=hint)
        self.side = side
        self.why = why


class WritesClosed(ClusterUnavailable):
    """Classic refuses writes during the short pause before decommission."""

    def __init__(self, waited_s: float) -> None:
        super().__init__("classic", f"writes are closed (waited {waited_s:.1f} s)", "Retry the transaction.")
        self.waited_s = waited_s


class ReadStale(MigratorError):
    """A read came back after its route's freshness limit, so its answer must be discarded."""

    retryable = True


class CommitUnknown(MigratorError):
    """The answer to COMMIT was lost: the write may or may not have happened."""

    def __init__(self, tenant_id: str, xid: int | None) -> None:
        super().__init__(
            f"commit of tenant {tenant_id} (transaction {xid}) was sent and its answer was lost",
            hint="Read the row before writing it again.",
        )
        self.tenant_id = tenant_id
        self.xid = xid


class LeaseLost(MigratorError):
    """Another process has taken over this mirror partition, copy unit or turn; this one must stop."""


class InvariantBroken(MigratorError):
    """A bug, or data that no rule covers; stop and call a person."""


class HistoryForked(InvariantBroken):
    """Classic no longer holds what the mirror already applied: it was restored, or lost its tail."""


class CaptureLost(InvariantBroken):
    """Writes may have passed the journal: capture is not, or was not, what it was built to be.

    `recorded`: the loss was recorded before.
    """

    def __init__(self, problems: Sequence[str], hint: str = "", *, recorded: bool = False) -> None:
        super().__init__(f"writes may have passed the journal: {'; '.join(problems)}", hint=hint)
        self.problems = tuple(problems)
        self.recorded = recorded
