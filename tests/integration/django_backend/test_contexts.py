"""Whose statements run here: contexts of async views and threads, names of tenants; and what never runs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from migrator.django import current, reading, shim_of, tenant
from migrator.errors import UsageError
from tests.integration.django_backend.models import Note
from tests.integration.django_backend.steps import moved, note, side
from tests.integration.traffic.world import World, body, get

pytestmark = [pytest.mark.pg, pytest.mark.once]


async def test_async_views_carry_their_tenant(world: World) -> None:
    await asyncio.to_thread(moved, world, "t1")

    async def request(name: str, number: int) -> tuple[str, str]:
        with tenant(name):
            await Note.objects.acreate(id=number, tenant_id=name, body=name)
            await asyncio.sleep(0)  # a turn of the loop: other requests go on
            with reading():
                found = await Note.objects.aget(id=number)
            return str(current().tenant), found.body

    with world.mirror():
        got = await asyncio.gather(*(request(name, n) for n, name in enumerate(["t1", "t2", "u1"] * 4)))
    assert got == [(name, name) for name in ["t1", "t2", "u1"] * 4]
    assert current().tenant is None


def test_threads_have_connections_and_tenants_of_their_own(world: World) -> None:
    seen: list[Any] = []

    def work() -> None:
        seen.append(current().tenant)
        with tenant("t2"):
            seen.append(side())
        connections.close_all()

    with tenant("t1"), transaction.atomic():
        note(1)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert body(world, "t1", 1) is None, "still open"
    assert seen == [None, "classic"]
    assert body(world, "t1", 1) == "hello"


@pytest.mark.parametrize("wrong", [None, "", True, "a\x00b", "\udcff"])
def test_a_tenant_is_never_nothing(world: World, wrong: Any) -> None:
    with pytest.raises(UsageError), tenant(wrong):
        pass
    with pytest.raises(UsageError), reading():
        pass


def test_odd_names_are_tenants_too(world: World) -> None:
    for number, name in enumerate(["Größe", "select", 'a "b" c', "100%", "%s"]):
        with tenant(name):
            note(number, name, name)
            with reading():
                assert Note.objects.get(tenant_id=name).body == name


# -- schema ----------------------------------------------------------------------------------------------


def test_migrations_do_not_run_but_are_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="migrator schema apply"):
        call_command("migrate", verbosity=0)
    with pytest.raises(UsageError, match="do not run"), connection.schema_editor():
        pass
    call_command("sqlmigrate", "contenttypes", "0001", no_color=True)
    assert 'CREATE TABLE "django_content_type"' in capsys.readouterr().out
    assert world.classic.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,)
    assert connection.pg_version == world.classic.info.server_version


def test_two_ways_agree_on_what_was_written(world: World) -> None:
    with tenant("t1"):
        note(1, "through the ORM")
    assert shim_of().run_read("t1", get("t1", 1)) == ("classic", "through the ORM")
