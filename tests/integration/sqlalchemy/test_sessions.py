"""What sessions promise of tenants and connections, beside SQLAlchemy's own, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import scoped_session
from sqlalchemy.schema import CreateSchema

from migrator.errors import ClusterUnavailable, UsageError
from migrator.sqlalchemy import ShimSessions, current_tenant, for_tenant
from migrator.testing import Level, MemoryShim, Side, WriteMode
from tests.integration.sqlalchemy.shop import Base, Item, Order
from tests.integration.sqlalchemy.steps import Sessions, backend, kill, numbers, order, write

pytestmark = [pytest.mark.pg, pytest.mark.once]


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
