"""`migrator roles`: what an operator reads about the roles of both sides, and does about them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from migrator.control.install import install
from migrator.db.connect import connect
from migrator.plan.load import digest, dump, shim_settings
from migrator.plan.schema import Plan
from migrator.rights.check import check
from migrator.rights.follow import changed, follow
from tests.fixtures.operator import Operator
from tests.fixtures.roles import PASSWORD
from tests.fixtures.waiting import until
from tests.integration.rights.conftest import Land
from workflows.activities import incident
from workflows.activities.base import Context

pytestmark = pytest.mark.pg

PLAN = """
name = "test"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
[tables]
schemas = ["app"]
[tables.table."app.line"]
kind = "sharded"
via = "order_id -> app.orders.id"
"""


@pytest.fixture
def operator(land: Land, tmp_path: Path) -> Operator:
    """Whoever types commands about this land."""
    (tmp_path / "plan.toml").write_text(PLAN)
    install(land.classic, "test", digest(land.plan), dump(land.plan), shim_settings(land.plan))
    environment = {"A": land.classic_dsn, "B": land.limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    return Operator(tmp_path, environment)


def test_roles_of_one_side_and_of_both_are_listed_with_what_differs(land: Land, operator: Operator) -> None:
    """And what only people can do: logins. No password is asked for, printed or sent."""
    web, readers = land.roles.on_classic("web"), land.roles.on_classic("readers", "NOLOGIN")
    dba = land.roles.on_limitless("Odd Role")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT ON app.orders TO {web}", "GRANT {readers} TO {web}")
    land.sql("GRANT SELECT ON app.tenant TO {readers}")
    land.provision()
    land.there(f'GRANT SELECT ON app.orders TO "{dba}"')

    done = operator("roles", "--json")

    assert done.code == 3
    lines = {line["role"]: line for line in done.json["roles"]}
    assert {name: lines[name]["where"] for name in (web, readers, dba)} == {
        web: "both", readers: "both", dba: "Limitless only",
    }  # fmt: skip
    assert lines[web]["member_of"] == [readers]
    assert (lines[web]["classic"]["can_login"], lines[web]["limitless"]["can_login"]) == (True, False)
    assert [d.rsplit(" (", 1)[1] for d in lines[web]["differences"]] == [f"rights/{web}/login)"]
    assert lines[dba]["limitless"]["can_login"] and lines[dba]["classic"] is None
    assert any(f"may SELECT app.orders on Limitless and not on classic (rights/{dba}/app.orders)" in d
               for d in lines[dba]["differences"])  # fmt: skip
    assert [s.split("; ")[0] for s in done.json["by_hand"]] == [f'ALTER ROLE "{web}" LOGIN']
    plain = operator("roles")
    assert plain.code == 3 and "by hand on Limitless: ALTER ROLE" in plain.out and "Limitless only" in plain.out
    for secret in ("SCRAM-SHA-256", PASSWORD):
        assert secret not in done.out + done.err + plain.out + plain.err


def test_apply_brings_everything_to_classic(land: Land, operator: Operator) -> None:
    """Shown before, done once, said when nothing is left; a login stays a person's decision."""
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT ON app.orders TO {web}")
    land.provision()
    land.sql("GRANT INSERT ON app.orders TO {web}")
    land.there("GRANT DELETE ON app.orders TO {web}")

    shown = operator("roles", "--apply", "--dry-run")
    assert shown.code == 0
    assert "Revoke DELETE on app.orders" in shown.out and "Grant INSERT on app.orders" in shown.out
    assert len(land.check()) == 3, "INSERT, the sequence behind its identity, DELETE"
    assert operator("roles", "--apply").code == 2, "without a terminal it is not asked"

    done = operator("roles", "--apply", "--yes", "--as", "Ada")
    assert (done.code, "Rights on Limitless are as on classic." in done.out) == (0, True)
    assert land.check() == []
    row = land.classic.execute("SELECT who FROM migrator.decision")
    assert row.fetchone() == ("Ada",)
    assert operator("roles").code == 0
    assert operator("roles", "--dry-run").code == 2


@pytest.mark.asyncio(loop_scope="session")
async def test_a_worker_follows_by_itself(
    land: Land, operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From dual write on, beside the breaker monitor."""
    web = land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT, DELETE ON app.orders TO {web}")
    land.provision()
    for name, value in operator.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(incident, "RIGHTS_S", 0.1)
    plan = Plan.model_validate({**dump(land.plan), "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}})
    keeping = asyncio.create_task(incident.IncidentActivities(Context(plan))._keep())
    try:
        land.sql("REVOKE DELETE ON app.orders FROM {web}")

        async def closed() -> bool:
            row = land.limitless.execute("SELECT has_table_privilege(%s, 'app.orders', 'DELETE')", (web,)).fetchone()
            return row == (False,)

        await until(closed, "Limitless is closed too")
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


def test_a_tool_without_superuser_does_all_of_it(land: Land) -> None:
    """On classic it reads what every role may read, and keeps the answer in its own schema."""
    install(land.classic, "test", "digest", {}, {})
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT, DELETE ON app.orders TO {web}")
    land.provision()
    land.roles.on_classic("report")
    land.sql(
        "GRANT USAGE ON SCHEMA migrator TO {report}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA migrator TO {report}",
        "GRANT INSERT, UPDATE ON migrator.rights_check, migrator.decision TO {report}",
        "REVOKE DELETE ON app.orders FROM {web}",
    )
    with connect(land.roles.dsn(land.classic_dsn, "report"), "test") as tool:
        assert tool.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
        assert changed(tool, ["app"])
        done = follow(tool, land.limitless, ["app"])
        assert (done.refused, done.blockers) == ((), ())
        assert check(tool, land.limitless, ["app"]) == ()
    with (
        psycopg.connect(land.roles.dsn(land.limitless_dsn, "web"), autocommit=True) as web,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        web.execute("DELETE FROM app.orders")
