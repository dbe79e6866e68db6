"""A write is seen by all only if no view that a live process may act on reads what does not hold it; as a property."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as strategy

from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]

LEVELS = ("classic", "joining", "limitless")
TENANTS = {"t1": 1, "t2": 1, "u1": 2}

Connection = psycopg.Connection[Any]

CHANGES = strategy.one_of(
    strategy.tuples(strategy.just("route"), strategy.sampled_from(sorted(TENANTS)), strategy.sampled_from(LEVELS)),
    strategy.tuples(strategy.just("switch"), strategy.just(""), strategy.sampled_from(LEVELS)),
    strategy.tuples(
        strategy.just("fallback"), strategy.sampled_from(["all", "0", "1", "2", *TENANTS]),
        strategy.sampled_from(["classic", "joining", "cleared"]),
    ),
)  # fmt: skip


@dataclass
class Story:
    """What happens in one transaction, which is rolled back; the levels of tenants by epoch."""

    conn: Connection
    routes: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[tuple[str, str], str] = field(default_factory=dict)
    switch: str = "limitless"
    levels: list[dict[str, str]] = field(default_factory=list)
    first: int = 0

    def begin(self) -> None:
        row = self.conn.execute("SELECT epoch FROM migrator.switch").fetchone()
        self.first = int(row[0])  # type: ignore[index]  # one row, always
        self.levels.append(self._effective())

    def change(self, kind: str, what: str, level: str) -> None:
        row = self.conn.execute("UPDATE migrator.switch SET epoch = epoch + 1 RETURNING epoch").fetchone()
        assert row is not None
        if kind == "route":
            self.routes[what] = level
            self.conn.execute(
                "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
                " VALUES (%s, %s, %s, %s, 'a', 'b') ON CONFLICT (tenant_id) DO UPDATE"
                " SET level = EXCLUDED.level, epoch = EXCLUDED.epoch",
                (what, TENANTS[what], level, row[0]),
            )
        elif kind == "switch":
            self.switch = level
            self.conn.execute("UPDATE migrator.switch SET level = %s", (level,))
        else:
            scope = what if what == "all" else "tenant" if what in TENANTS else "part"
            key = (scope, "" if what == "all" else what)
            self.conn.execute("DELETE FROM migrator.fallback WHERE (scope, scope_key) = (%s, %s)", key)
            self.fallbacks.pop(key, None)
            if level != "cleared":
                self.fallbacks[key] = level
                self.conn.execute(
                    "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
                    " VALUES (%s, %s, %s, 'a', 'b', %s)",
                    (*key, level, row[0]),
                )
        self.levels.append(self._effective())

    def _effective(self) -> dict[str, str]:
        found = {}
        for tenant, route in self.routes.items():
            keys = {("all", ""), ("part", "0"), ("part", str(TENANTS[tenant])), ("tenant", tenant)}
            caps = [level for key, level in self.fallbacks.items() if key in keys]
            found[tenant] = min([route, self.switch, *caps], key=LEVELS.index)
        return found

    def waits(self, at: int, missing: set[int]) -> bool:
        """Return whether a tenant that reads one of *missing* is not at classic at epoch number *at*."""
        return any(
            level != "classic" and bool({0, TENANTS[tenant]} & missing) for tenant, level in self.levels[at].items()
        )

    def reads(self, at: int, missing: set[int]) -> bool:
        """Return whether a tenant reads one of *missing* from Limitless under the routes of epoch number *at*."""
        return any(
            level == "limitless" and bool({0, TENANTS[tenant]} & missing) for tenant, level in self.levels[at].items()
        )


@pytest.fixture
def written(world: World) -> Iterator[tuple[Connection, int]]:
    """A connection, and the number of a transaction that has ended."""
    with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
        row = conn.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        assert row is not None
        yield conn, row[0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=strategy.lists(CHANGES, max_size=8),
    confirmed=strategy.lists(strategy.integers(0, 8), max_size=3),
    silent=strategy.booleans(),
    touched=strategy.sets(strategy.integers(0, 2)),
    held=strategy.sets(strategy.integers(0, 2)),
)
def test_what_is_seen_is_missed_under_no_view_that_a_process_may_have(
    written: tuple[Connection, int],
    changes: list[tuple[str, str, str]],
    confirmed: list[int],
    silent: bool,
    touched: set[int],
    held: set[int],
) -> None:
    conn, xid = written
    with conn.transaction(force_rollback=True):
        conn.execute("DELETE FROM migrator.process")
        for part in range(3):
            at = xid + 1 if part in held else xid
            conn.execute("UPDATE migrator.position SET snapshot = %s WHERE part = %s", (f"{at}:{at}:", part))
        story = Story(conn)
        story.begin()
        for change in changes:
            story.change(*change)
        now = len(changes)
        applied = [min(number, now) for number in confirmed]
        _register(conn, story.first, applied, silent=silent)
        seen, behind = _judged(conn, xid, touched)
        missing = touched - held
        oldest = min(applied, default=now)

        if seen:
            assert not any(story.reads(at, missing) for at in range(oldest, now + 1))
            assert not story.waits(now, missing), "one that is about to be promoted does not wait for this write"
        if oldest == now:
            assert seen is not story.waits(now, missing)
        assert set(behind) == {
            part for part in missing if any(
                level != "classic" and part in (0, TENANTS[tenant]) for tenant, level in story.levels[now].items()
            )
        }  # fmt: skip
        event(f"seen: {seen}, unconfirmed: {oldest < now}")


def _register(conn: Connection, first: int, applied: list[int], *, silent: bool) -> None:
    rows = [(f"p{number}", first + epoch, "0 s") for number, epoch in enumerate(applied)]
    if silent:
        rows.append(("silent", 0, "1 hour"))
    for process, epoch, ago in rows:
        conn.execute(
            "INSERT INTO migrator.process (process_id, name, seen_at, applied_epoch, staleness_s)"
            " VALUES (%s, 'test', clock_timestamp() - %s::interval, %s, 60)",
            (process, ago, epoch),
        )


def _judged(conn: Connection, xid: int, touched: set[int]) -> tuple[bool, list[int]]:
    parts = sum(1 << part for part in touched)
    row = conn.execute(
        "SELECT j.seen, j.behind FROM migrator.epoch_mark m, migrator.client_judged('p0',"
        " format('w1-%%s-%%s-%%s-%%s', m.epoch, replace(m.mark::text, '-', ''), %s::text, %s::text)) j"
        " ORDER BY m.epoch DESC LIMIT 1",
        (xid, parts),
    ).fetchone()
    assert row is not None
    return row[0], row[1]
