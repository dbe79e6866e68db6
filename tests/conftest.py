"""Which servers do the tests run on?

Connection strings on the command line win, then containers if asked for, then servers embedded in Python packages
(the default, needs neither Docker nor network). Tests never know which they got.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Its plugin imports it when a run ends. Parsing it then fails (SystemError: AST constructor recursion depth mismatch)
# when workflows that were stopped half-way are collected at that moment.
hypothesis = importlib.import_module("hypothesis")
# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.proxy",
    "tests.fixtures.replica",
    "tests.fixtures.roles",
    "tests.fixtures.temporal",
    "tests.fixtures.shop",
    "tests.fixtures.tls",
    "tests.fixtures.rds",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("migrator")
    group.addoption("--classic-dsn", help="a superuser's connection to a server whose databases stand for classic")
    group.addoption("--limitless-dsn", help="the same for limitless; a stand-in is installed unless it is Limitless")
    group.addoption("--infra", choices=("embedded", "containers"), default="embedded", help="where servers come from")
    group.addoption("--pg-bin", type=Path, help="directory of initdb and postgres, for another PostgreSQL version")


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("classic_dsn") or config.getoption("limitless_dsn"):
        where = "servers given on the command line"
    elif config.getoption("infra") == "containers":
        where = "PostgreSQL in containers, Temporal embedded"
    else:
        where = f"embedded PostgreSQL ({config.getoption('pg_bin') or 'from the wheel'}), Temporal embedded"
    return f"infra: {where}"


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("infra") == "containers":
        from tests.fixtures.containers import require_engine  # only then is testcontainers needed

        require_engine()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what breaks containers where there are none."""
    for_containers = ("tests/containers", "tests/acceptance/test_compose.py")
    if config.getoption("infra") != "containers" and collection_path.as_posix().endswith(for_containers):
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On containers, leave out integration tests that use no server of the run: they would be the same again.

    So are tests of the stand-in's routers, which stand before embedded servers only, and those marked "once".
    """
    if config.getoption("infra") != "containers":
        return
    servers = {"machines", "own_machines", "_new_pair"}
    same = [
        item
        for item in items
        if "/integration/" in item.path.as_posix()
        and (
            item.get_closest_marker("routers") or item.get_closest_marker("once") or not servers & set(_fixtures(item))
        )
    ]
    if same:
        config.hook.pytest_deselected(items=same)
        items[:] = [i for i in items if i not in same]


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture(autouse=True)
def no_shared_session_of_aws() -> Iterator[None]:
    """boto3's default session keeps the credentials of the test that made it."""
    yield
    if boto3 := sys.modules.get("boto3"):
        vars(boto3)["DEFAULT_SESSION"] = None
