"""Event triggers that an administrator's functions make: they guard as others do, and serve nothing else.

The guards run with the rights of the tool's role, which sees less than a superuser: what others do elsewhere passes.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from migrator.control.install import install
from migrator.control.watch import problems
from migrator.dataplane.capture import install as capture
from migrator.dataplane.capture.reinstall import reinstall
from migrator.db.connect import connect
from migrator.plan.tables import resolve_tables
from tests.fixtures.rds import Rds
from tests.fixtures.world import plan_of

pytestmark = [pytest.mark.pg, pytest.mark.once]

DDL = (
    "CREATE SCHEMA app AUTHORIZATION {owner}",
    "CREATE SCHEMA private AUTHORIZATION {stranger}",
    "GRANT USAGE, CREATE ON SCHEMA app TO {stranger}",
    "GRANT {owner} TO {stranger}",
    "SET ROLE {owner}",
    "CREATE TABLE app.part (tenant_id bigint NOT NULL, id bigint NOT NULL, PRIMARY KEY (tenant_id, id))"
    " PARTITION BY RANGE (id)",
    "CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY)",
    "CREATE TABLE app.line (id bigint PRIMARY KEY, user_id bigint REFERENCES app.users)",
    "RESET ROLE",
)

PLAN = plan_of("shop", schemas=["app"], tables={"app.line": {"kind": "sharded", "via": "user_id -> app.users.id"}})


@pytest.fixture
def captured(rds: Rds) -> Iterator[Rds]:
    """Two tables captured by a tool that is no superuser, under guard."""
    for owner in ("owner", "stranger"):
        rds.roles.on_classic(owner, "NOLOGIN")
    rds.sql(*DDL)
    rds.lend(["app"])
    with connect(rds.classic_dsn, "test") as tool:
        install(tool, "shop", "digest", {}, {})
        capture.install(tool, resolve_tables(tool, PLAN.tables), 2, 3)
    yield rds


def test_the_administrators_functions_make_the_tools_event_triggers_and_no_others(captured: Rds) -> None:
    found = captured.admin.execute(
        "SELECT count(*), count(*) FILTER (WHERE evtenabled = 'A') FROM pg_event_trigger WHERE evtname ~ '^migrator_'"
    ).fetchone()
    assert found == (5, 5)
    refused = (
        ("SELECT migrator_guards.make('other', 'sql_drop', '', 'guard_drop')", "not an event trigger of the tool"),
        ("SELECT migrator_guards.make('migrator_guard_x', 'sql_drop', '', 'note_own')", "not an event trigger"),
        ("SELECT migrator_guards.make('migrator_guard_x', 'login', '', 'guard_drop')", "not an event trigger"),
        ("SELECT migrator_guards.make('migrator_guard_x', 'sql_drop', 'A''B', 'guard_drop')", "not an event trigger"),
        ("SELECT migrator_guards.make('migrator_guard_x', 'sql_drop', '', 'guard_own')", "not an event trigger"),
        ("SELECT migrator_guards.drop('other')", "not an event trigger of the tool"),
    )
    with connect(captured.classic_dsn, "test") as tool:
        tool.execute(
            "CREATE FUNCTION migrator.guard_own() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"  # the caller's
        )
        for statement, said in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=said):
                tool.execute(statement.encode())
    captured.roles.on_classic("web")
    with psycopg.connect(captured.roles.dsn(captured.admin_dsn, "web")) as web:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            web.execute("SELECT migrator_guards.drop('migrator_guard_ddl')")


def test_what_others_do_where_the_tool_may_not_look_passes(captured: Rds) -> None:
    """Their schema is closed to the tool's role, which the guards run as."""
    captured.sql(
        "SET ROLE {stranger}",
        "CREATE TABLE private.log (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE private.log_1 PARTITION OF private.log FOR VALUES FROM (0) TO (9)",
        "ALTER TABLE private.log DETACH PARTITION private.log_1 CONCURRENTLY",
        "ALTER TABLE private.log ADD COLUMN x int",
        "DROP TABLE private.log_1",
        "CREATE FUNCTION private.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP SCHEMA private CASCADE",
        "RESET ROLE",
    )
    with connect(captured.classic_dsn, "test") as tool:
        assert problems(tool) == []


def test_partitions_come_and_go_under_their_owner(captured: Rds) -> None:
    """And are captured, by rights that the owner does not have."""
    captured.sql(
        "SET ROLE {owner}",
        "CREATE TABLE app.part_2 PARTITION OF app.part FOR VALUES FROM (100) TO (200)",
        "CREATE TABLE app.part_3 (LIKE app.part INCLUDING ALL)",
        "INSERT INTO app.part_3 VALUES (1, 250)",
        "ALTER TABLE app.part ATTACH PARTITION app.part_3 FOR VALUES FROM (200) TO (300)",
        "INSERT INTO app.part VALUES (1, 150)",
        "ALTER TABLE app.part DETACH PARTITION app.part_1",
        "DROP TABLE app.part_2",
        "RESET ROLE",
    )
    with connect(captured.classic_dsn, "test") as tool:
        number = tool.execute("SELECT table_id FROM migrator.captured_table WHERE qualified = 'app.part'").fetchone()
        assert number is not None
        keys = tool.execute(f"SELECT DISTINCT k1 FROM migrator.journal_{number[0]} ORDER BY 1").fetchall()
        assert keys == [(150,), (250,)]
        assert problems(tool) == []


def test_an_owner_that_the_tool_is_no_member_of_is_refused_with_the_statement_that_lets_it(captured: Rds) -> None:
    """Or writes would fail in capture's triggers, and the mirror could not read."""
    stranger = captured.named("{stranger}")
    refused = (
        ("ALTER TABLE app.users OWNER TO {stranger}", "RESET ROLE"),
        ("SET ROLE {stranger}", "CREATE TABLE app.part_9 PARTITION OF app.part FOR VALUES FROM (900) TO (999)"),
    )
    for statements in refused:
        with pytest.raises(psycopg.Error, match="may not belong to") as error:
            captured.sql(*statements)
        captured.sql("RESET ROLE")
        assert error.value.sqlstate == "MG003"
        assert f"GRANT {stranger}".replace('"', "") in str(error.value.diag.message_hint).replace('"', "")
    captured.sql("GRANT {stranger} TO {tool}")
    for statements in refused:
        captured.sql(*statements)
    captured.sql("RESET ROLE")
    with connect(captured.classic_dsn, "test") as tool:
        assert problems(tool) == []


def test_what_an_administrator_switched_off_is_made_again(captured: Rds) -> None:
    captured.sql("ALTER EVENT TRIGGER migrator_guard_drop DISABLE")
    with connect(captured.classic_dsn, "test") as tool:
        assert problems(tool) != []
        reinstall(tool)
        assert problems(tool) == []
        capture.remove(tool)
    left = captured.admin.execute("SELECT count(*) FROM pg_event_trigger").fetchone()
    assert left == (0,)


def test_a_membership_that_is_revoked_meanwhile_stops_what_reads_and_loses_nothing(captured: Rds) -> None:
    """No event trigger sees it. A write whose tenant a parent knows is refused, rather than not journalled."""
    captured.sql("SET ROLE {owner}", "INSERT INTO app.users VALUES (1, 1), (1, 2)", "RESET ROLE")
    captured.sql("REVOKE {owner} FROM {tool}", "SET ROLE {owner}")
    captured.sql("INSERT INTO app.users VALUES (1, 3)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        captured.sql("INSERT INTO app.line VALUES (1, 1)")
    captured.sql("RESET ROLE", "GRANT {owner} TO {tool}", "SET ROLE {owner}", "INSERT INTO app.line VALUES (1, 1)")
    captured.sql("RESET ROLE")
    with connect(captured.classic_dsn, "test") as tool:
        assert problems(tool) == []
        assert tool.execute("SELECT count(*) FROM app.line").fetchone() == (1,)


def test_a_superuser_may_become_an_ordinary_role_meanwhile(captured: Rds) -> None:
    """What it made as a superuser goes on, and is taken away by the role that it has become."""
    with connect(captured.classic_dsn, "test") as tool:
        captured.sql("ALTER ROLE {tool} SUPERUSER")
        capture.remove(tool)
        capture.install(tool, resolve_tables(tool, PLAN.tables), 2, 3)
        captured.sql("ALTER ROLE {tool} NOSUPERUSER")
        with pytest.raises(psycopg.Error, match="refused"):
            captured.sql("TRUNCATE app.users CASCADE")
        assert problems(tool) == []
        capture.remove(tool)
    left = captured.admin.execute("SELECT count(*) FROM pg_event_trigger").fetchone()
    assert left == (0,)
