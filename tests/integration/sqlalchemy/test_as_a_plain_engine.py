"""What an application does with an engine of its own gives the same through the shim: values, types, errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, bindparam, create_engine, delete, event, func, insert, inspect, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, selectinload, sessionmaker

from migrator.sqlalchemy import ShimSessions
from migrator.testing import MemoryShim
from tests.integration.sqlalchemy.shop import Item, Order, Page, Thing, a_thing

pytestmark = [pytest.mark.pg, pytest.mark.once]

Make = Callable[[], Session]


def _order(session: Session, *skus: str, number: int | None = None) -> Order:
    order = Order(tenant_id="t1", id=number, items=[Item(tenant_id="t1", sku=sku) for sku in skus])
    session.add(order)
    return order


def unit_of_work(make: Make) -> Any:
    with make() as session:
        order = _order(session, "b", "a", number=1)
        session.commit()
        lazy = [item.sku for item in order.items]  # begins another transaction
        order.items.pop()
        order.state = "paid"
        session.commit()
        return lazy, order.state, [i.sku for i in order.items], session.scalar(select(func.count(Item.id)))


def autoflush_and_rollback(make: Make) -> Any:
    with make() as session:
        _order(session, number=1)
        seen = session.scalars(select(Order.id)).all()
        session.rollback()
        return seen, session.scalars(select(Order.id)).all(), session.in_transaction()


def begin_blocks(make: Make) -> Any:
    with make() as session:
        with session.begin():
            _order(session, number=1)
        with pytest.raises(ZeroDivisionError), session.begin():
            _order(session, number=2)
            raise ZeroDivisionError
        return session.scalars(select(Order.id)).all()


def savepoints(make: Make) -> Any:
    with make() as session:
        order = _order(session, "a", number=1)
        session.flush()
        try:
            with session.begin_nested():
                session.add(Item(tenant_id="t1", order_id=1, sku="a"))
        except SQLAlchemyError as error:
            raised = type(error), type(getattr(error, "orig", None))
        with session.begin_nested() as inner:
            order.state = "gone"
            session.flush()
            inner.rollback()
        with session.begin_nested():
            order.total = Decimal("2.50")
        session.commit()
        return raised, order.state, order.total, len(order.items)


def types(make: Make) -> Any:
    with make() as session:
        session.add(a_thing(1))
        session.commit()
        session.expunge_all()
        thing = session.get_one(Thing, 1)
        values = {c.key: getattr(thing, c.key) for c in inspect(Thing).column_attrs}
        raw = session.execute(text("SELECT * FROM app.thing")).mappings().one()
        mapped = [(k, type(v), v) for k, v in values.items()]
        return mapped, [(k, type(v), v) for k, v in raw.items()]


def row_counts(make: Make) -> Any:
    with make() as session:
        for number in range(1, 5):
            _order(session, number=number)
        session.flush()
        changed: Any = session.execute(update(Order).where(Order.id > 2).values(state="x"))
        gone: Any = session.execute(delete(Order).where(Order.id == 1))
        nothing: Any = session.execute(update(Order).where(Order.id > 9).values(state="y"))
        by_key = session.execute(update(Order), [{"tenant_id": "t1", "id": 2, "total": 1}])
        returned = session.execute(update(Order).where(Order.id == 3).values(total=2).returning(Order.id, Order.total))
        found = changed.rowcount, gone.rowcount, nothing.rowcount, type(by_key), returned.all()
        session.commit()
        return found


def many_values(make: Make) -> Any:
    with make() as session:
        session.add_all([Order(tenant_id="t1", total=n) for n in range(250)])  # insertmanyvalues, with RETURNING
        session.flush()
        count = session.scalar(select(func.count()).select_from(Order))
        rows = [{"tenant_id": "t1", "id": n, "body": str(n), "version": 1} for n in range(30)]
        session.execute(insert(Page), rows)
        session.connection().execute(  # executemany of the driver
            update(Page).where(Page.id == bindparam("n")).values(body="z"), [{"n": 1}, {"n": 2}]
        )
        upsert = (
            pg_insert(Page)
            .values(rows[0])
            .on_conflict_do_update(index_elements=["tenant_id", "id"], set_={"body": "u"})
        )
        session.execute(upsert)
        session.commit()
        return count, session.scalars(select(Page.body).order_by(Page.id)).all()


def streams(make: Make) -> Any:
    with make() as session:
        session.add_all([Page(tenant_id="t1", id=n, body=str(n)) for n in range(25)])
        session.commit()
        parts = [
            [page.id for page in part]
            for part in session.scalars(select(Page).order_by(Page.id).execution_options(yield_per=10)).partitions()
        ]
        kept = session.execute(text("SELECT generate_series(1, 5)"), execution_options={"stream_results": True})
        return parts, kept.fetchmany(2), kept.scalars().all()


def eager_loading(make: Make) -> Any:
    with make() as session:
        _order(session, "a", "b", number=1)
        session.commit()
        found = session.scalars(select(Order).options(selectinload(Order.items))).all()
        return [[i.sku for i in o.items] for o in found]


def locks(make: Make) -> Any:
    with make() as session:
        _order(session, number=1)
        session.commit()
        found = session.scalars(select(Order).with_for_update(skip_locked=True)).one()
        session.refresh(found, with_for_update=True)
        return found.id


def optimistic_locks(make: Make) -> Any:
    with make() as one, make() as other:
        one.add(Page(tenant_id="t1", id=1, body="a"))
        one.commit()
        page, same = one.get_one(Page, ("t1", 1)), other.get_one(Page, ("t1", 1))
        assert page.version == same.version == 1
        page.body = "b"
        one.commit()
        same.body = "c"
        other.commit()  # StaleDataError


def unique_violation(make: Make) -> Any:
    with make() as session:
        _order(session, "a", "a", number=1)
        session.commit()


def violation_at_commit(make: Make) -> Any:
    with make() as session:
        session.add(Item(tenant_id="t1", order_id=99, sku="a"))  # its foreign key is deferred
        session.flush()
        session.commit()


def wrong_statement(make: Make) -> Any:
    with make() as session:
        session.execute(text("SELECT * FROM app.nothing"))


def wrong_value(make: Make) -> Any:
    with make() as session:
        session.execute(text("SELECT CAST('x' AS int)"))


def not_adaptable(make: Make) -> Any:
    with make() as session:
        session.execute(text("SELECT :x"), {"x": object()})


def goes_on_after_an_error(make: Make) -> Any:
    with make() as session:
        _order(session, "a", "a", number=1)
        with pytest.raises(SQLAlchemyError) as raised:
            session.flush()
        with pytest.raises(SQLAlchemyError) as again:
            session.scalars(select(Order)).all()
        session.rollback()
        return type(raised.value), type(again.value), session.scalars(select(Order)).all()


def closed_in_the_middle(make: Make) -> Any:
    with make() as session:
        _order(session, number=1)
        session.flush()
        session.close()
        return session.scalars(select(Order)).all()


def isolation(make: Make) -> Any:
    with make() as session:
        conn = session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        shown = session.scalar(text("SHOW transaction_isolation"))
        session.commit()
        return shown, session.scalar(text("SHOW transaction_isolation")), conn.closed


def read_only_option(make: Make) -> Any:
    with make() as session:
        session.connection(execution_options={"postgresql_readonly": True})
        shown = session.scalar(text("SHOW transaction_read_only"))
        session.commit()
        return shown, session.scalar(text("SHOW transaction_read_only"))


def events_in_order(make: Make) -> Any:
    heard: list[str] = []
    with make() as session:
        for name in ("before_commit", "after_commit", "after_begin", "after_rollback", "after_flush"):
            event.listen(session, name, lambda *_, name=name: heard.append(name))
        _order(session, number=1)
        session.commit()
        session.scalars(select(Order)).all()
        session.rollback()
    return heard


def copies(make: Make) -> Any:
    """Through psycopg's own connection, as bulk loads do."""
    with make() as session:
        driver: Any = session.connection().connection.driver_connection
        with driver.cursor().copy("COPY app.page FROM STDIN") as copy:
            copy.write_row(("t1", 1, "x", 1))
        session.commit()
        return session.scalars(select(Page.body)).all(), isinstance(driver, psycopg.Connection)


def merged(make: Make) -> Any:
    with make() as session:
        _order(session, "a", number=1)
        session.commit()
        detached = session.get_one(Order, ("t1", 1))
        assert len(detached.items) == 1
        session.expunge_all()
    with make() as session:
        order = session.merge(Order(tenant_id="t1", id=1, state="merged"))
        session.commit()
        state = order.state
        session.expunge(order)
        session.add(detached)  # loaded where writes go
        detached.items.clear()
        session.commit()
        return state, detached.state, session.scalar(select(func.count(Item.id)))


def reflected(make: Make) -> Any:
    with make() as session:
        looked = inspect(session.connection())
        return looked.has_table("orders", schema="app"), sorted(looked.get_table_names(schema="app")), [
            (c["name"], str(c["type"])) for c in looked.get_columns("orders", schema="app")
        ]  # fmt: skip


BEHAVIOURS = [
    unit_of_work, autoflush_and_rollback, begin_blocks, savepoints, types, row_counts, many_values, streams,
    eager_loading, locks, optimistic_locks, unique_violation, violation_at_commit, wrong_statement, wrong_value,
    not_adaptable, goes_on_after_an_error, closed_in_the_middle, isolation, read_only_option, events_in_order, copies,
    merged, reflected,
]  # fmt: skip


def outcome(behaviour: Callable[[Make], Any], make: Make) -> tuple[str, Any]:
    """Return what *behaviour* gives: a value, or the classes of its error and of what the driver raised."""
    try:
        return "value", behaviour(make)
    except SQLAlchemyError as error:
        inner = getattr(error, "orig", None)
        return "error", (type(error), type(inner), getattr(inner, "sqlstate", None), getattr(error, "statement", None))


def emptied(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET lock_timeout = '30s'")  # who forgets to close a session is told
        conn.execute("TRUNCATE app.orders, app.item, app.page, app.thing RESTART IDENTITY")


@contextmanager
def plain(dsn: str, **options: Any) -> Iterator[Engine]:
    parts = conninfo_to_dict(dsn)
    names = {"user": "username", "password": "password", "host": "host", "port": "port", "dbname": "database"}
    known: dict[str, Any] = {names[k]: v for k, v in parts.items() if k in names}
    known["port"] = int(known["port"])
    url = URL.create("postgresql+psycopg", **known, query={k: str(v) for k, v in parts.items() if k not in names})
    engine = create_engine(url, **options)
    yield engine
    engine.dispose()


def test_it_does_what_a_plain_engine_does(dsn: str, sessions: ShimSessions[Session]) -> None:
    """One test, as the servers' work is most of it: every behaviour is named in what differs."""
    with plain(dsn) as engine:
        found = {}
        for behaviour in BEHAVIOURS:
            emptied(dsn)
            expected = outcome(behaviour, sessionmaker(engine))
            emptied(dsn)
            found[behaviour.__name__] = (expected, outcome(behaviour, lambda: sessions.write("t1")))

    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}
    assert sorted(name for name, (expected, _) in found.items() if expected[0] == "error") == [
        "not_adaptable", "optimistic_locks", "unique_violation", "violation_at_commit", "wrong_statement", "wrong_value"
    ]  # fmt: skip


def test_core_does_what_a_plain_engine_does(dsn: str, sessions: ShimSessions[Session]) -> None:
    def core(engine: Engine) -> Any:
        with engine.begin() as conn:
            made = conn.execute(insert(Order).values(tenant_id="t1", id=1).returning(Order.state)).scalar_one()
        with engine.connect() as conn:
            conn.execute(update(Order).values(state="lost"))
        with engine.connect() as conn:
            conn.execute(update(Order).values(state="kept"))
            conn.commit()
            with conn.begin_nested():
                count = conn.execute(update(Order).values(total=1)).rowcount
            conn.rollback()
            rows = conn.execute(select(Order.state, Order.total)).all()
        return made, count, rows

    with plain(dsn) as engine:
        expected = core(engine)
    emptied(dsn)
    assert core(sessions.write_engine("t1")) == expected == ("new", 1, [("kept", None)])


def test_options_of_engines_are_as_they_were(dsn: str, shim: MemoryShim) -> None:
    options: dict[str, Any] = {
        "json_serializer": lambda value: '{"told": 1}',
        "json_deserializer": lambda value: ("read", len(value)),
        "isolation_level": "REPEATABLE READ",
    }

    def values(engine: Engine) -> Any:
        with Session(engine) as session:
            session.add(a_thing(1))
            session.flush()
            session.expire_all()
            thing = session.get_one(Thing, 1)
            shown = session.scalar(text("SHOW transaction_isolation"))
            return thing.doc, thing.plain, shown, session.connection().get_isolation_level()

    with plain(dsn, **options) as engine:
        expected = values(engine)
    assert values(ShimSessions(shim, engine_options=options).write_engine("t1")) == expected
    assert expected[2:] == ("repeatable read", "REPEATABLE READ")


def test_notices_reach_the_log_as_psycopgs_do(
    sessions: ShimSessions[Session], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sqlalchemy.dialects.postgresql"), sessions.write("t1") as session:
        session.execute(text("DO $$ BEGIN RAISE NOTICE 'hello'; END $$"))

    assert [r.getMessage() for r in caplog.records if r.name == "sqlalchemy.dialects.postgresql"] == ["NOTICE: hello"]
