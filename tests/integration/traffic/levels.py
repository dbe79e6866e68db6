"""Tenants that read Limitless while their mirrors stand still, for tests of levels and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from migrator.model.ack import Ack
from migrator.shim import Settings, Shim
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import QUICK, World, get, up

WEAKER = (Ack.SESSION, Ack.NONE)
PATIENT = replace(QUICK, ack_wait_s=30.0, max_lag_s=600.0)
"""A write that waits for the mirror is seen to wait; partitions whose mirror is stalled are read."""

CALM = replace(QUICK, staleness_s=60.0, max_lag_s=600.0, closed_wait_s=120.0, read_timeout_s=60.0)
"""Routes and positions stay as good as they are however long a busy machine takes from one step to the next."""


@contextmanager
def moved(world: World, settings: Settings = PATIENT, *tenants: str) -> Iterator[Shim]:
    """A shim whose tenants read Limitless, and a mirror that is stalled from then on."""
    with world.shim(settings=settings) as shim:
        up(world, *(tenants or ("t1", "u1")))
        for tenant in tenants or ("t1", "u1"):
            eventually(lambda t=tenant: shim.run_read(t, get(t, 1))[0] == "limitless", "reads come from limitless")  # type: ignore[misc]
        yield shim
