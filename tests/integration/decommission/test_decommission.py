"""Closing classic: nobody slips through, everything can be undone, and only one of hand-over and reopening happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from migrator.control.tables import captured_tables
from migrator.db.connect import connect
from migrator.decommission import attempt, drain, hand_over, sequences, write_stop
from migrator.errors import InvariantBroken, NoGo, PreconditionFailed
from migrator.model.position import Snapshot
from migrator.model.route import WriteMode
from migrator.model.table import Table
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.postgres import Machines, with_parts
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, until

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

WRITE = "INSERT INTO shop.tenant VALUES (%s, 'x')"


def tables(shop: Shop) -> list[Table]:
    return list(captured_tables(shop.classic).values())


def set_mode(shop: Shop, mode: WriteMode) -> Callable[[], int]:
    return lambda: write_mode(shop.classic, mode, who="test", reason="test")


def begin_and_close(shop: Shop, timeout_s: float = 5.0) -> tuple[int, Snapshot]:
    number = attempt.begin(shop.classic, "ana")
    snapshot = write_stop.close_writes(
        shop.classic, number, tables(shop), set_mode(shop, WriteMode.CLOSED), lambda _: None, timeout_s
    )
    return number, snapshot


def reopen(shop: Shop, number: int) -> bool:
    done = hand_over.reopen(shop.classic, number, tables(shop), "test", set_mode(shop, WriteMode.DUAL))
    if done:
        drain.reopen_positions(shop.limitless)
    return done


def fingerprint(shop: Shop) -> object:
    """Everything closing may have touched, and the rows themselves."""
    triggers = shop.classic.execute(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
    ).fetchall()
    mode = shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchall()
    states = shop.limitless.execute("SELECT part, state FROM migrator.mirror_position ORDER BY part").fetchall()
    return triggers, mode, states, shop.classic.execute("SELECT count(*) FROM shop.tenant").fetchall()


@contextmanager
def a_client(shop: Shop) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shop.classic_dsn, autocommit=True) as conn:
        yield conn


async def test_there_and_back_again(shop: Shop) -> None:
    """Closing twice is closing once; reopening leaves nothing behind; closed again, it can be handed over twice."""
    await shop.start()
    before = fingerprint(shop)

    number, snapshot = begin_and_close(shop)
    assert begin_and_close(shop) == (number, snapshot)
    for statement in (WRITE, "UPDATE shop.tenant SET name = '' WHERE tenant_id = %s"):
        with a_client(shop) as client, pytest.raises(psycopg.Error) as refused:
            client.execute(statement, (5001,))
        assert refused.value.sqlstate == write_stop.SQLSTATE

    assert reopen(shop, number)
    assert reopen(shop, number)
    assert fingerprint(shop) == before
    with a_client(shop) as client:
        client.execute(WRITE, (5002,))

    again, snapshot = begin_and_close(shop)
    assert again != number
    async with shop.mirrors():
        await shop.copy_all()
        await reached(shop, snapshot)
    drain.close_positions(shop.limitless, snapshot)
    drain.close_positions(shop.limitless, snapshot)
    args = (shop.classic, shop.limitless, again, tables(shop), 60.0, set_mode(shop, WriteMode.LIMITLESS_ONLY))
    epoch = hand_over.hand_over(*args)
    assert hand_over.hand_over(*args) == epoch
    assert not reopen(shop, again), "behind the point of no return there is no way back"
    hand_over.settle(shop.classic, shop.limitless, again)
    hand_over.settle(shop.classic, shop.limitless, again)
    assert shop.limitless.execute("SELECT count(*), min(epoch) FROM migrator.settled").fetchone() == (1, epoch)
    assert shop.differences() == {}


async def test_a_repeatable_read_writer_from_before_does_not_slip_through(shop: Shop) -> None:
    """Its snapshot shows no trigger, its write is refused all the same; what it read goes on being readable."""
    await shop.start()
    with a_client(shop) as old:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM pg_trigger")  # takes the snapshot, locks none of our tables

        begin_and_close(shop)

        with pytest.raises(psycopg.Error) as refused:
            old.execute(WRITE, (5003,))
    assert refused.value.sqlstate == write_stop.SQLSTATE


async def test_sessions_without_triggers_are_refused_too(shop: Shop) -> None:
    """session_replication_role = replica switches ordinary triggers off."""
    await shop.start()
    begin_and_close(shop)
    with a_client(shop) as client, pytest.raises(psycopg.Error) as refused:
        client.execute("SET session_replication_role = replica")
        client.execute(WRITE, (5004,))
    assert refused.value.sqlstate == write_stop.SQLSTATE


async def test_a_running_writer_is_waited_for_and_is_in_the_snapshot(shop: Shop) -> None:
    """Closing returns only after the writer has ended, and the snapshot to reach sees its transaction."""
    await shop.start()
    found: list[tuple[int, Snapshot]] = []
    with a_client(shop) as writer:
        writer.execute("BEGIN")
        writer.execute(WRITE, (5005,))
        ((text,),) = writer.execute("SELECT pg_current_xact_id()::text").fetchall()
        xid = int(text)

        def run() -> None:
            found.append(begin_and_close(shop, timeout_s=TIMEOUT_S))

        thread = threading.Thread(target=run)
        thread.start()
        await waits_for_lock(shop)
        assert not found
        writer.execute("COMMIT")
        thread.join(TIMEOUT_S)

    assert found and found[0][1].covers(xid)


async def waits_for_lock(shop: Shop) -> None:
    """Wait until somebody stands in line for a lock."""
    with connect(shop.classic_dsn, "look") as look:

        async def in_line() -> bool:
            found = look.execute(
                "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                " WHERE NOT granted AND d.datname = current_database()"
            ).fetchone()
            return found is not None

        await until(in_line, "somebody waits for a lock")


async def reached(shop: Shop, snapshot: Snapshot) -> None:
    """Wait until every mirror has reached *snapshot*."""

    async def there() -> bool:
        return not drain.behind(shop.limitless, snapshot)

    await until(there, f"every mirror includes {snapshot}")


async def test_a_writer_that_does_not_end_is_named_and_nothing_stays_closed(shop: Shop) -> None:
    """The no-go says who; no trigger is left on any table."""
    await shop.start()
    with psycopg.connect(shop.classic_dsn, application_name="nightly job") as writer:
        writer.execute(WRITE, (5006,))
        with pytest.raises(NoGo, match="nightly job"):
            begin_and_close(shop, timeout_s=0.5)
        assert len(write_stop.unguarded(shop.classic, tables(shop))) == len(tables(shop))


async def test_a_prepared_transaction_stops_the_closing(shop: Shop) -> None:
    """It has written and may commit any time later, also after a restart. Ours: one that holds none of our locks."""
    await shop.start()
    shop.classic.execute("CREATE TABLE public.note (n int)")
    with a_client(shop) as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO public.note VALUES (1)")
        writer.execute("PREPARE TRANSACTION 'left behind'")
    try:
        with pytest.raises(NoGo, match="left behind"):
            begin_and_close(shop)
    finally:
        shop.classic.execute("ROLLBACK PREPARED 'left behind'")


async def test_a_late_try_cannot_hand_over_after_reopening(shop: Shop) -> None:
    """A frozen worker of the first try wakes up in the second one's pause: its own row says reopened."""
    await shop.start()
    first, _ = begin_and_close(shop)
    reopen(shop, first)
    second, snapshot = begin_and_close(shop)
    async with shop.mirrors():
        await shop.copy_all()
        await reached(shop, snapshot)
    drain.close_positions(shop.limitless, snapshot)

    with pytest.raises(PreconditionFailed, match="reopened"):
        hand_over.hand_over(
            shop.classic, shop.limitless, first, tables(shop), 60.0, set_mode(shop, WriteMode.LIMITLESS_ONLY)
        )
    assert attempt.read(shop.classic, second).state == "closed"
    assert shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("closed",)


async def test_a_pause_that_took_too_long_is_not_handed_over(shop: Shop) -> None:
    await shop.start()
    number, snapshot = begin_and_close(shop)
    async with shop.mirrors():
        await shop.copy_all()
        await reached(shop, snapshot)
    drain.close_positions(shop.limitless, snapshot)

    with pytest.raises(NoGo, match="limit 0 s"):
        hand_over.hand_over(
            shop.classic, shop.limitless, number, tables(shop), 0.0, set_mode(shop, WriteMode.LIMITLESS_ONLY)
        )
    assert shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("closed",)


async def test_a_mirror_that_could_still_write_is_not_handed_over(shop: Shop) -> None:
    """Every position is at the last write, and one is open, open again, or closed before it: classic stays."""
    await shop.start()
    number, snapshot = begin_and_close(shop)
    async with shop.mirrors():
        await shop.copy_all()
        await reached(shop, snapshot)
    args = (shop.classic, shop.limitless, number, tables(shop), 60.0, set_mode(shop, WriteMode.LIMITLESS_ONLY))

    def refused() -> bool:
        with pytest.raises(NoGo, match="not closed at the last write"):
            hand_over.hand_over(*args)
        states = shop.limitless.execute("SELECT count(*) FROM migrator.settled").fetchone()
        mode = shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone()
        return (attempt.read(shop.classic, number).state, mode, states) == ("closed", ("closed",), (0,))

    assert refused(), "nobody closed them"
    drain.close_positions(shop.limitless, snapshot)
    shop.limitless.execute("UPDATE migrator.mirror_position SET state = 'open' WHERE part = 1")
    assert refused(), "one was opened again"
    shop.limitless.execute("UPDATE migrator.mirror_position SET state = 'closed'")
    shop.limitless.execute("UPDATE migrator.mirror_position SET snapshot = '1:1:' WHERE part = 2")
    assert refused(), "one is closed where it stood before the last write"
    shop.limitless.execute("UPDATE migrator.mirror_position SET snapshot = %s", (str(snapshot),))
    assert hand_over.hand_over(*args) > 0


async def test_positions_close_only_where_every_mirror_has_the_last_write(shop: Shop) -> None:
    """Behind means no-go and nothing closed; afterwards no mirror can take a partition."""
    await shop.start()
    shop.classic.execute(WRITE, (5007,))
    _, snapshot = begin_and_close(shop)

    with pytest.raises(NoGo, match="has not reached"):
        drain.close_positions(shop.limitless, snapshot)

    states = shop.limitless.execute("SELECT DISTINCT state FROM migrator.mirror_position").fetchall()
    assert states == [("open",)]


async def test_a_leaf_made_meanwhile_is_found(shop: Shop) -> None:
    """A table that would take a write keeps the hand-over from happening."""
    await shop.start()
    begin_and_close(shop)
    with shop.classic.transaction():
        shop.classic.execute("SELECT set_config('migrator.ddl', 'allowed', true)")
        shop.classic.execute("ALTER TABLE shop.line DISABLE TRIGGER migrator_closed")

    assert write_stop.unguarded(shop.classic, tables(shop)) == ["shop.line"]


async def test_sequences_start_above_what_classic_used(shop: Shop) -> None:
    """Above last_value, above the largest value of the column, and again the same when run twice."""
    for conn in (shop.classic, shop.limitless):
        conn.execute("CREATE SEQUENCE shop.ticket")
    shop.classic.execute("ALTER TABLE shop.purchase ALTER id SET DEFAULT nextval('shop.ticket')")
    shop.classic.execute("SELECT nextval('shop.ticket') FROM generate_series(1, 5)")
    largest = shop.classic.execute("SELECT max(id) FROM shop.purchase").fetchone()
    assert largest is not None

    facts = [f for f in sequences.read(shop.classic, shop.limitless, ["shop"]) if f.name == "ticket"]
    first = [sequences.restart(shop.limitless, facts[0], 100) for _ in range(2)]

    assert (facts[0].used, facts[0].column_max) == (5, largest[0])
    assert first == [largest[0] + 101] * 2


async def test_a_router_that_goes_on_below_is_named(machines: Machines, shop: Shop) -> None:
    """One connection's next number says nothing of the other routers: each is asked for its own."""
    shop.classic.execute("CREATE SEQUENCE shop.ticket")
    shop.limitless.execute("CREATE SEQUENCE shop.ticket")
    server = with_parts(machines.limitless_admin, dbname=shop.limitless.info.dbname)
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(
            "CREATE OR REPLACE FUNCTION rds_aurora.standin_next_value(sequence regclass) RETURNS bigint"
            " LANGUAGE sql STABLE AS 'SELECT 7::bigint'"
        )
    facts = [f for f in sequences.read(shop.classic, shop.limitless, ["shop"]) if f.name == "ticket"]

    with pytest.raises(InvariantBroken, match=r"restarted at 101, and is behind on: router 5 at 7, router 6 at 7"):
        sequences.restart(shop.limitless, facts[0], 100)
