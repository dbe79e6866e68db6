"""Tenants that read Limitless while their mirrors stand still, for tests of levels and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migrator.model.ack import Ack
from migrator.shim import Settings, Shim
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import CALM, World, get, up

WEAKER = (Ack.SESSION, Ack.NONE)
PATIENT = CALM
"""A write that waits for the mirror is seen to wait; partitions whose mirror is stalled are read."""


@contextmanager
def moved(world: World, settings: Settings = PATIENT, *tenants: str) -> Iterator[Shim]:
    """A shim whose tenants read Limitless, and a mirror that is stalled from then on."""
    with world.shim(settings=settings) as shim:
        up(world, *(tenants or ("t1", "u1")))
        for tenant in tenants or ("t1", "u1"):
            eventually(
                lambda t=tenant: shim.run_read(t, get(t, 1))[0] == "limitless",  # type: ignore[misc]  # no type of t
                "reads come from limitless",
            )
        yield shim
