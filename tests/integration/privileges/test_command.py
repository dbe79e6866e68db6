"""`migrator grant --for …`: what it prints and does for the tool's own role, for readers, and for applications."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.control.install import install, install_limitless
from migrator.db.connect import connect
from migrator.model.side import Side
from migrator.plan.load import digest, dump, shim_settings
from migrator.privileges.require import blockers
from tests.fixtures.operator import PLAN, Operator
from tests.fixtures.rds import Rds
from tests.fixtures.roles import PASSWORD
from tests.fixtures.world import plan_of

pytestmark = [pytest.mark.pg, pytest.mark.once]

SHOP = plan_of("shop", schemas=["app"])


@pytest.fixture
def operator(rds: Rds, tmp_path: Path) -> Operator:
    """A plan whose connection strings are of the tool's roles, which have nothing yet, and an owner's table."""
    rds.roles.on_classic("owner", "NOLOGIN")
    rds.sql(
        "CREATE SCHEMA app AUTHORIZATION {owner}",
        "SET ROLE {owner}",
        "CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY)",
        "RESET ROLE",
    )
    (tmp_path / "plan.toml").write_text(PLAN)
    environment = {
        "A": rds.classic_dsn, "B": rds.limitless_dsn, "ADMIN": rds.admin_dsn, "THERE": rds.limitless_admin_dsn,
        "MIGRATOR_PLAN": str(tmp_path / "plan.toml"),
    }  # fmt: skip
    return Operator(tmp_path, environment)


def test_the_tools_role_gets_what_it_lacks_from_an_administrator(rds: Rds, operator: Operator) -> None:
    tool = rds.roles.name("tool")
    for side, admin in (("classic", "env:ADMIN"), ("limitless", "env:THERE")):
        words = ("grant", tool, "--for", "tool", "--on", side)
        shown = operator(*words, "--dry-run")
        alone = operator(*words, "--yes")
        asked = operator(*words, "--admin", admin)
        done = operator(*words, "--admin", admin, "--yes")
        again = operator(*words, "--admin", admin, "--json")

        assert shown.code == 0 and "GRANT CREATE ON DATABASE" in shown.out + shown.err
        assert alone.code == 2 and "does not give rights to itself" in alone.err
        assert asked.code == 2 and "confirmation" in asked.err
        assert (done.code, again.code, again.json) == (0, 0, {"role": tool, "done": []}), done.err
    for dsn, which in ((rds.classic_dsn, Side.CLASSIC), (rds.limitless_dsn, Side.LIMITLESS)):
        with connect(dsn, "test") as conn:
            assert blockers(conn, which, SHOP.tables) == ()


def test_the_printed_sql_makes_a_role_that_has_everything(rds: Rds, operator: Operator) -> None:
    """Printed for a name of any kind, run as it is; the password is a person's to set, and is nowhere."""
    name = rds.roles.name('migrator "tool";\n--x')
    printed = operator("grant", name, "--for", "tool", "--sql")
    rds.admin.execute(printed.out.encode())
    rds.admin.execute(f"ALTER ROLE {_quoted(name)} PASSWORD '{PASSWORD}'".encode())

    assert printed.code == 0 and "PASSWORD" not in printed.out
    with connect(rds.roles.dsn(rds.admin_dsn, 'migrator "tool";\n--x'), "test") as conn:
        assert blockers(conn, Side.CLASSIC, SHOP.tables) == ()
        assert conn.execute(
            "SELECT rolsuper, rolreplication FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (
            False,
            False,
        )
    whole = operator("grant", rds.roles.name("tool"), "--for", "tool", "--sql", "--json")
    assert whole.json["on"] == "classic" and any("migrator_guards" in s for s in whole.json["statements"])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


LOOKS = (
    "status", "report", "report migration", "report decisions", "report incidents", "mirror status",
    "mirror quarantine", "backfill status", "notify status", "tenant show", "breaker show", "schema status",
    "incident alarms", "validation history", "plan history", "decommission check",
)  # fmt: skip


def test_a_reader_sees_everything_and_changes_nothing(rds: Rds, operator: Operator) -> None:
    rds.lend(["app"])
    rds.lend_there(["app"])
    rds.roles.on_classic("board")
    rds.roles.on_limitless("board")
    with connect(rds.classic_dsn, "test") as classic, connect(rds.limitless_dsn, "test") as limitless:
        install(classic, "shop", digest(SHOP), dump(SHOP), shim_settings(SHOP))
        install_limitless(limitless)
    board = rds.roles.name("board")
    for side in ("classic", "limitless"):
        done = operator("grant", board, "--for", "reader", "--on", side)
        assert done.code == 0, done.err
    mine = {"A": rds.roles.dsn(rds.admin_dsn, "board"), "B": rds.roles.dsn(rds.limitless_dsn, "board")}

    refused = {}
    for words in LOOKS:
        told = operator(*words.split(), **mine)
        if "permission denied" in told.out + told.err or told.code not in (0, 3):
            refused[words] = (told.code, told.err)
    assert refused == {}, refused
    rolled = operator("rollback", "--all", "--reason", "test", **mine)
    assert rolled.code == 3 and "permission denied for table switch" in rolled.err


def test_what_does_not_fit_is_one_clear_error(rds: Rds, operator: Operator) -> None:
    there = operator("grant", "web", "--on", "limitless")
    admin = operator("grant", "web", "--admin", "env:ADMIN")
    early = operator("grant", "web", "--for", "reader", "--on", "limitless")

    assert there.code == 2 and "are those it has on classic" in there.err
    assert admin.code == 2 and "--admin is for --for tool" in admin.err
    assert early.code == 3 and "migrator provision" in early.err
