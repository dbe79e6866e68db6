"""One application of each flavour migrates end to end, under its own traffic, through an outage and a rollback.

Its processes run as its users start them, its clients keep a ledger, a real migration is run by the workflows. When
every tenant reads Limitless, each line of the ledger is on classic and on Limitless, once, and both sides are equal.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from migrator.control import rehearsal
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.local.process import accepts
from migrator.model.table import Table
from migrator.plan.load import digest, dump, shim_settings
from migrator.plan.tables import resolve_tables
from migrator.traffic.incident.rollback import roll_back
from tests.fixtures.plans import small_plan
from tests.fixtures.postgres import Servers
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.fixtures.world import World
from tests.integration.contract.toolchains import java_example as java_example
from tests.integration.contract.toolchains import node_example as node_example
from tests.workflow import flavours
from tests.workflow.flavours import TENANTS, Flavour, Place
from workflows import names
from workflows.messages import Approve, MigrationInput, Order
from workflows.migration import MigrationWorkflow
from workflows.worker import workers

pytestmark = [
    pytest.mark.temporal, pytest.mark.pg, pytest.mark.once, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"),
]  # fmt: skip

FIRST_WAVE = 2

READING = """
SELECT count(*) FROM migrator.route r, migrator.switch s
 WHERE r.level = 'limitless' AND r.reads_pct = 100 AND s.level = 'limitless'
   AND NOT EXISTS (SELECT FROM migrator.fallback)
"""

OUTAGE = "SELECT max(clock_timestamp() - fresh_at) > interval '5 s' FROM migrator.position"
"""No mirror comes through for longer than a partition is read, and than a write waits for it."""


@pytest.fixture(params=["threads", "fastapi", "sqlalchemy", "django", "node", "java"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """An example; those of other languages where their toolchain is."""
    toolchain = {"node": "node_example", "java": "java_example"}.get(request.param)
    made: Flavour = getattr(flavours, request.param)(*([request.getfixturevalue(toolchain)] if toolchain else []))
    return made


@dataclass
class Migration:
    """A migration that the workflows run, and its operator."""

    world: World
    flavour: Flavour
    home: Path
    handle: WorkflowHandle[Any, Any]

    async def until(self, look: Callable[[], Awaitable[Any]], what: str) -> None:
        """Wait, and say what `status` would where it does not happen."""
        try:
            await until(look, what, 3 * TIMEOUT_S)  # one of its waits is for all phases up to the cutover
        except AssertionError as error:
            phases = self.world.classic.execute("SELECT phase, state, detail, blockers, next_step FROM migrator.phase")
            logs = "\n".join(path.read_text()[-3000:] for path in self.home.glob("*.log"))
            status = await self.handle.query(MigrationWorkflow.status)
            raise AssertionError(f"{error}\n{status}\n{phases.fetchall()}\n{logs}") from None

    def value(self, query: str, *values: object) -> Any:
        row = self.world.classic.execute(query.encode(), values).fetchone()
        return row and row[0]

    async def holds(self, query: str, *values: object) -> None:
        """Wait until classic says so."""

        async def look() -> bool:
            return bool(self.value(query, *values))

        await self.until(look, query)

    async def goes_on(self, writes: int = 20) -> None:
        """Wait until the application has written so many rows more."""
        count = f"SELECT count(*) FROM {self.flavour.main}"
        await self.holds(f"{count} HAVING count(*) >= %s", self.value(count) + writes)

    async def read(self, tenants: int) -> None:
        await self.holds(f"SELECT ({READING}) = %s", tenants)

    async def waits_for(self, gate: str) -> None:
        await self.holds("SELECT next_step LIKE '%%approve ' || %s || ' %%' FROM migrator.phase"
                         " WHERE phase = 'cutover'", gate)  # fmt: skip

    async def approve(self, gate: str) -> None:
        await self.handle.execute_update(MigrationWorkflow.approve, Approve(gate=gate, approver="ana"))


@pytest.fixture
def world(
    servers: Servers, flavour: Flavour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[World, Place]]:
    """The example's tables on classic, as before a migration, and a plan that classic knows; nothing on Limitless."""
    place = Place(servers.classic_dsn, servers.limitless_dsn, tmp_path)
    plan = small_plan(
        tables={"schemas": [flavour.schema], "table": flavour.tables},
        waves={"sizes": [FIRST_WAVE, 20], "soak_s": 0.2, "baseline_s": 0.2, "hot_ratio": 1e6, "approve_each": True,
               "p99_floor_ms": 60_000.0},
        breaker={"p99_ms": 60_000.0, "open_s": 0.5},  # a busy machine is no outage
    )  # fmt: skip
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("TEST_CLASSIC_DSN", place.classic)
    monkeypatch.setenv("TEST_LIMITLESS_DSN", place.limitless)
    with connect(place.classic, "test") as classic, connect(place.limitless, "test") as limitless:
        flavour.prepare(place, classic)
        rehearsal.mark(classic)
        install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
        tables = resolve_tables(classic, plan.tables)
        yield World(place.classic, place.limitless, classic, limitless, tables, plan), place


@contextlib.asynccontextmanager
async def serving(flavour: Flavour, place: Place) -> AsyncIterator[subprocess.Popen[str]]:
    """The application, and its clients."""
    with contextlib.ExitStack() as stack:
        if flavour.serve is not None:
            server = stack.enter_context(flavours.running(flavour.serve(place), flavour, place, "server"))

            async def listens() -> bool:
                assert server.poll() is None, (place.home / "server.log").read_text()
                return accepts(place.port)

            await until(listens, "the application listens")
        yield stack.enter_context(flavours.running(flavour.clients(place), flavour, place, "clients"))


@contextlib.asynccontextmanager
async def migrating(env: WorkflowEnvironment, world: World, flavour: Flavour, home: Path) -> AsyncIterator[Migration]:
    """The migration, begun; its workers are this process'."""
    async with contextlib.AsyncExitStack() as stack:
        for worker in workers(env.client, world.plan):
            await stack.enter_async_context(worker)
        with env.with_time_skipping_disabled():
            handle = await env.client.start_workflow(
                MigrationWorkflow.run,
                MigrationInput(plan=world.plan.name, digest=digest(world.plan)),
                id=names.migration_id(world.plan.name),
                task_queue=names.queue(world.plan.name, names.Queue.CONTROL),
            )
        migration = Migration(world, flavour, home, env.client.get_workflow_handle(handle.id))
        try:
            yield migration
        finally:
            await migration.handle.terminate()


async def test_it_migrates_under_its_traffic_through_an_outage_and_a_rollback(
    temporal_env: WorkflowEnvironment, flavour: Flavour, world: tuple[World, Place], servers: Servers
) -> None:
    made, place = world
    async with serving(flavour, place) as clients, contextlib.AsyncExitStack() as stack:
        await wrote_something(made, flavour, place)
        migration = await stack.enter_async_context(migrating(temporal_env, made, flavour, place.home))
        await migration.waits_for("wave-1")
        await migration.goes_on()
        await migration.approve("wave-1")
        await migration.read(FIRST_WAVE)
        await migration.waits_for("wave-2")
        await reads_from_limitless(migration, servers)

        servers.limitless.kill()
        await migration.holds(OUTAGE)
        await migration.goes_on()
        servers.limitless.start()
        await migration.read(FIRST_WAVE)
        await reads_from_limitless(migration, servers)

        back = await asyncio.to_thread(roll_back, made.classic, all=True, who="ana", reason="test")
        assert back.complete and back.changed == FIRST_WAVE, back
        await migration.goes_on()
        await migration.handle.execute_update(MigrationWorkflow.cut_over, Order(who="ana", reason="test"))
        await migration.read(FIRST_WAVE)
        await migration.waits_for("wave-2")
        await migration.approve("wave-2")
        await migration.read(len(TENANTS))
        await migration.holds("SELECT true FROM migrator.phase WHERE phase = 'stabilize'")
        await reads_from_limitless(migration, servers)
        await migration.goes_on()

        ledger = await asyncio.to_thread(flavours.ended, clients)
        await made.caught_up()

    assert (ledger["missed"], ledger.get("unanswered", [])) == ([], [])
    assert len(ledger["acknowledged"]) > 80 and ledger["reads"] > 80
    with connect(place.limitless, "test") as limitless:
        for conn in (made.classic, limitless):
            assert lines(conn, flavour, ledger) == in_order(ledger["acknowledged"])
        for table in made.tables:
            assert rows(limitless, made.classic, table) == rows(made.classic, made.classic, table), table


async def wrote_something(world: World, flavour: Flavour, place: Place) -> None:
    """Wait until every tenant has rows: a migration finds tenants that there are."""

    async def look() -> bool:
        there = world.classic.execute(f"SELECT count(DISTINCT tenant_id) FROM {flavour.main}".encode()).fetchone()
        return there == (len(TENANTS),)

    await until(look, f"every tenant writes; {place.home}")


async def reads_from_limitless(migration: Migration, servers: Servers) -> None:
    """Wait until the application's sessions work on Limitless, from now on."""
    with psycopg.connect(servers.limitless.dsn(), autocommit=True) as admin:
        (now,) = admin.execute("SELECT clock_timestamp()").fetchone() or (None,)

        async def look() -> bool:
            sessions = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND query_start > %s",
                (migration.flavour.name, now),
            ).fetchone()
            return bool(sessions and sessions[0])

        await migration.until(look, "the application reads from Limitless")


def in_order(found: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return sorted((tuple(line) for line in found), key=lambda line: (line[0], str(line[1])))


def lines(conn: psycopg.Connection[Any], flavour: Flavour, ledger: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The ledger's lines as a side has them, but for those that nobody can be sure of."""
    doubtful = set(ledger.get("doubtful", ()))
    return in_order([line for line in conn.execute(flavour.lines.encode()).fetchall() if line[1] not in doubtful])


def rows(conn: psycopg.Connection[Any], classic: psycopg.Connection[Any], table: Table) -> list[str]:
    """Every row of a table as text, with the columns that it has on classic."""
    name = sql.Identifier(*table.qualified.split("."))
    with classic.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name)) as cursor:
        columns = [column.name for column in cursor.description or ()]
    values = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sorted(text for (text,) in conn.execute(sql.SQL("SELECT ROW({})::text FROM {}").format(values, name)))
