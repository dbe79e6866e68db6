"""Servers with everything PostgreSQL can be built with, for what the embedded ones lack."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fixtures.postgres import Cluster, Machines, fresh_name

NEEDED = ("--with-libxml", "--with-icu")
MISSING = (
    "no PostgreSQL with xml and ICU is here (the embedded one has neither): install the distribution's"
    " (apt-get install postgresql), or name a directory of initdb and postgres in MIGRATOR_TEST_PG_BINS"
)


def full_build() -> Path | None:
    """Return the programs of a PostgreSQL on this machine that has xml and ICU; the oldest one, as classic is."""
    named = [Path(p) for p in os.environ.get("MIGRATOR_TEST_PG_BINS", "").split(":") if p]
    for path in [*named, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]:
        if (path / "initdb").is_file() and (path / "pg_config").is_file():
            done = subprocess.run([path / "pg_config", "--configure"], capture_output=True, text=True)
            if all(option in done.stdout for option in NEEDED):
                return path
    return None


def has_all(admin: str) -> bool:
    """Whether the server at *admin* has xml and ICU."""
    with psycopg.connect(admin, autocommit=True) as conn:
        try:
            conn.execute("SELECT xml '<a/>'")
        except psycopg.errors.FeatureNotSupported:
            return False
        row = conn.execute("SELECT count(*) FROM pg_collation WHERE collprovider = 'i'").fetchone()
        return bool(row and row[0])


@pytest.fixture(scope="session")
def full_machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    """Servers with xml and ICU: those of the run if they have both, else the distribution's."""
    of_the_run: Machines = request.getfixturevalue("machines")
    if has_all(of_the_run.classic_admin) and has_all(of_the_run.limitless_admin):
        yield of_the_run
        return
    path = full_build()
    if path is None:
        pytest.skip(MISSING)
    cluster = Cluster(path)
    try:
        with cluster.pair() as found:
            yield found
    finally:
        cluster.remove()


@pytest.fixture
def full_dsns(full_machines: Machines) -> Iterator[tuple[str, str]]:
    """Fresh databases on servers with xml and ICU: classic, limitless."""
    names = fresh_name("classic"), fresh_name("limitless")
    yield full_machines.new_classic(names[0]), full_machines.new_limitless(names[1])
    full_machines.drop(*names)
