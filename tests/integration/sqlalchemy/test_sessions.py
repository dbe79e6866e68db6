"""What sessions promise beside SQLAlchemy's own: acknowledged commits, routed reads, tries, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.schema import CreateSchema

from migrator.errors import ClusterUnavailable, CommitUnknown, ReadStale, UsageError, WritesClosed
from migrator.shim import CommittedUnconfirmed
from migrator.sqlalchemy import ShimSessions, current_tenant, for_tenant
from migrator.testing import Level, MemoryShim, Side, WriteMode
from tests.integration.sqlalchemy.shop import Base, Item, Order

pytestmark = [pytest.mark.pg, pytest.mark.once]

Sessions = ShimSessions[Session]

CLOSED = "DO $$ BEGIN RAISE 'writes are closed' USING ERRCODE = 'MG001'; END $$"
DEADLOCK = "DO $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END $$"


def order(number: int, tenant: str = "t1") -> Order:
    return Order(tenant_id=tenant, id=number)


def write(sessions: Sessions, number: int) -> None:
    with sessions.write("t1") as session:
        session.add(order(number))
        session.commit()


def numbers(session: Session) -> list[int]:
    return list(session.scalars(select(Order.id).order_by(Order.id)))


def kill(dsn: str, pid: Any) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


def backend(session: Session) -> Any:
    return session.scalar(text("SELECT pg_backend_pid()"))


# -- writes -----------------------------------------------------------------------------------------------


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


# -- reads ------------------------------------------------------------------------------------------------


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


# -- whose ------------------------------------------------------------------------------------------------


def test_sessions_of_several_tenants_live_side_by_side(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("t2", Level.LIMITLESS)
    with sessions.write("t1") as one, sessions.write("Größe ' \"") as two, sessions.read("t2") as three:
        one.add(order(1))
        two.add(order(1, "Größe ' \""))
        one.flush()
        two.flush()
        assert numbers(three) == []
        two.commit()
        one.rollback()

    ours = [(b.tenant_id, b.side, b.writes) for b in shim.heard.blocks if b.tenant_id]
    assert ours == [
        ("t1", Side.CLASSIC, True), ("Größe ' \"", Side.CLASSIC, True), ("t2", Side.LIMITLESS, False)
    ]  # fmt: skip


def test_the_current_tenant_is_that_of_the_thread(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("2", Level.LIMITLESS)
    registry = scoped_session(sessions.maker)
    ready = threading.Barrier(2, timeout=60)

    def request(tenant: int) -> None:
        with for_tenant(tenant):
            assert current_tenant() == str(tenant)
            registry.add(order(1, str(tenant)))
            ready.wait()
            registry.commit()
            with sessions.read() as session:
                numbers(session)
            with sessions.engine.begin() as conn:
                conn.execute(text("SELECT 1"))
            registry.remove()

    threads = [threading.Thread(target=request, args=(tenant,)) for tenant in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert current_tenant() is None
    for tenant, reads in (("1", Side.CLASSIC), ("2", Side.LIMITLESS)):
        assert shim.heard.sides(tenant, writes=True) == [Side.CLASSIC] * 2
        assert shim.heard.sides(tenant) == [reads]


def test_a_session_does_not_go_on_for_another_tenant(sessions: Sessions) -> None:
    registry = scoped_session(sessions.maker)
    with for_tenant("t1"):
        ours = order(1)
        registry.add(ours)
        registry.commit()
    with for_tenant("t2"), pytest.raises(UsageError, match="holds objects of tenant t1 goes on for tenant t2"):
        registry.scalars(select(Order)).all()
    registry.remove()
    with for_tenant("t2"):
        assert registry.scalars(select(Order.id)).all() == [1]
        registry.remove()


def test_a_read_does_not_go_on_for_another_tenant(sessions: Sessions) -> None:
    """It would be answered by the side of the tenant that it began with."""
    session = sessions.read()
    with session, for_tenant("1"):
        assert session.scalar(text("SELECT 1")) == 1
        with for_tenant("2"), pytest.raises(UsageError, match="reads tenant 1 is asked for tenant 2"):
            session.scalar(text("SELECT 1"))
        session.rollback()
        with for_tenant("2"):
            assert session.scalar(text("SELECT 1")) == 1
    with for_tenant("1"), sessions.read_engine().connect() as conn:
        conn.execute(text("SELECT 1"))
        with for_tenant("2"), pytest.raises(UsageError, match="reads tenant 1"):
            conn.execute(text("SELECT 1"))


def test_without_a_tenant_nothing_begins(shim: MemoryShim, sessions: Sessions) -> None:
    works: list[Callable[[], object]] = [
        lambda: sessions.write().execute(text("SELECT 1")),
        lambda: sessions.read().execute(text("SELECT 1")),
        lambda: sessions.maker().execute(text("SELECT 1")),
        lambda: sessions.engine.connect().execute(text("SELECT 1")),
        lambda: sessions.read_engine().connect().execute(text("SELECT 1")),
    ]
    for work in works:
        with pytest.raises(UsageError, match="not known for which tenant"):
            work()
    without: list[Callable[[], object]] = [
        lambda: sessions.write(None),
        lambda: sessions.run_read(None, numbers),
        lambda: sessions.run_write(None, numbers),
        lambda: sessions.read_engine(None),
    ]
    for given in without:
        with pytest.raises(UsageError, match="the tenant is None"):
            given()
    assert [b for b in shim.heard.blocks if b.tenant_id] == []


# -- what is no transaction of a tenant -------------------------------------------------------------------


def test_schema_changes_do_not_go_through_the_shim(sessions: Sessions) -> None:
    with pytest.raises(UsageError, match="a schema change"):
        Base.metadata.drop_all(sessions.write_engine("t1"))
    with pytest.raises(UsageError, match="a schema change"), sessions.write("t1") as session:
        session.execute(CreateSchema("other"))
    with sessions.write("t1") as session:
        assert session.scalar(select(func.count()).select_from(Order)) == 0


def test_what_the_shim_decides_cannot_be_given(shim: MemoryShim, sessions: Sessions) -> None:
    with pytest.raises(UsageError, match=r"pool_size.*isolation_level=AUTOCOMMIT"):
        ShimSessions(shim, engine_options={"pool_size": 5, "isolation_level": "AUTOCOMMIT", "echo": False})
    with pytest.raises(UsageError, match="bind, twophase"):
        ShimSessions(shim, bind=sessions.engine, twophase=True)
    with pytest.raises(UsageError, match="autocommit is not possible"):
        sessions.write_engine("t1").connect().execution_options(isolation_level="AUTOCOMMIT")
    with pytest.raises(UsageError, match="two-phase commit is not possible"):
        sessions.write_engine("t1").connect().begin_twophase()
    ShimSessions(shim, engine_options={"pool_pre_ping": True, "echo_pool": False}, autoflush=False)


def test_a_raw_connection_runs_nothing_outside_of_a_transaction(shim: MemoryShim, sessions: Sessions) -> None:
    raw = sessions.write_engine("t1").raw_connection()
    with pytest.raises(UsageError, match="a statement outside of a transaction"):
        raw.cursor().execute("SELECT 1")
    raw.close()
    with sessions.write("t1") as session:
        inner = session.connection().connection
        inner.commit()  # past SQLAlchemy
        with pytest.raises(UsageError, match="a statement outside of a transaction"):
            numbers(session)
    assert sessions.engine.url.render_as_string(hide_password=False) == "postgresql+migrator://"


def test_connections_are_prepared_for_each_block(shim: MemoryShim) -> None:
    sides: list[Side] = []

    def configure(connection: psycopg.Connection[Any], side: Side) -> None:
        connection.execute("SET LOCAL search_path = app")
        sides.append(side)

    sessions: Sessions = ShimSessions(shim, configure=configure)
    shim.move("t1", Level.LIMITLESS)
    count = text("SELECT count(*) FROM orders")
    with sessions.write("t1") as session:
        assert session.scalar(count) == 0
        session.commit()
        assert session.scalar(count) == 0
    assert sessions.run_read("t1", lambda s: s.scalar(count)) == 0
    assert sides == [Side.CLASSIC, Side.CLASSIC, Side.LIMITLESS]


# -- servers ----------------------------------------------------------------------------------------------


def test_a_lost_connection_ends_its_transaction_only(dsn: str, shim: MemoryShim, sessions: Sessions) -> None:
    for opened in (sessions.write, sessions.read):
        with opened("t1") as session:
            kill(dsn, backend(session))
            with pytest.raises(OperationalError) as raised:
                numbers(session)
            assert raised.value.connection_invalidated
            session.rollback()
            assert numbers(session) == []


def test_a_connection_that_was_replaced_is_still_the_tenants(dsn: str, shim: MemoryShim, sessions: Sessions) -> None:
    """SQLAlchemy replaces it below the same Connection; another tenant may be the current one by now."""
    with for_tenant("t2"), sessions.write_engine("t1").connect() as conn:
        kill(dsn, conn.scalar(text("SELECT pg_backend_pid()")))
        with pytest.raises(OperationalError):
            conn.execute(text("SELECT 1"))
        conn.rollback()
        assert conn.scalar(text("SELECT 1")) == 1

    assert {b.tenant_id for b in shim.heard.blocks} == {"", "t1"}


def test_all_connections_out_is_an_error_that_says_so(shim: MemoryShim, sessions: Sessions) -> None:
    shim._classic._wait_s = 0.05
    held = [sessions.write("t1") for _ in range(4)]
    for session in held:
        numbers(session)
    with pytest.raises(ClusterUnavailable, match="no connection of the pool became free"):
        write(sessions, 1)
    held[0].commit()  # gives it back, though the session lives on
    write(sessions, 1)
    for session in held:
        session.close()


def test_a_read_on_limitless_needs_no_classic_either_as_the_first_of_all(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("t1", Level.LIMITLESS)
    shim.lose(Side.CLASSIC)
    with sessions.read("t1") as session:
        assert numbers(session) == []
    assert sessions.run_read("t1", numbers) == []


def test_after_the_hand_over_sessions_write_on_limitless(shim: MemoryShim, sessions: Sessions) -> None:
    with sessions.write("t1") as session:
        session.add(order(1))
        session.commit()
        shim.write_mode(WriteMode.LIMITLESS_ONLY)
        session.add(Item(tenant_id="t1", order_id=1, sku="a"))
        session.commit()
    assert shim.heard.sides("t1", writes=True) == [Side.CLASSIC, Side.LIMITLESS]
    assert sessions.run_read("t1", numbers) == [1]
