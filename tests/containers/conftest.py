"""Servers of a module's own, in containers that its tests may break; the shop then stands on those."""

from __future__ import annotations

import pytest

from tests.fixtures.postgres import Servers


@pytest.fixture
def classic_dsn(servers: Servers) -> str:
    return servers.classic_dsn


@pytest.fixture
def limitless_dsn(servers: Servers) -> str:
    return servers.limitless_dsn
