"""Replays a history of migrations, one by one, while rows are written, mirrored and validated, and its run is killed.

Three databases: classic and Limitless, which the tool changes, and a plain one, on which the same files run as they
are. After each migration the rows and catalogs of both sides are equal, and classic's catalog is the plain one's.
A migration that the tool refuses ends the dual write: it begins anew behind it, as the refusal says.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import psycopg

from migrator.consistency.run import validate
from migrator.control.install import install
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.dataplane.change.apply import apply
from migrator.dataplane.change.progress import Work
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.db.connect import connect
from migrator.errors import MigratorError, NoGo
from migrator.inventory.look import look
from migrator.model.table import Table
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.provision.apply import provision, verify
from migrator.scripts.statement_file import split
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.world import World, plan_of
from tests.integration.dataplane.change.kills import Killed
from tests.soak.child import killed
from tests.soak.entries import Conn, Entry, classified, search_path
from tests.soak.history import Application, Migration
from tests.soak.killing import Kills, countdown, die
from tests.soak.kinds import kinds_of
from tests.soak.sides import catalog_differences, row_differences
from tests.soak.traffic import Traffic

_ASKED = re.compile(r'add(?:ing)? "([^"]+)" to gates\.acknowledged')
_ROWS = "classic's rows do not allow it"
_NUMBER = re.compile(r"\bstatement (\d+)\b")


class Result(StrEnum):
    APPLIED = "applied"
    REFUSED = "refused"  # before anything was changed, with advice
    FAILED = "failed"  # anything else: a difference, an error in the middle
    UNUSABLE = "unusable"  # plain PostgreSQL does not take it, with no rows or with ours; or dual write cannot begin


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one migration.

    Attributes:
        problems: refusals, or what went wrong.
        kills: how often its run was killed.
        kinds: kinds of its statements; `refused`: of those that a refusal names.
    """

    name: str
    result: Result
    problems: tuple[str, ...] = ()
    kills: int = 0
    kinds: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass
class Replay:
    """One history on its way through three databases.

    Attributes:
        processes: runs that are to be killed are processes of their own, and get SIGKILL.
        rows: rows that every table is filled with before the data begins to move.
        tell: called with each outcome.
    """

    machines: Machines
    application: Application
    migrations: Sequence[Migration]
    seed: int = 1
    rows: int = 12
    kills: int = 2
    processes: bool = False
    patience_s: float = 60.0
    validated: int = 0
    lives: int = 0
    written: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._acknowledged: set[str] = set()
        self._plain_name = fresh_name("plain")
        self._plain_dsn = self.machines.new_classic(self._plain_name)

    async def run(self) -> AsyncIterator[Outcome]:
        """Yield the outcome of every migration that comes after the beginning."""
        begin = self.application.begin
        with self._plain() as plain:
            if self.application.before:
                plain.execute(self.application.before.encode())
            for migration in self.migrations[:begin]:
                self._plainly(plain, migration)
        left = list(self.migrations[begin:])
        while left:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    life = await stack.enter_async_context(self._life())
                except (MigratorError, AssertionError) as error:  # what a refused file left cannot be moved
                    yield self._skipped(left.pop(0), error)
                    continue
                while left:
                    outcome = await self._step(life, left.pop(0))
                    yield outcome
                    if outcome.result is not Result.APPLIED:
                        break

    def _skipped(self, migration: Migration, error: Exception) -> Outcome:
        with self._plain() as plain, contextlib.suppress(psycopg.Error):
            self._plainly(plain, migration)
        return Outcome(migration.name, Result.UNUSABLE, (f"the schema before it cannot be moved: {error}",))

    def close(self) -> None:
        self.machines.drop(classic=self._plain_name)

    @contextlib.contextmanager
    def _plain(self) -> Iterator[Conn]:
        """The plain database; nobody is connected to it in between, so that it can be copied."""
        with psycopg.connect(self._plain_dsn, autocommit=True) as conn:
            conn.execute(search_path(self.application.schemas))
            yield conn

    def _plainly(self, conn: Conn, migration: Migration) -> None:
        """Run the file as it is, a statement at a time, as most tools do or would."""
        try:
            for piece in split(migration.text):
                conn.execute(piece.sql.encode())
        finally:
            conn.execute("ROLLBACK")

    def _entries(self, conn: Conn, known: Mapping[str, Entry] = MappingProxyType({})) -> dict[str, Entry]:
        """Return an entry for every table; what is *known* of one stays, as what it became does not change."""
        a = self.application
        return classified(conn, a.schemas, a.tenant, {**a.tables, **known})

    @contextlib.asynccontextmanager
    async def _life(self) -> AsyncIterator[_Life]:
        """Dual write from the plain database's schema on: filled, provisioned, captured, copied, mirrored, written."""
        self.lives += 1
        a = self.application
        names = fresh_name("classic"), fresh_name("limitless")
        dsns = self.machines.new_classic(names[0], self._plain_name), self.machines.new_limitless(names[1])
        try:
            with self._plain() as plain:
                entries = self._entries(plain)
            traffic = Traffic(dsns[0], entries, a.tenant, a.values, a.schemas, self.seed + self.lives)
            traffic.fill(self.rows)
            plan = self._plan(entries)
            with connect(dsns[0], "soak") as classic, connect(dsns[1], "soak") as limitless:
                plan, tables = self._provisioned(classic, limitless, plan)
                world = World(*dsns, classic, limitless, tables, plan, MirrorOptions(idle_commit_s=0.1))
                await world.start()
                async with world.mirrors():
                    with traffic.going_on():
                        await world.copy_all()
                        yield _Life(world, traffic)
                self.written.update(traffic.written)
        finally:
            self.machines.drop(*names)

    def _provisioned(self, classic: Conn, limitless: Conn, plan: Plan) -> tuple[Plan, tuple[Table, ...]]:
        """Make Limitless what the plan says, and accept what a team may accept; return the plan that says so."""
        install(classic, plan.name, "digest", {}, {})
        tables = resolve_tables(classic, plan.tables)
        blockers = provision(classic, limitless, tables, plan, ask=False).verdict.blockers
        if blockers and self._accepted(blockers):
            plan = self._plan(plan.tables.model_dump(exclude_none=True)["table"])
            blockers = provision(classic, limitless, tables, plan, ask=False).verdict.blockers
        assert not blockers, blockers
        return plan, tables

    def _accepted(self, blockers: Sequence[object]) -> bool:
        """Whether the team may accept all of *blockers*; it does."""
        asked = [_ASKED.search(str(b)) for b in blockers]
        self._acknowledged |= {found[1] for found in asked if found}
        return all(asked)

    def _plan(self, entries: dict[str, Entry]) -> Plan:
        plan = plan_of("soak", schemas=self.application.schemas, tables=entries, gates=self._gates())
        return plan.model_copy(
            update={"tables": plan.tables.model_copy(update={"tenant_key": self.application.tenant})}
        )

    def _gates(self) -> dict[str, list[str]]:
        return {"acknowledged": sorted(self._acknowledged)}

    async def _step(self, life: _Life, migration: Migration) -> Outcome:
        kinds = tuple(k for piece in split(migration.text) for k in kinds_of(piece.sql))
        try:
            with self._plain() as plain:
                self._plainly(plain, migration)
                entries = self._entries(plain, life.traffic.entries)
        except psycopg.Error as error:
            return Outcome(migration.name, Result.UNUSABLE, (str(error),), 0, kinds)
        life.world.plan = self._plan(entries)
        kills = Kills(random.Random(self._random.random()), self.kills)
        try:
            await asyncio.to_thread(self._applied, life, migration, kills)
        except NoGo as error:
            rows = any(_ROWS in str(b) for b in error.blockers)
            result = Result.UNUSABLE if rows else Result.REFUSED
            return Outcome(migration.name, result, error.blockers, kills.done, kinds, _named(migration, error))
        except (MigratorError, psycopg.Error) as error:
            return Outcome(migration.name, Result.FAILED, (f"{type(error).__name__}: {error}",), kills.done, kinds)
        life.traffic.entries = entries
        life.traffic.forget()
        wrong = await self._compared(life, entries)
        return Outcome(migration.name, Result.FAILED if wrong else Result.APPLIED, tuple(wrong), kills.done, kinds)

    def _applied(self, life: _Life, migration: Migration, kills: Kills) -> None:
        """Run the file until a run ends by itself, and once more when the team may accept what it asks for."""
        while True:
            before = set(self._acknowledged)
            try:
                self._run(life.world, migration, kills)
                return
            except Killed:
                continue
            except NoGo as error:
                if not self._accepted(error.blockers) or self._acknowledged == before:
                    raise
                life.world.plan = self._plan(life.world.plan.tables.model_dump(exclude_none=True)["table"])

    def _run(self, world: World, migration: Migration, kills: Kills) -> None:
        """Run the file once.

        Raises:
            Killed: in the middle.
        """
        moments = kills.next()
        if moments and self.processes:
            dsns = world.classic_dsn, world.limitless_dsn
            kills.done += killed(*dsns, world.plan, migration.text, migration.name, moments)
            raise Killed
        with (
            closing(connect(world.classic_dsn, "schema")) as classic,
            closing(connect(world.limitless_dsn, "schema")) as limitless,
            closing(connect(world.classic_dsn, "schema turns")) as turns,
        ):
            watch = countdown(moments, die)
            work = Work(world.plan, classic, limitless, turns, "soak", self.patience_s, watch=watch)
            try:
                apply(work, migration.text, migration.name)
            except Killed:
                kills.done += 1
                raise

    async def _compared(self, life: _Life, entries: dict[str, Entry]) -> list[str]:
        """Return everything that is not equal, or that the tool itself finds wrong."""
        w, a = life.world, self.application
        report = await validate(w.classic_dsn, w.limitless_dsn)  # under traffic
        self.validated += 1
        wrong = [f"validation: {report.sample}"] if report.divergent_rows else []
        with life.traffic.paused():
            await w.copy_all()  # tenants that signed up meanwhile
            await w.caught_up()
            rows = row_differences(w.classic, w.limitless, entries, a.tenant)
            wrong += [f"{table} differs: {found}" for table, found in rows.items()]
            with self._plain() as plain:
                wrong += catalog_differences(w.classic, plain, a.schemas)
            wrong += problems(w.classic)
            wrong += [d.text for d in look(w.classic, w.limitless) if d.subject not in self._acknowledged]
            tables = list(captured_tables(w.classic).values())
            wrong += verify(w.classic, w.limitless, tables, w.plan).blockers
        return wrong


@dataclass
class _Life:
    """One dual write from its beginning to a migration that ends it."""

    world: World
    traffic: Traffic


def _named(migration: Migration, error: NoGo) -> tuple[str, ...]:
    """Return the kinds of statements that a refusal names."""
    pieces = list(split(migration.text))
    numbers = {int(n) for problem in error.blockers for n in _NUMBER.findall(problem)}
    return tuple(k for n in sorted(numbers) if n <= len(pieces) for k in kinds_of(pieces[n - 1].sql))
