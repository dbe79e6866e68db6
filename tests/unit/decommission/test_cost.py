"""The price of a day against the projection."""

from __future__ import annotations

from migrator.decommission.cost import Prices, Usage, cost


def test_a_month_is_730_hours_of_capacity_and_the_storage() -> None:
    sample = cost(Usage(acu=16, storage_gb=1000, measured=True), Prices(0.30, 0.10, 4000.0, 11_000.0))

    assert sample.monthly_usd == 3604.0
    assert sample.against_projection == 0.901


def test_without_a_projection_there_is_no_ratio() -> None:
    assert cost(Usage(16, 0, measured=False), Prices(0.3, 0.1, 0.0, 0.0)).against_projection is None
