"""What a session's write promises: acknowledged commits, levels, tokens, tries, and how its end is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.orm import Session

from migrator.errors import ClusterUnavailable, CommitUnknown, UsageError, WritesClosed
from migrator.shim import CommittedUnconfirmed
from migrator.testing import Level, MemoryShim, Side, WriteMode
from tests.integration.sqlalchemy.shop import Order
from tests.integration.sqlalchemy.steps import CLOSED, DEADLOCK, Sessions, backend, kill, numbers, order

pytestmark = [pytest.mark.pg, pytest.mark.once]


def test_each_commit_is_a_write_that_is_acknowledged(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("t1", Level.LIMITLESS)
    with sessions.write("t1") as session:
        session.add(order(1))
        session.commit()
        session.add(order(2))
        shim.stall_mirror()
        session.commit()
        assert shim.heard.names().count("fallback.raised") == 1, "it waited, and returned once reads were on classic"
        assert numbers(session) == [1, 2]

    assert shim.heard.sides("t1", writes=True) == [Side.CLASSIC] * 3
    assert sessions.run_read("t1", numbers) == [1, 2]


def test_levels_and_tokens_go_with_sessions(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("t1", Level.LIMITLESS)
    shim.stall_mirror()
    mine = sessions.session()
    with mine.write("t1") as session:
        session.add(order(1))
        session.commit()
    mine.run_write("t1", lambda s: s.add(order(2)))
    assert "fallback.raised" not in shim.heard.names(), "nothing waited for the mirror"

    again = sessions.session(mine.token)  # the next request, or another process
    assert again.run_read("t1", numbers) == [1, 2]
    with again.read("t1") as reading:
        assert numbers(reading) == [1, 2]
    with sessions.read("t1", after=mine.token) as reading:
        assert numbers(reading) == [1, 2]
    assert sessions.run_read("t1", numbers, after=mine.token) == [1, 2]
    with again.read_engine("t1").connect() as conn:
        assert len(conn.execute(select(Order.id)).all()) == 2
    assert set(shim.heard.sides("t1")) == {Side.CLASSIC}

    third = sessions.session()
    third.include(mine.token)
    third.run_read("t1", numbers)
    assert shim.heard.sides("t1")[-1] is Side.CLASSIC
    sessions.run_read("t1", numbers)
    assert shim.heard.sides("t1")[-1] is Side.LIMITLESS, "others look where the route says"

    with sessions.write("t1", ack="none") as session:
        session.add(order(3))
        session.commit()
    with pytest.raises(UsageError, match="no level of acknowledgement"), sessions.write("t1", ack="some") as session:
        numbers(session)


@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_answer_to_commit_is_said_as_the_shim_says_it(
    shim: MemoryShim, sessions: Sessions, committed: bool
) -> None:
    def commits(session: Session) -> None:
        session.add(order(1))
        session.flush()
        shim.lose_commit(committed=committed)
        session.commit()

    with pytest.raises(CommitUnknown) as raised, sessions.write("t1") as session:
        commits(session)
    assert raised.value.xid is not None
    found = sessions.run_read("t1", numbers)
    assert found == ([1] if committed else [])

    tries = []

    def once(session: Session) -> None:
        tries.append(session)
        session.add(order(7))
        shim.lose_commit(committed=False)

    with pytest.raises(CommitUnknown):
        sessions.run_write("t1", once)
    assert len(tries) == 1
    shim.lose_commit(committed=False)
    with pytest.raises(CommitUnknown), sessions.write_engine("t1").begin() as conn:
        conn.execute(insert(Order).values(tenant_id="t1", id=8))


def test_an_unconfirmed_write_is_committed_for_the_session_too(shim: MemoryShim, sessions: Sessions) -> None:
    heard = []
    shim.move("t1", Level.LIMITLESS)
    with sessions.write("t1") as session:
        event.listen(session, "after_commit", lambda _: heard.append("committed"))
        event.listen(session, "after_rollback", lambda _: heard.append("rolled back"))
        one = order(1)
        session.add(one)
        session.flush()
        shim.stall_mirror()
        shim.clock.call_later(0.1, lambda: shim.lose(Side.CLASSIC))
        with pytest.raises(CommittedUnconfirmed):
            session.commit()
        shim.restore(Side.CLASSIC)
        assert heard == ["committed"]
        assert one in session and one.state == "new"

    with pytest.raises(CommittedUnconfirmed), sessions.write_engine("t1").begin() as conn:
        shim.end_fallbacks()
        conn.execute(insert(Order).values(tenant_id="t1", id=2))
        shim.clock.call_later(0.1, lambda: shim.lose(Side.CLASSIC))


def test_closed_writes_are_said_as_the_shim_says_it(shim: MemoryShim, sessions: Sessions) -> None:
    with pytest.raises(WritesClosed), sessions.write("t1") as session:
        session.execute(text(CLOSED))  # as capture refuses, once they were closed in the middle
    with pytest.raises(WritesClosed), sessions.write_engine("t1").begin() as conn:
        conn.execute(text(CLOSED))

    shim.write_mode(WriteMode.CLOSED)
    with pytest.raises(WritesClosed), sessions.write("t1") as session:
        session.add(order(1))
        session.commit()
    with pytest.raises(WritesClosed), sessions.write_engine("t1").connect() as conn:
        conn.execute(text("SELECT 1"))

    shim.clock.call_later(0.3, lambda: shim.write_mode(WriteMode.DUAL))
    sessions.run_write("t1", lambda s: s.add(order(1)))
    assert sessions.run_read("t1", numbers) == [1]


def test_a_write_is_tried_again_when_it_certainly_did_not_commit(
    dsn: str, shim: MemoryShim, sessions: Sessions
) -> None:
    def fails_once(how: Callable[[Session], object]) -> Callable[[Session], Order]:
        tries: list[Session] = []

        def fn(session: Session) -> Order:
            made = order(len(numbers(session)) + 1)
            session.add(made)
            session.flush()
            tries.append(session)
            if len(tries) == 1:
                how(session)
            return made

        return fn

    def loses(session: Session) -> None:
        kill(dsn, backend(session))
        session.execute(text("SELECT 1"))

    def loses_at_the_end(session: Session) -> None:
        kill(dsn, backend(session))

    ways: list[Callable[[Session], object]] = [
        lambda s: s.execute(text(DEADLOCK)),
        lambda s: s.execute(text(CLOSED)),
        loses,
        loses_at_the_end,
    ]
    for number, how in enumerate(ways, 1):
        made = sessions.run_write("t1", fails_once(how))
        assert (made.id, made.state) == (number, "new"), "what it returns can be used"
    assert sessions.run_read("t1", numbers) == [1, 2, 3, 4]


def test_no_other_write_is_tried_again(shim: MemoryShim, sessions: Sessions) -> None:
    tries: list[str] = []

    def fn(name: str, work: Callable[[Session], object]) -> Callable[[Session], None]:
        def run(session: Session) -> None:
            tries.append(name)
            work(session)

        return run

    def commits_before(session: Session) -> None:
        session.add(order(1))
        session.commit()
        session.execute(text(DEADLOCK))

    with pytest.raises(OperationalError):
        sessions.run_write("t1", fn("committed before", commits_before))
    with pytest.raises(IntegrityError):
        sessions.run_write("t1", fn("own error", lambda s: s.add(order(1))))
    with pytest.raises(ZeroDivisionError):
        sessions.run_write("t1", fn("error of the application", lambda s: 1 / 0))
    with pytest.raises(OperationalError):
        sessions.run_write("t1", fn("always", lambda s: s.execute(text(DEADLOCK))))
    shim.lose(Side.CLASSIC)
    with pytest.raises(ClusterUnavailable):
        sessions.run_write("t1", fn("never begun", numbers))

    counts = {name: tries.count(name) for name in tries}
    assert counts == {
        "committed before": 1,
        "own error": 1,
        "error of the application": 1,
        "always": 4,
        "never begun": 4,
    }


def test_a_swallowed_error_cannot_be_committed(sessions: Sessions) -> None:
    """PostgreSQL rolls such a transaction back, and a plain engine does not say so."""
    for ack in (None, "none"):
        with pytest.raises((InternalError, UsageError)), sessions.write_engine("t1", ack=ack).begin() as conn:
            conn.execute(insert(Order).values(tenant_id="t1", id=1))
            with pytest.raises(DBAPIError):
                conn.execute(text("SELECT 1 / 0"))

    assert sessions.run_read("t1", numbers) == []
