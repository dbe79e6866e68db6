"""Each right that the tool's roles need is missed when it is not there, and only then: a role without each in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.control.grants import grant
from migrator.control.install import install
from migrator.db.connect import connect
from tests.fixtures.postgres import Machines
from tests.fixtures.roles import Roles
from tests.integration.doctor.conftest import TABLES, Patient, Told, patient_of

pytestmark = pytest.mark.pg


@dataclass
class Land:
    """Classic with tables of an owner, and the tool's role there, which has what it needs but is no superuser."""

    machines: Machines
    roles: Roles
    classic_dsn: str
    limitless_dsn: str
    patient: Patient

    def on_classic(self, *statements: str) -> None:
        """Run statements as a superuser; {role} names are this test's, {db} is the database."""
        with psycopg.connect(self.classic_dsn, autocommit=True) as conn:
            for statement in statements:
                conn.execute(self.named(statement, self.classic_dsn).encode())

    def on_limitless(self, *statements: str) -> None:
        dsn = conninfo.make_conninfo(
            self.machines.limitless_admin, dbname=conninfo.conninfo_to_dict(self.limitless_dsn)["dbname"]
        )
        with psycopg.connect(dsn, autocommit=True) as conn:
            for statement in statements:
                conn.execute(self.named(statement, self.limitless_dsn).encode())

    def named(self, text: str, dsn: str) -> str:
        for role in ("tool", "owner", "web"):
            text = text.replace("{" + role + "}", sql.Identifier(self.roles.name(role)).as_string(None))
        return text.replace("{db}", str(conninfo.conninfo_to_dict(dsn)["dbname"]))

    def told(self) -> Told:
        return self.patient("rights", "settings")


GOOD = (
    "GRANT CREATE ON DATABASE {db} TO {tool}",
    "GRANT USAGE ON SCHEMA app TO {tool}",
    "GRANT {owner} TO {tool}",
    "GRANT pg_monitor TO {tool}",
    "ALTER ROLE {tool} SUPERUSER",
)


@pytest.fixture
def land(tmp_path: Path, machines: Machines, roles: Roles, classic_dsn: str, limitless_dsn: str) -> Iterator[Land]:
    roles.on_classic("tool")
    roles.on_classic("owner", "NOLOGIN")
    roles.on_limitless("tool")
    patient = patient_of(tmp_path, roles.dsn(classic_dsn, "tool"), roles.dsn(limitless_dsn, "tool"))
    made = Land(machines, roles, classic_dsn, limitless_dsn, patient)
    made.on_classic(TABLES, "ALTER SCHEMA app OWNER TO {owner}", "ALTER TABLE app.users OWNER TO {owner}", *GOOD)
    made.on_limitless(
        "GRANT CREATE ON DATABASE {db} TO {tool}", "ALTER ROLE {tool} CREATEROLE", "GRANT pg_monitor TO {tool}"
    )
    yield made


def test_a_role_with_everything_has_no_finding(land: Land) -> None:
    told = land.told()

    assert told.level("problem") == []
    assert told.of("classic", "warning", "rights") == told.of("Limitless", "warning", "rights") == []


# What is taken away on classic; level; what is said; part of the statement that gives it back.
LACKING = [
    ("REVOKE CREATE ON DATABASE {db} FROM {tool}", "problem", "may not create schemas", "GRANT CREATE ON DATABASE"),
    ("REVOKE USAGE ON SCHEMA app FROM {tool}; REVOKE {owner} FROM {tool}", "problem", "no USAGE on schema app",
     "GRANT USAGE ON SCHEMA"),
    ("REVOKE {owner} FROM {tool}", "problem", "app.users", "GRANT"),
    ("SELECT 1", "problem", "is no superuser", "SUPERUSER"),
    ("REVOKE pg_monitor FROM {tool}", "warning", "no member of pg_monitor", "GRANT pg_monitor"),
    ("ALTER TABLE app.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", "problem", "row security is forced",
     "BYPASSRLS"),
    ("ALTER ROLE {tool} SET session_replication_role = replica", "problem", "session_replication_role = replica",
     "RESET"),
    ("ALTER ROLE {tool} SET temp_file_limit = 1000", "warning", "temp_file_limit", "RESET"),
    ("ALTER ROLE {tool} CONNECTION LIMIT 5", "warning", "of 5 connections of the tool's role", "CONNECTION LIMIT"),
    ("ALTER DATABASE {db} CONNECTION LIMIT 6", "warning", "of 6 connections of the database", "CONNECTION LIMIT"),
    ("ALTER ROLE {tool} VALID UNTIL 'tomorrow'", "warning", "VALID UNTIL", "VALID UNTIL"),
]  # fmt: skip


@pytest.mark.parametrize(("taken", "level", "said", "advice"), LACKING)
def test_a_right_that_classic_lacks_is_named(land: Land, taken: str, level: str, said: str, advice: str) -> None:
    land.on_classic("ALTER ROLE {tool} NOSUPERUSER", *taken.split("; "))
    told = land.told()

    assert [text for text in told.of("classic", level) if said in text], told.of("classic")
    assert advice in told.advice("classic")
    assert told.done.code == 3, "it is no superuser, which is a problem by itself"


ON_LIMITLESS = [
    ("REVOKE CREATE ON DATABASE {db} FROM {tool}", "problem", "may not create schemas"),
    ("ALTER ROLE {tool} NOCREATEROLE", "warning", "no CREATEROLE"),
    ("REVOKE pg_monitor FROM {tool}", "warning", "no member of pg_monitor"),
    ("CREATE SCHEMA migrator", "problem", "schema migrator belongs to"),
]


@pytest.mark.parametrize(("taken", "level", "said"), ON_LIMITLESS)
def test_a_right_that_limitless_lacks_is_named(land: Land, taken: str, level: str, said: str) -> None:
    land.on_limitless(taken)
    told = land.told()

    assert [text for text in told.of("Limitless", level) if said in text], told.of("Limitless")
    assert told.done.code == (3 if level == "problem" else 0)


def test_an_applications_role_that_lacks_what_a_newer_shim_needs_is_named(land: Land) -> None:
    """Also one right on a column, which is asked otherwise than rights on tables."""
    web = land.roles.on_classic("web")
    with connect(land.classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        grant(conn, web)
    whole = land.told()
    land.on_classic(
        "REVOKE INSERT ON migrator.replica FROM {web}", "REVOKE UPDATE (epoch) ON migrator.switch FROM {web}"
    )
    told = land.told()

    assert not [text for text in whole.of("classic", "problem") if web in text]
    (lacks,) = [text for text in told.of("classic", "problem", "rights") if web in text]
    assert "INSERT on replica" in lacks and "UPDATE (epoch) on switch" in lacks
    assert f"migrator grant {web}" in told.advice("classic")


@pytest.mark.parametrize("name", ['o"dd', "new\nline", "<script>", "a%sb"])
def test_names_may_hold_anything(land: Land, name: str, on_terminal: Callable[[Patient], str]) -> None:
    """An owner with such a name is quoted in the statement, and makes no line of its own."""
    owner = land.roles.on_classic(name, "NOLOGIN")
    land.on_classic(
        f"ALTER TABLE app.users OWNER TO {sql.Identifier(owner).as_string(None)}", "ALTER ROLE {tool} NOSUPERUSER"
    )
    told = land.told()
    shown = on_terminal(land.patient)

    assert f"GRANT {sql.Identifier(owner).as_string(None)} TO" in told.advice("classic")
    assert not [line for line in shown.splitlines() if line.startswith("line")]


@pytest.fixture
def on_terminal() -> Callable[[Patient], str]:
    return lambda patient: patient.operator("doctor", "--only", "rights").out
