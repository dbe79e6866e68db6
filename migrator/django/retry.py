"""Runs a transaction again when certainly nothing of it was committed."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

import psycopg

from migrator.errors import ClusterUnavailable, ReadStale, WritesClosed
from migrator.model.sqlstate import READ_ONLY, Fault, fault_of, is_lost

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 4
"""As many as the shim makes of a write."""


def worth_another_try(error: BaseException) -> bool:
    """Return whether a transaction that failed by *error*, and did not commit, may work when it is run again."""
    if isinstance(error, WritesClosed):
        return error.waited_s == 0  # closed after it began; one that waited its limit has failed
    if isinstance(error, ReadStale | ClusterUnavailable):
        return True
    cause = error if isinstance(error, psycopg.Error) else error.__cause__  # Django's errors are made of psycopg's
    if not isinstance(cause, psycopg.Error):
        return False
    if isinstance(cause.__cause__, ClusterUnavailable):
        return True
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError)
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        return False  # the application asked not to wait
    if cause.sqlstate == READ_ONLY:
        return True  # by another connection: the writer failed over, and this one leads to what only reads now
    return is_lost(cause.sqlstate) or (fault_of(cause.sqlstate) is Fault.CONFLICT and cause.sqlstate[:2] == "40")


@overload
def retried(fn: Callable[P, T], /) -> Callable[P, T]: ...
@overload
def retried(*, using: str = ..., tries: int = ...) -> Callable[[Callable[P, T]], Callable[P, T]]: ...
def retried(fn: Any = None, /, *, using: str = "default", tries: int = TRIES) -> Any:
    """Have a function be one durable transaction, run again when certainly nothing was committed.

    That is after a deadlock, a serialization failure, a connection lost before COMMIT was sent, a side that cannot be
    reached, writes that were closed meanwhile, and a read that went stale. Never after CommitUnknown,
    CommittedUnconfirmed, or an error of an on_commit hook. What the function does outside of the database it does once
    for each try.

    Args:
        using: alias of the database.
        tries: in all.

    Raises (when the function is called):
        RuntimeError: a transaction is open already; its owner has to run it again.
    """
    if fn is None:
        return functools.partial(retried, using=using, tries=tries)

    @functools.wraps(fn)
    def run(*args: Any, **options: Any) -> Any:
        from django.db import connections, transaction

        for number in range(1, tries + 1):
            wrapper = connections[using]
            before = getattr(wrapper, "commits", 0)
            try:
                with transaction.atomic(using=using, durable=True):
                    return fn(*args, **options)
            except Exception as error:
                committed = getattr(wrapper, "commits", 0) != before
                if number == tries or committed or not worth_another_try(error):
                    raise
            time.sleep(0.05 * number * (0.5 + random.random()))
        raise AssertionError("unreachable")

    return run
