"""Worlds, as those of the traffic tests, clients that ask in them, and the examples in other languages."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.fixtures.postgres import Machines
from tests.integration.contract.asking import Asking
from tests.integration.contract.toolchains import java, java_example, node, node_example
from tests.integration.traffic.conftest import breakable, world
from tests.integration.traffic.world import World, build

__all__ = ["breakable", "java", "java_example", "node", "node_example", "world"]


@pytest.fixture(scope="module")
def shared(machines: Machines) -> Iterator[World]:
    """One world for all tests of a module that begin with `asking.fresh`."""
    dsns = machines.new_pair("traffic", build)
    made = World.opened(*dsns)
    yield made
    made.close()
    machines.drop_pair(dsns)


@pytest.fixture
def asking(world: World) -> Iterator[Asking]:
    with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
        yield Asking(conn)
