"""A change that is not finished is taken back, or the reason is told why it can only be finished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.dataplane.change.apply import STEPS, actions, plan_changes
from migrator.dataplane.change.kinds import Kind
from migrator.dataplane.change.progress import Moment
from migrator.dataplane.change.take_back import find, undo
from migrator.dataplane.change.way_back import way_back
from migrator.errors import NoGo
from migrator.inventory.look import look
from migrator.provision.apply import verify
from tests.fixtures.shop import Shop
from tests.integration.dataplane.change.helpers import applied, differences, work
from tests.integration.dataplane.change.kills import Killed, Kills
from tests.integration.dataplane.change.test_kills import BEFORE, KILLED, assert_changed
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

QUICK = (Kind.DROP_COLUMN, Kind.ADD_UNIQUE)

FINISHED_ONLY = {
    Kind.DROP_COLUMN: "forget",
    Kind.DROP_INDEX: "drop_on_classic",
    Kind.CREATE_TABLE: "make_on_classic",
    Kind.DROP_TABLE: "drop_table_on_classic",
    Kind.CREATE_TYPE: "make_on_classic",
    Kind.CREATE_SEQUENCE: "make_on_classic",
    Kind.ADD_LABEL: "label_on_limitless",
    Kind.VALIDATE_CONSTRAINT: "validate_on_classic",
    Kind.DROP_CONSTRAINT: "release_on_classic",
    Kind.DROP_NOT_NULL: "drop_not_null_on_classic",
    Kind.CHANGE_TYPE: "type_on_classic",
    Kind.BOTH_SIDES: "on_classic",
    Kind.CLASSIC_ONLY: "on_classic",
}
"""The step from whose effect on a change can only be finished; the other kinds are taken back from anywhere."""

SHAPE = """
SELECT 'column', c.oid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod) || a.attnotnull::text
       || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'shop'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'shop'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname::text, tgenabled::text
  FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class
                                                          WHERE relnamespace = 'shop'::regnamespace)
UNION ALL
SELECT 'type', typname::text, typtype::text, '' FROM pg_type WHERE typnamespace = 'shop'::regnamespace
UNION ALL
SELECT 'enum value', enumtypid::regtype::text, enumlabel::text, '' FROM pg_enum
"""
"""What the application's schema is made of, read apart from the product."""


def shape(conn: psycopg.Connection[Any]) -> set[tuple[Any, ...]]:
    return set(conn.execute(SHAPE))


async def undone(shop: Shop, **more: Any) -> tuple[str, ...]:
    def run() -> tuple[str, ...]:
        with work(shop, **more) as w:
            return undo(w)

    return await asyncio.to_thread(run)


async def undone_with_kills(shop: Shop) -> tuple[str, ...]:
    """Take back, killed before, in and after each step in turn."""
    kills = Kills()
    return await kills.through(lambda: undone(shop, watch=kills.watch))


@pytest.mark.parametrize("kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in Kind])
async def test_taken_back_from_after_any_step(shop: Shop, kind: Kind) -> None:
    """Killed right after each step took effect, then after its record; both sides are as before, and it can be begun
    anew. From the step on that cannot be taken back, it is told, and the change is finished."""
    await shop.start()
    with Writers(shop.classic_dsn, 5, 1) as writers:
        async with shop.mirrors():
            await shop.copy_all()
            if kind in BEFORE:
                await applied(shop, BEFORE[kind])
            before = [shape(conn) for conn in (shop.classic, shop.limitless)]
            refused = ""
            for name, _ in STEPS[kind]:
                for wanted in ("acted", "done"):

                    def watch(step: str, moment: Moment, at: tuple[str, str] = (name, wanted)) -> None:
                        if (step, moment) == at:
                            raise Killed

                    with pytest.raises(Killed):
                        await applied(shop, KILLED[kind], watch=watch)
                    try:
                        back = await undone_with_kills(shop)
                    except NoGo as error:
                        assert "Finish it" in (error.hint or ""), error
                        refused = name
                        break
                    assert len(back) == 1
                    assert [shape(conn) for conn in (shop.classic, shop.limitless)] == before, (name, wanted)
                    assert await undone(shop) == ()
                if refused:
                    break
            done = await applied(shop, KILLED[kind])
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            await shop.caught_up()

    assert refused == FINISHED_ONLY.get(kind, "")
    assert len(done.finished) == 1
    assert_changed(shop, kind)
    assert differences(shop) == {}


async def test_a_dry_run_promises_no_more_than_undo_keeps(shop: Shop) -> None:
    """Which steps can be taken back is what the kills above find; what drops something goes to classic first."""
    for kind in Kind:
        steps = [name for name, _ in STEPS[kind]]
        kept = steps[: steps.index(FINISHED_ONLY[kind])] if kind in FINISHED_ONLY else steps
        promised = [name for name in steps if (way_back(kind, name) or "").startswith("migrator schema undo")]
        # What Limitless had before CREATE OR REPLACE is known only when it runs.
        assert promised == [name for name in kept if name != "first_on_limitless"], kind
    await shop.start()

    def listed(text: str) -> list[tuple[str, str | None]]:
        with work(shop) as w:
            going_on, changes, _ = plan_changes(w, text, "f.sql")
            return [
                (a.summary.rpartition(": ")[2], a.undo and a.undo.split(";")[0].split(",")[0])
                for a in actions(going_on, changes)
            ]

    view = "CREATE VIEW shop.v AS SELECT tenant_id FROM shop.purchase"
    later = "a later file that says the opposite"
    async with shop.mirrors():
        assert listed(view) == [("on Limitless", later), ("on classic", later)]
        await applied(shop, view)
        assert listed("DROP VIEW shop.v") == [("on classic", later), ("on Limitless", later)]
        assert listed("ALTER TABLE shop.purchase ADD COLUMN a int")[0][1] == "migrator schema undo"
        assert listed("UPDATE shop.purchase SET tenant_id = tenant_id") == [("on classic", None)]
        with work(shop) as w:
            _, changes, _ = plan_changes(
                w, "ALTER TABLE shop.line ADD COLUMN p bigint REFERENCES shop.purchase", "f.sql"
            )
        assert "on Limitless: within a tenant" in changes[-1].words


async def test_a_file_is_left_as_it_is_and_the_next_one_comes(shop: Shop) -> None:
    """What the file finished stays; what it had not begun is forgotten; a dry run says both and does nothing."""
    await shop.start()
    text = "\n".join(f"ALTER TABLE shop.purchase ADD COLUMN {name} int;" for name in ("one", "two", "three"))

    seen: list[str] = []

    def watch(step: str, moment: Moment) -> None:
        if (step, moment) == ("add_on_classic", "acted"):
            seen.append(step)
            if len(seen) == 2:
                raise Killed

    async with shop.mirrors():
        await shop.copy_all()
        with pytest.raises(Killed):
            await applied(shop, text, watch=watch)
        with pytest.raises(NoGo, match="migrator schema undo"):
            await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN other int")
        with work(shop) as w:
            actions = [a.summary for a in find(w).actions]
        assert actions[0].startswith("add column shop.purchase.two (integer): ")
        assert actions[-1] == "add column shop.purchase.three (integer): not begun, forget it"
        with pytest.raises(Killed):
            await undone(shop, watch=_kill_in_forget)
        with pytest.raises(NoGo, match="it is being undone"):
            await applied(shop, text)
        assert await undone(shop) == ("add column shop.purchase.two (integer)",)
        assert (await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN other int")).finished
        await shop.caught_up()

    for conn in (shop.classic, shop.limitless):
        names = {name for sort, table, name, _ in shape(conn) if (sort, table) == ("column", "shop.purchase")}
        assert {"one", "other"} <= names
        assert not names & {"two", "three"}
    assert differences(shop) == {}
    assert problems(shop.classic) == []
    assert look(shop.classic, shop.limitless) == ()
    tables = list(captured_tables(shop.classic).values())
    assert verify(shop.classic, shop.limitless, tables, shop.plan).blockers == ()


def _kill_in_forget(step: str, moment: Moment) -> None:
    if (step, moment) == ("forget", "acted"):
        raise Killed


def _killed_at(step: str, time: int) -> Callable[[str, Moment], None]:
    seen: list[str] = []

    def watch(name: str, moment: Moment) -> None:
        if (name, moment) == (step, "done"):
            seen.append(step)
            if len(seen) == time:
                raise Killed

    return watch


INDEX = "CREATE UNIQUE INDEX once ON shop.purchase (tenant_id, id, slot)"
CODE = "ALTER TABLE shop.purchase ALTER COLUMN code "
SEEN = """
SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       to_regclass('shop.once')::text
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
 WHERE a.attrelid = 'shop.purchase'::regclass AND a.attname = 'code'
"""


async def test_what_was_there_before_stays(shop: Shop) -> None:
    """Classic keeps an index and a NOT NULL that it had already; type and default are as the file's first change of
    them left them."""
    await shop.start()
    shop.classic.execute(INDEX)

    async def begun_and_undone(text: str, step: str, time: int = 1) -> list[tuple[Any, ...]]:
        with pytest.raises(Killed):
            await applied(shop, text, watch=_killed_at(step, time))
        assert len(await undone(shop)) == 1
        return [row for conn in (shop.classic, shop.limitless) for row in conn.execute(SEEN)]

    async with shop.mirrors():
        await shop.copy_all()
        await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN code varchar(10) NOT NULL DEFAULT 'z'")
        shop.limitless.execute(f"{CODE} DROP NOT NULL".encode())
        short, z = "character varying(10)", "'z'::character varying"
        was = [(short, True, z, "shop.once"), (short, False, z, None)]

        assert await begun_and_undone(INDEX, "build_on_limitless") == was
        assert await begun_and_undone(f"{CODE} SET NOT NULL", "set_not_null_on_limitless") == was
        wider = f"{CODE} TYPE varchar(20); {CODE} TYPE varchar(30)"
        assert {row[0] for row in await begun_and_undone(wider, "type_on_limitless", 2)} == {"character varying(20)"}
        other = f"{CODE} SET DEFAULT 'a'; {CODE} SET DEFAULT 'b'"
        [default] = {row[2] for row in await begun_and_undone(other, "default_on_classic", 2)}
        assert default.startswith("'a'")
    assert problems(shop.classic) == []


async def test_a_statement_that_takes_no_transaction_can_only_be_finished(shop: Shop) -> None:
    """Whether classic has run it is not known."""
    await shop.start()

    def watch(step: str, moment: Moment) -> None:
        if moment == "acted":
            raise Killed

    with pytest.raises(Killed):
        await applied(shop, "VACUUM shop.purchase", watch=watch)
    with pytest.raises(NoGo, match="classic may have run the statement"):
        await undone(shop)
    assert len((await applied(shop, "VACUUM shop.purchase")).finished) == 1
