"""Reads tenants for gates and waves: facts about them, and their waves.

Tenants belong to a wave by `migrator.tenant.wave`; one whose route was moved by that wave and is back on classic was
rolled back, by the guard or by an operator. Tenants that are held on classic (tenant_hold.py), and those without rows,
are in no wave's queue; held ones are moved by none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load
from migrator.model.facts import ReferenceFacts, RolledBack, TenantFacts
from migrator.model.phase import TenantState
from migrator.model.tenant import TenantId, TenantSize

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "tenant.sql")


def _tenants(conn: Connection, statement: str, **values: Any) -> list[TenantId]:
    """Return the tenants that the named statement finds."""
    return [TenantId(tenant) for (tenant,) in conn.execute(_SQL[statement], values)]


def sizes(conn: Connection) -> list[TenantSize]:
    """Return every known tenant with its rows, and those of them that recent transactions wrote."""
    rows = conn.execute(_SQL["sizes"])
    return [TenantSize(TenantId(tenant), int(count), writes=int(writes)) for tenant, count, writes in rows]


class Place(NamedTuple):
    """A tenant's mirror partition, and whether its rows follow classic there."""

    part: int
    state: TenantState


def places(conn: Connection, tenants: Sequence[TenantId]) -> dict[TenantId, Place]:
    """Return partition and state of *tenants*; one that is not listed is left out."""
    rows = conn.execute(_SQL["places"], {"tenants": list(tenants)})
    return {TenantId(tenant): Place(int(part), TenantState(state)) for tenant, part, state in rows}


def hot(conn: Connection, tenants: Sequence[TenantId]) -> frozenset[TenantId]:
    """Return those of *tenants* that are hot."""
    return frozenset(_tenants(conn, "hot", tenants=list(tenants)))


def unmirrored(conn: Connection) -> list[TenantId]:
    """Return tenants that are not mirrored: nothing is known about their rows on Limitless."""
    return _tenants(conn, "unmirrored")


def changed_since(conn: Connection, at: datetime, margin_s: float) -> list[TenantId]:
    """Return the tenants whose last change the mirror noted after *margin_s* before *at*."""
    return _tenants(conn, "changed_since", at=at, margin_s=margin_s)


def waiting(conn: Connection) -> frozenset[TenantId]:
    """Return mirrored tenants that belong to no wave, are not held on classic, and have rows."""
    return frozenset(_tenants(conn, "waiting"))


def waves(conn: Connection) -> list[int]:
    """Return the numbers of all waves that were ever chosen and have a tenant, a route or a hold left, in order."""
    return [int(number) for (number,) in conn.execute(_SQL["waves"])]


def last_wave(conn: Connection) -> int:
    """Return the highest wave number in use, 0 before the first."""
    return max(waves(conn), default=0)


def wave_tenants(conn: Connection, number: int, *, with_held: bool = False) -> list[TenantId]:
    """Return the tenants that wave *number* moves; *with_held* also those that it does not, because they are held."""
    return _tenants(conn, "wave_tenants", wave=number, with_held=with_held)


def wave_members(conn: Connection, number: int) -> list[TenantId]:
    """Return the tenants of a wave: those that are in it, and those whose reads it was the last one to move."""
    return _tenants(conn, "wave_members", wave=number)


def assign(conn: Connection, number: int, tenants: Sequence[TenantId], hot: bool) -> None:
    """Make *tenants* wave *number*; running it again changes nothing."""
    conn.execute(_SQL["assign"], {"wave": number, "hot": hot, "tenants": list(tenants)})


def release(conn: Connection, tenants: Sequence[TenantId]) -> None:
    """Put *tenants* back among those that wait for a wave."""
    conn.execute(_SQL["release"], {"tenants": list(tenants)})


def release_but_rolled_back(conn: Connection, tenants: Sequence[TenantId]) -> None:
    """Put *tenants* back among those that wait for a wave, but for those that were rolled back in theirs."""
    conn.execute(_SQL["release_but_rolled_back"], {"tenants": list(tenants)})


def release_interrupted(conn: Connection) -> None:
    """Put those back that were given a wave that ended before their reads moved.

    A tenant that a person moved by hand has moved, whichever wave that was; one that this very wave moved and that was
    rolled back waits for a person.
    """
    conn.execute(_SQL["release_interrupted"])


def rolled_back(conn: Connection) -> list[RolledBack]:
    """Return tenants that were cut over once and are back on classic."""
    rows = conn.execute(_SQL["rolled_back"])
    return [RolledBack(TenantId(tenant), int(wave), who, reason) for tenant, wave, who, reason in rows]


def not_watched_so(conn: Connection, tenants: Sequence[TenantId], on: bool) -> dict[TenantId, int]:
    """Return those of *tenants*, with their partitions, that processes do not report one by one although *on* says so,
    or do although it does not."""
    rows = conn.execute(_SQL["not_watched_so"], {"tenants": list(tenants), "on": on})
    return {TenantId(tenant): int(part) for tenant, part in rows}


def remember_tenants(conn: Connection) -> None:
    """Store the tenants that exist when the cutover begins; later ones are late sign-ups. The first call counts."""
    conn.execute(_SQL["remember_tenants"])


def first_tenants(conn: Connection) -> frozenset[TenantId]:
    """Return the tenants that existed when the cutover began."""
    return frozenset(_tenants(conn, "first_tenants"))


def left_behind(conn: Connection) -> int:
    """Return how many tenants that existed when the cutover began do not read everything from Limitless, those
    that are held, or have no rows, aside."""
    row = conn.execute(_SQL["left_behind"]).fetchone()
    return int(row[0]) if row else 0


def not_on_limitless(conn: Connection) -> list[TenantId]:
    """Return mirrored tenants of a wave that do not read everything from Limitless, those that are held, or have no
    rows, aside."""
    return _tenants(conn, "not_on_limitless")


def tenant_facts(conn: Connection, tenants: Sequence[TenantId]) -> list[TenantFacts]:
    """Return what the gate wants to know, in the order of tenant ids."""
    rows = conn.execute(_SQL["tenant_facts"], {"tenants": list(tenants)})
    return [
        TenantFacts(TenantId(tenant), TenantState(state), lag_s, age_s, divergent, tuple(fallbacks), *rest)
        for tenant, state, lag_s, age_s, divergent, fallbacks, *rest in rows
    ]


def reference_facts(conn: Connection) -> ReferenceFacts | None:
    """Return what the gates want to know about the reference tables; None when there are none."""
    row = conn.execute(_SQL["reference_facts"]).fetchone()
    return ReferenceFacts(*row) if row else None


def stale(conn: Connection, max_age_s: float) -> list[str]:
    """Return mirrored tenants without a clean validation in the last *max_age_s*; "(reference tables)" for those."""
    return [str(name) for (name,) in conn.execute(_SQL["stale"], {"max_age_s": max_age_s})]


def divergent(conn: Connection) -> list[str]:
    """Return tenants whose last validation found divergent rows; "(reference tables)" for those."""
    return [str(name) for (name,) in conn.execute(_SQL["divergent"])]


def changed_since_clean(conn: Connection, margin_s: float) -> list[TenantId]:
    """Return tenants changed since *margin_s* before their last clean validation, or without one."""
    return _tenants(conn, "changed_since_clean", margin_s=margin_s)


def reference_changed_since_clean(conn: Connection, margin_s: float) -> bool:
    """Return the same about the reference tables; False when there is none."""
    row = conn.execute(_SQL["reference_changed_since_clean"], {"margin_s": margin_s}).fetchone()
    return bool(row and row[0])


def unvalidated_since(
    conn: Connection, since: datetime, parts: set[int], tenant: str | None
) -> tuple[TenantId | None, ...]:
    """Return tenants whose route leads to Limitless in *parts* (with *tenant* only that one) without a clean validation
    since.

    None stands for the reference tables, which every tenant on Limitless reads.
    """
    rows = conn.execute(
        _SQL["unvalidated_since"], {"since": since, "parts": list(parts), "all": tenant is None, "tenant": tenant}
    )
    return tuple(None if found is None else TenantId(found) for (found,) in rows)


def tenants_by_state(conn: Connection) -> dict[TenantState, int]:
    """Return how many tenants are in each state; a state without tenants is left out."""
    return {TenantState(state): int(count) for state, count in conn.execute(_SQL["tenants_by_state"])}


def quarantined_tenants(conn: Connection) -> list[tuple[TenantId, str]]:
    """Return every quarantined tenant with the reason ('' when none was noted), by name."""
    return [(TenantId(tenant), reason or "") for tenant, reason in conn.execute(_SQL["quarantined_tenants"])]


def unvalidated_tenants(conn: Connection, max_age_s: float) -> tuple[int, int]:
    """Return how many mirrored tenants have divergent rows, and how many no clean validation within *max_age_s*."""
    row = conn.execute(_SQL["unvalidated_tenants"], {"max_age_s": max_age_s}).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
