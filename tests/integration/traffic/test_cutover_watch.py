"""The watch over a wave on real tables: whom the guard rolls back, and what is nobody's fault."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.control import samples, watch_turn
from migrator.control.install import install
from migrator.control.log import decide
from migrator.control.reset import reset_classic
from migrator.db.connect import connect
from migrator.model.latency import bucket_of
from migrator.model.route import FallbackScope
from migrator.model.tenant import TenantId
from migrator.traffic.cutover import breach, facts, soak, wave
from migrator.traffic.cutover.guard import GuardLimits, Sample, Watch
from migrator.traffic.route.fallback import raise_fallback
from tests.fixtures.plans import small_plan

pytestmark = pytest.mark.pg

LIMITS = GuardLimits(p99_factor=2.0, p99_floor_ms=1.0, error_ratio=0.01, min_reads=5, patience=1, max_failed=1)
A, B, C = TenantId("1"), TenantId("2"), TenantId("3")


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Three tenants of wave 1 that read from Limitless."""
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        move_wave(conn)
        yield conn


def move_wave(conn: psycopg.Connection[Any]) -> None:
    for tenant in (A, B, C):
        conn.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, wave, divergent, clean_at)"
            " VALUES (%s, 1, 'mirrored', 1, 0, now())",
            (tenant,),
        )
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " VALUES (%s, 1, 'limitless', 1, 1, 'cutover', 'wave 1')",
            (tenant,),
        )


def measured(conn: psycopg.Connection[Any], tenant: str, reads: int, errors: int) -> None:
    conn.execute(
        "INSERT INTO migrator.read_sample (process_id, tenant_id, side, reads, errors, buckets)"
        " VALUES ('p', %s, 'limitless', %s, %s, ARRAY[%s])",
        (tenant, reads, errors, reads),
    )


def history(
    conn: psycopg.Connection[Any],
    tenant: str | None,
    ms: float,
    from_s: float,
    to_s: float,
    every_s: float = 1.0,
    reads: int = 10,
    side: str = "limitless",
) -> None:
    """Reads of *ms* milliseconds each, from and to so many seconds ago."""
    buckets = [0] * bucket_of(ms) + [reads]
    conn.execute(
        "INSERT INTO migrator.read_sample (at, process_id, tenant_id, side, reads, errors, buckets)"
        " SELECT clock_timestamp() - make_interval(secs => s::float8), 'p', %s, %s, %s, 0, %s"
        " FROM generate_series(%s::numeric, %s::numeric, %s::numeric) s",
        (tenant, side, reads, buckets, from_s, to_s, -every_s),
    )


def look(
    conn: psycopg.Connection[Any],
    answers: bool = True,
    limits: GuardLimits = LIMITS,
    since_s: float = 0.0,
    watch: Watch | None = None,
) -> soak.Look:
    before = {t: Sample(100, 0, 10.0) for t in (A, B, C)}
    return soak.watch_wave(conn, 1, watch or Watch(), before, since_s, answers, limits)


def levels(conn: psycopg.Connection[Any]) -> dict[str, str]:
    return dict(conn.execute("SELECT tenant_id, level FROM migrator.route ORDER BY tenant_id").fetchall())


def test_only_the_suffering_tenant_goes_back(classic: psycopg.Connection[Any]) -> None:
    """Its route says so, with the guard's name and the reason; the others stay and the cutover goes on."""
    measured(classic, A, 100, 50)
    measured(classic, B, 100, 0)

    found = look(classic)

    assert (found.left, found.rolled_back, found.held) == (2, 1, "")
    assert levels(classic) == {A: "classic", B: "limitless", C: "limitless"}
    assert [(b.tenant_id, b.who) for b in facts.rolled_back(classic)] == [(A, facts.GUARD)]


def test_beyond_the_limit_everybody_goes_back_and_the_cutover_holds(classic: psycopg.Connection[Any]) -> None:
    measured(classic, A, 100, 50)
    measured(classic, B, 100, 50)

    found = look(classic)

    assert found.held.startswith("wave 1: 2 tenants of the wave were rolled back")
    assert set(levels(classic).values()) == {"classic"}


def test_an_outage_is_not_counted_against_anybody(classic: psycopg.Connection[Any]) -> None:
    """Errors while Limitless is away, while reads have fallen back, or while a breaker is open prove nothing."""
    for tenant in (A, B, C):
        measured(classic, tenant, 100, 100)
    away = look(classic, answers=False)
    classic.execute(
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
        " VALUES ('part', '1', 'classic', 'the mirror lags', 'web-1', 2)"
    )
    fallen = look(classic)

    assert (away.stalled, away.rolled_back) == ("Limitless does not answer", 0)
    assert (fallen.stalled, fallen.rolled_back) == ("reads have fallen back to classic: the mirror lags", 0)
    assert set(levels(classic).values()) == {"limitless"}


@pytest.mark.parametrize("statement", [
    "UPDATE migrator.switch SET level = 'classic', changed_by = 'ana', reason = 'drill'",
    "UPDATE migrator.route SET level = 'classic', changed_by = 'ana', reason = 'drill' WHERE tenant_id = '2'",
])  # fmt: skip
def test_what_an_operator_rolled_back_holds_the_cutover(classic: psycopg.Connection[Any], statement: str) -> None:
    """Seen on the tables, with or without a message."""
    classic.execute(statement.encode())

    assert "ana: drill" in look(classic).held


def test_a_quarantined_tenant_does_not_stop_the_others(classic: psycopg.Connection[Any]) -> None:
    classic.execute("UPDATE migrator.tenant SET state = 'quarantined', reason = '22P05' WHERE tenant_id = '3'")

    found = look(classic)

    assert (found.left, found.rolled_back, found.stalled) == (2, 1, None)
    assert levels(classic)[C] == "classic"


def test_an_interrupted_wave_gives_its_tenants_back(classic: psycopg.Connection[Any]) -> None:
    """Those whose reads never moved, and those half-way, wait again; whoever arrived or was rolled back does not."""
    classic.execute("UPDATE migrator.route SET level = 'joining' WHERE tenant_id = '1'")
    classic.execute("UPDATE migrator.route SET reads_pct = 10 WHERE tenant_id = '2'")
    classic.execute("INSERT INTO migrator.tenant (tenant_id, part, state, wave) VALUES ('4', 1, 'mirrored', 1)")

    facts.release_interrupted(classic)

    assert facts.waiting(classic) == {"1", "2", "4"}


@pytest.mark.parametrize("added_up", [False, True])
def test_a_good_day_does_not_hide_ten_bad_minutes(classic: psycopg.Connection[Any], added_up: bool) -> None:
    """Twenty good hours, then ten minutes at 3 s, which is less than a hundredth of all reads."""
    for tenant in (A, B):
        history(classic, tenant, 8.0, 20 * 3600, 600, every_s=5, reads=100)
    history(classic, A, 3000.0, 600, 0)
    history(classic, B, 8.0, 600, 0)
    while added_up and samples.fold(classic):
        pass

    found = look(classic, since_s=facts.now_s(classic) - 20.1 * 3600)

    assert (found.rolled_back, found.left, found.held) == (1, 2, "")
    assert [b.tenant_id for b in facts.rolled_back(classic)] == [A]


def test_a_bad_second_rolls_nobody_back(classic: psycopg.Connection[Any]) -> None:
    """It stays in the window for a minute, and more often than once in a hundred reads."""
    history(classic, A, 8.0, 300, 20)
    history(classic, A, 3000.0, 20, 18)
    history(classic, A, 8.0, 17, 0)
    limits = replace(LIMITS, min_reads=20)

    assert look(classic, limits=limits, since_s=facts.now_s(classic) - 300).rolled_back == 0


def test_who_reads_seldom_is_judged_by_a_longer_window(classic: psycopg.Connection[Any]) -> None:
    """Two reads a minute say nothing in a minute; an hour of them does, in a soak that was good for a day before."""
    history(classic, A, 8.0, 86_400, 3600, every_s=30, reads=1)
    history(classic, A, 3000.0, 3600, 0, every_s=30, reads=1)
    limits = replace(LIMITS, min_reads=20)

    assert look(classic, limits=limits, since_s=facts.now_s(classic) - 86_400).rolled_back == 1


def test_longer_windows_are_looked_at_once_a_minute(classic: psycopg.Connection[Any]) -> None:
    """What they said is believed until then."""
    history(classic, A, 3000.0, 3600, 0, every_s=30, reads=1)
    limits = replace(LIMITS, min_reads=20, patience=2)
    since_s = facts.now_s(classic) - 7200
    first = look(classic, limits=limits, since_s=since_s)
    classic.execute("DELETE FROM migrator.read_sample")
    second = look(classic, limits=limits, since_s=since_s, watch=first.watch)

    assert (first.rolled_back, second.rolled_back) == (0, 1)


def test_a_baseline_is_kept_when_the_wave_begins(classic: psycopg.Connection[Any]) -> None:
    """It outlives the samples; a later wave measures its own tenants anew, but everybody only once."""
    history(classic, A, 8.0, 60, 0, side="classic")
    history(classic, None, 20.0, 60, 0, side="classic")
    facts.keep_baseline(classic, 1, facts.now_s(classic) - 61)
    classic.execute("DELETE FROM migrator.read_sample")
    history(classic, None, 900.0, 60, 0, side="classic")
    facts.keep_baseline(classic, 1, 0.0)
    facts.keep_baseline(classic, 2, 0.0)

    kept = facts.baselines(classic, [A, B])

    assert kept[A].reads == 610 and kept[A].p99_ms == pytest.approx(8.0, rel=0.2)
    assert kept[B].reads == 0 and kept[B].p99_ms is None
    assert kept[None].p99_ms == pytest.approx(20.0, rel=0.2)


def incidents(conn: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    rows = conn.execute("SELECT reason, reported_by FROM migrator.incident WHERE kind = 'slo_breach' ORDER BY id")
    return [(reason, by) for reason, by in rows]


def aged(conn: psycopg.Connection[Any], seconds: float) -> None:
    """Let time pass for what the monitor remembers."""
    conn.execute(
        "UPDATE migrator.slo_breach SET first_at = first_at - make_interval(secs => %(s)s),"
        " last_at = last_at - make_interval(secs => %(s)s)",
        {"s": seconds},
    )


def test_after_the_waves_a_breach_is_an_incident_once(classic: psycopg.Connection[Any]) -> None:
    """Everybody's reads got slow for two minutes: one incident, however often it is looked at, and one more when it
    comes again after a calm time."""
    history(classic, None, 20.0, 600, 500, side="classic")
    facts.keep_baseline(classic, 1, facts.now_s(classic) - 3600)
    history(classic, None, 3000.0, 60, 0)

    early = [breach.pass_once(classic, LIMITS, 120.0) for _ in range(3)]
    aged(classic, 121)
    late = [breach.pass_once(classic, LIMITS, 120.0) for _ in range(20)]
    once = incidents(classic)
    classic.execute("DELETE FROM migrator.read_sample")
    aged(classic, 601)
    breach.pass_once(classic, LIMITS, 120.0)
    over = classic.execute("SELECT count(*) FROM migrator.slo_breach").fetchone()
    history(classic, None, 3000.0, 60, 0)
    breach.pass_once(classic, LIMITS, 120.0)
    aged(classic, 121)
    again = breach.pass_once(classic, LIMITS, 120.0)

    assert early == [{}] * 3
    assert len(once) == 1 and once[0][0].startswith("all tenants: p99 ") and once[0][1] == "slo monitor"
    assert [bool(found) for found in late] == [True] + [False] * 19
    assert over == (0,)
    assert set(again) == {None}


@pytest.mark.parametrize("finished", [False, True])
def test_a_tenant_in_its_soak_is_the_guards(classic: psycopg.Connection[Any], finished: bool) -> None:
    """After its wave a hot tenant, which shims go on reporting, is judged by itself among many who are well."""
    classic.execute("UPDATE migrator.route SET watched = true WHERE tenant_id = '1'")
    if finished:
        decide(classic, "cutover", "wave.finished", "wave-1", "3 of 3")
    history(classic, None, 8.0, 60, 0, reads=10_000)
    history(classic, A, 3000.0, 60, 0)
    limits = replace(LIMITS, p99_limit_ms=1000.0)
    breach.pass_once(classic, limits, 120.0)
    aged(classic, 121)

    found = breach.pass_once(classic, limits, 120.0)

    assert set(found) == ({A} if finished else set())


def watched(conn: psycopg.Connection[Any]) -> set[str]:
    return {t for (t,) in conn.execute("SELECT tenant_id FROM migrator.route WHERE watched")}


def test_a_small_tenant_that_suffers_after_its_wave_is_named(classic: psycopg.Connection[Any]) -> None:
    """Nobody else notices: among many reads its own are few, and the wave that it moved with is over."""
    decide(classic, "cutover", "wave.finished", "wave-1", "3 of 3")
    limits = replace(LIMITS, p99_limit_ms=1000.0)
    assert breach.pass_once(classic, limits, 120.0) == {}
    assert watched(classic) == {A, B, C}, "shims report each of them again"
    history(classic, None, 8.0, 60, 0, reads=10_000)
    history(classic, B, 3000.0, 60, 0, reads=1)
    history(classic, C, 8.0, 60, 0, reads=1)
    breach.pass_once(classic, limits, 120.0)
    aged(classic, 121)

    breach.pass_once(classic, limits, 120.0)

    ((reason, _),) = incidents(classic)
    assert reason.startswith("tenant 2: p99 3") and "limit 1000 ms" in reason


def test_many_small_tenants_take_turns_at_being_watched(classic: psycopg.Connection[Any]) -> None:
    """So many at once that nobody drowns in their samples; each has its turn, and who suffers stays."""
    decide(classic, "cutover", "wave.finished", "wave-1", "all")
    for table, columns, values in (
        ("tenant", "part, state, wave", "1, 'mirrored', 1"),
        ("route", "part, level, wave, epoch, changed_by, reason", "1, 'limitless', 1, 1, 'cutover', 'wave 1'"),
    ):
        classic.execute(
            f"INSERT INTO migrator.{table} (tenant_id, {columns}) SELECT 'small ' || g, {values}"
            " FROM generate_series(1, 250) g".encode()
        )
    classic.execute("UPDATE migrator.route SET level = 'classic', watched = true WHERE tenant_id = 'small 7'")
    classic.execute("UPDATE migrator.tenant SET hot = true WHERE tenant_id = '1'")
    classic.execute("UPDATE migrator.route SET watched = true WHERE tenant_id = '1'")
    stays = TenantId("small 99")
    seen: set[str] = set()

    for turn in range(3):
        breach._take_turns(classic, turn, [stays])
        now = watched(classic)
        assert {A, stays} <= now and len(now) <= watch_turn.AT_ONCE + 2
        seen |= now

    assert seen == {t for (t,) in classic.execute("SELECT tenant_id FROM migrator.route WHERE level = 'limitless'")}
    epoch = classic.execute("SELECT epoch FROM migrator.switch").fetchone()
    breach._take_turns(classic, 2, [stays])
    assert classic.execute("SELECT epoch FROM migrator.switch").fetchone() == epoch, "nothing changed, nobody is told"


def wait_for_a_wave(conn: psycopg.Connection[Any]) -> None:
    """Nobody was moved yet."""
    conn.execute("DELETE FROM migrator.tenant")
    conn.execute("UPDATE migrator.route SET level = 'classic', wave = NULL")
    conn.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state) SELECT unnest(%s::text[]), 1, 'mirrored'", ([A, B, C],)
    )


def choose(conn: psycopg.Connection[Any]) -> int:
    chosen = wave.next_wave(conn, small_plan(waves={"sizes": [3], "hot_ratio": 1000.0}), late=False).wave
    assert chosen is not None
    return chosen.number


@pytest.mark.parametrize("undone", [False, True], ids=["deferred whole", "undone"])
def test_a_wave_whose_number_comes_again_has_a_baseline_of_its_own(
    classic: psycopg.Connection[Any], undone: bool
) -> None:
    """Decisions of the wave of before stay; the monitor neither takes the new one for finished nor ends its watch."""
    wait_for_a_wave(classic)
    assert choose(classic) == 1
    assert wave.watch_from(classic, 1, 0.0) <= 0, "a whole baseline, of tenants that read nothing"
    if not undone:
        wave.defer(classic, 1, [A, B, C], ())
    wave.finish(classic, 1)
    if undone:
        reset_classic(classic, "ana")
        wait_for_a_wave(classic)
    breach.pass_once(classic, LIMITS, 120.0)
    assert choose(classic) == 1

    left, seen = [], []
    for _ in range(3):
        left.append(wave.watch_from(classic, 1, 60.0))
        breach.pass_once(classic, LIMITS, 120.0)
        seen.append(watched(classic))
    begun = classic.execute("SELECT count(*) FROM migrator.decision WHERE kind = 'wave.watched'").fetchone()
    history(classic, A, 8.0, 0, 0, side="classic")
    wave.watch_from(classic, 1, 0.0)

    assert seen == [{A, B, C}] * 3
    assert begun == (2,) and 60 > left[0] > left[1] > left[2] > 0
    assert wave.baseline_samples(classic, 1)[A].reads == 10


def test_a_watch_that_a_deferral_did_not_end_begins_a_new_baseline(classic: psycopg.Connection[Any]) -> None:
    """The worker died after the tenants were released: they are still reported when their wave comes again."""
    wait_for_a_wave(classic)
    wave.watch_from(classic, choose(classic), 0.0)
    classic.execute("UPDATE migrator.tenant SET wave = NULL")
    again_s = facts.now_s(classic)
    assert choose(classic) == 1 and watched(classic) == {A, B, C}

    wave.watch_from(classic, 1, 60.0)
    since_s = facts.watched_since_s(classic, 1)

    assert since_s is not None and since_s > again_s


def test_a_tenant_at_a_hundred_percent_is_the_guards_until_its_wave_is_over(classic: psycopg.Connection[Any]) -> None:
    """However often a wave of its number was finished before; afterwards, who went back is watched no more."""
    for kind in ("wave.finished", "wave.chosen"):
        decide(classic, "cutover", kind, "wave-1", "as before")
    classic.execute("UPDATE migrator.route SET watched = tenant_id <> '3'")
    breach.pass_once(classic, LIMITS, 120.0)
    in_soak = watched(classic), facts.watched_after_their_wave(classic)
    classic.execute("UPDATE migrator.route SET level = 'classic' WHERE tenant_id = '1'")
    classic.execute("UPDATE migrator.route SET reads_pct = 10 WHERE tenant_id = '2'")
    decide(classic, "cutover", "wave.finished", "wave-1", "1 of 3")
    breach.pass_once(classic, LIMITS, 120.0)

    assert in_soak == ({A, B}, [])
    assert watched(classic) == {C} == set(facts.watched_after_their_wave(classic))


def blocked(conn: psycopg.Connection[Any], pid: int) -> bool:
    row = conn.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", (pid,)).fetchone()
    return bool(row and row[0])


def test_reads_fall_back_at_once_while_the_monitor_sums_samples(
    classic: psycopg.Connection[Any], classic_dsn: str
) -> None:
    """It has just changed who is watched: that is done, and seen, before it begins to sum."""
    decide(classic, "cutover", "wave.finished", "wave-1", "3 of 3")
    with connect(classic_dsn, "monitor") as monitor, connect(classic_dsn, "slow") as slow, ThreadPoolExecutor() as pool:
        with slow.transaction():
            slow.execute("LOCK TABLE migrator.read_sample IN ACCESS EXCLUSIVE MODE")
            sums = pool.submit(breach.pass_once, monitor, LIMITS, 120.0)
            while not sums.done() and not blocked(classic, monitor.info.backend_pid):
                pass
            raise_fallback(classic, FallbackScope.TENANT, A, by="web-1", reason="errors")
            seen = watched(classic), blocked(classic, monitor.info.backend_pid)
        assert sums.result() == {}

    assert seen == ({A, B, C}, True)


def test_a_monitor_leaves_the_turns_to_another_one_and_looks_all_the_same(
    classic: psycopg.Connection[Any], classic_dsn: str
) -> None:
    decide(classic, "cutover", "wave.finished", "wave-1", "3 of 3")
    history(classic, None, 3000.0, 60, 0)
    limits = replace(LIMITS, p99_limit_ms=1000.0)
    with connect(classic_dsn, "another") as another, another.transaction():
        assert watch_turn.lock_sampling(another)
        breach.pass_once(classic, limits, 0.0)
        beside = watched(classic), len(incidents(classic))
    breach.pass_once(classic, limits, 0.0)

    assert beside == (set(), 1)
    assert watched(classic) == {A, B, C}
