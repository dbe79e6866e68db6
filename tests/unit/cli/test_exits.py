"""Every error ends in one message and the right exit code."""

from __future__ import annotations

import re

import psycopg
import pytest

from migrator import errors
from migrator.cli.app import run_command
from migrator.cli.exits import MEANING, ExitCode, ending_of
from migrator.errors import (
    CaptureLost,
    ClusterUnavailable,
    CommitUnknown,
    HistoryForked,
    InvariantBroken,
    LeaseLost,
    MigratorError,
    NoGo,
    NotAuthenticated,
    NotInstalled,
    PlanInvalid,
    PlanMismatch,
    PreconditionFailed,
    ReadStale,
    RouteChanged,
    TokenInvalid,
    UsageError,
    WritesClosed,
    WrongVersion,
)
from tests import ROOT

CASES: list[tuple[BaseException, ExitCode]] = [
    (PlanInvalid("p.toml", ["a: 1 → 2"]), ExitCode.USAGE),
    (UsageError("x"), ExitCode.USAGE),
    (TokenInvalid("it was cut off"), ExitCode.USAGE),
    (NoGo("cutover", ["lag"]), ExitCode.NO_GO),
    (PreconditionFailed("x"), ExitCode.NO_GO),
    (RouteChanged("t"), ExitCode.NO_GO),
    (PlanMismatch("x"), ExitCode.NO_GO),
    (NotAuthenticated("x"), ExitCode.NO_GO),
    (NotInstalled("x"), ExitCode.NO_GO),
    (WrongVersion("x"), ExitCode.NO_GO),
    (ClusterUnavailable("classic", "gone"), ExitCode.TRY_AGAIN),
    (WritesClosed(3), ExitCode.TRY_AGAIN),
    (ReadStale("x"), ExitCode.TRY_AGAIN),
    (LeaseLost("x"), ExitCode.TRY_AGAIN),
    (CommitUnknown("t", 5), ExitCode.TRY_AGAIN),
    (InvariantBroken("x"), ExitCode.UNEXPECTED),
    (HistoryForked("x"), ExitCode.UNEXPECTED),
    (CaptureLost(["x"]), ExitCode.UNEXPECTED),
    (MigratorError("x"), ExitCode.UNEXPECTED),
    (psycopg.errors.InsufficientPrivilege("permission denied for schema app"), ExitCode.NO_GO),
    (psycopg.errors.AdminShutdown("terminating connection"), ExitCode.TRY_AGAIN),
    (psycopg.errors.LockNotAvailable("lock"), ExitCode.TRY_AGAIN),
    (psycopg.errors.DeadlockDetected("deadlock"), ExitCode.TRY_AGAIN),
    (psycopg.OperationalError("server closed the connection unexpectedly"), ExitCode.TRY_AGAIN),
    (psycopg.errors.SyntaxError("syntax error"), ExitCode.UNEXPECTED),
    (ModuleNotFoundError("No module named 'boto3'", name="boto3"), ExitCode.USAGE),
    (PermissionError(13, "Permission denied", "/plan.toml"), ExitCode.USAGE),
    (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    (ZeroDivisionError("division by zero"), ExitCode.UNEXPECTED),
]


@pytest.mark.parametrize(
    ("error", "code"), CASES, ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else ""
)
def test_an_error_has_its_code_and_a_message(error: BaseException, code: ExitCode) -> None:
    """One line at least, never empty, never a trace."""
    ending = ending_of(error)

    assert ending.code is code
    assert ending.message and "Traceback" not in ending.message


def test_every_error_class_is_sorted() -> None:
    """A new error class has a case here."""
    classes = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, MigratorError)}

    assert classes == {type(e) for e, _ in CASES if isinstance(e, MigratorError)}


def test_details_of_a_constraint_are_not_shown() -> None:
    """PostgreSQL quotes rows in the detail of an error; only its first line is shown."""
    error = psycopg.errors.UniqueViolation("duplicate key\nDETAIL:  Key (email)=(ada@example.org) already exists.")

    assert "ada@example.org" not in ending_of(error).message


def test_the_codes_are_documented() -> None:
    """docs/cli.md says what each code means, in the words of the code."""
    text = (ROOT / "docs" / "cli.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE))

    assert MEANING.keys() == set(ExitCode)
    for code, meaning in MEANING.items():
        assert rows[str(int(code))].replace("`", "") == meaning


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Commands:"),
        (["plan"], "Commands:"),
        (["nothing"], "No such command 'nothing'"),
        (["plan", "template"], "Missing argument"),
        (["version", "--nothing"], "No such option"),
        (["validate", "--every"], "No such option|requires an argument"),
    ],
)
def test_a_command_that_is_not_understood_says_so(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with exit code 2."""
    assert run_command(words) == ExitCode.USAGE

    shown = capsys.readouterr()
    assert shown.out == "" and re.search(said, shown.err)
