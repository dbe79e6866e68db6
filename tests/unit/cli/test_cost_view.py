"""The bill and the shards on a screen of 80 columns, whatever tenants are called."""

from __future__ import annotations

from datetime import UTC, date, datetime

from rich.console import Console

from migrator.cli.cost_view import render
from migrator.model.cost import (
    Against,
    Basis,
    Capacity,
    CapacityLine,
    CostLine,
    Day,
    Forecast,
    Node,
    SingleShard,
    TenantShare,
)

NOW = datetime(2026, 4, 21, tzinfo=UTC)
BILL = CostLine(
    "2026-04", "1,926.67 USD so far", Against.OVER, Basis.MIXED, NOW, 60.0, 480, 480, 20, 100,
    Forecast(1, 2, 3, 4, 0, 5, 4, "like the cheapest and the dearest of the last 7 days"), 1000.0, 11_000.0, 2.93,
    ("CloudWatch: it answers AccessDenied",),
)  # fmt: skip
DAYS = [
    Day(date(2026, 4, 19), 20.5, 24, 6144.0, 6144.0, 99_999.9, 12_345.67, 375_512.35, Basis.MIXED),
    Day(date(2026, 4, 20), 0.3, 0.3, None, None, None, None, None, Basis.MODEL),
]
FOUND = Capacity(
    NOW,
    (Node("5", "router", 0), Node("1", "shard", 3 * 2**30, 1234.5, 0.9, 0.8), Node("2", "shard", 2**30)),
    (TenantShare("two\nlines\x1b[31m", 12_345_678, 10**12, 0.5, "1"), TenantShare("x" * 200, 1, None, 0.0, None)),
    10**9,
    SingleShard(0.97, "counted"),
)


def drawn(width: int) -> list[str]:
    line = CapacityLine("2 shards, by tenant two\nlines", NOW, 60.0, unknown=("statements by shard",))
    screen = Console(width=width, highlight=False)
    with screen.capture() as captured:
        screen.print(render(BILL, DAYS, line, FOUND))
    return captured.get().splitlines()


def test_eighty_columns_hold_it() -> None:
    """No figure is folded; only names that are longer than a line are."""
    lines = drawn(80)

    assert max(map(len, lines)) <= 80
    assert "2026-04-19  20.5/24  6,144.0  99,999.9  12,345.67  375,512.35   37551%  mixed" in map(str.rstrip, lines)
    assert any(
        line.startswith("2026-04-20      0.3        -         -          -           -        -  model")
        for line in lines
    )


def test_names_break_no_line_and_no_terminal() -> None:
    text = "\n".join(drawn(400))
    assert "two\\x0alines\\x1b[31m" in text and "\x1b" not in text
    assert "Shards  2 shards, by tenant two\\x0alines; 60.0 s ago" in text
    assert "not known: statements by shard" in text and "CloudWatch: it answers AccessDenied" in text
    assert "shard" in text and "1,234.5" in text and "75%" in text and "1,000,000.0" in text
