"""What a shim of release 0.1.0 asks classic: its own statements, word by word, and a process that goes on asking.

The texts are those of migrator/shim/statements.py in that release. They must work before, during and after an upgrade:
applications are not restarted for it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.fixtures.waiting import TIMEOUT_S

HEARTBEAT = """
INSERT INTO migrator.process AS p (process_id, name, started_at, seen_at, applied_epoch, staleness_s)
VALUES (%(process_id)s, %(name)s, clock_timestamp(), clock_timestamp(), %(epoch)s, %(registered_s)s)
ON CONFLICT (process_id) DO UPDATE
   SET seen_at = clock_timestamp(), applied_epoch = EXCLUDED.applied_epoch, staleness_s = EXCLUDED.staleness_s
"""

LEAVE = """
WITH gone AS (DELETE FROM migrator.breaker_trip WHERE process_id = %(process_id)s)
DELETE FROM migrator.process WHERE process_id = %(process_id)s
"""

POLL = """
SELECT s.epoch, s.level, s.write_mode,
       (SELECT coalesce(json_agg(json_build_array(r.tenant_id, r.part, r.level, r.reads_pct, r.epoch, r.watched)), '[]')
          FROM migrator.route r WHERE r.epoch > %(after)s),
       (SELECT coalesce(json_agg(json_build_array(f.scope, f.scope_key, f.level, f.epoch)), '[]')
          FROM migrator.fallback f),
       (SELECT coalesce(json_agg(json_build_array(
                   p.part, p.snapshot, extract(epoch FROM clock_timestamp() - p.fresh_at))), '[]')
          FROM migrator.position p)
  FROM migrator.switch s
"""

POSITIONS = "SELECT part, snapshot FROM migrator.position"

APPLIED_BY_ALL = """
SELECT min(applied_epoch) FROM migrator.process
 WHERE clock_timestamp() <= seen_at + make_interval(secs => staleness_s)
"""

BEFORE_COMMIT = """
SET CONSTRAINTS ALL IMMEDIATE;
SELECT pg_current_xact_id_if_assigned()::text, current_setting('migrator.parts', true),
       (SELECT write_mode FROM migrator.switch)
"""

OUTCOME = "SELECT pg_xact_status(%s::text::xid8)"

SETTLED = "SELECT write_mode FROM migrator.settled ORDER BY epoch DESC LIMIT 1"

SETTINGS = "SELECT shim FROM migrator.plan"

SAMPLES = """
INSERT INTO migrator.read_sample (process_id, tenant_id, side, reads, errors, buckets)
SELECT %(process_id)s, s.tenant_id, s.side, s.reads, s.errors, s.buckets::int[]
  FROM unnest(%(tenants)s::text[], %(sides)s::text[], %(reads)s::int[], %(errors)s::int[], %(buckets)s::text[])
       AS s (tenant_id, side, reads, errors, buckets)
"""

SHADOWS = """
INSERT INTO migrator.shadow_sample (process_id, compared, mismatched, classic_ms, limitless_ms)
VALUES (%(process_id)s, %(compared)s, %(mismatched)s, %(classic_ms)s, %(limitless_ms)s)
"""

TRIPS = """
WITH now_open AS (
    SELECT * FROM unnest(%(scopes)s::text[], %(keys)s::text[], %(reasons)s::text[]) AS o (scope, scope_key, reason)
), closed AS (
    DELETE FROM migrator.breaker_trip t
     WHERE t.process_id = %(process_id)s
       AND NOT EXISTS (SELECT FROM now_open o WHERE (o.scope, o.scope_key) = (t.scope, t.scope_key))
)
INSERT INTO migrator.breaker_trip (process_id, scope, scope_key, reason, at)
SELECT %(process_id)s, scope, scope_key, reason, clock_timestamp() FROM now_open
ON CONFLICT (process_id, scope, scope_key) DO UPDATE SET reason = EXCLUDED.reason, at = EXCLUDED.at
"""

LOCK_SWITCH = "SELECT epoch, level, write_mode FROM migrator.switch FOR UPDATE"

FALLBACK = "SELECT level, epoch, held FROM migrator.fallback WHERE scope = %(scope)s AND scope_key = %(key)s"

NEXT_EPOCH = "UPDATE migrator.switch SET epoch = epoch + 1 RETURNING epoch"

PUT_FALLBACK = """
WITH decided AS (
    INSERT INTO migrator.decision (who, kind, subject, reason, before, after)
    VALUES (%(by)s, 'fallback.raised', 'fallback/' || %(scope)s || '/' || %(key)s, %(reason)s,
            %(before)s::jsonb, jsonb_build_object('level', %(level)s::text, 'epoch', %(epoch)s::bigint))
), remembered AS (
    INSERT INTO migrator.incident (kind, reason, reported_by)
    SELECT 'fallback', 'fallback ' || %(scope)s || ' ' || %(key)s || ': ' || %(reason)s, %(by)s WHERE %(incident)s
)
INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, raised_at, epoch, held)
VALUES (%(scope)s, %(key)s, %(level)s, %(reason)s, %(by)s, clock_timestamp(), %(epoch)s, %(held)s)
ON CONFLICT (scope, scope_key) DO UPDATE
   SET level = EXCLUDED.level, reason = EXCLUDED.reason, raised_by = EXCLUDED.raised_by,
       raised_at = EXCLUDED.raised_at, epoch = EXCLUDED.epoch, held = migrator.fallback.held OR EXCLUDED.held
"""

HOLD_FALLBACK = "UPDATE migrator.fallback SET held = true WHERE scope = %(scope)s AND scope_key = %(key)s"

ANNOUNCE = "SELECT pg_notify('migrator', 'route')"


@dataclass
class OldShim:
    """A process of that release: polls, confirms, measures and writes until it is stopped.

    Its statements are bounded far beyond what a busy machine takes: one that waits for ever is found.

    Attributes:
        polls: how many times it has read routes.
        written: (transaction, partitions it touched) of every acknowledged write.
        problems: whatever did not work; a statement that reached its bound is one.
    """

    dsn: str
    first_id: int = 5_000
    polls: int = 0
    epoch: int = -1
    written: list[tuple[int, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> OldShim:
        for work in (self._watch, self._write):
            thread = threading.Thread(target=self._until_stopped, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT_S)

    def _until_stopped(self, work: Any) -> None:
        with psycopg.connect(
            self.dsn,
            autocommit=True,
            application_name="migrator-shim:old",
            options="-c statement_timeout=60s",
        ) as conn:
            number = self.first_id
            while not self._stop.is_set():
                number += 1
                try:
                    work(conn, number)
                except psycopg.Error as error:
                    self.problems.append(f"{work.__name__}: {error}")
                    return

    def _watch(self, conn: psycopg.Connection[Any], number: int) -> None:
        """What its watcher does: heartbeat, poll, positions, samples."""
        me = {"process_id": "old-1", "name": "old", "epoch": max(self.epoch, 0), "registered_s": 600.0}
        conn.execute(HEARTBEAT, me)
        row = conn.execute(POLL, {"after": self.epoch}).fetchone()
        assert row is not None
        self.epoch = row[0]
        conn.execute(POSITIONS).fetchall()
        conn.execute(APPLIED_BY_ALL).fetchall()
        sample = {"tenants": [None], "sides": ["classic"], "reads": [1], "errors": [0], "buckets": ["{1}"]}
        conn.execute(SAMPLES, {"process_id": "old-1", **sample})
        shadow = {"compared": 1, "mismatched": 0, "classic_ms": 1.0, "limitless_ms": 1.0}
        conn.execute(SHADOWS, {"process_id": "old-1", **shadow})
        conn.execute(TRIPS, {"process_id": "old-1", "scopes": ["part"], "keys": ["1"], "reasons": ["slow"]})
        if number % 20 == 0:
            self._fall_back(conn)
        self.polls += 1

    def _fall_back(self, conn: psycopg.Connection[Any]) -> None:
        scope = {"scope": "tenant", "key": "5"}
        with conn.transaction():
            conn.execute(LOCK_SWITCH)
            before = conn.execute(FALLBACK, scope).fetchone()
            epoch = conn.execute(NEXT_EPOCH).fetchone()
            assert epoch is not None
            told = {"by": "old-1", "reason": "errors", "level": "classic", "held": False, "incident": True}
            conn.execute(
                PUT_FALLBACK,
                {**scope, **told, "epoch": epoch[0], "before": json.dumps(before and {"level": before[0]})},
            )
            conn.execute(ANNOUNCE)

    def _write(self, conn: psycopg.Connection[Any], number: int) -> None:
        """One transaction of an application, ended as the shim of that release ends it."""
        conn.execute("BEGIN")
        conn.execute(
            "INSERT INTO shop.purchase (id, tenant_id, slot, total) VALUES (%s, %s, %s, 1)",
            (number, 1 + number % 6, number),
        )
        conn.execute("INSERT INTO shop.line VALUES (%s, %s, 'old', '{}')", (number, number))
        conn.execute("UPDATE shop.purchase SET total = total + 1 WHERE id = %s", (max(number - 7, self.first_id + 1),))
        if number % 9 == 0:
            conn.execute("DELETE FROM shop.purchase WHERE id = %s", (number - 8,))
        conn.execute("INSERT INTO shop.visit VALUES (%s, '2026-12-31', %s, 'old')", (1 + number % 6, number))
        cursor = conn.execute(BEFORE_COMMIT)
        cursor.nextset()
        row = cursor.fetchone()
        conn.execute("COMMIT")
        assert row is not None and row[2] == "dual"
        self.written.append((int(row[0]), int(row[1])))
