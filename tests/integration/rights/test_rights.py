"""Rights come to Limitless with the schema, and whatever is different there is named before anybody moves."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from migrator.control.install import install, install_limitless
from migrator.control.status import collect
from migrator.provision.apply import undo
from migrator.rights.read import read
from tests.integration.rights.conftest import Land

pytestmark = pytest.mark.pg


def test_an_owner_without_login_needs_nobody(land: Land) -> None:
    """It becomes a role that may do everything with what it owns, though the tool owns it there."""
    result = land.provision()

    assert result.verdict.blockers == ()
    assert any("owner" in warning and "owns 5 tables and views" in warning for warning in result.warnings)
    rights = read(land.limitless, ["app"], roles=[land.roles.name("owner")])
    privileges = {r.privilege for r in rights.effective if r.thing.name == "orders" and r.grantable}
    assert privileges == {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES"}


def test_what_belongs_to_the_owner_of_the_database(land: Land) -> None:
    """Schema public belongs to nobody by name; a member of the owner's group deploys there."""
    land.roles.on_classic("web", "NOLOGIN")
    tables = land.plan.tables.model_copy(update={"schemas": ["app", "public"]})
    land.plan = land.plan.model_copy(update={"tables": tables})
    land.sql(f"ALTER DATABASE {land.classic.info.dbname} OWNER TO {{owner}}", "GRANT {owner} TO {web}")

    assert land.provision().verdict.blockers == ()
    rights = read(land.limitless, ["public"], roles=[land.roles.name("web")])
    assert {r.privilege for r in rights.effective if r.grantee != "public" and r.thing.kind == "schema"} == {
        "CREATE", "USAGE",
    }  # fmt: skip


def test_everything_that_can_be_granted_arrives(land: Land) -> None:
    """Tables, views, columns, sequences, routines, types, with grant option, through groups, to everybody."""
    land.roles.on_classic("web")
    land.roles.on_classic("report")
    land.roles.on_classic("readers", "NOLOGIN")
    land.roles.on_classic("Odd Role", "NOLOGIN")
    land.sql(
        "GRANT USAGE ON SCHEMA app TO {web}, {readers}",
        'GRANT SELECT, INSERT, UPDATE, DELETE ON app.tenant, app.orders, app."Odd ""Name""" TO {web}',
        "GRANT SELECT (id, sku), UPDATE (sku) ON app.line TO {web}",
        "GRANT USAGE ON SEQUENCE app.orders_id_seq, app.ticket TO {web}",
        "GRANT SELECT ON app.sums TO {readers} WITH GRANT OPTION",
        "GRANT SELECT ON app.tenant TO PUBLIC",
        "GRANT {readers} TO {report}",
        "GRANT INSERT ON app.orders TO {Odd Role}",
        "REVOKE EXECUTE ON FUNCTION app.double(bigint) FROM PUBLIC",
        "REVOKE EXECUTE ON PROCEDURE app.nothing() FROM PUBLIC",
        "REVOKE USAGE ON TYPE app.mood FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION app.double(bigint) TO {web}",
        "GRANT EXECUTE ON PROCEDURE app.nothing() TO {report}",
        "GRANT USAGE ON TYPE app.mood TO {web}",
    )

    result = land.provision()

    blockers = [b.replace(f"_{land.roles.mark}", "") for b in result.verdict.blockers]
    assert sorted(blockers) == [
        f"role {name} can log in on classic and not on Limitless: give it LOGIN and its password or IAM there"
        f" (rights/{name}/login)"
        for name in ("report", "web")
    ]
    for name in ("web", "report"):
        land.roles.allow_login(name)
    assert land.check() == []
    assert land.planned() == [], "a second run finds nothing to do"
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "web"), autocommit=True) as web:
        web.execute("INSERT INTO app.tenant VALUES (1, 'x')")
        web.execute("INSERT INTO app.orders (tenant_id, mood) VALUES (1, 'ok') RETURNING app.double(id)")
        web.execute("SELECT id, sku, tenant_id FROM app.line")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("SELECT order_id FROM app.line")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("CALL app.nothing()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("SELECT * FROM app.sums")
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "report"), autocommit=True) as report:
        report.execute("SELECT * FROM app.sums")
        report.execute("SELECT * FROM app.tenant")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            report.execute("SELECT app.double(1)")


WAYS_TO_WRITE = {
    "a table": ["GRANT INSERT ON app.orders TO {web}"],
    "columns": ["GRANT INSERT (tenant_id, total) ON app.orders TO {web}"],
    "a group": ["GRANT INSERT ON app.orders TO {readers}", "GRANT {readers} TO {web}"],
    "everybody": ["GRANT INSERT ON app.orders TO PUBLIC"],
    "a view": ["GRANT INSERT ON app.paid TO {web}"],
    "a view of a view": ["GRANT INSERT ON app.large TO {web}"],
}


@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_whoever_writes_rows_may_draw_their_identity(land: Land, way: str) -> None:
    """Classic asks for no right on an identity column's sequence; on Limitless the column's default is nextval."""
    land.roles.on_classic("web")
    land.roles.on_classic("readers", "NOLOGIN")
    land.roles.on_classic("report")
    land.sql(
        "CREATE VIEW app.paid AS SELECT id, tenant_id, total FROM app.orders",
        "CREATE VIEW app.large AS SELECT id, tenant_id, total FROM app.paid",
        "GRANT USAGE ON SCHEMA app TO {web}, {readers}, {report}",
        "GRANT SELECT ON app.orders TO {report}",
        "INSERT INTO app.tenant VALUES (1, 'x')",
        *WAYS_TO_WRITE[way],
    )
    into = "app.paid" if way == "a view" else "app.large" if way == "a view of a view" else "app.orders"
    insert = f"INSERT INTO {into} (tenant_id, total) VALUES (1, 2)"
    with psycopg.connect(land.roles.dsn(land.classic_dsn, "web"), autocommit=True) as web:
        web.execute(insert)

    land.provision()
    for role in ("web", "report"):
        land.roles.allow_login(role)

    assert land.check() == []
    assert land.planned() == []
    land.there("INSERT INTO app.tenant VALUES (1, 'x')")
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "web"), autocommit=True) as web:
        web.execute(insert)
    with (
        psycopg.connect(land.roles.dsn(land.limitless_dsn, "report"), autocommit=True) as report,
        contextlib.suppress(psycopg.errors.InsufficientPrivilege),
    ):
        report.execute("SELECT nextval('app.orders_id_seq')")
        assert way == "everybody", "who only reads draws nothing"

    land.there("REVOKE USAGE ON SEQUENCE app.orders_id_seq FROM {web}, {readers}, PUBLIC")
    assert any("may USAGE sequence app.orders_id_seq on classic and not on Limitless" in b for b in land.check())


def test_a_dry_run_prints_what_a_run_does_and_no_password(land: Land) -> None:
    land.roles.on_classic("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT ON app.orders TO {web}")
    printed = "\n".join(land.planned())

    assert land.named("CREATE ROLE {web} NOLOGIN") in printed
    assert land.named('GRANT SELECT ON TABLE "app"."orders" TO {web}') in printed
    assert "PASSWORD" not in printed


LATER = {
    "GRANT SELECT ON app.orders TO {web}": "role web may SELECT app.orders on classic and not on Limitless",
    "GRANT SELECT, DELETE ON app.sums TO PUBLIC":
        "everybody (PUBLIC) may DELETE, SELECT app.sums on classic and not on Limitless",
    "GRANT UPDATE (total) ON app.orders TO {web}":
        "role web may UPDATE app.orders.total on classic and not on Limitless",
    "GRANT USAGE ON SEQUENCE app.ticket TO {web}":
        "role web may USAGE sequence app.ticket on classic and not on Limitless",
    "GRANT CREATE ON SCHEMA app TO {web}": "role web may CREATE schema app on classic and not on Limitless",
    "GRANT SELECT ON app.tenant TO {web} WITH GRANT OPTION":
        "role web may SELECT WITH GRANT OPTION app.tenant on classic and not on Limitless",
    "REVOKE EXECUTE ON FUNCTION app.double(bigint) FROM PUBLIC":
        "everybody (PUBLIC) may EXECUTE function app.double(bigint) on Limitless and not on classic",
    "GRANT {readers} TO {web}": "role web is a member of readers on classic and not on Limitless",
    "ALTER ROLE {web} SET search_path = app, \"Odd, Name\"":
        'sessions of role web get search_path = app, "Odd, Name" on classic, the default on Limitless',
    "ALTER ROLE {web} IN DATABASE {db} SET statement_timeout = '30s'":
        "sessions of role web get statement_timeout = 30s on classic, the default on Limitless",
    "ALTER DATABASE {db} SET work_mem = '7MB'":
        "sessions of role web get work_mem = 7MB on classic, the default on Limitless",
    "CREATE POLICY mine ON app.orders USING (tenant_id = 1)":
        "row security policy mine of app.orders exists on classic only",
    "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY":
        "row security of app.orders is on on classic and off on Limitless: every row of it is visible there to roles"
        " that may read it",
}  # fmt: skip


def test_rights_changed_after_provisioning_block_the_gate_and_show_in_status(land: Land) -> None:
    """Named by status before anybody compared, by the gate, and gone after provisioning again."""
    land.roles.on_classic("web")
    land.roles.on_classic("readers", "NOLOGIN")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}, {readers}", "GRANT SELECT ON app.tenant TO {web}")
    install(land.classic, "test", "digest", land.plan.model_dump(mode="json"), {})
    assert land.provision().verdict.blockers == ()
    assert collect(land.classic).blockers == ()

    land.sql(*(statement.replace("{db}", land.classic.info.dbname) for statement in LATER))

    assert any("classic since rights were last compared" in b for b in collect(land.classic).blockers)
    found = [line.rsplit(" (rights/", 1)[0] for line in land.check()]
    assert set(LATER.values()) <= set(found)
    shown = [b.replace(f"_{land.roles.mark}", "") for b in collect(land.classic).blockers]
    assert set(land.check()[:5]) <= set(shown)

    land.provision()

    # that the owner passes its policies on classic alone is for people to decide
    owner = "rights/{}/policies/app.orders"
    assert [line.rsplit(" (", 1)[1] for line in land.check()] == [owner.format("owner") + ")"]
    gates = land.plan.gates.model_copy(update={"acknowledged": [owner.format(land.roles.name("owner"))]})
    land.plan = land.plan.model_copy(update={"gates": gates})
    assert land.check() == []
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "web"), autocommit=True) as web:
        assert web.execute("SHOW search_path").fetchone() == ('app, "Odd, Name"',)
        assert web.execute("SHOW work_mem").fetchone() == ("7MB",)


def test_a_right_taken_away_on_classic_is_named_and_left_to_people(land: Land) -> None:
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT ON app.tenant TO {web}")
    assert land.provision().verdict.blockers == ()

    land.sql("REVOKE SELECT ON app.tenant FROM {web}")

    left = "role web may SELECT app.tenant on Limitless and not on classic (rights/web/app.tenant)"
    assert land.check() == [left]
    land.provision()
    assert land.check() == [left]
    land.there("REVOKE SELECT ON app.tenant FROM {web}")
    assert land.check() == []


def test_a_role_without_any_right_on_limitless_is_named_once_with_all_it_lacks(land: Land) -> None:
    land.roles.on_classic("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT ALL ON ALL TABLES IN SCHEMA app TO {web}")
    install_limitless(land.limitless)
    land.there("CREATE SCHEMA app", "CREATE TABLE app.orders (id int)")

    assert [line for line in land.check() if "web" in line] == [
        "role web exists on classic and not on Limitless (rights/web)"
    ]
    land.roles.on_limitless("web")
    assert "role web may SELECT, INSERT, UPDATE, DELETE" not in "".join(land.check())
    assert any(
        line.startswith("role web may DELETE, INSERT, REFERENCES, SELECT, TRUNCATE, UPDATE app.orders on classic")
        for line in land.check()
    )


def test_a_role_that_works_through_everybodys_rights_alone_is_missed_too(land: Land) -> None:
    """No ACL names it, and yet without it on Limitless nobody could log in."""
    land.roles.on_classic("web")
    land.sql("GRANT USAGE ON SCHEMA app TO PUBLIC", "GRANT SELECT ON app.orders TO PUBLIC")
    install_limitless(land.limitless)

    assert "role web exists on classic and not on Limitless (rights/web)" in land.check()


def test_rights_that_come_another_way_are_no_difference(land: Land) -> None:
    """A direct grant on classic, a group on Limitless: what counts is what the role may."""
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.roles.on_limitless("readers", "NOLOGIN")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}")
    assert land.provision().verdict.blockers == ()
    land.sql("GRANT SELECT ON app.orders TO {web}")
    land.there("GRANT SELECT ON app.orders TO {readers}")
    with psycopg.connect(land.roles.limitless_admin, autocommit=True) as admin:
        admin.execute(land.named("GRANT {readers} TO {web}").encode())

    assert [line for line in land.check() if "SELECT" in line] == []


def test_policies_arrive_and_rule(land: Land) -> None:
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql(
        "GRANT USAGE ON SCHEMA app TO {web}",
        "GRANT SELECT, INSERT ON app.tenant TO {web}",
        "CREATE POLICY mine ON app.tenant FOR ALL TO {web}"
        " USING (tenant_id = current_setting('app.tenant')::bigint) WITH CHECK (tenant_id < 100)",
        "CREATE POLICY narrow ON app.tenant AS RESTRICTIVE FOR SELECT USING (name <> 'hidden')",
        "ALTER TABLE app.tenant ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.tenant FORCE ROW LEVEL SECURITY",
    )

    assert land.provision().verdict.blockers == ()
    land.there("INSERT INTO app.tenant VALUES (1, 'a'), (2, 'b')")  # the tool's own role owns the table and passes
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "web"), autocommit=True) as web:
        web.execute("SET app.tenant = 1")
        assert web.execute("SELECT name FROM app.tenant").fetchall() == [("a",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("INSERT INTO app.tenant VALUES (100, 'x')")
    land.sql("ALTER POLICY narrow ON app.tenant USING (name <> 'secret')")
    (blocker,) = land.check()
    assert blocker.startswith(
        "row security policy narrow of app.tenant differs on Limitless: rows may be visible there"
    )
    assert blocker.endswith("(rights/policies/app.tenant/narrow)")


def test_what_only_superusers_may_set_is_reported_with_the_reason(land: Land) -> None:
    """Limitless has no superuser; a team that can live without it says so in the plan."""
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "ALTER ROLE {web} SET log_statement = 'all'")

    blockers = land.provision().verdict.blockers
    assert any("get log_statement = all on classic, the default on Limitless" in b for b in blockers)
    assert any(b.startswith("Limitless refuses: Set log_statement") and "permission denied" in b for b in blockers)
    setting = f"rights/{land.roles.name('web')}/setting/log_statement"
    land.plan = land.plan.model_copy(update={"gates": land.plan.gates.model_copy(update={"acknowledged": [setting]})})
    assert land.check() == []
    assert land.provision().verdict.blockers == ()


def test_settings_of_a_role_that_waits_for_its_login_are_there(land: Land) -> None:
    """Provisioning makes roles without LOGIN and gives them their settings: people are asked for the login alone."""
    land.roles.on_classic("web")
    database = land.classic.info.dbname
    land.sql(
        "GRANT USAGE ON SCHEMA app TO {web}",
        "ALTER ROLE {web} SET DateStyle = 'SQL, DMY'",
        f"ALTER DATABASE {database} SET TimeZone = 'Asia/Kathmandu'",
    )

    assert [b for b in land.provision().verdict.blockers if "rights/" in b and "/login" not in b] == []
    assert [b for b in land.check() if "/login" not in b] == []


def test_an_all_data_role_is_a_right_too(land: Land) -> None:
    """No ACL names its members, and they read everything."""
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT pg_read_all_data TO {web}")
    install_limitless(land.limitless)

    assert any("role web is a member of pg_read_all_data on classic" in line for line in land.check())


DEFINERS = {
    "a function": (
        "CREATE FUNCTION app.seen() RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = app"
        " AS 'BEGIN RETURN (SELECT count(*) FROM app.tenant);END'",
        "SELECT app.seen()",
    ),
    "a view": ("CREATE VIEW app.seen AS SELECT count(*) FROM app.tenant", "SELECT * FROM app.seen"),
    "a view of a view": (
        "CREATE VIEW app.within AS SELECT * FROM app.tenant; CREATE VIEW app.seen AS SELECT count(*) FROM app.within",
        "SELECT * FROM app.seen",
    ),
}


@pytest.mark.parametrize("kind", DEFINERS)
def test_what_works_with_its_owners_rights_gets_its_owner(land: Land, kind: str) -> None:
    """With the tool's rights it would open what its owner may not see: rows that row security hides, here."""
    made, asked = DEFINERS[kind]
    for role in ("report", "web"):
        land.roles.on_classic(role)
        land.roles.on_limitless(role)
    land.sql(
        "GRANT USAGE, CREATE ON SCHEMA app TO {report}",
        "GRANT SELECT ON app.tenant TO {report}",
        "CREATE POLICY few ON app.tenant TO {report} USING (tenant_id < 3)",
        "ALTER TABLE app.tenant ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.tenant FORCE ROW LEVEL SECURITY",
        "SET ROLE {report}",
        *made.split("; "),
        "RESET ROLE",
        "REVOKE CREATE ON SCHEMA app FROM {report}",
        "GRANT USAGE ON SCHEMA app TO {web}",
        "GRANT {report} TO {web}" if kind != "a function" else "SELECT 1",
    )

    assert land.provision().verdict.blockers == ()
    assert land.planned() == []
    land.there("INSERT INTO app.tenant VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "web"), autocommit=True) as web:
        assert web.execute(asked.encode()).fetchone() == (2,)

    assert undo(land.limitless, with_rows=True) == ()


def test_a_definer_whose_owner_people_made_there_is_a_blocker_where_the_tool_may_not_act_as_it(land: Land) -> None:
    """It says whose rights it would run with."""
    land.roles.on_classic("report")
    with psycopg.connect(land.roles.limitless_admin, autocommit=True) as admin:
        land.roles._make(admin, "report", "LOGIN SUPERUSER")
        admin.execute(land.named("ALTER ROLE {report} NOSUPERUSER").encode())
    land.sql(
        "GRANT USAGE, CREATE ON SCHEMA app TO {report}",
        "SET ROLE {report}",
        "CREATE FUNCTION app.mine() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "RESET ROLE",
    )
    found = land.provision().verdict.blockers
    if land.limitless.info.server_version >= 160000:  # before, CREATEROLE was enough
        assert any("function app.mine() is SECURITY DEFINER" in b for b in found)
    else:
        assert found == ()


def test_what_has_no_counterpart_is_said(land: Land) -> None:
    land.roles.on_classic("web", "NOLOGIN")
    land.sql(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA app GRANT SELECT ON TABLES TO {web}",
        "SET ROLE {owner}",
        "CREATE TABLE app.later (tenant_id bigint, id int, PRIMARY KEY (tenant_id, id))",
        "COMMENT ON TABLE app.later IS 'made later'",
        "COMMENT ON COLUMN app.later.id IS 'x'",
        "COMMENT ON CONSTRAINT later_pkey ON app.later IS 'x'",
        "COMMENT ON FUNCTION app.double(bigint) IS 'x'",
        "COMMENT ON SCHEMA app IS 'x'",
        "CREATE POLICY p ON app.later",
        "COMMENT ON POLICY p ON app.later IS 'x'",
        "RESET ROLE",
    )

    result = land.provision()

    assert result.verdict.blockers == ()
    warnings = "\n".join(result.warnings)
    assert "Limitless has no ALTER DEFAULT PRIVILEGES" in warnings
    assert "IN SCHEMA" not in warnings and "SELECT on tables to " + land.roles.name("web") in warnings
    assert (
        "6 comments in schema app stay behind, since Limitless has no COMMENT: function 1, policy 1, schema 1,"
        in warnings
    )
    assert "table 1, table column 1, table constraint 1. " in warnings
    rights = read(land.limitless, ["app"], roles=[land.roles.name("web")])
    assert {r.privilege for r in rights.effective if r.grantee.startswith("web") and r.thing.name == "later"} == {
        "SELECT"
    }


def test_undo_takes_back_what_it_gave_and_keeps_who_can_log_in(land: Land) -> None:
    """Roles made by the tool go; one that people have given a LOGIN since stays."""
    land.roles.on_classic("web")
    land.roles.on_classic("readers", "NOLOGIN")
    land.there("CREATE SCHEMA app")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}, {readers}", "GRANT {readers} TO {web}",
             "ALTER ROLE {web} SET search_path = app")  # fmt: skip
    land.provision()
    land.roles.allow_login("web")

    kept = undo(land.limitless)

    assert [k.replace(f"_{land.roles.mark}", "") for k in kept] == ["role web can log in now"]
    left = land.limitless.execute(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"%{land.roles.mark}",)
    ).fetchall()
    assert left == [(land.roles.name("web"),)]
    acl = land.limitless.execute("SELECT nspacl::text FROM pg_namespace WHERE nspname = 'app'").fetchone()
    assert acl is not None and land.roles.mark not in (acl[0] or "")
