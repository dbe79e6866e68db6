"""The tool asks a cluster what it can do, and works with what it cannot."""

from __future__ import annotations

import psycopg
import pytest

from migrator.db.connect import connect
from migrator.local.lacks import LACKS
from migrator.model.capability import Answer, Capability
from migrator.provision.probing import ask
from tests.fixtures.postgres import with_parts

pytestmark = pytest.mark.pg


def lacking(dsn: str, *names: str) -> str:
    """The connection string of a Limitless that lacks *names*."""
    return with_parts(dsn, options=f"-c rds_aurora.standin_lacks={','.join(names)}")


def asked(dsn: str) -> dict[Capability, Answer]:
    with connect(dsn, "test") as limitless:
        return {answer.capability: answer for answer in ask(limitless)}


def test_smoke(limitless_dsn: str) -> None:
    import time
    t=time.time()
    for c, a in asked(limitless_dsn).items():
        print(c, a)
    print(time.time()-t)
    assert 0
