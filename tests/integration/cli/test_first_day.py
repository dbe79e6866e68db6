"""On a classic that nothing was installed on: what is asked on the first day answers, or says what is missing."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.fixtures.operator import PLAN, Done, Operator

pytestmark = [pytest.mark.pg, pytest.mark.once]


@pytest.fixture
def operator(classic_dsn: str, limitless_dsn: str, tmp_path: Path) -> Operator:
    (tmp_path / "plan.toml").write_text(PLAN)
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA app")
        conn.execute("CREATE TABLE app.note (tenant_id text, id int, PRIMARY KEY (tenant_id, id))")
    dsns = {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    return Operator(tmp_path, dsns)


def test_how_much_is_needed_is_measured_before_anything_is_installed(operator: Operator) -> None:
    done = operator("size", "--seconds", "0.1", "--json")

    assert done.code == 3, done  # processes and rate were not said, and both are named
    writes = {figure["name"]: figure for figure in done.json["figures"]}["dual_write.parts"]
    assert writes["value"] == 1 and not done.err


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("drill", "restore", "--restored", "env:A", "--yes"), 3, "no plan was started"),
        (("drill", "restore", "--restored", "zzz", "--yes"), 2, "not a reference"),
        (("drill", "restore", "--restored", "env:NOWHERE", "--yes"), 2, "NOWHERE is not set"),
        (("drill", "rollback", "--tenant", "x", "--yes"), 3, "no plan was started"),
        (("decommission", "status"), 0, "No migration was started"),
        (("preflight",), 3, "no plan was started"),
        (("gate", "cutover"), 3, "no plan was started"),
        (("log", "--verify"), 3, "no plan was started"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_needs_more_says_so(operator: Operator, command: tuple[str, ...], code: int, said: str) -> None:
    done: Done = operator(*command)
    assert (done.code, said in done.out + done.err) == (code, True), done
