"""Fresh worlds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fixtures.postgres import Machines, Servers
from tests.fixtures.replica import Standbys
from tests.integration.traffic.replicated import Replicated
from tests.integration.traffic.world import World, build


@pytest.fixture
def world(machines: Machines) -> Iterator[World]:
    dsns = machines.new_pair("traffic", build)
    made = World.opened(*dsns)
    yield made
    made.close()
    machines.drop_pair(dsns)


@pytest.fixture
def breakable(servers: Servers) -> Iterator[World]:
    """A world on servers that may be stopped."""
    made = World.make(servers.classic_dsn, servers.limitless_dsn)
    yield made
    made.close()


@pytest.fixture
def replicated(breakable: World, standbys: Standbys) -> Iterator[Replicated]:
    with ExitStack() as stack:
        yield Replicated(breakable, standbys, stack)
