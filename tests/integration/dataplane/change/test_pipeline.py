"""A pipeline checks migrations for a pull request and applies them without a person."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.types.json import Json

from migrator.dataplane.change.inspect import columns_of
from migrator.plan.load import digest, dump, shim_settings
from tests.fixtures.operator import Operator
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

FILES = {
    "V1__a.sql": "ALTER TABLE purchase ADD COLUMN a int;",
    "V2__b.sql": 'CREATE TABLE shop."Straße 7" (tenant_id bigint, id bigint, PRIMARY KEY (tenant_id, id));',
    "V3__c.sql": 'CREATE INDEX "i 7" ON shop."Straße 7" (id);',
}
LACKING = (
    "SELECT 1;\n\n  CREATE MATERIALIZED VIEW shop.m AS SELECT 1;\nALTER TABLE shop.purchase RENAME COLUMN note TO n;\n"
)


def piped(operator: Operator, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "migrator", *words]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=120, env=operator.everything({}), cwd=operator.home
    )


@pytest.fixture
def operator(shop: Shop, tmp_path: Path) -> Operator:
    """An environment as a pipeline has it: connection strings and no terminal; the plan is the stored one."""
    plan = {**dump(shop.plan), "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}}
    shop.classic.execute(
        "UPDATE migrator.plan SET body = %s, shim = %s, digest = %s",
        (Json(plan), Json(shim_settings(shop.plan)), digest(shop.plan)),
    )
    return Operator(
        tmp_path, {"A": shop.classic_dsn, "B": shop.limitless_dsn, "MIGRATOR_CLASSIC_DSN": shop.classic_dsn}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my db").mkdir()
    for name, text in FILES.items():
        (tmp_path / "my db" / name).write_text(text)
    return tmp_path / "my db"


async def test_a_folder_without_a_person(shop: Shop, operator: Operator, folder: Path) -> None:
    """Nothing is done unasked; then all of it, once; with the same name from a pipe as well."""
    await shop.start()

    async with shop.mirrors():
        unasked = await asyncio.to_thread(operator, "schema", "apply", str(folder))
        dry = await asyncio.to_thread(operator, "schema", "apply", str(folder), "--dry-run", "--json")
        checked = await asyncio.to_thread(operator, "schema", "check", str(folder), "--connect", "--json")
        assert "a" not in columns_of(shop.classic, "shop.purchase")
        first = await asyncio.to_thread(operator, "schema", "apply", str(folder), "--yes", "--json", "--as", "ci")
        again = await asyncio.to_thread(operator, "schema", "apply", str(folder), "--yes")
        after = await asyncio.to_thread(operator, "schema", "check", str(folder), "--connect", "--json")
        printed = "BEGIN;\n--\n-- Add field b\n--\nALTER TABLE shop.purchase ADD COLUMN b int;\nCOMMIT;\n"
        pipe = await asyncio.to_thread(piped, operator, printed, "schema", "apply", "--from-stdin", "--json")

    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert [a["id"] for a in dry.json["actions"]][-2:] == [f"schema/{folder}/V2__b.sql", f"schema/{folder}/V3__c.sql"]
    assert (checked.code, checked.json["refused"], len(checked.json["checked"])) == (0, [], 3)
    assert first.code == 0
    assert [m["state"] for m in first.json["migrations"]] == ["applied"] * 3
    assert (again.code, again.out) == (0, "Nothing to do: both sides are as the file says.\n")
    assert after.json == {"checked": [], "refused": []}
    assert (pipe.returncode, json.loads(pipe.stdout)["finished"]) == (0, ["add column shop.purchase.b (integer)"])
    for conn in (shop.classic, shop.limitless):
        assert {"a", "b"} <= set(columns_of(conn, "shop.purchase"))
        assert conn.execute("""SELECT to_regclass('shop."i 7"') IS NOT NULL""").fetchone() == (True,)
    who = shop.classic.execute("SELECT DISTINCT who FROM migrator.decision WHERE kind = 'schema.migrated'").fetchall()
    assert who == [("ci",)]


async def test_a_pull_request_is_checked_on_both_sides(shop: Shop, operator: Operator, folder: Path) -> None:
    """What only a server can say comes with its place; nothing is left behind."""
    await shop.start()
    (folder / "V4__d.sql").write_text("ALTER TABLE shop.purchase\n  ADD COLUMN d shop.nothing;\n")

    done = await asyncio.to_thread(operator, "schema", "check", str(folder), "--connect", "--json")
    here = await asyncio.to_thread(operator, "schema", "check", str(folder), "--json")

    assert (done.code, here.code, here.json["refused"]) == (3, 0, [])
    [refused] = done.json["refused"]
    assert (Path(refused["file"]).name, refused["line"], refused["column"]) == ("V4__d.sql", 1, 1)
    assert "shop.nothing" in refused["why"]
    assert "a" not in columns_of(shop.classic, "shop.purchase")


async def test_a_pull_request_is_checked_without_a_server(tmp_path: Path) -> None:
    """Exit codes, places and rules, as text, JSON and SARIF; from a file, a folder and a pipe."""
    operator = Operator(tmp_path, {})
    (tmp_path / "fine.sql").write_text("ALTER TABLE app.orders ADD COLUMN note text; UPDATE app.orders SET note = 'x';")
    (tmp_path / "7_lacking.sql").write_text(LACKING)
    report = tmp_path / "check.sarif"

    fine = operator("schema", "check", str(tmp_path / "fine.sql"))
    refused = operator("schema", "check", str(tmp_path / "7_lacking.sql"), "--json", "--sarif", str(report))
    text = operator("schema", "check", str(tmp_path / "7_lacking.sql"))
    missing = operator("schema", "check", str(tmp_path / "nothing.sql"))
    nothing = operator("schema", "check")
    nameless = operator("schema", "check", str(tmp_path / "fine.sql"), "--tool-table", '"x.')
    pipe = piped(operator, "CREATE TABL x", "schema", "check", "-")

    assert (fine.code, fine.out) == (0, "1 checked: nothing is refused.\n")
    assert refused.code == 3
    assert [(r["line"], r["column"], r["rule"]) for r in refused.json["refused"]] == [
        (3, 3, "LIM-OBJ-04"),
        (4, 1, "refused"),
    ]
    assert text.out.startswith(f"{tmp_path / '7_lacking.sql'}:3:3: ")
    assert (missing.code, nothing.code, nameless.code, pipe.returncode) == (2, 2, 2, 3)
    assert pipe.stdout.startswith("stdin:1:8: PostgreSQL cannot read it")
    [run] = json.loads(report.read_text())["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["LIM-OBJ-04", "refused"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == str(tmp_path / "7_lacking.sql")
    assert place["region"] == {"startLine": 3, "startColumn": 3}
