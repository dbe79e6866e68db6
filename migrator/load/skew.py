"""How often does each tenant's turn come? By the tool's own facts, or as the workload says. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from migrator.errors import UsageError
from migrator.load.draw import Rows
from migrator.load.workload import Skew, Transaction, Workload
from migrator.model.counted import counted
from migrator.model.near import unknown
from migrator.model.tenant import TenantSize, hot_tenants


@dataclass(frozen=True, slots=True)
class Dealt:
    """Tenants with their weights, for each transaction (None: it needs none), and what is to be said of them."""

    tenants: tuple[Mapping[str, float] | None, ...]
    notes: tuple[str, ...]


def deal(
    workload: Workload,
    sizes: Sequence[TenantSize],
    unmirrored: Collection[str],
    hot_ratio: float,
    pools: Mapping[str, Rows],
) -> Dealt:
    """Return how tenants are drawn for each transaction.

    Args:
        sizes: the tool's own facts; empty: it has none yet.
        unmirrored: tenants whose rows are not on Limitless, by these facts.
        pools: what was read for each, by tenant. A tenant without rows in a pool cannot do what takes its values there.

    Raises:
        UsageError: a transaction would have no tenant, or a name is unknown.
    """
    notes: list[str] = []
    known = {str(size.tenant_id) for size in sizes} | set(workload.weights)
    known |= {tenant for rows in pools.values() for tenant in rows}
    if missing := [tenant for tenant in workload.only if tenant not in known]:
        raise UsageError(unknown("tenant", missing, sorted(known)))
    hot = _hot(workload, sizes, hot_ratio, notes)
    shared = workload.sessions.transactions > 1  # all of a session is done by one tenant
    together = frozenset().union(*(t.pools for t in workload.transactions)) if shared else frozenset()
    first = next((t for t in workload.transactions if t.needs_tenant), None)
    found: list[Mapping[str, float] | None] = []
    for transaction in workload.transactions:
        if not transaction.needs_tenant:
            found.append(None)
            continue
        skew = first.skew if shared and first is not None else transaction.skew
        weights = _weights(workload, sizes, unmirrored, skew, pools, transaction, notes)
        weights = {t: w * (workload.hot_times if t in hot else 1.0) for t, w in weights.items()}
        if workload.only:
            weights = {t: w for t, w in weights.items() if t in set(workload.only)}
        found.append(_with_rows(transaction, weights, together or transaction.pools, pools, notes))
    return Dealt(tuple(found), tuple(dict.fromkeys(notes)))


def _hot(workload: Workload, sizes: Sequence[TenantSize], hot_ratio: float, notes: list[str]) -> frozenset[str]:
    if workload.hot_times == 1:
        return frozenset()
    hot = frozenset(map(str, hot_tenants(sizes, hot_ratio)))
    notes.append(f"{counted(len(hot), 'hot tenant has', 'hot tenants have')} {workload.hot_times:g} times their share")
    return hot


def _weights(
    workload: Workload,
    sizes: Sequence[TenantSize],
    unmirrored: Collection[str],
    skew: Skew,
    pools: Mapping[str, Rows],
    transaction: Transaction,
    notes: list[str],
) -> Mapping[str, float]:
    if workload.weights:
        notes.append("tenants are drawn by the workload's own weights")
        return workload.weights
    here = [size for size in sizes if size.tenant_id not in unmirrored]
    if not here and sizes:
        notes.append("no tenant is mirrored yet: all are drawn, also those without rows on Limitless")
    elif len(here) < len(sizes):
        notes.append(f"{counted(len(sizes) - len(here), 'tenant is', 'tenants are')} left out: not mirrored")
    here = here or list(sizes)
    if not here:
        rows = {t: float(len(r)) for name in sorted(transaction.pools) for t, r in pools[name].items()}
        if not rows:
            raise UsageError(
                f"no tenant is known for transaction {transaction.name!r}",
                hint="Give [tenants.weights] or a pool in the workload; the tool has facts once it is installed.",
            )
        notes.append("the tool has no facts of tenants: they are drawn by their rows in pools")
        return rows
    by_writes, by_rows = ({str(s.tenant_id): float(n) for s, n in _amounts(here, kind)} for kind in ("writes", "rows"))
    if skew is Skew.WRITES and any(by_writes.values()):
        notes.append("tenants of transactions that write are drawn by their recent writes")
        return by_writes
    if skew is not Skew.EVEN and any(by_rows.values()):
        if skew is Skew.WRITES:
            notes.append("no recent writes are known: tenants are drawn by their rows")
        return by_rows
    notes.append("each tenant is drawn as often as any other")
    return {str(size.tenant_id): 1.0 for size in here}


def _amounts(sizes: Sequence[TenantSize], kind: str) -> list[tuple[TenantSize, int]]:
    return [(size, size.writes if kind == "writes" else size.rows) for size in sizes]


def _with_rows(
    transaction: Transaction,
    weights: Mapping[str, float],
    needed: Collection[str],
    pools: Mapping[str, Rows],
    notes: list[str],
) -> Mapping[str, float]:
    kept = {t: w for t, w in weights.items() if w > 0 and all(pools[name].get(t) for name in needed)}
    if not kept:
        where = f" and has rows in {', '.join(sorted(needed))}" if needed else ""
        raise UsageError(f"transaction {transaction.name!r}: no tenant has a weight{where}")
    left = 1 - sum(kept.values()) / sum(weights.values())
    if left > 0.005:
        notes.append(
            f"transaction {transaction.name!r}: tenants with {left:.0%} of the weight have no rows in its pools"
        )
    return kept
