"""What does the cutover see on classic?

Shell: statements on the tool's own tables, values out. Tenants belong to a wave by `migrator.tenant.wave`; one whose
route was moved by that wave and is back on classic was rolled back, by the guard or by an operator. Tenants that are
held on classic wait for no wave and are moved by none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control.samples import Sum, sums
from migrator.cutover.gate import ReferenceFacts, TenantFacts
from migrator.cutover.guard import Sample
from migrator.cutover.hold import RolledBack
from migrator.model.phase import TenantState
from migrator.model.route import Level
from migrator.model.tenant import TenantId, TenantSize

Connection = psycopg.Connection[Any]

GUARD = "guard"
"""Who decisions of the guard are recorded under."""


@dataclass(frozen=True, slots=True)
class Switch:
    level: Level
    write_mode: str
    changed_by: str
    reason: str


def switch(conn: Connection) -> Switch:
    row = conn.execute("SELECT level, write_mode, changed_by, reason FROM migrator.switch").fetchone()
    assert row is not None  # inserted by the control schema, never deleted
    return Switch(Level(row[0]), *row[1:])


def sizes(conn: Connection) -> list[TenantSize]:
    """Return every known tenant with its rows, and those of them that were written lately."""
    rows = conn.execute("SELECT tenant_id, rows, writes FROM migrator.tenant ORDER BY tenant_id")
    return [TenantSize(TenantId(tenant), int(count), writes=int(writes)) for tenant, count, writes in rows]


def waiting(conn: Connection) -> frozenset[TenantId]:
    """Return mirrored tenants that belong to no wave and are not held on classic."""
    rows = conn.execute(
        "SELECT tenant_id FROM migrator.tenant t WHERE wave IS NULL AND state = 'mirrored'"
        " AND NOT EXISTS (SELECT FROM migrator.tenant_hold h WHERE h.tenant_id = t.tenant_id)"
    )
    return frozenset(TenantId(tenant) for (tenant,) in rows)


def last_wave(conn: Connection) -> int:
    """Return the highest wave number in use, 0 before the first."""
    row = conn.execute(
        "SELECT greatest((SELECT max(wave) FROM migrator.tenant), (SELECT max(wave) FROM migrator.route),"
        " (SELECT max(wave) FROM migrator.tenant_hold), 0)"
    ).fetchone()
    return int(row[0]) if row else 0


def assign(conn: Connection, number: int, tenants: Sequence[TenantId], hot: bool) -> None:
    """Make *tenants* wave *number*; running it again changes nothing."""
    conn.execute(
        "UPDATE migrator.tenant SET wave = %s, hot = %s WHERE tenant_id = ANY (%s) AND wave IS NULL",
        (number, hot, list(tenants)),
    )


def release(conn: Connection, tenants: Sequence[TenantId]) -> None:
    """Put *tenants* back among those who wait for a wave."""
    conn.execute("UPDATE migrator.tenant SET wave = NULL WHERE tenant_id = ANY (%s)", (list(tenants),))


def release_interrupted(conn: Connection) -> None:
    """Put those back who were given a wave that ended before their reads moved.

    Whom a person moved by hand is there, whichever wave that was; whom this very wave moved and somebody rolled back
    waits for a person.
    """
    conn.execute(
        """
        UPDATE migrator.tenant t SET wave = NULL
         WHERE t.wave IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM migrator.route r
                            WHERE r.tenant_id = t.tenant_id
                              AND (r.level = 'limitless' AND r.reads_pct = 100
                                   OR r.level = 'classic' AND r.wave = t.wave))
        """
    )


def wave_tenants(conn: Connection, number: int, *, with_held: bool = False) -> list[TenantId]:
    """Return the tenants that wave *number* moves; *with_held* also those that it does not, because they are held."""
    rows = conn.execute(
        "SELECT tenant_id FROM migrator.tenant t WHERE wave = %s"
        " AND (%s OR NOT EXISTS (SELECT FROM migrator.tenant_hold h WHERE h.tenant_id = t.tenant_id))"
        " ORDER BY tenant_id",
        (number, with_held),
    )
    return [TenantId(tenant) for (tenant,) in rows]


def unwatched(conn: Connection, tenants: Sequence[TenantId]) -> bool:
    """Return whether shims do not yet report one of *tenants* by itself."""
    row = conn.execute(
        "SELECT count(*) FROM migrator.route WHERE watched AND tenant_id = ANY (%s)", (list(tenants),)
    ).fetchone()
    return not row or int(row[0]) < len(set(tenants))


def rolled_back(conn: Connection) -> list[RolledBack]:
    """Return tenants that were cut over once and are back on classic."""
    rows = conn.execute("SELECT tenant_id, wave, changed_by, reason FROM migrator.rolled_back ORDER BY wave, tenant_id")
    return [RolledBack(TenantId(tenant), int(wave), who, reason) for tenant, wave, who, reason in rows]


def tenant_facts(conn: Connection, tenants: Sequence[TenantId]) -> list[TenantFacts]:
    """Return what the gate wants to know, in the order of tenant ids."""
    rows = conn.execute(
        """
        SELECT t.tenant_id, t.state, t.reason, t.divergent,
               extract(epoch FROM clock_timestamp() - t.clean_at)::float8,
               p.lag_s,
               ARRAY(SELECT f.reason FROM migrator.fallback f
                      WHERE migrator.covers(f.scope, f.scope_key, t.tenant_id, t.part)
                      ORDER BY f.scope, f.scope_key),
               t.outdated, h.held_by || ': ' || h.reason, coalesce('partition ' || p.part || ': ' || p.problem, '')
          FROM migrator.gate_fact t
          LEFT JOIN migrator.partition_status p ON p.part = t.part
          LEFT JOIN migrator.tenant_hold h ON h.tenant_id = t.tenant_id
         WHERE t.tenant_id = ANY (%s)
         ORDER BY t.tenant_id
        """,
        (list(tenants),),
    )
    return [
        TenantFacts(
            tenant_id=TenantId(tenant),
            state=TenantState(state),
            lag_s=lag,
            clean_age_s=age,
            divergent=divergent,
            fallbacks=tuple(fallbacks),
            quarantine=reason,
            outdated=outdated,
            held=held,
            problem=problem,
        )
        for tenant, state, reason, divergent, age, lag, fallbacks, outdated, held, problem in rows
    ]


def reference_facts(conn: Connection) -> ReferenceFacts | None:
    """Return what the gates want to know about the reference tables; None when there are none."""
    row = conn.execute(
        "SELECT extract(epoch FROM clock_timestamp() - f.clean_at)::float8, f.divergent, f.outdated,"
        " coalesce(p.lag_s, 0), coalesce(p.problem, '')"
        " FROM migrator.reference_fact f LEFT JOIN migrator.partition_status p ON p.part = 0"
    ).fetchone()
    return ReferenceFacts(*row) if row else None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one tenant of a wave stands."""

    tenant_id: TenantId
    level: Level
    reads_pct: int
    epoch: int
    changed_by: str
    reason: str
    moved: bool


def standings(conn: Connection, tenants: Sequence[TenantId]) -> dict[TenantId, Standing]:
    """Return the routes of *tenants*; `moved` says whether a wave ever moved them."""
    rows = conn.execute(
        "SELECT tenant_id, level, reads_pct, epoch, changed_by, reason, wave IS NOT NULL FROM migrator.route"
        " WHERE tenant_id = ANY (%s)",
        (list(tenants),),
    )
    return {
        TenantId(row[0]): Standing(TenantId(row[0]), Level(row[1]), row[2], row[3], row[4], row[5], row[6])
        for row in rows
    }


def remember_tenants(conn: Connection) -> None:
    """Keep who is there when the cutover begins; whoever signs up later is late. The first call counts."""
    conn.execute(
        """
        INSERT INTO migrator.report (kind, body)
        SELECT 'cutover.tenants', coalesce(jsonb_agg(tenant_id), '[]') FROM migrator.tenant
        HAVING NOT EXISTS (SELECT 1 FROM migrator.report WHERE kind = 'cutover.tenants')
        """
    )


def first_tenants(conn: Connection) -> frozenset[TenantId]:
    """Return who was there when the cutover began."""
    row = conn.execute("SELECT body FROM migrator.report WHERE kind = 'cutover.tenants'").fetchone()
    return frozenset(TenantId(tenant) for tenant in (row[0] if row else ()))


def left_behind(conn: Connection) -> int:
    """Return how many tenants that were there when the cutover began do not read everything from Limitless, those
    that are held aside."""
    row = conn.execute(
        """
        SELECT count(*) FROM migrator.tenant t
         WHERE t.tenant_id IN (SELECT jsonb_array_elements_text(body) FROM migrator.report
                                WHERE kind = 'cutover.tenants')
           AND NOT EXISTS (SELECT FROM migrator.tenant_hold h WHERE h.tenant_id = t.tenant_id)
           AND NOT EXISTS (SELECT 1 FROM migrator.route r
                            WHERE r.tenant_id = t.tenant_id AND r.level = 'limitless' AND r.reads_pct = 100)
        """
    ).fetchone()
    return int(row[0]) if row else 0


def fallbacks(conn: Connection) -> list[str]:
    """Return the reasons of all fallbacks in force."""
    rows = conn.execute("SELECT reason FROM migrator.fallback ORDER BY scope, scope_key")
    return [str(reason) for (reason,) in rows]


def trips(conn: Connection) -> list[str]:
    """Return the reasons of breakers that live processes have open."""
    rows = conn.execute("SELECT DISTINCT reason FROM migrator.open_breaker ORDER BY reason")
    return [reason for (reason,) in rows]


def now_s(conn: Connection) -> float:
    """Return classic's clock in seconds since 1970."""
    row = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    return float(row[0]) if row else 0.0


def samples(
    conn: Connection, tenants: Sequence[TenantId], side: str, since_s: float, until_s: float | None = None
) -> dict[TenantId, Sample]:
    """Return what shims measured about each tenant on *side* since a moment of classic's clock."""
    found = sums(conn, tenants, side, since_s, until_s)
    return {tenant: _sample(found.get(tenant, Sum())) for tenant in tenants}


def everybody(conn: Connection, side: str, since_s: float) -> Sample:
    """Return what shims measured about all tenants together."""
    return _sample(sums(conn, None, side, since_s).get(None, Sum()))


def _sample(found: Sum) -> Sample:
    return Sample(found.reads, found.errors, found.p99_ms)


def keep_baseline(conn: Connection, number: int, since_s: float) -> None:
    """Keep what the tenants of wave *number* were like on classic since a moment of its clock; the first call counts.

    With the first of all waves also what everybody was like, while all read from classic.
    """
    row = conn.execute("SELECT FROM migrator.read_baseline WHERE wave = %s LIMIT 1", (number,)).fetchone()
    if row is not None:
        return
    measured: list[tuple[TenantId | None, Sample]] = [(None, everybody(conn, "classic", since_s))]
    measured += samples(conn, wave_tenants(conn, number), "classic", since_s).items()
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO migrator.read_baseline AS b (tenant_id, wave, reads, errors, p99_ms)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (tenant_id) DO UPDATE"
            " SET wave = EXCLUDED.wave, reads = EXCLUDED.reads, errors = EXCLUDED.errors, p99_ms = EXCLUDED.p99_ms,"
            " at = clock_timestamp() WHERE b.tenant_id IS NOT NULL",
            [(tenant, number, s.reads, s.errors, s.p99_ms) for tenant, s in measured],
        )


def baselines(conn: Connection, tenants: Sequence[TenantId]) -> dict[TenantId | None, Sample]:
    """Return what was kept about *tenants*, and under None about everybody."""
    rows = conn.execute(
        "SELECT tenant_id, reads, errors, p99_ms FROM migrator.read_baseline"
        " WHERE tenant_id = ANY (%s) OR tenant_id IS NULL",
        (list(tenants),),
    )
    return {None if t is None else TenantId(t): Sample(int(reads), int(errors), p99) for t, reads, errors, p99 in rows}


def watched_after_their_wave(conn: Connection) -> list[TenantId]:
    """Return tenants that shims report one by one although their wave is over: no guard looks at them any more."""
    rows = conn.execute(
        """
        SELECT r.tenant_id FROM migrator.route r JOIN migrator.tenant t USING (tenant_id)
         WHERE r.watched AND r.level = 'limitless'
           AND 'wave-' || t.wave IN (SELECT subject FROM migrator.decision WHERE kind = 'wave.finished')
         ORDER BY r.tenant_id
        """
    )
    return [TenantId(tenant) for (tenant,) in rows]


def hot(conn: Connection, tenants: Sequence[TenantId]) -> frozenset[TenantId]:
    """Return those of *tenants* that are hot."""
    rows = conn.execute("SELECT tenant_id FROM migrator.tenant WHERE hot AND tenant_id = ANY (%s)", (list(tenants),))
    return frozenset(TenantId(tenant) for (tenant,) in rows)


def watched_since_s(conn: Connection, number: int) -> float | None:
    """Return when the watch of wave *number* began on classic's clock, None when it has not."""
    row = conn.execute(
        "SELECT extract(epoch FROM max(at))::float8 FROM migrator.decision"
        " WHERE kind = 'wave.watched' AND subject = %s",
        (f"wave-{number}",),
    ).fetchone()
    return float(row[0]) if row and row[0] is not None else None


def is_forward(conn: Connection) -> bool:
    """Return whether reads may move at all: no rollback of everything is in force."""
    return switch(conn).level is Level.LIMITLESS
