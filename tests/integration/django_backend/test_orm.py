"""Django's ORM on the shim: what its users rely on, while tenants move."""

from __future__ import annotations

import pytest
from django.db import transaction

from migrator.django import reading, shim_of, tenant
from migrator.shim import Shim
from tests.fixtures.waiting import eventually
from tests.integration.django_backend.models import Note
from tests.integration.traffic.world import World, up

pytestmark = pytest.mark.pg


def moved(world: World, *tenants: str) -> Shim:
    """Move reads to Limitless, and wait until this process knows."""
    shim = shim_of()
    up(world, *tenants)
    view = world.classic.execute("SELECT epoch FROM migrator.switch").fetchone()
    assert view is not None
    eventually(lambda: shim._current.view.epoch >= view[0], "the process knows")
    return shim


def test_smoke(world: World) -> None:
    with tenant("t1"):
        Note.objects.create(tenant_id="t1", id=1, body="hello")
        assert Note.objects.get(id=1).body == "hello"
        with transaction.atomic():
            Note.objects.filter(id=1).update(body="there")
        with reading():
            assert [n.body for n in Note.objects.all()] == ["there"]
