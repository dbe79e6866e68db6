"""Who still uses classic: what kind it is, its share, and whether the decommission waits for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from migrator.control.sighting import Seen
from migrator.preflight.known import UserKind, kind_of
from migrator.preflight.readers import DAY_S, left, readers

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def seen(application: str, role: str = "app", *, active: int = 0, age_s: float = 60, kind: str = "session") -> Seen:
    return Seen("writer", kind, "shop", role, application, NOW, NOW, 10, 1, ("10.0.0.1",), age_s, active)


@pytest.mark.parametrize(
    ("application", "role", "kind"),
    [
        ("migrator-shim:web-1", "app", UserKind.SHIM),
        ("Metabase v1.2", "bi", UserKind.BI),
        ("", "bi_reader", UserKind.PROGRAM),
        ("", "reporting", UserKind.JOB),
        ("nightly-export", "app", UserKind.JOB),
        ("airflow-worker", "etl", UserKind.JOB),
        ("psql", "ana", UserKind.PERSON),
        ("pg_dump", "backup", UserKind.BACKUP),
        ("Datadog Agent", "dd", UserKind.MONITORING),
        ("PgBouncer", "app", UserKind.POOLER),
        ("Größe'; DROP", "app", UserKind.PROGRAM),
        ("transport", "app", UserKind.PROGRAM),
        ("", "", UserKind.PROGRAM),
    ],
)
def test_a_kind_is_told_by_names(application: str, role: str, kind: UserKind) -> None:
    assert kind_of(application, role) is kind


def test_those_that_keep_the_end_waiting_come_first() -> None:
    found = readers(
        [
            seen("migrator-shim:web-1", active=60),
            seen("migrator-shim:unknown", active=0),
            seen("Metabase", "bi", active=30),
            seen("nightly", "jobs", active=10),
            seen("psql", "ana", age_s=8 * DAY_S),
            seen("migrator worker", "tool", active=500),
            seen("walreceiver", "rep", kind="walsender"),
        ],
        {"web-1"},
        7,
    )

    assert [(r.application, r.left) for r in found] == [
        ("Metabase", True), ("nightly", True), ("migrator-shim:unknown", True),
        ("migrator-shim:web-1", False), ("psql", False),
    ]  # fmt: skip
    assert [r.share for r in found] == [0.3, 0.1, 0.0, 0.6, 0.0], "this tool's own statements are in no share"
    assert left(found) == 3


def test_without_a_running_statement_there_is_no_share() -> None:
    (one,) = readers([seen("Metabase")], (), 7)
    assert one.share is None
