"""A change of the schema reaches both sides while rows are written, copied, mirrored and validated; and after kills."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Json

from migrator.change.apply import STEPS, Applied, apply
from migrator.change.look import columns_of, index_of
from migrator.change.wish import Kind
from migrator.change.work import Moment, Work
from migrator.consistency.run import validate
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed
from migrator.model.table import Table
from migrator.plan.load import digest, dump, shim_settings
from migrator.plan.tables import resolve_tables
from migrator.provision.apply import verify
from tests.fixtures.shop import Shop
from tests.integration.cli import Operator
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

EVERYTHING = """
ALTER TABLE shop.purchase ADD COLUMN channel text, ADD COLUMN state text NOT NULL DEFAULT 'open';
ALTER TABLE shop.purchase ADD COLUMN seen_at timestamptz DEFAULT now();
ALTER TABLE shop.line ADD COLUMN token uuid DEFAULT gen_random_uuid();
ALTER TABLE shop.currency ADD COLUMN "Full name" varchar(40) COLLATE "C" DEFAULT 'none';
ALTER TABLE shop.purchase DROP COLUMN note;
CREATE INDEX purchase_state ON shop.purchase (state, (lower(channel))) WHERE state <> 'done';
CREATE UNIQUE INDEX CONCURRENTLY purchase_whole ON shop.purchase (tenant_id, id);
CREATE INDEX line_old ON shop.line (sku);
DROP INDEX shop.line_old;
"""

# Where a row belongs and what it holds, whatever columns there are; written down apart from the product.
OWNED = {
    "shop.tenant": "SELECT t.tenant_id::text, to_jsonb(t) FROM shop.tenant t",
    "shop.purchase": "SELECT p.tenant_id::text, to_jsonb(p) FROM shop.purchase p",
    "shop.line": "SELECT p.tenant_id::text, to_jsonb(l) FROM shop.line l JOIN shop.purchase p ON p.id = l.purchase_id",
    "shop.remark": "SELECT p.tenant_id::text, to_jsonb(r) FROM shop.remark r JOIN shop.line l ON l.id = r.line_id"
    " JOIN shop.purchase p ON p.id = l.purchase_id",
    "shop.currency": "SELECT NULL, to_jsonb(c) FROM shop.currency c",
}
DERIVED = ("shop.line", "shop.remark")


def differences(shop: Shop) -> dict[str, list[object]]:
    """Up to five rows of each table that only one side holds, every column compared."""
    found = {}
    for table, query in OWNED.items():
        minus = " - 'tenant_id'" if table in DERIVED else ""
        owner = "NULL" if table == "shop.currency" else "t.tenant_id::text"
        here = set(shop.classic.execute(f"SELECT q::text FROM ({query}) q"))  # noqa: S608 - texts of this module
        there = set(
            shop.limitless.execute(
                f"SELECT q::text FROM (SELECT {owner}, to_jsonb(t){minus} FROM {table} t) q"  # noqa: S608 - as above
            )
        )
        if here != there:
            found[table] = sorted(here ^ there)[:5]
    return found


@contextmanager
def work(shop: Shop, **more: Any) -> Iterator[Work]:
    with (
        closing(connect(shop.classic_dsn, "schema")) as classic,
        closing(connect(shop.limitless_dsn, "schema")) as limitless,
        closing(connect(shop.classic_dsn, "schema turns")) as turns,
    ):
        yield Work(shop.plan, classic, limitless, turns, "tester", **more)


def run(shop: Shop, text: str, **more: Any) -> Applied:
    with work(shop, **more) as w:
        return apply(w, text, "change.sql")


async def applied(shop: Shop, text: str, **more: Any) -> Applied:
    """Apply in a thread: the mirrors it waits for live in this loop."""
    return await asyncio.to_thread(lambda: run(shop, text, **more))


class NewWriter(threading.Thread):
    """Writes the new columns as soon as they are there."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn, self.stop, self.written = dsn, threading.Event(), 0

    def run(self) -> None:
        r = random.Random(7)
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            while not self.stop.is_set():
                for statement in (
                    "UPDATE shop.purchase SET channel = 'Web' || total, state = 'done' WHERE id = %s",
                    "UPDATE shop.purchase SET seen_at = clock_timestamp() WHERE id = %s",
                    "UPDATE shop.line SET token = gen_random_uuid() WHERE id = %s",
                ):
                    try:
                        conn.execute(statement, (r.randint(1, 700),))
                        self.written += 1
                    except psycopg.errors.UndefinedColumn:
                        time.sleep(0.005)  # not there yet
                    except psycopg.errors.DeadlockDetected:
                        pass


async def test_everything_while_writers_copies_mirrors_and_validation_run(shop: Shop) -> None:
    """In the end both sides hold the same rows in every column, and validation, which ran all along, agrees."""
    await shop.start()
    new = NewWriter(shop.classic_dsn)
    with Writers(shop.classic_dsn, 11, 1) as writers:
        new.start()
        try:
            async with shop.mirrors():
                copying = asyncio.create_task(shop.copy_all(120))
                change = asyncio.create_task(applied(shop, EVERYTHING, patience_s=60))
                looks = 0
                while not change.done():
                    report = await validate(shop.classic_dsn, shop.limitless_dsn)
                    assert report.divergent_rows == 0, report.sample
                    looks += 1
                done = await change
                await copying
                writers.stop.set()
                new.stop.set()
                await asyncio.to_thread(new.join)
                for thread in writers.threads:
                    await asyncio.to_thread(thread.join)
                await shop.caught_up()
                report = await validate(shop.classic_dsn, shop.limitless_dsn)
        finally:
            new.stop.set()
            new.join()

    assert len(done.finished) == 10
    assert report.divergent_rows == 0
    assert looks > 0 and new.written > 0 and writers.committed > 10
    assert differences(shop) == {}
    assert verify(shop.classic, shop.limitless, resolved(shop), shop.plan).blockers == ()
    filled = shop.classic.execute("SELECT count(*) FROM shop.line WHERE token IS NULL").fetchone()
    assert filled == (0,)
    # What was frozen for rows of before is one moment, not one per side, and new rows get a new one.
    shop.classic.execute("INSERT INTO shop.purchase (id, tenant_id, slot) VALUES (9999, 1, 9999)")
    row = shop.classic.execute("SELECT seen_at > now() - interval '1 s' FROM shop.purchase WHERE id = 9999").fetchone()
    assert row == (True,)


def resolved(shop: Shop) -> tuple[Table, ...]:
    return resolve_tables(shop.classic, shop.plan.tables)


KILLED = {
    Kind.ADD_COLUMN: "ALTER TABLE shop.purchase ADD COLUMN token uuid DEFAULT gen_random_uuid()",
    Kind.DROP_COLUMN: "ALTER TABLE shop.purchase DROP COLUMN mood",
    Kind.CREATE_INDEX: "CREATE UNIQUE INDEX whole ON shop.purchase (tenant_id, id)",
    Kind.DROP_INDEX: "DROP INDEX shop.line_purchase_id_idx",
}


OTHER_KINDS = (Kind.ADD_COLUMN, Kind.CREATE_INDEX, Kind.DROP_INDEX)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the process goes on; its sessions end."""


@pytest.mark.parametrize("kind", [Kind.DROP_COLUMN, *(pytest.param(k, marks=pytest.mark.slow) for k in OTHER_KINDS)])
async def test_killed_between_any_two_steps_it_goes_on(shop: Shop, kind: Kind) -> None:
    """One change is killed before, in and after each of its steps in turn; the next run finishes it."""
    await shop.start()
    visited: set[tuple[str, Moment]] = set()

    def watch(step: str, moment: Moment) -> None:
        if (step, moment) not in visited:
            visited.add((step, moment))
            raise Killed

    with Writers(shop.classic_dsn, 5, 1) as writers:
        async with shop.mirrors():
            await shop.copy_all()
            done = None
            while done is None:
                before = len(visited)
                try:
                    done = await applied(shop, KILLED[kind], watch=watch)
                except Killed:
                    assert len(visited) == before + 1
            again = await applied(shop, KILLED[kind])
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            await shop.caught_up()

    assert {step for step, moment in visited if moment == "acted"} == {name for name, _ in STEPS[kind]}
    assert len(done.finished) == 1
    assert again.finished == ()
    assert_changed(shop, kind)
    assert differences(shop) == {}


def assert_changed(shop: Shop, kind: Kind) -> None:
    for conn in (shop.classic, shop.limitless):
        columns = columns_of(conn, "shop.purchase")
        match kind:
            case Kind.ADD_COLUMN:
                assert columns["token"] == ("uuid", False)
            case Kind.DROP_COLUMN:
                assert "mood" not in columns
            case Kind.CREATE_INDEX:
                assert index_of(conn, "shop", "whole") == ("shop.purchase", True)
            case Kind.DROP_INDEX:
                assert index_of(conn, "shop", "line_purchase_id_idx") is None
    assert verify(shop.classic, shop.limitless, resolved(shop), shop.plan).blockers == ()


PROGRAM = """
import os, signal, sys
from migrator.change.apply import apply
from migrator.change.work import Work
from migrator.db.connect import connect
from migrator.plan.load import from_body
import json

def watch(step, moment):
    if f"{step}.{moment}" == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

a, b, c = (connect(os.environ[n], "schema") for n in ("C", "L", "C"))
apply(Work(from_body(json.loads(os.environ["PLAN"])), a, b, c, "child", watch=watch), sys.argv[1], "change.sql")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(Kind))
async def test_kill_9_after_every_step(shop: Shop, kind: Kind) -> None:
    """The same with real processes and SIGKILL, right after each step took effect and before it was recorded."""
    await shop.start()
    environment = {**os.environ, "C": shop.classic_dsn, "L": shop.limitless_dsn, "PLAN": shop.plan.model_dump_json()}
    async with shop.mirrors():
        await shop.copy_all()
        for name, _ in STEPS[kind]:
            child = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", PROGRAM, KILLED[kind], f"{name}.acted"],
                env=environment,
                timeout=60,
            )
            assert child.returncode == -signal.SIGKILL
        await applied(shop, KILLED[kind])
        await shop.caught_up()

    assert_changed(shop, kind)
    assert differences(shop) == {}


REFUSED = """
CREATE TABLE shop.other (id int);
ALTER TABLE shop.purchase ADD COLUMN n serial, ADD COLUMN g int GENERATED ALWAYS AS (slot + 1) STORED;
ALTER TABLE shop.purchase ADD COLUMN m shop.no_such_type;
ALTER TABLE shop.purchase ADD COLUMN k int NOT NULL;
ALTER TABLE shop.purchase ADD COLUMN u uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE shop.purchase ADD COLUMN r int REFERENCES shop.tenant;
ALTER TABLE shop.purchase ALTER COLUMN total TYPE numeric;
ALTER TABLE shop.purchase DROP COLUMN tenant_id, DROP COLUMN slot, DROP COLUMN nothing, DROP COLUMN note CASCADE;
ALTER TABLE shop.line DROP COLUMN purchase_id;
ALTER TABLE elsewhere ADD COLUMN a int;
CREATE INDEX ON shop.purchase (total);
CREATE INDEX bad ON shop.purchase (no_such_column);
CREATE UNIQUE INDEX not_per_tenant ON shop.purchase (slot);
DROP INDEX shop.purchase_pkey, shop.no_such_index;
ALTER TABLE shop.purchase ADD COLUMN fine int;
BEGIN;
"""


async def test_a_file_is_refused_as_a_whole_and_every_problem_is_named(shop: Shop) -> None:
    """One command, one list; nothing is changed on either side."""
    await shop.start()
    before = catalog(shop)

    with pytest.raises(NoGo) as refusal:
        await applied(shop, REFUSED)

    text = "\n".join(refusal.value.blockers)
    for number, words in (
        (1, "CREATE TABLE shop.other"),
        (2, "column n: serial"),
        (2, "column g: a generated"),
        (3, "shop.no_such_type"),
        (4, "existing rows would be NULL"),
        (5, "leave NOT NULL out"),
        (6, "leave REFERENCES out"),
        (7, "AlterColumnType"),
        (8, "the tenant key"),
        (8, "purchase.slot: constraint purchase_tenant_id_slot_key"),
        (8, "there is no such column"),
        (8, "leave CASCADE out"),
        (9, "path from shop.line"),
        (10, "elsewhere is not captured"),
        (11, "name the index"),
        (12, "no_such_column"),
        (13, "lacks the tenant key"),
        (14, "constraint purchase_pkey"),
        (14, "there is no such index"),
        (16, "leave BEGIN and COMMIT out"),
    ):
        assert any(line.startswith(f"statement {number}:") and words in line for line in refusal.value.blockers), (
            words,
            text,
        )
    assert catalog(shop) == before
    assert shop.classic.execute("SELECT count(*) FROM migrator.schema_change").fetchone() == (0,)


def catalog(shop: Shop) -> list[object]:
    query = (
        "SELECT c.relname, a.attname, a.atttypid::regtype::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
        " WHERE c.relnamespace = 'shop'::regnamespace ORDER BY 1, 2"
    )
    return [conn.execute(query).fetchall() for conn in (shop.classic, shop.limitless)]


async def test_waiting_for_a_lock_keeps_nobody_waiting(shop: Shop) -> None:
    """A transaction of the application that stays open delays the change, not the other statements."""
    await shop.start()
    told: list[str] = []
    busy = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        told.append(text)
        if "classic" in text and "busy" in text:
            loop.call_soon_threadsafe(busy.set)

    async with shop.mirrors():
        with psycopg.connect(shop.classic_dsn) as open_one, psycopg.connect(shop.classic_dsn, autocommit=True) as other:
            open_one.execute("SELECT count(*) FROM shop.purchase")
            change = asyncio.create_task(applied(shop, "ALTER TABLE shop.purchase ADD COLUMN a int", tell=tell))
            await asyncio.wait_for(busy.wait(), 30)
            slowest = 0.0
            for number in range(30):
                began = time.perf_counter()
                await asyncio.to_thread(other.execute, "UPDATE shop.purchase SET slot = slot WHERE id = %s", (number,))
                slowest = max(slowest, time.perf_counter() - began)
                await asyncio.sleep(0.03)
            assert not change.done()
            open_one.rollback()
            await change

    assert slowest < 2.0  # 0.3 s of waiting in front, on a busy machine
    assert any("try 2 in" in text for text in told)
    assert "a" in columns_of(shop.limitless, "shop.purchase")


async def test_rows_that_break_a_unique_index_leave_nothing_behind(shop: Shop) -> None:
    """The invalid index of the failed build is dropped; mended rows let the same file through."""
    await shop.start()
    text = "CREATE UNIQUE INDEX once ON shop.purchase (tenant_id, total); ALTER TABLE shop.line ADD COLUMN a int"
    shop.classic.execute("UPDATE shop.purchase SET total = 1 WHERE id IN (3, 6)")
    async with shop.mirrors():
        await shop.copy_all()
        with pytest.raises(NoGo, match="do not allow it"):
            await applied(shop, text)
        assert index_of(shop.classic, "shop", "once") is None
        assert index_of(shop.limitless, "shop", "once") is None
        shop.classic.execute("UPDATE shop.purchase SET total = id")
        assert len((await applied(shop, text)).finished) == 2
        await shop.caught_up()

    assert index_of(shop.limitless, "shop", "once") == ("shop.purchase", True)
    assert differences(shop) == {}


async def test_an_invalid_index_of_before_is_built_again(shop: Shop) -> None:
    """As a crash of the server in the middle of the build leaves it."""
    await shop.start()
    shop.classic.execute("CREATE INDEX CONCURRENTLY totals ON shop.purchase (total)")
    shop.classic.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.totals'::regclass")

    async with shop.mirrors():
        await applied(shop, "CREATE INDEX totals ON shop.purchase (total)")

    assert index_of(shop.classic, "shop", "totals") == ("shop.purchase", True)
    assert index_of(shop.limitless, "shop", "totals") == ("shop.purchase", True)


async def test_an_index_that_differs_is_no_index_that_holds_already(shop: Shop) -> None:
    """The same definition is nothing to do, another one under the same name is a problem."""
    await shop.start()
    async with shop.mirrors():
        await applied(shop, "CREATE INDEX totals ON shop.purchase (total) WHERE slot > 3")
        again = await applied(shop, "CREATE INDEX CONCURRENTLY totals ON purchase USING btree (total) WHERE (slot > 3)")
        with pytest.raises(NoGo, match="an index of this name already"):
            await applied(shop, "CREATE INDEX IF NOT EXISTS totals ON shop.purchase (total)")

    assert again == Applied((), 1)


async def test_without_mirrors_it_waits_and_the_next_run_goes_on(shop: Shop) -> None:
    """The old shape may still be in somebody's hands as long as no position is newer than the change."""
    await shop.start()
    text = "ALTER TABLE shop.purchase ADD COLUMN a int DEFAULT 7"

    with pytest.raises(ClusterUnavailable, match="mirror partition 0"):
        await applied(shop, text, patience_s=0.5)
    with pytest.raises(NoGo, match="an earlier change is not finished: add column"):
        await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN b int")
    async with shop.mirrors():
        assert (await applied(shop, text)).finished == ("add column shop.purchase.a (integer)",)
        await shop.copy_all()
        await shop.caught_up()

    assert differences(shop) == {}


async def test_a_copy_that_runs_is_waited_for_and_new_ones_wait(shop: Shop) -> None:
    """Copies hold their tables for a unit; a change gets its turn although there is always another unit."""
    await shop.start()
    units = await asyncio.to_thread(shop.units)
    stop = False

    async def copies() -> None:
        while not stop:
            for unit in units:
                shop.limitless.execute("DELETE FROM migrator.copy_lease WHERE state = 'copied'")
                shop.classic.execute("UPDATE migrator.copy_unit SET state = 'pending'")
                await shop.copy(unit)

    tasks = [asyncio.create_task(copies())]
    try:
        async with shop.mirrors():
            await applied(shop, "ALTER TABLE shop.line ADD COLUMN a text DEFAULT 'x'", patience_s=60)
    finally:
        stop = True
        await asyncio.gather(*tasks, return_exceptions=True)

    assert columns_of(shop.classic, "shop.line")["a"] == ("text", False)


async def test_one_change_at_a_time(shop: Shop) -> None:
    """The second operator is told; nothing is mixed."""
    await shop.start()

    def watch(step: str, moment: Moment) -> None:
        with pytest.raises(PreconditionFailed, match="another schema change runs now"):
            run(shop, "ALTER TABLE shop.purchase ADD COLUMN b int")

    async with shop.mirrors():
        await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN a int", watch=watch)

    assert "b" not in columns_of(shop.classic, "shop.purchase")


async def test_a_verdict_at_the_old_schema_is_outdated(shop: Shop) -> None:
    """A tenant that was clean must be validated again: the new column was never compared."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await validate(shop.classic_dsn, shop.limitless_dsn)
        assert outdated(shop) == 0
        await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN a int DEFAULT 3")
        assert outdated(shop) > 0
        shop.limitless.execute("UPDATE shop.purchase SET a = 4 WHERE id = 1")
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert outdated(shop) == 1  # the divergent one keeps its old verdict
    assert [d.columns for d in report.sample] == [("a",)]


def outdated(shop: Shop) -> int:
    row = shop.classic.execute("SELECT count(*) FROM migrator.gate_fact WHERE outdated").fetchone()
    return int(row[0]) if row else 0


async def test_direct_ddl_is_refused_and_the_command_is_named(shop: Shop) -> None:
    await shop.start()

    with pytest.raises(psycopg.errors.DatabaseError) as refusal:
        shop.classic.execute("ALTER TABLE shop.purchase ADD COLUMN a int")

    assert refusal.value.sqlstate == "MG003"
    assert "migrator schema apply" in (refusal.value.diag.message_hint or "")


async def test_the_command(shop: Shop, tmp_path: Path) -> None:
    """Dry run, run, run again, status; exit codes and JSON."""
    await shop.start()
    path = tmp_path / "change.sql"
    path.write_text("ALTER TABLE purchase ADD COLUMN a int DEFAULT 1;")
    shop.classic.execute(
        "UPDATE migrator.plan SET body = %s, shim = %s, digest = %s",
        (
            Json({**dump(shop.plan), "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}}),
            Json(shim_settings(shop.plan)),
            digest(shop.plan),
        ),
    )
    names = {"A": shop.classic_dsn, "B": shop.limitless_dsn, "MIGRATOR_CLASSIC_DSN": shop.classic_dsn}
    operator = Operator(tmp_path, names)
    async with shop.mirrors():
        dry = await asyncio.to_thread(operator, "schema", "apply", str(path), "--dry-run")
        assert "on Limitless, with what existing rows get" in dry.out
        assert "a" not in columns_of(shop.limitless, "shop.purchase")
        first = await asyncio.to_thread(operator, "schema", "apply", str(path), "--json")
        second = await asyncio.to_thread(operator, "schema", "apply", str(path))
        listed = await asyncio.to_thread(operator, "schema", "status", "--json")
        path.write_text("DROP TABLE shop.purchase")
        refused = await asyncio.to_thread(operator, "schema", "apply", str(path), "--json")

    assert (first.code, first.json["finished"]) == (0, ["add column shop.purchase.a (integer)"])
    assert (second.code, second.out) == (0, "Nothing to do: both sides are as the file wants them.\n")
    assert [c["last step"] for c in listed.json["changes"]] == ["set_default_on_limitless"]
    assert refused.code == 3
    assert "DROP TABLE shop.purchase is not possible" in refused.out + refused.err
