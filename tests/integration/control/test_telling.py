"""What is committed on classic is told once: in whatever order transactions commit, and never what was rolled back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control.incident import add_incident
from migrator.control.install import install
from migrator.control.log import decide, decide_each
from migrator.control.phase import set_phase
from migrator.control.telling import Teller
from migrator.db.connect import connect

pytestmark = pytest.mark.pg


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        yield conn


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    found = [(r.message, *(vars(r).get(k) for k in ("subject", "state", "count"))) for r in caplog.records]
    caplog.clear()
    return [tuple(part for part in one if part is not None) for one in found]


def test_once_each_and_only_what_was_committed(
    classic: psycopg.Connection[Any], classic_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "migrator")
    teller = Teller()
    decide(classic, "Ada", "tenant.held", "tenant/1", "why")
    teller.step(classic)
    first = told(caplog)
    with connect(classic_dsn, "late") as late:
        late.autocommit = False
        decide(late, "Ada", "tenant.held", "tenant/late", "it commits after one with a higher number")
        with classic.transaction(force_rollback=True):
            decide(classic, "Ada", "tenant.held", "tenant/never", "rolled back")
        decide_each(classic, "cutover", "route.moved", "up", {f"tenant/{n}\n": None for n in range(2000)})
        teller.step(classic)
        second = told(caplog)
        late.commit()
    teller.step(classic)
    third = told(caplog)
    teller.step(classic)

    assert first == [("tenant.held", "tenant/1")]
    assert second == [("route.moved", "tenant/0\n", 2000)]
    assert third == [("tenant.held", "tenant/late")]
    assert told(caplog) == []


def test_incidents_and_phases(classic: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture) -> None:
    """A blocker whose seconds change is the same blocker; an incident that happens again has its count."""
    caplog.set_level(logging.INFO, "migrator")
    teller = Teller()
    teller.step(classic)
    for _ in range(2):
        add_incident(classic, "journal", "the journal holds 5 MB", "mirror")
    set_phase(classic, "dual_write", "blocked", blockers=["partition 1 is 14.2 s behind (limit 5 s)"])
    teller.step(classic)
    began = told(caplog)
    set_phase(classic, "dual_write", "blocked", blockers=["partition 1 is 1,019.9 s behind (limit 5 s)"])
    teller.step(classic)
    same = told(caplog)
    set_phase(classic, "dual_write", "done")
    teller.step(classic)

    assert began == [("incident.recorded",), ("phase.changed", "blocked", 1)]
    assert same == [] and told(caplog) == [("phase.changed", "done")]


def test_another_worker_goes_on_where_the_first_one_ended(
    classic: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What is a minute old was told by the one before."""
    caplog.set_level(logging.INFO, "migrator")
    classic.execute(
        "INSERT INTO migrator.decision (at, who, kind, subject, reason)"
        " VALUES (now() - interval '2 minutes', 'Ada', 'tenant.held', 'tenant/old', 'why')"
    )
    decide(classic, "Ada", "tenant.released", "tenant/new", "why")
    Teller().step(classic)

    assert told(caplog) == [("tenant.released", "tenant/new")]
