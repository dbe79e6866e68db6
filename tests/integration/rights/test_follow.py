"""What people give and take on classic while dual write lasts reaches Limitless: above all what they take."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from migrator.control.install import install
from migrator.control.status import collect
from migrator.errors import PreconditionFailed
from migrator.model.route import WriteMode
from migrator.rights.follow import Followed, changed, follow
from migrator.rights.read import mark
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.roles import PASSWORD
from tests.integration.rights.conftest import Land

pytestmark = pytest.mark.pg

SCHEMAS = ["app"]


@pytest.fixture
def lived(land: Land) -> Iterator[Land]:
    """Provisioned, equal, and with rights of every kind."""
    for role in ("web", "report"):
        land.roles.on_classic(role)
        land.roles.on_limitless(role)
    land.roles.on_classic("readers", "NOLOGIN")
    land.roles.on_classic("Odd Role", "NOLOGIN")
    land.sql(
        "GRANT USAGE ON SCHEMA app TO {web}, {report}, {readers}, {Odd Role}",
        "GRANT SELECT, INSERT, UPDATE ON app.tenant, app.orders TO {web}",
        'GRANT SELECT ON app."Odd ""Name""" TO {web}, {Odd Role}',
        "GRANT SELECT (id, sku) ON app.line TO {web}",
        "GRANT SELECT ON app.sums TO {readers} WITH GRANT OPTION",
        "GRANT {readers} TO {report}",
        "GRANT USAGE ON SEQUENCE app.ticket TO {web}",
        "GRANT USAGE ON TYPE app.mood TO {web}",
        "GRANT EXECUTE ON FUNCTION app.double(bigint) TO {web}",
        "GRANT SELECT ON app.tenant TO PUBLIC",
        "ALTER ROLE {report} SET statement_timeout = '30s'",
    )
    install(land.classic, "test", "digest", land.plan.model_dump(mode="json"), {})
    assert land.provision().verdict.blockers == ()
    yield land


def followed(land: Land) -> Followed:
    assert changed(land.classic, SCHEMAS)
    return follow(land.classic, land.limitless, SCHEMAS, land.plan.gates.acknowledged)


def as_role(land: Land, role: str, statement: str) -> list[tuple[object, ...]]:
    """What *role* gets on Limitless, with its own login."""
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, role), autocommit=True) as conn:
        return conn.execute(statement.encode()).fetchall()


TAKEN = {
    "REVOKE SELECT ON app.tenant FROM {web}; REVOKE SELECT ON app.tenant FROM PUBLIC":
        ("web", "SELECT FROM app.tenant"),
    "REVOKE ALL ON ALL TABLES IN SCHEMA app FROM {web}": ("web", 'SELECT FROM app."Odd ""Name"""'),
    "REVOKE SELECT (sku) ON app.line FROM {web}": ("web", "SELECT sku FROM app.line"),
    "REVOKE USAGE ON SCHEMA app FROM {web}": ("web", "SELECT FROM app.orders"),
    "REVOKE USAGE ON SEQUENCE app.ticket FROM {web}": ("web", "SELECT nextval('app.ticket')"),
    "REVOKE INSERT, UPDATE ON app.orders FROM {web}": ("web", "SELECT nextval('app.orders_id_seq')"),
    "REVOKE EXECUTE ON FUNCTION app.double(bigint) FROM PUBLIC, {web}": ("web", "SELECT app.double(1)"),
    "REVOKE {readers} FROM {report}": ("report", "SELECT FROM app.sums"),
    "REVOKE SELECT ON app.sums FROM {readers} CASCADE": ("report", "SELECT FROM app.sums"),
    "DROP OWNED BY {report}; DROP ROLE {report}": ("report", "SELECT FROM app.tenant"),
}  # fmt: skip


@pytest.mark.parametrize("statement", TAKEN)
def test_what_classic_takes_is_closed_on_limitless(lived: Land, statement: str) -> None:
    """Also when the role has no right left on classic, or is not there any more."""
    role, tried = TAKEN[statement]
    as_role(lived, role, tried)

    lived.sql(*statement.split("; "))
    done = followed(lived)

    assert done.refused == ()
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.OperationalError), match=r"denied|not permitted"):
        as_role(lived, role, tried)
    assert not changed(lived.classic, SCHEMAS)
    assert collect(lived.classic).blockers == (), "and nothing else was taken or is open"
    kinds = [row[0] for row in lived.classic.execute("SELECT kind FROM migrator.decision").fetchall()]
    assert kinds == ["rights.followed"]


def test_what_classic_gives_arrives(lived: Land) -> None:
    """New roles too; only their login is left to people."""
    lived.sql(
        "GRANT DELETE ON app.orders TO {web}",
        'GRANT UPDATE (id) ON app."Odd ""Name""" TO {Odd Role}',
        "GRANT SELECT ON app.orders TO {readers}",
        "GRANT {Odd Role} TO {web}",
        "ALTER ROLE {web} SET search_path = app, public",
    )

    done = followed(lived)

    assert done.refused == ()
    assert done.blockers == ()
    assert as_role(lived, "report", "SELECT FROM app.orders") == []
    assert as_role(lived, "web", "SHOW search_path") == [("app, public",)]
    as_role(lived, "web", "DELETE FROM app.orders RETURNING id")


def test_a_comparison_in_between_makes_nothing_forgotten(lived: Land) -> None:
    """A gate may compare between the REVOKE and the moment it is followed, once or often."""
    lived.sql("REVOKE UPDATE ON app.orders FROM {web}", "GRANT DELETE ON app.tenant TO {report}")
    for _ in range(2):
        assert len(lived.check()) == 2

    assert followed(lived).blockers == ()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(lived, "web", "UPDATE app.orders SET total = 1 RETURNING id")


def test_what_people_gave_on_limitless_alone_is_reported_and_left(lived: Land) -> None:
    """A right of a role that exists there only, and of one that both have, until somebody says --apply."""
    dba = lived.roles.on_limitless("dba")
    lived.there(f"GRANT SELECT ON app.orders TO {dba}, {{report}}", f"GRANT USAGE ON SCHEMA app TO {dba}")
    lived.sql("REVOKE UPDATE ON app.orders FROM {web}")

    done = followed(lived)

    assert [line.replace(f"_{lived.roles.mark}", "") for line in done.blockers] == [
        "role dba exists on Limitless and not on classic, and has rights there (rights/dba)",
        "role dba may SELECT app.orders on Limitless and not on classic (rights/dba/app.orders)",
        "role report may SELECT app.orders on Limitless and not on classic (rights/report/app.orders)",
    ]
    acknowledged = [f"rights/{dba}"]
    done = follow(lived.classic, lived.limitless, SCHEMAS, acknowledged, everything=True)
    assert done.blockers == ()
    assert as_role(lived, "dba", "SELECT FROM app.orders") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(lived, "report", "SELECT FROM app.orders")


def test_a_grant_option_goes_with_what_was_handed_on(lived: Land) -> None:
    """On classic REVOKE … CASCADE took both; so it does on Limitless."""
    lived.sql("SET ROLE {readers}", "GRANT SELECT ON app.sums TO {web}", "RESET ROLE")
    assert followed(lived).blockers == ()
    assert as_role(lived, "web", "SELECT FROM app.sums") == []

    lived.sql("REVOKE GRANT OPTION FOR SELECT ON app.sums FROM {readers} CASCADE")

    assert followed(lived).blockers == ()
    assert as_role(lived, "report", "SELECT FROM app.sums") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(lived, "web", "SELECT FROM app.sums")


def test_what_another_role_granted_there_is_named(lived: Land) -> None:
    """The tool cannot take it back: it stays a blocker, and is tried again."""
    lived.sql("SET ROLE {readers}", "GRANT SELECT ON app.sums TO {web}", "RESET ROLE")
    with psycopg.connect(lived.roles.dsn(lived.limitless_dsn, "report"), autocommit=True) as report:
        report.execute(lived.named("GRANT SELECT ON app.sums TO {web}").encode())
    assert lived.check() == []

    lived.sql("SET ROLE {readers}", "REVOKE SELECT ON app.sums FROM {web}", "RESET ROLE")
    done = followed(lived)

    assert done.done == ()
    assert [line.rsplit(": ", 1)[1] for line in done.refused] == [
        "another role granted it there, so that role has to revoke it"
    ]
    assert [b.split(" (")[0] for b in done.blockers] == [
        f"role {lived.roles.name('web')} may SELECT app.sums on Limitless and not on classic"
    ]
    assert changed(lived.classic, SCHEMAS), "it is not forgotten"


def test_a_login_that_ends_on_classic_ends_on_limitless(lived: Land) -> None:
    lived.sql("ALTER ROLE {web} NOLOGIN", "ALTER ROLE {report} VALID UNTIL '2031-05-01 12:00+00' CONNECTION LIMIT 7")

    assert followed(lived).blockers == ()
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        as_role(lived, "web", "SELECT 1")
    row = lived.limitless.execute(
        "SELECT rolvaliduntil = '2031-05-01 12:00+00', rolconnlimit FROM pg_roles WHERE rolname = %s",
        (lived.roles.name("report"),),
    ).fetchone()
    assert row == (True, 7)


def test_row_security_switched_on_later_arrives(lived: Land) -> None:
    """And a policy that was replaced, which Limitless does not document, is a blocker that says what it means."""
    lived.there("INSERT INTO app.tenant VALUES (1, 'a'), (2, 'b')")
    lived.sql(
        "CREATE POLICY mine ON app.tenant TO {web} USING (tenant_id = 1)",
        "ALTER TABLE app.tenant ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.tenant FORCE ROW LEVEL SECURITY",
    )
    assert followed(lived).blockers == ()
    assert as_role(lived, "web", "SELECT name FROM app.tenant") == [("a",)]

    lived.sql("ALTER POLICY mine ON app.tenant USING (false)")
    done = followed(lived)

    (refused,) = done.refused
    assert refused.endswith(
        "DROP POLICY is not supported; so rights on app.tenant were revoked there, and classic answers its reads"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(lived, "web", "SELECT name FROM app.tenant")
    assert any("policy mine of app.tenant differs on Limitless: rows may be visible there" in b for b in done.blockers)
    assert changed(lived.classic, SCHEMAS), "it is not forgotten"
    follow(lived.classic, lived.limitless, SCHEMAS, everything=True)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(lived, "web", "SELECT name FROM app.tenant")

    lived.sql("ALTER POLICY mine ON app.tenant USING (tenant_id = 1)")
    done = follow(lived.classic, lived.limitless, SCHEMAS, everything=True)
    assert (done.refused, done.blockers) == ((), ()), "and with the old policy it is open again"
    assert as_role(lived, "web", "SELECT name FROM app.tenant") == [("a",)]


def test_a_restrictive_policy_that_classic_drops_closes_nothing(lived: Land) -> None:
    """It hides more than classic: named, and left."""
    lived.sql(
        "CREATE POLICY all_rows ON app.tenant USING (true)",
        "CREATE POLICY few ON app.tenant AS RESTRICTIVE USING (tenant_id < 3)",
        "ALTER TABLE app.tenant ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.tenant FORCE ROW LEVEL SECURITY",
    )
    assert followed(lived).blockers == ()

    lived.sql("DROP POLICY few ON app.tenant")

    assert len(followed(lived).refused) == 1
    assert as_role(lived, "web", "SELECT name FROM app.tenant") == []


def _shows_more(land: Land) -> None:
    """Classic narrows a policy, which Limitless does not take, so the table is closed there."""
    land.there("INSERT INTO app.tenant VALUES (1, 'a'), (2, 'b')")
    land.sql(
        "REVOKE ALL ON app.tenant FROM {owner}",
        "CREATE POLICY mine ON app.tenant TO {web} USING (tenant_id = 1 OR (tenant_id = 2 AND name = 'b'))",
        "ALTER TABLE app.tenant ENABLE ROW LEVEL SECURITY",
    )
    followed(land)
    assert as_role(land, "web", "SELECT name FROM app.tenant") == [("a",), ("b",)]
    land.sql("ALTER POLICY mine ON app.tenant USING ((tenant_id = 1 OR tenant_id = 2) AND name = 'b')")


@pytest.mark.parametrize("by", ["provision", "roles", "worker"])
def test_a_table_that_shows_more_rows_stays_closed(lived: Land, by: str) -> None:
    """Whoever gives rights next, and also when parentheses alone have moved."""
    _shows_more(lived)
    assert len(followed(lived).refused) == 1

    lived.sql("GRANT SELECT, DELETE ON app.tenant TO {report}")
    for _ in range(2):
        if by == "provision":
            lived.provision()
        else:
            follow(lived.classic, lived.limitless, SCHEMAS, everything=by == "roles")

    for role in ("web", "report"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(lived, role, "SELECT name FROM app.tenant")

    lived.sql("ALTER POLICY mine ON app.tenant USING (tenant_id = 1 OR (tenant_id = 2 AND name = 'b'))")
    follow(lived.classic, lived.limitless, SCHEMAS, everything=by == "roles")
    if by == "worker":  # it forgets no right that it could not give before
        assert as_role(lived, "report", "SELECT name FROM app.tenant") == []


def test_an_acknowledged_policy_closes_nothing(lived: Land) -> None:
    _shows_more(lived)

    done = follow(lived.classic, lived.limitless, SCHEMAS, ["rights/policies/app.tenant/mine"])

    assert done.refused == ()
    assert as_role(lived, "web", "SELECT name FROM app.tenant") == [("a",), ("b",)]


def test_settings_that_are_reset_are_reset(lived: Land) -> None:
    lived.sql("ALTER ROLE {report} RESET statement_timeout")

    assert followed(lived).blockers == ()
    assert as_role(lived, "report", "SHOW statement_timeout") != [("30s",)]


@pytest.mark.parametrize("everything", [False, True])
def test_passwords_are_nowhere(lived: Land, everything: bool) -> None:
    """Neither in what is kept or decided, nor on Limitless: its roles keep the ones they were given there."""
    late = lived.roles.on_classic("late")
    lived.sql(f"GRANT SELECT ON app.orders TO {late}", "ALTER ROLE {web} PASSWORD 'another of classic'")
    before = _hashes(lived)

    done = follow(lived.classic, lived.limitless, SCHEMAS, (), everything=everything)

    assert any(f"role {late} can log in on classic and not on Limitless" in b for b in done.blockers)
    assert _hashes(lived) == {**before, late: None}
    kept = str(lived.classic.execute("SELECT r::text FROM migrator.rights_check r").fetchall())
    kept += str(lived.classic.execute("SELECT d::text FROM migrator.decision d").fetchall())
    kept += str(lived.limitless.execute("SELECT p::text FROM migrator.provisioned p").fetchall()) + str(done)
    for secret in ("SCRAM-SHA-256", "another of classic", PASSWORD, "PASSWORD '"):
        assert secret not in kept


def _hashes(land: Land) -> dict[str, str | None]:
    with psycopg.connect(land.roles.limitless_admin, autocommit=True) as admin:
        found = admin.execute(
            "SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE %s", (f"%{land.roles.mark}",)
        )
        return dict(found.fetchall())


MARKED = (
    *(statement for statement in TAKEN if "ALL TABLES" not in statement),
    "GRANT TRUNCATE ON app.orders TO {readers}",
    "GRANT UPDATE (sku) ON app.line TO {readers}",
    "GRANT CREATE ON SCHEMA app TO {readers}",
    "GRANT EXECUTE ON PROCEDURE app.nothing() TO {readers}",
    "REVOKE USAGE ON TYPE app.mood FROM PUBLIC",
    "CREATE POLICY few ON app.orders USING (false)",
    "ALTER POLICY few ON app.orders USING (true)",
    "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY",
    "ALTER ROLE {web} NOLOGIN",
    "ALTER ROLE {web} VALID UNTIL '2031-01-01'",
    "ALTER ROLE {web} NOINHERIT",
    "ALTER ROLE {readers} SET work_mem = '7MB'",
    "GRANT {readers} TO {web} WITH ADMIN OPTION",
    "DROP POLICY few ON app.orders",
)


def test_everything_that_is_followed_is_noticed(lived: Land) -> None:
    """A worker reads classic's rights only when this value has changed."""
    before = mark(lived.classic, SCHEMAS)
    assert mark(lived.classic, SCHEMAS) == before
    for statement in MARKED:
        lived.sql(*statement.split("; "))
        now = mark(lived.classic, SCHEMAS)
        assert now != before, statement
        before = now


def test_nothing_is_followed_once_limitless_is_authoritative(lived: Land) -> None:
    """Classic's roles are closed then, so that nobody goes on using it."""
    for mode in (WriteMode.DUAL, WriteMode.CLOSED, WriteMode.LIMITLESS_ONLY):
        write_mode(lived.classic, mode, who="test", reason="hand-over")
    lived.sql("ALTER ROLE {web} NOLOGIN", "REVOKE ALL ON ALL TABLES IN SCHEMA app FROM {web}")

    assert not changed(lived.classic, SCHEMAS)
    assert follow(lived.classic, lived.limitless, SCHEMAS) == Followed()
    with pytest.raises(PreconditionFailed, match="rights on Limitless are its own"):
        follow(lived.classic, lived.limitless, SCHEMAS, everything=True)

    assert as_role(lived, "web", "SELECT FROM app.orders") == []


def test_nothing_is_followed_before_rights_were_ever_compared(land: Land) -> None:
    install(land.classic, "test", "digest", {}, {})
    assert not changed(land.classic, SCHEMAS)
    assert follow(land.classic, land.limitless, SCHEMAS) == Followed()
