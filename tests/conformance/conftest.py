"""Worlds whose shims have either front."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.front import FRONTS, no_loop_blocks
from tests.fixtures.postgres import Machines, Servers
from tests.integration.traffic.world import CALM, World, build


class Fronted(World):
    """A world whose processes have the front that is to be tried."""

    front: Callable[..., Any]

    def shim(self, name: str = "web", settings: Any = CALM, **options: Any) -> Any:
        return self.front(self.classic_dsn, self.limitless_dsn, name, settings=settings, **options)


@pytest.fixture(params=["asyncio", pytest.param("threads", marks=pytest.mark.slow)])
def front(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """That of threads in the slow runs alone: tests/integration/traffic/ is about it."""
    return FRONTS[request.param]


@pytest.fixture
def world(machines: Machines, front: Callable[..., Any]) -> Iterator[World]:
    dsns = machines.new_pair("traffic", build)
    made = Fronted.opened(*dsns)
    assert isinstance(made, Fronted)
    made.front = front
    yield made
    made.close()
    machines.drop_pair(dsns)


@pytest.fixture
def breakable(servers: Servers, front: Callable[..., Any]) -> Iterator[World]:
    """A world on servers that may be stopped."""
    made = Fronted.make(servers.classic_dsn, servers.limitless_dsn)
    assert isinstance(made, Fronted)
    made.front = front
    yield made
    made.close()


@pytest.fixture(autouse=True)
def unblocked() -> Iterator[None]:
    """Whatever a scenario asks of the front for asyncio, its event loop goes on."""
    with no_loop_blocks():
        yield
