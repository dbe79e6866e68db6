"""Worlds of two databases, with Django on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import conninfo

from migrator.django.options import ENGINE
from migrator.shim import Settings
from tests.fixtures.django_project import databases, set_up
from tests.fixtures.postgres import Machines, Servers
from tests.integration.traffic.world import QUICK, World, build

set_up()  # before the modules of tests import models


def entry(world: World, **options: Any) -> dict[str, Any]:
    """What settings say of the default database."""
    parts = conninfo.conninfo_to_dict(world.classic_dsn)
    return {
        "ENGINE": ENGINE,
        "NAME": parts.pop("dbname"),
        "USER": parts.pop("user"),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host"),
        "PORT": parts.pop("port"),
        "OPTIONS": parts,
        "MIGRATOR": {"limitless": world.limitless_dsn, "name": "web", "settings": QUICK, **options},
    }


READS = {"ENGINE": ENGINE, "MIGRATOR": {"reads_of": "default"}}


@pytest.fixture
def quick() -> Settings:
    return QUICK


@pytest.fixture
def world(machines: Machines, quick: Settings) -> Iterator[World]:
    dsns = machines.new_pair("traffic", build)
    made = World.opened(*dsns)
    with databases(default=entry(made, settings=quick), reads=READS):
        yield made
    made.close()
    machines.drop_pair(dsns)


@pytest.fixture
def breakable(servers: Servers) -> Iterator[World]:
    """The same on servers that may be stopped."""
    made = World.make(servers.classic_dsn, servers.limitless_dsn)
    with databases(default=entry(made), reads=READS):
        yield made
    made.close()
