"""Errors that the application saw: each has its words, and only a fault of the rehearsal excuses one."""

from __future__ import annotations

import pytest

from migrator.rehearse.failures import Cause, Window, cause_of, kinds, said
from migrator.rehearse.ledger import Failure

CLASSIC = Window("classic_killed", 100.0, 104.0)
PAUSE = Window("handed_over", 200.0, 210.0)
WINDOWS = (CLASSIC, PAUSE, Window("limitless_killed", 300.0, 310.0), Window("rollback", 400.0, 410.0))


def failure(
    operation: str, error: str, at: float = 102.0, began: float = 0.0, side: str = "", state: str = ""
) -> Failure:
    return Failure("web-1", at, operation, error, began, side, state)


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (failure("read", "ClusterUnavailable", side="classic"), Cause.CLASSIC_UNREACHABLE),
        (failure("read", "ClusterUnavailable", side="classic", state="57P03"), Cause.CLASSIC_UNREACHABLE),
        (failure("read", "ClusterUnavailable", side="limitless"), Cause.LIMITLESS_UNREACHABLE),
        (failure("read", "ClusterUnavailable"), Cause.OTHER),
        (failure("write", "AdminShutdown", state="57P01"), Cause.CONNECTION_LOST),
        (failure("write", "OperationalError"), Cause.CONNECTION_LOST),
        (failure("write", "OperationalError", state="53100"), Cause.OTHER),
        (failure("write", "InterfaceError"), Cause.OTHER),
        (failure("write", "CommitUnknown"), Cause.ANSWER_LOST),
        (failure("write", "CommittedUnconfirmed"), Cause.UNCONFIRMED),
        (failure("write", "WritesClosed", side="classic", state="MG001"), Cause.WRITES_CLOSED),
        (failure("write", "RowVanished"), Cause.ROW_MISSING),
        (failure("read", "InsufficientPrivilege", state="42501"), Cause.OTHER),
        (failure("write", "ReadStale"), Cause.OTHER),
    ],
)
def test_a_cause_is_found_by_type_side_and_sqlstate(seen: Failure, cause: Cause) -> None:
    assert cause_of(seen) is cause


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (failure("read", "ClusterUnavailable", side="classic"), "read refused while classic was down"),
        (failure("write", "ClusterUnavailable", 106.0, 103.9, "classic"), "write refused while classic was down"),
        (failure("write", "ClusterUnavailable", 100.1, 99.0, "classic"), "write refused while classic was down"),
        (failure("read", "AdminShutdown", state="57P01"), "read cut off when classic went down"),
        (failure("write", "CommitUnknown"), "write whose COMMIT got no answer when classic went down"),
        (failure("write", "WritesClosed", 205.0), "write refused in the pause of the hand-over"),
    ],
)
def test_a_fault_explains_what_was_under_way_while_it_lasted(seen: Failure, what: str) -> None:
    (kind,) = kinds([seen], WINDOWS)
    assert (kind.what, kind.expected, kind.count) == (what, True, 1)


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (
            failure("read", "ClusterUnavailable", 99.9, 99.0, "classic"),
            "ClusterUnavailable, classic could not be reached",
        ),
        (failure("read", "ClusterUnavailable", 106.0, 104.1, "classic"), "classic could not be reached"),
        (failure("read", "ClusterUnavailable", 205.0, 204.0, "classic"), "classic could not be reached"),
        (failure("read", "ClusterUnavailable", 305.0, 304.0, "limitless"), "Limitless could not be reached"),
        (failure("write", "CommittedUnconfirmed", 305.0, 300.0), "committed, not confirmed"),
        (failure("read", "InsufficientPrivilege", 102.0, 101.0, state="42501"), "InsufficientPrivilege (42501)"),
        (failure("write", "WritesClosed", 102.0, 101.0), "writes were closed"),
        (failure("write", "RowVanished", 102.0, 101.0), "an acknowledged row was missing"),
        (failure("read", "ReadStale", 405.0, 404.0), "read ended in ReadStale"),
    ],
    ids=[
        "before",
        "begun after",
        "another fault",
        "Limitless",
        "unconfirmed",
        "a right",
        "closed",
        "vanished",
        "stale",
    ],
)
def test_everything_else_is_unexplained(seen: Failure, what: str) -> None:
    """Also an error of the right class at another time, and one that the shim should have kept away."""
    (kind,) = kinds([seen], WINDOWS)
    assert not kind.expected
    assert what in kind.what


def test_kinds_are_counted_and_said() -> None:
    """What nothing explains comes first; the rest by number, with what the servers said."""
    refused = [failure("read", "ClusterUnavailable", side="classic", state=s) for s in ("", "", "57P03")]
    stale = failure("read", "ReadStale")
    found = kinds([*refused, failure("write", "ClusterUnavailable", side="classic"), stale], WINDOWS)

    assert [(k.expected, k.count) for k in found] == [(False, 1), (True, 3), (True, 1)]
    assert found[1].errors == {"ClusterUnavailable": 2, "ClusterUnavailable 57P03": 1}
    assert said(found[1:]) == "3 reads refused while classic was down, 1 write refused while classic was down"
