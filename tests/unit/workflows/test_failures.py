"""Errors on their way into Temporal: retry or not, and never a value of a row."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors as pg

from migrator.errors import (
    ClusterUnavailable,
    InvariantBroken,
    LeaseLost,
    MigratorError,
    NoGo,
    PlanMismatch,
    WrongVersion,
)
from workflows.failures import blockers_of, failure
from workflows.policies import EVERY_POLICY


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ClusterUnavailable("limitless", "refused"), True),
        (LeaseLost("partition 1"), True),
        (PlanMismatch("other"), False),
        (WrongVersion("version 1"), True),
        (InvariantBroken("bug"), False),
        (NoGo("gate", ["x"]), False),
        (pg.DeadlockDetected(), True),
        (pg.LockNotAvailable(), True),
        (pg.AdminShutdown(), True),
        (pg.QueryCanceled(), True),
        (psycopg.OperationalError("connection lost"), True),
        (pg.UniqueViolation(), False),
        (pg.UndefinedColumn(), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (KeyError("bug"), False),
    ],
)
def test_whether_a_retry_makes_sense(error: Exception, retryable: bool) -> None:
    assert failure(error).non_retryable is not retryable


def test_no_value_of_a_row_reaches_temporal() -> None:
    """PostgreSQL and Python both quote values in their messages."""
    for error in (
        pg.UniqueViolation("duplicate key: Key (email)=(alice@example.org) already exists"),
        ValueError("invalid literal for int(): 'alice@example.org'"),
    ):
        found = failure(error)
        assert "alice" not in f"{found.message} {found.details} {found.cause}"


def test_blockers_survive() -> None:
    assert blockers_of(failure(NoGo("gate", ["one", "two"]))) == ("one", "two")
    assert blockers_of(failure(PlanMismatch("other plan"))) == ("other plan",)


def test_every_error_of_ours_has_a_type_name() -> None:
    def tree(kind: type[MigratorError]) -> list[type[MigratorError]]:
        return [kind, *(t for sub in kind.__subclasses__() for t in tree(sub))]

    assert len({t.__name__ for t in tree(MigratorError)}) == len(tree(MigratorError))


def test_every_policy_gives_its_reason() -> None:
    for policy in EVERY_POLICY:
        assert len(policy.reason) > 40
        assert policy.heartbeat is None or policy.heartbeat < policy.start_to_close
