"""A shim that applications test with, on a database with the shop's tables, and sessions on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from migrator.shim import Settings
from migrator.sqlalchemy import ShimSessions
from migrator.testing import MemoryShim
from tests.fixtures.postgres import Machines
from tests.integration.sqlalchemy.shop import build
from tests.integration.traffic.conftest import world

__all__ = ["world"]

SETTINGS = Settings(closed_wait_s=0.5, ack_wait_s=0.4)


@pytest.fixture
def dsn(machines: Machines) -> Iterator[str]:
    """A fresh database with the shop's tables."""
    found = machines.new_pair("sqlalchemy", build)
    yield found[0]
    machines.drop_pair(found)


@pytest.fixture
def shim(dsn: str) -> Iterator[MemoryShim]:
    with MemoryShim(classic=dsn, pool_size=4, settings=SETTINGS) as made:
        yield made


@pytest.fixture
def sessions(shim: MemoryShim) -> ShimSessions[Session]:
    return ShimSessions(shim)
