"""Jobs of every night go on, run by a role without any right on the tool's tables: rows follow what they do."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from migrator.control.watch import problems
from migrator.dataplane.change.adopt import adopt
from migrator.dataplane.change.progress import Work
from migrator.db.connect import connect
from migrator.inventory.look import look, losses
from tests.fixtures.world import World, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

DDL = """
CREATE ROLE {role};
CREATE SCHEMA log;
GRANT ALL ON SCHEMA log TO {role};
SET ROLE {role};
CREATE TABLE log.event (id bigint, tenant_id bigint NOT NULL, body text, PRIMARY KEY (tenant_id, id))
    PARTITION BY RANGE (id);
CREATE TABLE log."Event 0" PARTITION OF log.event FOR VALUES FROM (0) TO (100);
CREATE TABLE log.event_1 PARTITION OF log.event FOR VALUES FROM (100) TO (200);
CREATE TABLE log.event_2 PARTITION OF log.event FOR VALUES FROM (200) TO (300);
CREATE TABLE log.event_3 PARTITION OF log.event FOR VALUES FROM (300) TO (400);
CREATE TABLE log.event_default PARTITION OF log.event DEFAULT;
CREATE TABLE log.archive (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, body text);
INSERT INTO log.event SELECT g, 1 + g % 8, 'event ' || g FROM generate_series(1, 499) g;
CREATE FUNCTION log.make(first bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text := 'event_' || first / 100;
BEGIN
    EXECUTE format('CREATE TABLE log.%I (LIKE log.event INCLUDING ALL)', name);
    EXECUTE format('WITH moved AS (DELETE FROM log.event_default WHERE id >= %s AND id < %s RETURNING *)'
                   ' INSERT INTO log.%I SELECT * FROM moved', first, first + 100, name);
    EXECUTE format('ALTER TABLE log.event ATTACH PARTITION log.%I FOR VALUES FROM (%s) TO (%s)', name, first,
                   first + 100);
END $$;
CREATE PROCEDURE log.retain(name text, keep boolean) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE log.event DETACH PARTITION log.%I', name);
    COMMIT;
    IF NOT keep THEN
        EXECUTE format('DROP TABLE log.%I CASCADE', name);
    END IF;
END $$;
RESET ROLE;
"""

JOBS = {
    "a partition for tomorrow, out of the default one": "SELECT log.make(400)",
    "one that is made in place, and below it": """
        CREATE TABLE log.event_9 PARTITION OF log.event FOR VALUES FROM (900) TO (1000) PARTITION BY RANGE (id);
        CREATE TABLE log.event_90 PARTITION OF log.event_9 FOR VALUES FROM (900) TO (950);
        INSERT INTO log.event SELECT g, 1 + g % 8, 'late' FROM generate_series(900, 930) g""",
    "retention that keeps the table": "CALL log.retain('event_1', true)",
    "retention that drops it": "CALL log.retain('event_2', false)",
    "a drop in a block": """DO $$ BEGIN EXECUTE 'DROP TABLE IF EXISTS log."Event 0", log.nothing CASCADE'; END $$""",
    "a partition that is emptied": "TRUNCATE log.event_90",
    "a swap by rename": """
        BEGIN;
        ALTER TABLE log.event DETACH PARTITION log.event_3;
        ALTER TABLE log.event_3 RENAME TO event_3_old;
        CREATE TABLE log.event_3 (LIKE log.event INCLUDING ALL);
        INSERT INTO log.event_3 SELECT id, tenant_id, 'new' FROM log.event_3_old WHERE id % 2 = 0;
        ALTER TABLE log.event ATTACH PARTITION log.event_3 FOR VALUES FROM (300) TO (400);
        DROP TABLE log.event_3_old;
        COMMIT""",
    "rows that move to the archive": """
        WITH old AS (DELETE FROM log.event WHERE id BETWEEN 350 AND 420 RETURNING *)
        INSERT INTO log.archive SELECT * FROM old""",
    "what keeps the table": "VACUUM FULL log.archive; REINDEX TABLE CONCURRENTLY log.archive;"
    " CLUSTER log.archive USING archive_pkey",
}


class Night:
    """The world of these tables, and the role that the jobs run as."""

    def __init__(self, world: World, role: str) -> None:
        self.world, self.role = world, role

    async def runs(self, job: str) -> None:
        def act() -> None:
            with psycopg.connect(self.world.classic_dsn, autocommit=True) as conn:
                conn.execute(f"SET SESSION AUTHORIZATION {self.role}")
                for statement in [job] if job.strip().startswith(("BEGIN", "DO", "SELECT", "WITH")) else job.split(";"):
                    conn.execute(statement.encode())

        await asyncio.to_thread(act)

    def differs(self) -> list[str]:
        """The tables whose rows differ."""
        return [
            table
            for table in ("log.event", "log.archive")
            if len(
                {
                    tuple(c.execute(f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1").fetchall())
                    for c in (self.world.classic, self.world.limitless)
                }
            )
            > 1
        ]


@pytest_asyncio.fixture
async def night(classic_dsn: str, limitless_dsn: str) -> AsyncIterator[Night]:
    role = f"jobs_{secrets.token_hex(4)}"
    with World.made(classic_dsn, limitless_dsn, plan_of("log"), DDL.replace("{role}", role)) as world:
        await world.start()
        async with world.mirrors():
            await world.copy_all()
            yield Night(world, role)


async def test_what_jobs_do_every_night_is_followed(night: Night) -> None:
    """By a role that is no superuser, as that of a scheduler is; every gate stays open."""
    world = night.world
    for what, job in JOBS.items():
        await night.runs(job)
        await world.caught_up()
        assert night.differs() == [], what
        assert problems(world.classic) == [], what
        assert losses(world.classic, world.limitless) == (), what

    count = world.limitless.execute("SELECT count(*), count(*) FILTER (WHERE id BETWEEN 100 AND 199) FROM log.event")
    assert count.fetchone() == (25 + 79, 0)


async def test_a_detached_partition_stays_behind_until_somebody_says_what_it_becomes(night: Night) -> None:
    """It is named, blocks the decommission alone, and does not come back by itself as a table of its own."""
    world = night.world
    await night.runs("CALL log.retain('event_1', true)")
    await world.caught_up()
    [left] = [d for d in look(world.classic, world.limitless) if d.subject == "table log.event_1"]

    with (
        connect(world.classic_dsn, "a") as one, connect(world.limitless_dsn, "b") as other,
        connect(world.classic_dsn, "c") as turns,
    ):  # fmt: skip
        work = Work(world.plan, one, other, turns, "tester", timeout_s=60)
        await asyncio.to_thread(adopt, work)
        assert other.execute("SELECT to_regclass('log.event_1')").fetchone() == (None,)
        one.execute("COMMENT ON TABLE log.event_1 IS 'migrator: kind = sharded'")
        await asyncio.to_thread(adopt, work)
    await world.caught_up()

    assert "was detached" in left.text and not left.loses_rows
    assert world.limitless.execute("SELECT count(*) FROM log.event_1").fetchone() == (100,)


async def test_pg_repack_is_refused_with_the_way(night: Night) -> None:
    """Its table gets another file, which older snapshots see empty. Nothing is left of the try."""
    world = night.world
    world.classic.execute(
        "CREATE SCHEMA repack; CREATE FUNCTION repack.repack_trigger() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'; GRANT USAGE ON SCHEMA repack TO PUBLIC"
    )
    with pytest.raises(psycopg.DatabaseError, match=r"pg_repack of log\.archive is refused") as refusal:
        await night.runs(
            "CREATE TRIGGER repack_trigger AFTER INSERT OR DELETE OR UPDATE ON log.archive"
            " FOR EACH ROW EXECUTE FUNCTION repack.repack_trigger()"
        )

    assert "--only-indexes" in str(refusal.value.diag.message_hint)
    assert problems(world.classic) == []


async def test_no_session_can_pass_itself_off_as_the_guard(night: Night) -> None:
    for attempt in (
        "SELECT set_config('migrator.ddl', 'capture', false); ALTER TABLE log.archive ADD COLUMN x int",
        "SELECT migrator.guard_begin()",
        "INSERT INTO migrator.dropped_leaf VALUES (0, pg_current_xact_id())",
    ):
        with pytest.raises(psycopg.DatabaseError, match=r"refused|permission denied"):
            await night.runs(attempt)
