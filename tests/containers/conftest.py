"""Servers of a module's own, in containers that its tests may break; the shop then stands on those."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.postgres import Servers
from tests.fixtures.shop import Shop, new_shop


@pytest.fixture
def shop(servers: Servers) -> Iterator[Shop]:
    with new_shop(servers.classic_dsn, servers.limitless_dsn) as made:
        yield made
