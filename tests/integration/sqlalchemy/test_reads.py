"""What a session's read promises: it is routed, told as stale, answered by classic, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from migrator.errors import ReadStale, UsageError
from migrator.testing import Level, MemoryShim, Side
from tests.integration.sqlalchemy.shop import Order
from tests.integration.sqlalchemy.steps import Sessions, numbers, order, write

pytestmark = [pytest.mark.pg, pytest.mark.once]


def test_each_transaction_of_a_read_is_routed(shim: MemoryShim, sessions: Sessions) -> None:
    write(sessions, 1)
    with sessions.read("t1") as session:
        found = session.scalars(select(Order)).one()
        session.commit()  # which expires it
        shim.move("t1", Level.LIMITLESS)
        assert found.state == "new", "loaded by another read, where the route says now"
        assert found.items == []

    assert shim.heard.sides("t1") == [Side.CLASSIC, Side.LIMITLESS]


ENDS: list[Callable[[Session], object]] = [Session.commit, Session.rollback, Session.close]


@pytest.mark.parametrize("end", ENDS, ids=["commit", "rollback", "close"])
def test_a_stale_read_is_said_at_its_end(
    shim: MemoryShim, sessions: Sessions, end: Callable[[Session], object]
) -> None:
    for _ in range(6):  # more than there are connections: each comes back
        shim.move("t1", Level.LIMITLESS)
        session = sessions.read("t1")
        numbers(session)
        shim.move("t1", Level.CLASSIC)
        with pytest.raises(ReadStale):
            end(session)
        session.close()
    with sessions.read("t1") as session:
        assert numbers(session) == []


def test_a_stale_read_is_said_where_a_block_is_left(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("t1", Level.LIMITLESS)
    with pytest.raises(ReadStale), sessions.read("t1") as session:
        numbers(session)
        shim.move("t1", Level.CLASSIC)
    shim.move("t1", Level.LIMITLESS)
    with pytest.raises(ReadStale) as raised, sessions.read("t1") as session:
        numbers(session)
        shim.move("t1", Level.CLASSIC)
        raise ZeroDivisionError  # perhaps because of what it read
    assert isinstance(raised.value.__context__, ZeroDivisionError)
    shim.move("t1", Level.LIMITLESS)
    with pytest.raises(KeyboardInterrupt), sessions.read("t1") as session:
        numbers(session)
        shim.move("t1", Level.CLASSIC)
        raise KeyboardInterrupt
    shim.move("t1", Level.LIMITLESS)
    with pytest.raises(ReadStale), sessions.read_engine("t1").connect() as conn:
        conn.execute(select(Order.id)).all()
        shim.move("t1", Level.CLASSIC)


def test_a_read_that_is_run_is_answered_by_classic_when_limitless_cannot(shim: MemoryShim, sessions: Sessions) -> None:
    write(sessions, 1)
    shim.move("t1", Level.LIMITLESS)
    calls: list[Session] = []

    def moves_once(session: Session) -> list[int]:
        calls.append(session)
        found = numbers(session)
        if len(calls) == 1:
            shim.move("t1", Level.CLASSIC)
        return found

    assert sessions.run_read("t1", moves_once) == [1]
    assert len(calls) == 2
    shim.move("t1", Level.LIMITLESS)
    shim.lose(Side.LIMITLESS)
    assert sessions.run_read("t1", numbers) == [1]

    with pytest.raises(DBAPIError):
        sessions.run_read("t1", lambda s: s.execute(text("SELECT 1 / 0")))


def test_errors_of_reads_are_told_apart_by_the_function_that_gave_them(shim: MemoryShim, sessions: Sessions) -> None:
    """Through a session, too: else an error of one page would explain the same error of every other."""
    shim.move("t1", Level.LIMITLESS)

    def divides(session: Session) -> None:
        session.execute(text("SELECT 1 / 0"))

    def divides_too(session: Session) -> None:
        session.execute(text("SELECT 2 / 0"))

    for _ in range(3):
        with pytest.raises(DBAPIError):
            sessions.run_read("t1", divides)
    asked = shim.heard.sides("t1").count(Side.CLASSIC)
    with pytest.raises(DBAPIError):
        sessions.run_read("t1", divides_too)
    assert (asked, shim.heard.sides("t1").count(Side.CLASSIC)) == (1, 2)


def test_a_run_read_may_commit_and_roll_back_but_stays_one_read(shim: MemoryShim, sessions: Sessions) -> None:
    write(sessions, 1)

    def fn(session: Session) -> list[int]:
        numbers(session)
        session.commit()
        numbers(session)
        session.rollback()
        return numbers(session)

    def broken(session: Session) -> list[int]:
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT 1 / 0"))
        session.rollback()
        return numbers(session)

    def savepoint(session: Session) -> list[int]:
        with pytest.raises(DBAPIError), session.begin_nested():
            session.execute(text("SELECT 1 / 0"))
        return numbers(session)

    assert sessions.run_read("t1", fn) == [1]
    assert len(shim.heard.sides("t1")) == 1
    with pytest.raises(UsageError, match="an earlier statement of this read failed"):
        sessions.run_read("t1", broken)
    assert sessions.run_read("t1", savepoint) == [1]


def flushes(session: Session) -> None:
    session.add(order(9))
    session.commit()


def autoflushes(session: Session) -> None:
    session.add(order(9))
    numbers(session)


def changes(session: Session) -> None:
    found = session.scalars(select(Order)).one()
    found.state = "x"
    session.flush()


def deletes(session: Session) -> None:
    session.delete(session.scalars(select(Order)).one())
    session.flush()


CHANGES: dict[str, Callable[[Session], object]] = {
    "flush": flushes,
    "autoflush": autoflushes,
    "changed": changes,
    "deleted": deletes,
    "core": lambda s: s.execute(update(Order).values(state="x")),
    "insert": lambda s: s.execute(insert(Order), [{"tenant_id": "t1", "id": n} for n in (8, 9)]),
    "lock": lambda s: s.execute(select(Order).with_for_update()),
    "shared lock": lambda s: s.execute(select(Order).with_for_update(read=True)),
    "refresh with lock": lambda s: s.refresh(s.scalars(select(Order)).one(), with_for_update=True),
    "text": lambda s: s.execute(text("UPDATE app.orders SET state = 'x'")),
    "lock in a text": lambda s: s.execute(text("SELECT * FROM app.orders FOR UPDATE")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_read_refuses_changes_and_locks(
    shim: MemoryShim, sessions: Sessions, change: Callable[[Session], object]
) -> None:
    write(sessions, 1)
    for level in (Level.CLASSIC, Level.LIMITLESS):
        shim.move("t1", level)
        for _ in range(6):
            with pytest.raises(UsageError, match=r"in a read"), sessions.read("t1") as session:
                change(session)
        with pytest.raises(UsageError, match=r"in a read"):
            sessions.run_read("t1", change)
    assert sessions.run_read("t1", numbers) == [1]


def test_setting_what_was_set_is_no_change(sessions: Sessions) -> None:
    write(sessions, 1)
    with sessions.read("t1") as session:
        found = session.scalars(select(Order)).one()
        found.state = "new"
        assert numbers(session) == [1]
