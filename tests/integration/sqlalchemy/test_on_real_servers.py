"""Sessions on a classic and a Limitless with a mirror: tenants move, fall back, hand over in the middle of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from migrator.errors import CommitUnknown, ReadStale
from migrator.model.route import FallbackScope, Level
from migrator.model.side import Side
from migrator.shim import Shim
from migrator.sqlalchemy import ShimSessions
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import move
from migrator.traffic.route.promote import promote_reads
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import CALM, QUICK, World, body, end, ids, up

pytestmark = [pytest.mark.pg, pytest.mark.once]

PATIENT = replace(CALM, ack_wait_s=TIMEOUT_S, p99_ms=1e6)
"""What only a busy machine causes changes no side."""


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    __table_args__ = ({"schema": "app"},)

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str | None]


@pytest.fixture
def shim(world: World) -> Iterator[Shim]:
    with world.shim(settings=PATIENT) as made:
        yield made


@pytest.fixture
def sessions(shim: Shim) -> ShimSessions[Session]:
    return ShimSessions(shim)


def bodies(session: Session) -> dict[int, str | None]:
    return {note.id: note.body for note in session.scalars(select(Note).where(Note.tenant_id == "t1"))}


def where(session: Session) -> tuple[str, dict[int, str | None]]:
    port = session.scalar(text("SELECT inet_server_port()"))
    return str(port), bodies(session)


def test_a_session_lives_through_the_whole_migration(world: World, shim: Shim, sessions: ShimSessions[Session]) -> None:
    def seen() -> dict[int, str | None]:
        return sessions.run_read("t1", bodies)

    with sessions.write("t1") as session:
        session.add(Note(tenant_id="t1", id=1, body="on classic"))
        session.commit()
        up(world, "t1")
        with world.mirror():
            session.add(Note(tenant_id="t1", id=2, body="moved"))
            session.commit()
            assert seen() == {1: "on classic", 2: "moved"}
            note = session.get_one(Note, ("t1", 1))
            note.body = "changed"
            move(world.classic, ids("t1"), Level.CLASSIC, who="test", reason="test")
            session.commit()
            assert seen()[1] == "changed"
        end(world, shim)
        note.body = "on limitless"
        session.commit()
        assert seen()[1] == "on limitless"
    assert body(world, "t1", 1) == "changed", "classic is history by now"


def test_a_lost_answer_to_commit_can_be_looked_up(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.classic_dsn)
    with Shim(between.dsn(world.classic_dsn), world.limitless_dsn, "web", settings=QUICK) as shim:
        sessions: ShimSessions[Session] = ShimSessions(shim)
        with pytest.raises(CommitUnknown) as raised, sessions.write("t1") as session:
            session.add(Note(tenant_id="t1", id=1, body="hello"))
            session.flush()
            between.faults.lose_reply_to = b"COMMIT;"  # not READ COMMITTED, which the watcher says
            session.commit()
        assert raised.value.xid is not None
        assert shim.outcome(raised.value.xid) == "committed"
    assert body(world, "t1", 1) == "hello"


def test_limitless_may_be_lost_at_any_statement(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.limitless_dsn)
    with Shim(world.classic_dsn, between.dsn(world.limitless_dsn), "web", settings=QUICK) as shim:
        sessions: ShimSessions[Session] = ShimSessions(shim)
        sessions.run_write("t1", lambda s: s.add(Note(tenant_id="t1", id=1, body="hello")))
        up(world, "t1")
        calls: list[str] = []

        def cut(session: Session) -> dict[int, str | None]:
            calls.append("call")
            found = bodies(session)
            if len(calls) == 1:
                between.cut_off()
                bodies(session)
            return found

        with world.mirror():
            assert sessions.run_read("t1", cut) == {1: "hello"}
            assert sessions.run_read("t1", bodies) == {1: "hello"}


def test_classic_ends_connections_in_the_middle(world: World, sessions: ShimSessions[Session]) -> None:
    """Each statement of a unit of work in turn: it is written once, and as a whole."""
    for statement in range(4):
        tries: list[int] = []

        def work(session: Session, statement: int = statement, tries: list[int] = tries) -> None:
            tries.append(statement)
            for number in range(3):
                if number == statement and len(tries) == 1:
                    pid = session.scalar(text("SELECT pg_backend_pid()"))
                    world.classic.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
                session.add(Note(tenant_id="t1", id=10 * statement + number, body="x"))
                session.flush()

        sessions.run_write("t1", work)
        assert len(tries) == (2 if statement < 3 else 1)
    assert sorted(sessions.run_read("t1", bodies)) == [10 * s + n for s in range(4) for n in range(3)]


OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["set", "delete"]), st.integers(1, 4)),
    st.tuples(st.sampled_from(["commit", "commit", "commit", "rollback", "lose", "clash"]), st.just(0)),
    st.tuples(st.sampled_from(["savepoint", "release", "back"]), st.just(0)),
    st.tuples(st.sampled_from(["read", "run read", "own", "core"]), st.just(0)),
    st.tuples(st.sampled_from(["up", "up", "down", "fall back"]), st.just(0)),
)


class Model:
    """What SQLAlchemy's session and the shim promise, in dictionaries."""

    def __init__(self, world: World, sessions: ShimSessions[Session], base: int) -> None:
        self.world = world
        self.sessions = sessions
        self.mine = sessions.session()
        self.session = sessions.write("t1")
        self.base = base  # of this example's keys
        self.count = 0
        self.committed: dict[int, str | None] = {}
        self.levels: list[dict[int, str | None]] = [{}]  # the transaction, then its savepoints
        self.savepoints: list[Any] = []

    @property
    def now(self) -> dict[int, str | None]:
        return self.levels[-1]

    def ours(self, found: dict[int, str | None]) -> dict[int, str | None]:
        return {k - self.base: v for k, v in found.items() if self.base < k < self.base + 100}

    def step(self, what: str, key: int) -> None:
        getattr(self, f"do_{what.replace(' ', '_')}")(key)

    def do_set(self, key: int) -> None:
        self.count += 1
        note = self.session.get(Note, ("t1", self.base + key)) or Note(tenant_id="t1", id=self.base + key)
        note.body = str(self.count)
        self.session.add(note)
        self.session.flush()
        self.now[key] = note.body

    def do_delete(self, key: int) -> None:
        note = self.session.get(Note, ("t1", self.base + key))
        assert (note is None) == (key not in self.now)
        if note is not None:
            self.session.delete(note)
            self.session.flush()
            del self.now[key]

    def do_savepoint(self, _: int) -> None:
        self.savepoints.append(self.session.begin_nested())
        self.levels.append(dict(self.now))

    def do_release(self, _: int) -> None:
        if self.savepoints:
            self.savepoints.pop().commit()
            self.levels[-2:] = [self.levels[-1]]

    def do_back(self, _: int) -> None:
        if self.savepoints:
            self.savepoints.pop().rollback()
            self.levels.pop()

    def do_commit(self, _: int) -> None:
        self.session.commit()
        self.committed, self.savepoints = dict(self.now), []
        self.levels = [dict(self.committed)]

    def do_rollback(self, _: int) -> None:
        self.session.rollback()
        self.levels, self.savepoints = [dict(self.committed)], []

    def do_lose(self, _: int) -> None:
        """The connection is lost before COMMIT: nothing is written."""
        pid = self.session.scalar(text("SELECT pg_backend_pid()"))
        self.world.classic.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        with pytest.raises(OperationalError):
            self.session.execute(text("SELECT 1"))
        self.do_rollback(0)

    def do_clash(self, _: int) -> None:
        key = self.base + 99
        with pytest.raises(IntegrityError):
            self.session.execute(text("INSERT INTO app.note VALUES ('t1', :k, ''), ('t1', :k, '')"), {"k": key})
        self.do_rollback(0)

    def do_run_read(self, _: int) -> None:
        assert self.ours(self.sessions.run_read("t1", bodies)) == self.committed

    def do_read(self, _: int) -> None:
        with suppress(ReadStale):
            with self.sessions.read("t1") as session:
                found = bodies(session)
            assert self.ours(found) == self.committed

    def do_core(self, _: int) -> None:
        with suppress(ReadStale):
            with self.sessions.read_engine("t1").connect() as conn:
                rows = conn.execute(select(Note.id, Note.body).where(Note.tenant_id == "t1"))
                found = {row.id: row.body for row in rows}
            assert self.ours(found) == self.committed

    def do_own(self, _: int) -> None:
        """A caller's own write is seen by its next read, without waiting."""
        self.count += 1
        key = 50 + self.count
        self.mine.run_write("t1", lambda s: s.add(Note(tenant_id="t1", id=self.base + key, body="own")))
        assert self.ours(self.mine.run_read("t1", bodies))[key] == "own"
        for level in (self.committed, *self.levels):
            level[key] = "own"
        self.committed = dict(self.committed)
        # Others see it when the mirror has brought it; the next acknowledged write waits for more than that.
        self.sessions.run_write("t1", lambda s: s.execute(text("UPDATE app.note SET body = body WHERE id = -1")))
        eventually(lambda: key in self.ours(self.sessions.run_read("t1", bodies)), "the mirror has brought it")

    def do_up(self, _: int) -> None:
        rows = self.world.classic.execute("SELECT scope, scope_key FROM migrator.fallback").fetchall()
        whats: list[dict[str, Any]] = [{"fallback": (FallbackScope(scope), key)} for scope, key in rows]
        for what in [*whats, {"tenants": ids("t1")}]:
            assert promote_reads(self.world.classic, **what, who="test", reason="test", timeout_s=TIMEOUT_S).done

    def do_down(self, _: int) -> None:
        move(self.world.classic, ids("t1"), Level.CLASSIC, who="test", reason="test")

    def do_fall_back(self, _: int) -> None:
        raise_fallback(self.world.classic, FallbackScope.TENANT, "t1", by="test", reason="test")


# The shim's threads roll dice too, also while hypothesis draws, which takes them for the test's.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
def test_sequences_of_transactions_and_moves_agree_with_a_model(world: World, shim: Shim) -> None:
    sides: Counter[tuple[str, bool]] = Counter()

    def configure(connection: psycopg.Connection[Any], side: Side) -> None:
        row = connection.execute("SHOW transaction_read_only").fetchone()
        sides[side.value, row == ("on",)] += 1

    sessions: ShimSessions[Session] = ShimSessions(shim, configure=configure)
    examples = iter(range(1, 10_000))

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(OPERATIONS, min_size=8, max_size=20))
    def agree(operations: list[tuple[str, int]]) -> None:
        model = Model(world, sessions, next(examples) * 100)
        with model.session:
            for what, key in operations:
                model.step(what, key)
        model.do_run_read(0)

    with world.mirror():
        agree()
    assert sides.keys() == {("classic", False), ("classic", True), ("limitless", True)}
