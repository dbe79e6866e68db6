"""What the guard does not see, the mirrors notice: reads leave, nothing is applied any more, and a copy brings it back."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import psycopg
import pytest

from migrator.control.status import collect
from migrator.dataplane import recovery
from migrator.dataplane.capture import install as capture
from migrator.dataplane.capture import watch
from migrator.dataplane.mirror import journal_loss
from migrator.decommission.facts import gather
from migrator.errors import NoGo, PreconditionFailed
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.fixtures.world import PARTS
from tests.integration.dataplane.change.helpers import applied
from tests.integration.dataplane.test_ways_to_write import differences, w
from workflows.activities import gates

__all__ = ["w"]

pytestmark = [pytest.mark.pg]

UNSEEN = "ALTER EVENT TRIGGER migrator_guard_ddl DISABLE"
SEEN = "ALTER EVENT TRIGGER migrator_guard_ddl ENABLE ALWAYS"

# How writes pass the journal, and what a person then puts back.
BREAKS = {
    "a swap of names": (
        [
            "CREATE TABLE shop.purchase_new (LIKE shop.purchase INCLUDING ALL)",
            "INSERT INTO shop.purchase_new SELECT * FROM shop.purchase",
            UNSEEN,
            "ALTER TABLE shop.purchase RENAME TO purchase_old",
            "ALTER TABLE shop.purchase_new RENAME TO purchase",
            SEEN,
            "UPDATE shop.purchase SET total = 7 WHERE id < 50",
        ],
        [
            "ALTER TABLE shop.purchase RENAME TO purchase_new",
            "ALTER TABLE shop.purchase_old RENAME TO purchase",
            "UPDATE shop.purchase p SET total = n.total FROM shop.purchase_new n WHERE n.id = p.id",
            "DROP TABLE shop.purchase_new",
        ],
    ),
    "a moment without triggers": (
        [
            f"BEGIN; {UNSEEN}; ALTER TABLE shop.purchase DISABLE TRIGGER migrator_capture_update;"
            " UPDATE shop.purchase SET total = 7 WHERE id < 50;"
            f" ALTER TABLE shop.purchase ENABLE ALWAYS TRIGGER migrator_capture_update; {SEEN}; COMMIT"
        ],
        [],
    ),
    "a label": (
        [UNSEEN, "ALTER TYPE shop.mood RENAME VALUE 'ok' TO 'fine'"],
        ["ALTER TYPE shop.mood RENAME VALUE 'fine' TO 'ok'"],
    ),
}  # fmt: skip


@pytest.fixture
def dba(shop: Shop) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shop.classic_dsn, autocommit=True, options="-c lock_timeout=120s") as conn:
        yield conn


@pytest.mark.parametrize("what", BREAKS)
async def test_what_passes_the_guard_is_noticed_by_every_mirror(shop: Shop, dba: psycopg.Connection, what: str) -> None:
    """Confirmed fallbacks, one incident; mirrors are stalled until everything is copied again, and then go on."""
    broken, mended = BREAKS[what]
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
        for statement in broken:
            await asyncio.to_thread(dba.execute, statement.encode())

        async def noticed() -> bool:
            found = dba.execute("SELECT state, problem FROM migrator.position").fetchall()
            return all(state == "waiting" and "recopy" in str(problem) for state, problem in found)

        await until(noticed, "every partition says that it waits, and for what")
        await until(_all_fell_back(shop), "all reads left")
        where = "SELECT part, snapshot FROM migrator.position ORDER BY part"
        stood = dba.execute(where).fetchall()
        status = collect(shop.classic)
        assert any("writes may have passed the journal" in b for b in status.blockers), status.blockers
        assert any("migrator mirror recopy" in s for s in status.next_steps)
        for blockers in (
            gates._dual_write(shop.classic, shop.plan).blockers,
            gates._cutover(shop.classic, shop.plan).blockers,
            gather(shop.classic, True, "", 5, 60).capture,
        ):
            assert any("passed the journal" in b for b in blockers), blockers
        assert dba.execute("SELECT count(*) FROM migrator.incident WHERE kind = 'capture'").fetchone() == (1,)
        assert dba.execute("SELECT count(*) FROM migrator.decision WHERE kind = 'capture.lost'").fetchone() == (1,)
        with pytest.raises(NoGo, match="passed the journal"):
            await applied(shop, "CREATE INDEX later ON shop.purchase (total)")
        with pytest.raises(PreconditionFailed, match="capture is not as it was installed"):
            await asyncio.to_thread(capture.install, shop.classic, shop.tables, PARTS, 3)
        if mended:
            with pytest.raises(PreconditionFailed, match="cannot be reinstalled"):
                await asyncio.to_thread(recovery.recopy, shop.classic, shop.limitless, "ana", "broken")
        for statement in mended:
            await asyncio.to_thread(dba.execute, statement.encode())
        assert watch.problems(shop.classic), "what was written meanwhile is in no journal"
        assert dba.execute(where).fetchall() == stood
        await asyncio.to_thread(recovery.recopy, shop.classic, shop.limitless, "ana", "mended")
        await shop.copy_all()
        shop.classic.execute("UPDATE shop.purchase SET note = '{}' WHERE id % 7 = 0")
        await shop.caught_up()

    assert shop.differences() == {}
    assert watch.problems(shop.classic) == []


def _all_fell_back(shop: Shop) -> Callable[[], Awaitable[bool]]:
    async def fell() -> bool:
        return [key for key, _ in shop.fallbacks].count("") == PARTS + 1

    return fell


def feed(relation: str) -> list[str]:
    return [
        "CREATE SUBSCRIPTION watched CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)",
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
        f" SELECT oid, '{relation}'::regclass, 'i' FROM pg_subscription WHERE subname = 'watched'",
    ]


# Each is done with the guard disabled and not undone; the words name what a person has to look for.
NOTICED = {
    "dropped trigger": (["DROP TRIGGER migrator_capture_delete ON w.item"], "table w.item: capture's triggers"),
    "not always": (["ALTER TABLE w.event_24 ENABLE TRIGGER migrator_capture_insert"], "w.event_24: trigger migrator_capture_insert not enabled ALWAYS"),
    "TRUNCATE let through": (["ALTER TABLE w.item DISABLE TRIGGER migrator_guard"], "migrator_guard not enabled ALWAYS"),
    "unseen leaf": (["CREATE TABLE w.event_30 PARTITION OF w.event FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')"], "table w.event_30 was added past the DDL guard"),
    "leaf of a leaf": (["CREATE TABLE w.event_25_2 PARTITION OF w.event_25 FOR VALUES FROM (900) TO (990)"], "table w.event_25_2 was added past the DDL guard"),
    "leaf gone": (["ALTER TABLE w.event DETACH PARTITION w.event_24"], "w.event_24 is missing"),
    "dropped and made again": (["CREATE TABLE w.copy (LIKE w.item INCLUDING ALL)", "DROP TABLE w.item CASCADE", "ALTER TABLE w.copy RENAME TO item"], "table w.item is missing"),
    "other function": (["CREATE OR REPLACE FUNCTION migrator.capture_1_insert() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"], "capture function migrator.capture_1_insert was changed"),
    "schema renamed": (["ALTER SCHEMA w RENAME TO v"], "schema w (now v) was changed: name"),
    "heir": (["CREATE TABLE w.heir () INHERITS (w.item)"], "w.item was changed: inheritance"),
    "key": (["ALTER TABLE w.item DROP CONSTRAINT item_pkey CASCADE"], "no unique index on its key"),
    "foreign keys asleep": (["ALTER TABLE w.item DISABLE TRIGGER ALL", *(f"ALTER TABLE w.item ENABLE ALWAYS TRIGGER {t}" for t in ("migrator_capture_insert", "migrator_capture_update", "migrator_capture_delete", "migrator_guard"))], "triggers"),
    "subscription": (feed("w.event_24"), "w.event_24: a subscription feeds it"),
    "event trigger gone": (["DROP EVENT TRIGGER migrator_guard_rewrite"], "migrator_guard_rewrite is missing"),
    "database setting": (["DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET event_triggers = off', current_database()); END $$"], "switched off by ALTER DATABASE SET"),
}  # fmt: skip


@pytest.mark.parametrize("what", NOTICED)
def test_every_way_past_the_guard_is_named(w: Shop, what: str) -> None:
    """In the words of gates and of status, and no earlier."""
    statements, words = NOTICED[what]
    capture.install(w.classic, w.tables, PARTS, 3)
    assert watch.problems(w.classic) == []
    with psycopg.connect(w.classic_dsn, autocommit=True) as dba:
        if what == "database setting" and dba.info.server_version < 170000:
            return  # there is no such setting
        guards = [name for (name,) in dba.execute("SELECT evtname FROM pg_event_trigger").fetchall()]
        for guard in guards:
            dba.execute(f"ALTER EVENT TRIGGER {guard} DISABLE")
        try:
            for statement in statements:
                dba.execute(statement.encode())
            found = watch.problems(w.classic)
        finally:
            if what == "subscription":
                dba.execute("ALTER SUBSCRIPTION watched SET (slot_name = NONE)")
                dba.execute("DROP SUBSCRIPTION watched")

    assert sum("event trigger migrator_guard" in p for p in found) == len(guards), found
    assert any(words in p for p in found), found


@pytest.mark.parametrize(
    "what", ["dropped trigger", "unseen leaf", "leaf gone", "other function", "event trigger gone"]
)
async def test_capture_mends_what_is_its_own(w: Shop, what: str) -> None:
    """Before everything is copied again; afterwards every write is journalled."""
    statements, _ = NOTICED[what]
    await w.start()
    for statement in [UNSEEN, "ALTER EVENT TRIGGER migrator_guard_drop DISABLE", *statements]:
        w.classic.execute(statement.encode())
    recovery.recopy(w.classic, w.limitless, "ana", "mended")
    assert watch.problems(w.classic) == []
    async with w.mirrors():
        await w.copy_all()
        w.classic.execute("DELETE FROM w.item WHERE id % 5 = 0")
        w.classic.execute("INSERT INTO w.event VALUES (1, 901, '2025-02-02', 'afterwards')")
        w.classic.execute("DELETE FROM w.event WHERE id % 4 = 0")
        await w.caught_up()

    assert differences(w) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE shop.purchase ADD COLUMN more int",
        "ALTER TABLE shop.remark DROP COLUMN body",
        "ALTER TABLE shop.line ADD CHECK (id > 0)",
    ],
)
async def test_a_changed_table_is_named_between_two_comparisons(
    shop: Shop, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within half a second and a cycle, not when everything is compared again; with what to do."""
    monkeypatch.setattr(journal_loss, "WHOLE_EVERY_S", 3600.0)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        if shop.classic.info.server_version < 170000:
            pytest.skip("PostgreSQL 17 has SET event_triggers")
        await asyncio.to_thread(_unseen, shop, change)

        async def named() -> object:
            return shop.classic.execute(
                "SELECT problem FROM migrator.position WHERE problem LIKE '%schema adopt%'"
            ).fetchone()

        await until(named, "the change is named")


def _unseen(shop: Shop, change: str) -> None:
    with psycopg.connect(shop.classic_dsn, autocommit=True) as conn:
        conn.execute("SET event_triggers = off")  # leaves no trace in the catalog, unlike a trigger that is disabled
        conn.execute(change.encode())
