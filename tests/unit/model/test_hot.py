"""Who is hot: one answer for the audit, the inventory and the waves."""

from __future__ import annotations

from collections.abc import Sequence

from migrator.audit.sizing.tenants import Growth, TableCounts, distribution
from migrator.model.tenant import TenantId, TenantSize, hot_tenants
from migrator.traffic.cutover.waves import WaveRules, all_waves


def tenants(rows: Sequence[int], writes: Sequence[int] = ()) -> list[TenantSize]:
    return [TenantSize(TenantId(f"t{i:03}"), n, writes=writes[i] if i < len(writes) else 0) for i, n in enumerate(rows)]


def test_the_audit_and_the_waves_agree() -> None:
    """By rows, by share, by writes alone: whom the audit calls hot goes alone and last."""
    sizes = tenants([*[100] * 97, 2_100, 1_500, 120], [*[1] * 99, 400])
    counts = TableCounts("t", {s.tenant_id: s.rows for s in sizes}, {s.tenant_id: s.writes for s in sizes})

    audit = {h["tenant"] for h in distribution([counts], hot_ratio=20, growth=Growth())["hot"]}
    waves = all_waves(1, sizes, frozenset(s.tenant_id for s in sizes), WaveRules((200,), 20.0))

    alone = {t for wave in waves if wave.hot for t in wave.tenants}
    assert audit == alone == set(hot_tenants(sizes, 20.0)) == {"t097", "t098", "t099"}
    assert "t099" in alone, "few rows, most of the writes"


def test_a_large_multiple_of_next_to_nothing_is_not_hot() -> None:
    """Below a hundredth of everything nobody saturates a shard, whatever the median is."""
    sizes = tenants([*[1] * 60, *[100_000] * 3, 50])

    assert set(hot_tenants(sizes, 20.0)) == {"t060", "t061", "t062"}


def test_equal_tenants_are_not_hot_however_few_they_are() -> None:
    for count in (1, 2, 3, 7, 11):
        assert hot_tenants(tenants([1000] * count, [50] * count), 20.0) == {}


def test_a_tenth_of_everything_is_hot_among_many() -> None:
    sizes = tenants([*[10_000] * 100, 150_000])

    assert hot_tenants(sizes, 20.0) == {TenantId("t100"): ("13% of all rows",)}
