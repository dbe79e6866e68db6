"""The shop that 0.1.0 left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.db.connect import connect
from tests.fixtures.postgres import Machines
from tests.integration.upgrade.earlier import Connection, Earlier, Seed, earlier, load_classic, seed


@pytest.fixture(scope="package")
def loaded(machines: Machines) -> Iterator[Seed]:
    """What 0.1.0 left, loaded once."""
    if machines.is_real_limitless:
        pytest.skip("every test has a copy of the databases, and those of a Limitless cluster cannot be copied")
    with seed(machines) as made:
        yield made


@pytest.fixture
def old(machines: Machines, loaded: Seed, tmp_path: Path) -> Iterator[Earlier]:
    """Both sides as 0.1.0 left them."""
    with earlier(machines, loaded, tmp_path) as made:
        yield made


@pytest.fixture
def alone(classic_dsn: str) -> Iterator[Connection]:
    """Classic as 0.1.0 left it, for what does not touch Limitless."""
    with connect(classic_dsn, "test") as conn:
        load_classic(conn)
        yield conn
