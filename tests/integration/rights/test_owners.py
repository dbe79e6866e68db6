"""After the hand-over everything on Limitless belongs to whom it belonged on classic."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from migrator.control.install import install
from migrator.model.route import WriteMode
from migrator.plan.load import digest, dump, shim_settings
from migrator.rights.follow import Followed
from migrator.rights.owners import give_owners
from migrator.rights.read import sides
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.operator import Operator
from tests.integration.rights.conftest import Land
from tests.integration.rights.test_command import PLAN

pytestmark = pytest.mark.pg


def test_owners_get_what_they_owned(land: Land, tmp_path: Path) -> None:
    """Tables with their sequences, views, routines, types, the schema; the tool goes on, the owner deploys."""
    (tmp_path / "plan.toml").write_text(PLAN)
    install(land.classic, "test", digest(land.plan), dump(land.plan), shim_settings(land.plan))
    operator = Operator(
        tmp_path, {"A": land.classic_dsn, "B": land.limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    )
    land.sql(
        "ALTER ROLE {owner} LOGIN PASSWORD 'x'",
        "ALTER TABLE app.tenant ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.tenant FORCE ROW LEVEL SECURITY",
        "CREATE POLICY few ON app.tenant USING (tenant_id < 3)",
    )
    land.provision()
    land.roles.allow_login("owner")
    owner = land.roles.name("owner")

    early = operator("roles", "--owners", "--yes")
    assert early.code == 3 and "until the hand-over the tool owns what it changes" in early.err
    assert "Give app.orders to its owner" in operator("roles", "--owners", "--dry-run").out

    for mode in (WriteMode.DUAL, WriteMode.CLOSED, WriteMode.LIMITLESS_ONLY):
        write_mode(land.classic, mode, who="test", reason="test")
    done = operator("roles", "--owners", "--yes", "--as", "Ada", "--json")

    here, there = sides(land.classic, land.limitless, ["app"])
    mine = {t: o for t, o in here.owners.items() if t.kind != "database" and t in there.things}
    assert {t.words for t, o in mine.items() if there.owners[t] != o} == set()
    assert (done.code, done.json["refused"]) == (0, [])
    assert {t.kind for t in mine} == {"table", "sequence", "function", "procedure", "type", "schema"}
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "owner"), autocommit=True) as conn:
        conn.execute("INSERT INTO app.tenant VALUES (1, 'a')")
        conn.execute("INSERT INTO app.orders (tenant_id, total) VALUES (1, 2)")
        conn.execute("ALTER TABLE app.orders ADD COLUMN note text")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            conn.execute("INSERT INTO app.tenant VALUES (4, 'd')")
    assert land.limitless.execute("SELECT count(*) FROM app.orders").fetchone() == (1,)
    assert give_owners(land.classic, land.limitless, ["app"], who="test") == Followed()
    assert operator("roles", "--owners", "--yes").out == "Nothing to do.\n"
    row = land.classic.execute("SELECT who, after FROM migrator.decision WHERE kind = 'owners.given'").fetchone()
    assert row is not None and row[0] == "Ada" and owner in str(row[1])
