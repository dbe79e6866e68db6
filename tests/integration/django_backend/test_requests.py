"""Requests: the middleware, views that read, ATOMIC_REQUESTS, what is made behind the view."""

from __future__ import annotations

import asyncio
import importlib
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncClient, Client
from django.test.utils import override_settings

from migrator.django import current
from migrator.django.middleware import TenantMiddleware
from migrator.django.responses import carried
from migrator.django.scope import Scope
from migrator.testing import Level, MemoryShim
from tests.fixtures.django_project import databases
from tests.integration.django_backend import addresses
from tests.integration.django_backend.addresses import tenant_of, tenant_of_async
from tests.integration.django_backend.conftest import entry
from tests.integration.traffic.world import World, body

pytestmark = [pytest.mark.pg, pytest.mark.once]

SITE: dict[str, Any] = {
    "ROOT_URLCONF": "tests.integration.django_backend.addresses",
    "MIDDLEWARE": ["migrator.django.middleware.TenantMiddleware"],
    "MIGRATOR_TENANT_OF_REQUEST": "tests.integration.django_backend.addresses.tenant_of",
}


@pytest.fixture
def site(world: World) -> Iterator[World]:
    """The views, each request a transaction unless it says otherwise; t1 is read from Limitless."""
    with MemoryShim(classic=world.classic_dsn, limitless=world.limitless_dsn) as shim:
        shim.move("t1", Level.LIMITLESS)
        default = {**entry(world), "MIGRATOR": {"shim": lambda: Opened(shim)}, "ATOMIC_REQUESTS": True}
        with databases(default=default):
            importlib.reload(addresses)  # as a project's views, which are imported when its settings are there
            with override_settings(**SITE):
                yield world


def Opened(shim: MemoryShim) -> MemoryShim:
    shim.open = lambda: None  # type: ignore[method-assign] # it is
    return shim


def test_a_request_is_a_write_unless_its_view_reads(site: World) -> None:
    client = Client()
    assert client.get("/plain?tenant=t1").json() == {"tenant": "t1", "side": "classic", "atomic": True}
    assert client.get("/read?tenant=t1").json() == {"tenant": "t1", "side": "limitless", "atomic": False}
    assert client.get("/read?tenant=u1").json() == {"tenant": "u1", "side": "classic", "atomic": False}
    assert client.get("/plain").json()["tenant"] is None
    assert current().tenant is None

    client.post("/plain?tenant=u1&id=1")
    with pytest.raises(ZeroDivisionError):
        client.post("/plain?tenant=u1&id=2&fail=1")
    assert (body(site, "u1", 1), body(site, "u1", 2)) == ("posted", None)


def test_what_is_made_behind_the_view_is_asked_as_the_view_was(site: World) -> None:
    client = Client()
    assert client.get("/late?tenant=t1").content == b"t1 limitless"
    assert client.get("/stream?tenant=t1").getvalue() == b"t1 limitless;t1 limitless;"
    assert current() == Scope()


def test_a_rendered_response_can_be_kept_by_a_cache() -> None:
    response = carried(addresses._Late("none.html"), Scope())
    response._is_rendered = False
    type(response).rendered_content = property(lambda self: "x")
    response.render()
    assert "render" not in vars(response)
    pickle.dumps(response)


@pytest.mark.parametrize("function", [tenant_of, tenant_of_async])
async def test_async_requests_do_not_mix(site: World, function: Any) -> None:
    with override_settings(MIGRATOR_TENANT_OF_REQUEST=function):
        client = AsyncClient()
        names = ["t1", "u1", "t1", "u1"]
        found = await asyncio.gather(*(client.get(f"/read_async?tenant={name}") for name in names))
        assert [r.json()["side"] for r in found] == ["limitless", "classic", "limitless", "classic"]
        streamed = await client.get("/stream_async?tenant=t1")
        assert b"".join([part async for part in streamed]) == b"t1 limitless;t1 limitless;"


@pytest.mark.parametrize("wrong", [None, "", "no.such.function", tenant_of_async])
def test_a_middleware_without_its_function_says_so(world: World, wrong: Any) -> None:
    with (
        override_settings(MIGRATOR_TENANT_OF_REQUEST=wrong),
        pytest.raises(ImproperlyConfigured, match="MIGRATOR_TENANT"),
    ):
        TenantMiddleware(lambda request: None)
