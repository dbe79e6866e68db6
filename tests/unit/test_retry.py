"""What failed for a reason that passes is tried again; giving up says how often and for how long."""

from __future__ import annotations

import logging
import re

import psycopg
import pytest

from migrator.db.lock_retry import until_free
from migrator.retry import retry

ROW = "Key (email)=(ada@example.org) already exists"


class Work:
    """Fails with *error* so many times, then works."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.left, self.error, self.calls = failures, error or OSError("busy"), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return ""


def test_work_that_is_done_says_how_often_it_was_tried() -> None:
    told: list[tuple[int, float]] = []
    work = Work(2)

    tried = retry(work, (OSError,), 5, pause_s=0.001, longest_s=0.0015, tell=lambda *said: told.append(said))

    assert tried and tried.error is None
    assert (tried.tries, work.calls) == (3, 3)
    assert told == [(2, 0.001), (3, 0.0015)], "the next try, and the pause before it: it doubles up to the longest"


def test_giving_up_names_tries_and_time() -> None:
    """The error is kept for who wants to raise it, and the text fits into a message."""
    work = Work(1000)

    tried = retry(work, (OSError,), 0.05, pause_s=0.01, longest_s=0.01)

    assert not tried
    assert tried.error is work.error
    assert tried.tries == work.calls > 1
    assert tried.seconds >= 0.05
    assert re.fullmatch(rf"for \d+\.\d s \({work.calls} tries\)", str(tried))


@pytest.mark.parametrize("timeout_s", [0, -1.0])
def test_without_patience_it_is_tried_once(timeout_s: float) -> None:
    told: list[int] = []
    work = Work(1)

    tried = retry(work, (OSError,), timeout_s, pause_s=1, longest_s=1, tell=lambda number, _: told.append(number))

    assert not tried and work.calls == 1 and told == []
    assert str(tried) == "for 0.0 s (1 try)"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(2)])
def test_anything_else_passes_at_once(error: BaseException) -> None:
    """Also Ctrl-C, and nobody is told of a try that will not come."""
    told: list[int] = []
    work = Work(5, error)

    with pytest.raises(type(error)) as caught:
        retry(work, (OSError,), 5, pause_s=0.001, longest_s=0.001, tell=lambda number, _: told.append(number))

    assert caught.value is error and work.calls == 1 and told == []


def test_only_busy_locks_are_waited_for() -> None:
    deadlock, broken = psycopg.errors.DeadlockDetected("deadlock"), psycopg.errors.UniqueViolation(ROW)

    assert until_free(Work(2, deadlock), 5, pause_s=0.001).tries == 3
    assert not until_free(Work(2, psycopg.errors.LockNotAvailable("busy")), 0)
    with pytest.raises(psycopg.errors.UniqueViolation):
        until_free(Work(2, broken), 5, pause_s=0.001)


def test_a_retry_is_logged_without_what_the_error_quotes(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of PostgreSQL quotes rows; and a command's output is for its answer alone."""
    caplog.set_level(logging.INFO)

    retry(Work(1, psycopg.errors.UniqueViolation(ROW)), (psycopg.Error,), 5, pause_s=0.001, longest_s=0.001)

    (record,) = caplog.records
    assert (record.message, vars(record)["error"], vars(record)["tries"]) == ("work.retried", "UniqueViolation", 1)
    assert "ada" not in caplog.text + repr(vars(record))
    assert capsys.readouterr() == ("", "")
