"""A server that runs for months asks for classic's password again, and needs who keeps it only now and then."""

from __future__ import annotations

import threading

import pytest

from migrator.cli.webhook import RENEW_S, Renewed
from migrator.errors import ClusterUnavailable, UsageError
from tests.fixtures.waiting import TIMEOUT_S


class Keeper:
    """Keeps the connection string; *down*: it answers no one."""

    def __init__(self) -> None:
        self.dsn, self.down, self.asked, self.now_s = "postgresql://a", False, 0, 0.0

    def find(self) -> str:
        self.asked += 1
        if self.down:
            raise ClusterUnavailable("AWS Secrets Manager", "it does not answer")
        return self.dsn


def test_a_password_that_changed_is_taken_within_half_a_minute() -> None:
    keeper = Keeper()
    dsn = Renewed(keeper.find, lambda: keeper.now_s)
    keeper.dsn = "postgresql://b"
    assert (dsn(), keeper.asked) == ("postgresql://a", 1), "a flood of alarms asks nobody"
    keeper.now_s = RENEW_S
    assert dsn() == "postgresql://b"


def test_a_rollback_does_not_need_who_keeps_the_password() -> None:
    keeper = Keeper()
    dsn = Renewed(keeper.find, lambda: keeper.now_s)
    keeper.down, keeper.now_s = True, RENEW_S
    assert [dsn(), dsn()] == ["postgresql://a"] * 2
    assert keeper.asked == 2, "nor is it asked by each alarm while it is down"
    keeper.down, keeper.now_s, keeper.dsn = False, 2 * RENEW_S, "postgresql://b"
    assert dsn() == "postgresql://b"


def test_one_that_hangs_holds_up_one_request_alone() -> None:
    keeper, hangs = Keeper(), threading.Event()
    dsn = Renewed(keeper.find, lambda: keeper.now_s)
    answer, keeper.now_s = keeper.find, RENEW_S
    entered = threading.Event()

    def hang() -> str:
        entered.set()
        hangs.wait(TIMEOUT_S)
        return answer()

    dsn._find = hang
    first = threading.Thread(target=dsn)
    first.start()
    assert entered.wait(TIMEOUT_S)
    keeper.now_s = 3 * RENEW_S
    assert dsn() == "postgresql://a"
    hangs.set()
    first.join(TIMEOUT_S)


def test_what_cannot_work_at_all_is_said_at_once() -> None:
    def absent() -> str:
        raise UsageError("the environment variable DSN is not set")

    with pytest.raises(UsageError):
        Renewed(absent)
