"""What tests of the backend do again and again."""

from __future__ import annotations

from typing import Any

from django.db import connections

from migrator.django import shim_of
from migrator.shim import Shim
from tests.fixtures.waiting import eventually
from tests.integration.django_backend.models import Note
from tests.integration.traffic.world import World, up


def moved(world: World, *tenants: str) -> Shim:
    """Move reads to Limitless, and wait until this process knows."""
    shim = shim_of()
    up(world, *tenants)
    told(world, shim)
    return shim


def told(world: World, shim: Shim) -> None:
    """Wait until the process has applied the newest change of routes."""
    row = world.classic.execute("SELECT epoch FROM migrator.switch").fetchone()
    assert row is not None
    eventually(lambda: shim._current.view.epoch >= row[0], "the process knows")


def side(using: str = "default") -> str:
    """Return which side answers a statement here."""
    name = str(asked("SELECT current_database()", using=using))
    return name.partition("_")[0]


def asked(statement: str, params: Any = None, using: str = "default") -> Any:
    """Return the first value of a statement of raw SQL."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchone()[0]


def note(number: int, text: str = "hello", tenant_id: str = "t1") -> Note:
    """Make a row of app.note."""
    made: Note = Note.objects.create(id=number, tenant_id=tenant_id, body=text)
    return made
