"""What a plan says for rehearsals has no effect on a cluster that no rehearsal made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import rehearsal
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.errors import PlanInvalid
from migrator.plan.load import digest, from_body
from migrator.plan.schema import Plan
from tests.fixtures.operator import Operator
from workflows.activities.stabilize import _check
from workflows.messages import CheckInput

pytestmark = pytest.mark.pg

CONTAINERS = """
name = "compose"
[classic]
writer = "env:MIGRATOR_CLASSIC_DSN"
[limitless]
dsn = "env:MIGRATOR_LIMITLESS_DSN"
[temporal]
address = "127.0.0.1:7233"
[rehearsal]
clock_scale = 800_000.0
"""
BODY: dict[str, Any] = {
    "name": "real",
    "classic": {"writer": "env:A"},
    "limitless": {"dsn": "env:B"},
    "rehearsal": {"clock_scale": 800_000.0},
}


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        conn.execute("CREATE TABLE public.orders (tenant_id bigint NOT NULL, id bigint PRIMARY KEY)")
        yield conn


def days_left(conn: psycopg.Connection[Any], plan: Plan) -> float:
    """How many real days a window has left that begins now."""
    now = time.time()
    return (_check(conn, CheckInput(plan=plan.name, now_s=now), plan).window.deadline_s - now) / 86_400


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"classic": {"writer": "local:classic"}},
        {"limitless": {"dsn": "local:limitless"}},
        {"temporal": {"address": "local"}},
        {"classic": {"writer": "env:MIGRATOR_CLASSIC_DSN"}, "limitless": {"dsn": "env:MIGRATOR_LIMITLESS_DSN"}},
        {"classic": {"writer": "local:classic"}, "limitless": {"dsn": "local:limitless"},
         "temporal": {"address": "temporal.prod:7233"}},
    ],
)  # fmt: skip
def test_a_plan_for_a_real_cluster_has_no_such_section(section: dict[str, Any]) -> None:
    with pytest.raises(PlanInvalid, match="rehearsal: a section for rehearsals"):
        from_body({**BODY, **section})


def test_ninety_days_stay_ninety_days(classic: psycopg.Connection[Any]) -> None:
    """Also for a worker that was given such a plan past every check; on a rehearsal's classic they pass quickly."""
    plan = Plan.model_validate(BODY)
    install(classic, plan.name, digest(plan), {}, {})
    assert days_left(classic, plan) == pytest.approx(90, abs=0.01)

    classic.execute("DELETE FROM migrator.report")
    rehearsal.mark(classic)
    assert days_left(classic, plan) < 0.001


def test_the_containers_plan_is_refused_on_a_cluster_that_no_rehearsal_made(
    classic: psycopg.Connection[Any], classic_dsn: str, limitless_dsn: str, tmp_path: Path
) -> None:
    """Its references may mean anything: the variables are set to a real cluster here."""
    path = tmp_path / "plan.toml"
    path.write_text(CONTAINERS)
    operator = Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": classic_dsn, "MIGRATOR_LIMITLESS_DSN": limitless_dsn})

    check = operator("plan", "check", str(path), "--connect")
    run = operator("run", "--plan", str(path), "--yes")

    assert (check.code, run.code) == (2, 2)
    assert "this classic was not made by a rehearsal" in check.err and "not made by a rehearsal" in run.err
    assert classic.execute("SELECT to_regnamespace('migrator')").fetchone() == (None,), "nothing was touched"
    rehearsal.mark(classic)
    assert operator("plan", "check", str(path), "--connect").code == 0
