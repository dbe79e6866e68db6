"""Worlds of two databases, with Django on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg import conninfo

from migrator.django.options import ENGINE
from tests.fixtures.django_project import databases, set_up
from tests.fixtures.postgres import Machines, Servers
from tests.integration.traffic.world import CALM, World, build

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
        "MIGRATOR": {"limitless": world.limitless_dsn, "name": "web", "settings": PATIENT, **options},
    }


READS = {"ENGINE": ENGINE, "MIGRATOR": {"reads_of": "default"}}


PATIENT = replace(CALM, ack_wait_s=60.0)
"""So that a busy machine brings about no fallback that a test did not ask for."""


@pytest.fixture
def world(machines: Machines) -> Iterator[World]:
    dsns = machines.new_pair("traffic", build)
    made = World.opened(*dsns)
    with databases(default=entry(made), reads=READS):
        yield made
    made.close()
    machines.drop_pair(dsns)


@pytest.fixture
def breakable(servers: Servers) -> Iterator[World]:
    """The same on servers that may be stopped; a write does not wait long for a mirror that cannot apply it."""
    made = World.make(servers.classic_dsn, servers.limitless_dsn)
    with databases(default=entry(made, settings=replace(CALM, ack_wait_s=0.4)), reads=READS):
        yield made
    made.close()
