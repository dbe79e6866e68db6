"""What a read loaded is shown and not written back; what a read returned compares by its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.exc import StaleDataError

from migrator.errors import UsageError
from migrator.shim import Settings, ShadowDiffered
from migrator.sqlalchemy import ShimSessions
from migrator.sqlalchemy.values import comparable
from migrator.testing import Level, MemoryShim
from tests.fixtures.waiting import eventually
from tests.integration.sqlalchemy.shop import Item, Order, Page

pytestmark = [pytest.mark.pg, pytest.mark.once]

Sessions = ShimSessions[Session]


@pytest.fixture
def filled(sessions: Sessions) -> Sessions:
    with sessions.write("t1") as session:
        session.add(Order(tenant_id="t1", id=1, items=[Item(tenant_id="t1", sku="a")]))
        session.add(Page(tenant_id="t1", id=1, body="a"))
        session.commit()
    return sessions


def the_order(session: Session) -> Order:
    return session.scalars(select(Order).options(selectinload(Order.items))).one()


def the_first(session: Session) -> Order:
    session.info["kept"] = found = session.get_one(Order, ("t1", 1))
    return found


WAYS: dict[str, Callable[[Session, Order], object]] = {
    "add": lambda s, read: s.add(read),
    "add all": lambda s, read: s.add_all([read.items[0]]),
    "merge": lambda s, read: s.merge(read),
    "merge of what holds it": lambda s, read: s.merge(Order(tenant_id="t1", id=2, items=list(read.items))),
    "delete": lambda s, read: s.delete(read),
    "parent of a new one": lambda s, read: s.add(Item(tenant_id="t1", sku="b", order=read)),
    "into a collection": lambda s, read: the_first(s).items.append(read.items[0]),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_what_a_read_loaded_enters_no_session_that_writes(
    filled: Sessions, way: Callable[[Session, Order], object]
) -> None:
    read = filled.run_read("t1", the_order)
    with filled.read("t1") as session:
        other = the_order(session)
    for found in (read, other):
        with (
            pytest.raises(UsageError, match="that a read loaded cannot enter a session"),
            filled.write("t1") as session,
        ):
            way(session, found)


def test_it_may_be_read_again_and_used_by_its_key(filled: Sessions) -> None:
    read = filled.run_read("t1", the_order)
    with filled.read("t1") as session:
        session.add(read)
        session.refresh(read)
        assert session.merge(read) is read
    with filled.write("t1") as session:
        session.add(Item(tenant_id="t1", sku="b", order_id=read.id))
        session.get_one(Order, ("t1", read.id)).state = "paid"
        session.commit()
        written = the_order(session)
        session.expunge_all()
    with filled.write("t1") as session:
        session.add(written)  # what a session loaded that writes
        written.state = "sent"
        session.commit()
    assert filled.run_read("t1", lambda s: (the_order(s).state, len(the_order(s).items))) == ("sent", 2)


def test_a_version_lets_it_in_and_finds_out_that_it_is_old(dsn: str, filled: Sessions) -> None:
    def the_page(session: Session) -> Page:
        return session.scalars(select(Page)).one()

    fresh, old = filled.run_read("t1", the_page), filled.run_read("t1", the_page)
    with filled.write("t1") as session:
        session.merge(fresh).body = "b"
        session.commit()
    with pytest.raises(StaleDataError), filled.write("t1") as session:
        session.add(old)
        old.body = "c"
        session.commit()
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT body FROM app.page").fetchall() == [("b",)]


def test_what_was_loaded_is_comparable(filled: Sessions) -> None:
    def fn(session: Session) -> Any:
        found = the_order(session)
        return {"order": found, "rows": session.execute(select(Order.id, Order.state)).all(), "set": {found.id}}

    one, other = (filled.run_read("t1", fn) for _ in range(2))
    assert repr(one) != repr(other)
    assert comparable(one) == comparable(other)
    assert comparable(one)["rows"] == [(1, "new")]
    assert comparable(one)["order"] == (
        "Order", [("id", 1), ("state", "new"), ("tenant_id", "t1"), ("total", None)]
    )  # fmt: skip
    circle: list[Any] = []
    circle.append(circle)
    assert repr(comparable(circle)).count("[") == 8


def test_shadow_reads_of_sessions_do_not_differ_without_a_reason(dsn: str) -> None:
    with MemoryShim(classic=dsn, settings=Settings(shadow_ratio=1.0)) as shim:
        sessions: Sessions = ShimSessions(shim)
        with sessions.write("t1") as session:
            session.add(Order(tenant_id="t1", id=1))
            session.commit()
        shim.move("t1", Level.LIMITLESS)
        asked: list[Session] = []

        def fn(session: Session) -> Order:
            asked.append(session)
            return the_order(session)

        sessions.run_read("t1", fn)
        eventually(lambda: len(asked) == 3, "both sides were asked once more, and once sufficed")
    assert [e for e in shim.heard.events if isinstance(e, ShadowDiffered)] == []
