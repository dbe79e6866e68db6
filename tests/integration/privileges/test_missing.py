"""Each right of the table, taken away alone: doctor and the gate name that one, and what they print gives it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from migrator import gates
from migrator.control.history import add_report
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.errors import NoGo
from migrator.model.phase import Phase
from migrator.model.side import Side
from migrator.plan.tables import resolve_tables
from migrator.privileges import held
from migrator.privileges.needs import NEEDS, Missing, missing
from migrator.privileges.require import blockers, require
from migrator.provision.apply import check, provision
from tests.fixtures.rds import Rds
from tests.fixtures.world import plan_of
from tests.integration.doctor.conftest import Patient, patient_of

pytestmark = [pytest.mark.pg, pytest.mark.once]

PLAN = plan_of("shop", schemas=["app"])

DDL = (
    "CREATE SCHEMA app",
    "GRANT USAGE, CREATE ON SCHEMA app TO {owner}, {stranger}, {tool}",
    "SET ROLE {owner}",
    "CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY)",
    "ALTER TABLE app.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "SET ROLE {stranger}",
    "CREATE SEQUENCE app.ticket",
    "RESET ROLE",
)
MAKE = "migrator_guards.make(text, text, text, text)"

TAKEN = {
    "classic.create": "REVOKE CREATE ON DATABASE {db} FROM {tool}",
    "classic.control": "CREATE SCHEMA migrator AUTHORIZATION {web}",
    "classic.usage": "REVOKE USAGE ON SCHEMA app FROM {tool}, {owner}",
    "classic.owners": "REVOKE {owner} FROM {tool}",
    "classic.sequences": "REVOKE SELECT ON app.ticket FROM {tool}",
    "classic.event_triggers": f"REVOKE EXECUTE ON FUNCTION {MAKE} FROM {{tool}}",
    "classic.row_security": "ALTER ROLE {tool} NOBYPASSRLS",
    "classic.create_in": "REVOKE CREATE ON SCHEMA app FROM {tool}, {owner}",
    "classic.monitor": "REVOKE pg_monitor FROM {tool}",
    "classic.replica_role": "REVOKE SET ON PARAMETER session_replication_role FROM {tool}",
    "limitless.create": "REVOKE CREATE ON DATABASE {db} FROM {tool}",
    "limitless.control": "CREATE SCHEMA migrator AUTHORIZATION {web}",
    "limitless.usage": "CREATE SCHEMA app",
    "limitless.owners": "CREATE SCHEMA app AUTHORIZATION {board}; GRANT USAGE ON SCHEMA app TO {tool};"
    " CREATE TABLE app.users (id int); ALTER TABLE app.users OWNER TO {board}",
    "limitless.row_security": "CREATE SCHEMA app AUTHORIZATION {tool}; CREATE TABLE app.users (id int);"
    " ALTER TABLE app.users OWNER TO {tool};"
    " ALTER TABLE app.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "limitless.create_roles": "ALTER ROLE {tool} NOCREATEROLE",
    "limitless.monitor": "REVOKE pg_monitor FROM {tool}",
}
"""What takes each right of the table away, on its side."""


@dataclass
class Land:
    rds: Rds
    patient: Patient

    def run(self, side: Side, statements: str) -> None:
        """Run statements as that side's administrator."""
        act: Callable[[str], None] = self.rds.sql if side is Side.CLASSIC else self.rds.there
        for statement in statements.split(";"):
            act(statement)

    def lacks(self, side: Side) -> tuple[Missing, ...]:
        dsn = self.rds.classic_dsn if side is Side.CLASSIC else self.rds.limitless_dsn
        with connect(dsn, "test") as conn:
            return missing(held.read(conn, side, ["app"]))


@pytest.fixture
def land(rds: Rds, tmp_path: Path) -> Iterator[Land]:
    """Two roles of the tool that have what they need and no more."""
    for owner in ("owner", "stranger"):
        rds.roles.on_classic(owner, "NOLOGIN")
    rds.roles.on_classic("web", "NOLOGIN")
    for owner in ("board", "web"):
        rds.roles.on_limitless(owner, "NOLOGIN")
    rds.sql(*DDL)
    rds.lend(["app"])
    rds.lend_there(["app"])
    yield Land(rds, patient_of(tmp_path, rds.classic_dsn, rds.limitless_dsn))


def told(land: Land) -> dict[tuple[str, str], str]:
    """What doctor says of rights beside what is well, and of whom: (subject, text) → advice."""
    findings = land.patient("rights").findings
    wrong = [f for f in findings if f["group"] == "rights" and f["level"] in ("problem", "warning")]
    return {(f["subject"], f["text"]): f["do"] for f in wrong}


def test_every_right_of_the_table_can_be_missed() -> None:
    assert list(TAKEN) == [need.key for need in NEEDS]


def test_a_right_that_is_missing_is_named_alone_and_given_back_by_what_is_printed(land: Land) -> None:
    assert told(land) == {}
    for need in NEEDS:
        name = "classic" if need.side is Side.CLASSIC else "Limitless"
        admin = land.rds.admin if need.side is Side.CLASSIC else land.rds.limitless_admin
        land.run(need.side, TAKEN[need.key])

        (lack,) = land.lacks(need.side)
        assert lack.need.key == need.key
        assert told(land) == {(name, lack.gap.text): lack.gap.advice}
        dsn = land.rds.classic_dsn if need.side is Side.CLASSIC else land.rds.limitless_dsn
        with connect(dsn, "test") as conn:
            assert blockers(conn, need.side, PLAN.tables) == ((lack.line,) if need.required else ())
            if need.required:
                with pytest.raises(NoGo, match="no-go"):
                    require(conn, need.side, PLAN.tables)
        if need.side is Side.LIMITLESS and need.required:
            _provision_refuses(land, lack)

        for statement in lack.gap.statements:
            admin.execute(statement.encode())
        assert land.lacks(need.side) == (), need.key
        land.run(
            need.side, "DROP SCHEMA IF EXISTS migrator" + ("; DROP SCHEMA IF EXISTS app CASCADE" * (name != "classic"))
        )


def _provision_refuses(land: Land, lack: Missing) -> None:
    """In the same words, and nothing is made on Limitless."""
    with connect(land.rds.classic_dsn, "test") as classic, connect(land.rds.limitless_dsn, "test") as limitless:
        count = (
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_'"
        )
        before = limitless.execute(count).fetchone()
        tables = resolve_tables(classic, PLAN.tables)
        assert check(classic, limitless, tables, PLAN).blockers == (lack.line,)
        result = provision(classic, limitless, tables, PLAN)
        assert (result.made, result.verdict.blockers) == ((), (lack.line,))
        assert limitless.execute(count).fetchone() == before


def test_the_gate_before_dual_write_says_so_before_anything_is_captured(land: Land) -> None:
    with connect(land.rds.classic_dsn, "test") as classic:
        install(classic, "shop", "digest", {}, {})
        add_report(classic, "provision.verdict", {"blockers": []})
        whole = gates.ask(classic, _unasked, Phase.PROVISION, PLAN, keep=False)
        land.run(Side.CLASSIC, "REVOKE {owner} FROM {tool}; REVOKE USAGE ON SCHEMA migrator_guards FROM {tool}")
        answer = gates.ask(classic, _unasked, Phase.PROVISION, PLAN, keep=False)

    assert not [line for line in whole.blockers if "role" in line]
    lacks = [line for line in answer.blockers if line.code == "right.missing"]
    assert [line.subject for line in lacks] == ["classic.owners", "classic.event_triggers"]
    assert not answer.go
    assert "GRANT" in lacks[0] and "migrator grant" in lacks[1]


def _unasked() -> psycopg.Connection[object]:
    raise AssertionError("the gate before dual write asks classic alone")


def test_a_member_that_does_not_inherit_is_told_how_to(land: Land) -> None:
    """It is a member, and still has none of the owner's rights."""
    version = land.rds.admin.info.server_version
    land.run(Side.CLASSIC, "REVOKE {owner} FROM {tool}; ALTER ROLE {tool} NOINHERIT; GRANT {owner} TO {tool}")
    lacks = [lack for lack in land.lacks(Side.CLASSIC) if lack.need.key == "classic.owners"]

    (lack,) = lacks
    assert "does not inherit" in lack.gap.text
    assert ("WITH INHERIT TRUE" in lack.gap.advice) == (version >= 160000)
    land.rds.admin.execute(lack.gap.statements[0].encode())
    assert not [lack for lack in land.lacks(Side.CLASSIC) if lack.need.key == "classic.owners"]


def test_on_rds_the_gate_tries_what_no_catalog_tells(land: Land) -> None:
    """A member of rds_superuser may be refused what the cluster's main user may do: found out, and nothing stays."""
    land.run(Side.CLASSIC, "CREATE ROLE rds_superuser; GRANT rds_superuser TO {tool}")
    land.run(Side.CLASSIC, "DROP SCHEMA migrator_guards CASCADE")
    try:
        said = told(land)
        with connect(land.rds.classic_dsn, "test") as conn:
            refused = blockers(conn, Side.CLASSIC, PLAN.tables)
        land.run(Side.CLASSIC, "ALTER ROLE {tool} SUPERUSER")
        with connect(land.rds.classic_dsn, "test") as conn:
            let = blockers(conn, Side.CLASSIC, PLAN.tables)
            left = conn.execute("SELECT count(*) FROM pg_event_trigger").fetchone()
    finally:
        land.run(Side.CLASSIC, "DROP ROLE rds_superuser")

    ((subject, text),) = said
    assert subject == "classic" and "not known to be the main user" in text
    assert "as the cluster's main user, run what this prints: migrator grant" in said[subject, text]
    assert [line.subject for line in refused] == ["classic.event_triggers"]
    assert let == () and left == (0,)
