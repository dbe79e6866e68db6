"""How tenants are dealt to copy units."""

from __future__ import annotations

from migrator.dataplane.backfill.unit import WIDE_ROWS, TenantLoad, group, group_widely, split
from migrator.model.tenant import TenantId


def loads(count: int, rows: int, parts: int = 1) -> list[TenantLoad]:
    return [TenantLoad(TenantId(f"t{n:04}"), 1 + n % parts, {"app.orders": rows}) for n in range(count)]


def test_small_tenants_are_grouped_up_to_rows_and_number() -> None:
    assert [len(u.tenants) for u in group(loads(10, 100), unit_rows=1000, unit_tenants=4)] == [4, 4, 2]
    assert [u.rows for u in group(loads(10, 100), unit_rows=300, unit_tenants=50)] == [300, 300, 300, 100]


def test_a_unit_never_mixes_partitions() -> None:
    for units in (group(loads(9, 1, parts=3), 1000, 50), group_widely(loads(9, 1, parts=3), 1000, 2)):
        assert sorted(u.part for u in units) == [1, 2, 3]


def test_where_a_unit_reads_a_table_whole_there_are_as_few_as_copies_at_once() -> None:
    """However many tenants there are; never smaller than planned, never with a snapshot without end."""
    units = group_widely(loads(1000, 1000), unit_rows=1000, width=4)

    assert len(units) == 4
    assert sum(len(u.tenants) for u in units) == 1000
    assert len(group_widely(loads(10, 10), unit_rows=1000, width=4)) == 1
    assert max(u.rows for u in group_widely(loads(100, 2_000_000), 200_000, 2)) == WIDE_ROWS


def test_a_huge_tenant_is_cut_without_gap_or_overlap() -> None:
    huge = TenantLoad(TenantId("h"), 1, {"app.orders": 90, "app.small": 5})

    units = split(huge, {"app.orders": ["30", "60"]})

    assert [(u.table, u.lower, u.upper) for u in units] == [
        ("app.orders", None, "30"),
        ("app.orders", "30", "60"),
        ("app.orders", "60", None),
        ("app.small", None, None),
        (None, None, None),
    ]
    assert units[-1].but == ("app.orders", "app.small"), "tables in which nobody has seen a row"
