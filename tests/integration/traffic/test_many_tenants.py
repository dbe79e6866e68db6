"""A change of many tenants is a handful of statements, one transaction, and one line of the log for each tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from migrator.control import samples
from migrator.control.route import standings
from migrator.errors import ClusterUnavailable
from migrator.model.latency import Sample
from migrator.model.route import FallbackScope, Level
from migrator.model.tenant import TenantId
from migrator.traffic.breaker.decide import Step
from migrator.traffic.breaker.monitor import MonitorSettings, pass_once
from migrator.traffic.cutover import wave
from migrator.traffic.incident.rollback import hold, roll_back
from migrator.traffic.route.fallback import ease_fallback, raise_fallback, raise_fallbacks
from migrator.traffic.route.move import move, watch
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import release
from tests.fixtures.waiting import TIMEOUT_S
from tests.integration.traffic.world import World

pytestmark = pytest.mark.pg

FEW, MANY = 3, 300


def tenants_of(world: World, count: int, wave_number: int = 7) -> list[TenantId]:
    """Make *count* more tenants that are mirrored and wait in a wave."""
    world.classic.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state, wave, rows)"
        " SELECT 'many-' || lpad(g::text, 5, '0'), 1 + g %% 2, 'mirrored', %s, 1 FROM generate_series(1, %s) g"
        " ON CONFLICT DO NOTHING",
        (wave_number, count),
    )
    return [TenantId(f"many-{n:05}") for n in range(1, count + 1)]


class Counting(psycopg.Cursor[Any]):
    """Counts statements, and lets a session die before one of them."""

    sent = 0
    before: Callable[[int], None] | None = None

    def execute(self, *args: Any, **options: Any) -> Any:
        Counting.sent += 1
        if Counting.before is not None:
            Counting.before(Counting.sent)
        return super().execute(*args, **options)

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        rows = list(params_seq)
        Counting.sent += len(rows)
        super().executemany(query, rows, **options)


@contextmanager
def counted(conn: psycopg.Connection[Any]) -> Iterator[None]:
    before = conn.cursor_factory
    conn.cursor_factory, Counting.sent, Counting.before = Counting, 0, None
    try:
        yield
    finally:
        conn.cursor_factory, Counting.before = before, None


def log(world: World, kind: str) -> list[tuple[Any, ...]]:
    return world.classic.execute(
        "SELECT subject, before, after, at FROM migrator.decision WHERE kind = %s ORDER BY id", (kind,)
    ).fetchall()


def every_act(world: World, tenants: list[TenantId]) -> dict[str, int]:
    """Do with *tenants* what is done with tenants; return how many statements each act took."""
    conn = world.classic
    found: dict[str, int] = {}

    def act(name: str, fn: Callable[[], object]) -> None:
        with counted(conn):
            fn()
        found[name] = Counting.sent

    act("watch", lambda: watch(conn, tenants, True))
    act("baseline", lambda: samples.keep_baseline(conn, 7, {t: Sample(1, 0, 2.0) for t in tenants}))
    act("joining", lambda: move(conn, tenants, Level.JOINING, who="ann", reason="test"))
    act("down", lambda: move(conn, tenants, Level.CLASSIC, who="ann", reason="test"))
    with world.mirror():
        assert promote_reads(conn, tenants=tenants, wave=7, timeout_s=TIMEOUT_S, who="ann", reason="test").done
    act("to another share", lambda: move(conn, tenants, Level.LIMITLESS, pct=50, who="ann", reason="test"))
    act("fallbacks", lambda: raise_fallbacks(conn, dict.fromkeys(tenants, "refused"), by="mirror"))
    conn.execute("DELETE FROM migrator.fallback")
    act("defer", lambda: wave.defer(conn, 7, tenants, ()))
    conn.execute("UPDATE migrator.tenant SET wave = 7 WHERE tenant_id = ANY (%s)", (tenants,))
    act("rollback", lambda: roll_back(conn, wave=7, who="ann", reason="test"))
    act("release", lambda: release(conn, tenants, who="ann", reason="test"))
    act("hold", lambda: hold(conn, tenants, who="ann", reason="test"))
    act("finish", lambda: wave.finish(conn, 7))
    release(conn, tenants, who="ann", reason="test")
    return found


def test_many_tenants_take_as_many_statements_as_few(world: World) -> None:
    assert every_act(world, tenants_of(world, FEW)) == every_act(world, tenants_of(world, MANY))


def test_a_rollback_of_a_wave_leaves_a_line_for_each_tenant(world: World) -> None:
    """What each read before, what it reads now, of one moment; and all are held."""
    tenants = tenants_of(world, MANY)
    with world.mirror():
        promoted = promote_reads(
            world.classic, tenants=tenants, wave=7, pct=50, who="cutover", reason="wave 7", timeout_s=TIMEOUT_S
        )
    done = roll_back(world.classic, wave=7, who="ann", reason="slow")
    again = roll_back(world.classic, wave=7, who="ann", reason="slow")

    assert (done.changed, done.held, again.changed, again.already) == (MANY, MANY, 0, True)
    lines = log(world, "rollback.decided")
    assert [subject for subject, *_ in lines] == [f"tenant/{tenant}" for tenant in tenants]
    before = {"level": "limitless", "reads_pct": 50, "epoch": promoted.epoch}
    assert [line[1:3] for line in lines] == [(before, {"level": "classic", "epoch": done.epoch})] * MANY
    assert len({at for *_, at in lines}) == 1
    assert [(s, a) for s, _, a, _ in log(world, "tenant.held")] == [(f"tenant/{t}", {"wave": 7}) for t in tenants]
    moved = log(world, "route.moved")
    assert [s for s, *_ in moved] == [f"tenant/{t}" for t in (*tenants, *tenants)]
    assert [b for _, b, _, _ in moved[:MANY]] == [None] * MANY, "they had no route"
    stand = standings(world.classic, tenants)
    assert {(s.level, s.reads_pct, s.wave, s.changed_by) for s in stand.values()} == {(Level.CLASSIC, 50, 7, "ann")}
    kept = world.classic.execute(
        "SELECT count(*), min(reason) FROM migrator.incident WHERE kind = 'rollback'"
    ).fetchone()
    assert kept == (1, f"rollback of wave 7 ({MANY} tenants): slow")


def test_a_rollback_killed_before_any_statement_is_whole_or_not_there(world: World) -> None:
    """Then the next one does all of it, once."""
    tenants = tenants_of(world, FEW)
    with world.mirror():
        assert promote_reads(world.classic, tenants=tenants, wave=7, who="c", reason="r", timeout_s=TIMEOUT_S).done
    deaths, done = 0, None
    while done is None:
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            pid = conn.info.backend_pid
            last = deaths + 1

            def die(number: int, pid: int = pid, last: int = last) -> None:
                if number == last:
                    world.classic.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

            conn.cursor_factory = Counting
            Counting.sent, Counting.before = 0, die
            try:
                done = roll_back(conn, wave=7, who="ann", reason="slow")
            except (ClusterUnavailable, psycopg.OperationalError):
                deaths += 1
                levels = {s.level for s in standings(world.classic, tenants).values()}
                counts = (len(log(world, "rollback.decided")), len(log(world, "tenant.held")))
                assert (levels, counts) in (({Level.LIMITLESS}, (0, 0)), ({Level.CLASSIC}, (FEW, FEW))), last
            finally:
                Counting.before = None

    assert deaths > 10, "it died before each of its statements"
    assert len(log(world, "rollback.decided")) == len(log(world, "tenant.held")) == FEW
    assert done.already, "a death after the commit left it done"


def test_fallbacks_of_many_tenants_are_as_those_of_each(world: World) -> None:
    """One that stands stays, one that was eased goes back to classic, one epoch for all the others."""
    t1, t2, u1 = (TenantId(t) for t in ("t1", "t2", "u1"))
    stands = raise_fallback(world.classic, FallbackScope.TENANT, t1, by="shim", reason="errors")
    raise_fallback(world.classic, FallbackScope.TENANT, t2, by="shim", reason="errors")
    eased = ease_fallback(world.classic, FallbackScope.TENANT, t2, by="monitor", reason="well")
    epoch = raise_fallbacks(world.classic, {t1: "refused", t2: "refused", u1: "full"}, by="mirror", held=True)
    again = raise_fallbacks(world.classic, {t1: "refused", t2: "refused"}, by="mirror")

    rows = world.classic.execute(
        "SELECT scope_key, level, reason, raised_by, epoch, held FROM migrator.fallback ORDER BY scope_key"
    ).fetchall()
    assert rows == [
        ("t1", "classic", "errors", "shim", stands, True),
        ("t2", "classic", "refused", "mirror", epoch, True),
        ("u1", "classic", "full", "mirror", epoch, True),
    ]
    assert again == epoch, "the newest of those that stand is to be confirmed"
    lines = [(s, b) for s, b, _, _ in log(world, "fallback.raised")[2:]]
    assert lines == [("fallback/tenant/t2", {"level": "joining", "epoch": eased}), ("fallback/tenant/u1", None)]
    assert world.classic.execute("SELECT reason FROM migrator.incident ORDER BY id DESC LIMIT 1").fetchone() == (
        "fallback of 2 tenants (t2, u1): refused",
    )


def test_a_pass_of_the_monitor_costs_the_same_however_many_tenants_wait_for_a_person(world: World) -> None:
    """Held and quarantined ones are looked at in the statement that lists them."""

    def statements(count: int) -> int:
        tenants = tenants_of(world, count)
        raise_fallbacks(world.classic, dict.fromkeys(tenants, "differs"), by="validation", held=True)
        with counted(world.classic):
            seen = pass_once(world.classic, world.limitless_dsn, MonitorSettings(), datetime.now(UTC))
            sent = Counting.sent
        assert {(o.step, o.why) for o in seen.open} == {(Step.HOLD, "raised by a person")} and len(seen.open) == count
        return sent

    assert statements(FEW) == statements(MANY)
