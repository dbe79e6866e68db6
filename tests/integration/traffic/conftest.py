"""Fresh worlds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.postgres import Servers
from tests.integration.traffic.world import World


@pytest.fixture
def world(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    made = World.make(classic_dsn, limitless_dsn)
    yield made
    made.close()


@pytest.fixture
def breakable(servers: Servers) -> Iterator[World]:
    """A world on servers that may be stopped."""
    made = World.make(servers.classic_dsn, servers.limitless_dsn)
    yield made
    made.close()
