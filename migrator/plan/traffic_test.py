"""The plan's section about traffic that is tried on Limitless before tenants move."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from migrator.plan.section import Section

Positive = Annotated[float, Field(gt=0)]


class TrafficTest(Section):
    """What shadow runs, load tests and shadow reads have to show (docs/traffic-test.md)."""

    shadow_required: bool = Field(
        False,
        description="The gate before dual write wants a shadow run (migrator shadow run). Without it the gate says "
        "that none was asked for; one that there is, is judged all the same.",
    )
    load_required: bool = Field(False, description="The same of a load test (migrator load run).")
    max_age_days: Positive = Field(30, description="An older result counts as none.")
    p99_factor: float = Field(
        2.0, gt=1, description="A statement's p99 on Limitless against its own on classic; as waves.p99_factor."
    )
    p99_floor_ms: float = Field(
        50.0, ge=0, description="Below this p99 nothing is wrong, whatever the factor; as waves.p99_floor_ms."
    )
    min_calls: int = Field(
        20, ge=1, description="A statement with fewer repeated calls was sampled too little to say how fast it is."
    )
    growth_months: float | None = Field(
        None,
        ge=0,
        description="Limitless has to carry the measured peak after so many months of runway.monthly_growth_pct; "
        "without it those until classic is retired (runway.weeks).",
    )
    reads_days: Positive = Field(
        7, le=100, description="Shadow reads (shim.shadow_ratio) of the last so many days are judged before each wave."
    )
