"""The drill: the tool's tables on classic are lost in the middle of a migration, and its record comes back."""

from __future__ import annotations

import json
import stat
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import backup, grants
from migrator.control.history import add_report
from migrator.control.incident import add_incident
from migrator.control.install import install
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.plan.load import digest, dump, shim_settings
from migrator.shim import Settings, Shim
from tests.fixtures.operator import Done, Operator
from tests.fixtures.plans import small_plan
from tests.fixtures.postgres import with_parts
from tests.fixtures.shop import Shop

pytestmark = pytest.mark.pg

ODD = 'Größe "x"\n\t\\N select'
LOST = "DROP SCHEMA migrator CASCADE"


@pytest.fixture
def operator(shop: Shop, tmp_path: Path) -> Operator:
    """In the middle of the cutover: everything is copied, one wave reads from Limitless."""
    plan = small_plan(rehearsal=None)
    shop.classic.execute("DELETE FROM migrator.plan")
    install(shop.classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
    environment = {
        "TEST_CLASSIC_DSN": shop.classic_dsn,
        "TEST_LIMITLESS_DSN": shop.limitless_dsn,
        "MIGRATOR_CLASSIC_DSN": shop.classic_dsn,
    }
    return Operator(tmp_path, environment)


def told(conn: psycopg.Connection[Any]) -> None:
    """What people decided, and what was found."""
    for number in range(5):
        decide(conn, "Ana", "tenant.held", ODD, f"reason {number}", None, {"n": number})
    conn.execute("INSERT INTO migrator.tenant_hold (tenant_id, reason, held_by) VALUES (%s, %s, 'Ana')", (ODD, ODD))
    conn.execute("INSERT INTO migrator.approval (gate, approver) VALUES ('audit', 'Ana'), ('cutover', 'Ana')")
    conn.execute(
        "INSERT INTO migrator.approval_vote (at, gate, approver, how, evidence, facts, proof)"
        " SELECT now(), gate, 'Ana', 'token', 'e', '{}', '{}' FROM unnest(ARRAY['audit', 'cutover']) AS gate"
    )
    add_incident(conn, "test", ODD, "Ana")
    add_report(conn, "audit", {"of": ODD})
    set_phase(conn, "audit", "done")
    set_phase(conn, "cutover", "running")
    conn.execute("SELECT migrator.seal_decisions(1000, true, '')")


async def moved(shop: Shop) -> None:
    """Everything is mirrored, and tenants 1 to 3 read from Limitless."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    shop.classic.execute("UPDATE migrator.switch SET write_mode = 'dual', epoch = epoch + 7")
    shop.classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, reads_pct, epoch, changed_by, reason)"
        " SELECT tenant_id, part, 'limitless', 100, 8, 'Ana', 'wave 1' FROM migrator.tenant WHERE tenant_id < '4'"
    )


RECORD = {
    "hold": "SELECT tenant_id, reason, held_by FROM migrator.tenant_hold",
    "decision": "SELECT id, at, who, kind, subject, after, reason, login FROM migrator.decision ORDER BY id",
    "seal": "SELECT * FROM migrator.decision_seal ORDER BY seq",
    "incident": "SELECT id, at, kind, reason, reported_by FROM migrator.incident ORDER BY id",
    "report": "SELECT id, kind, body FROM migrator.report WHERE kind NOT IN ('inventory', 'stabilize') ORDER BY id",
    "plan": "SELECT plan_id, digest, body FROM migrator.plan",
}


def record(conn: psycopg.Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: conn.execute(query.encode()).fetchall() for name, query in RECORD.items()}


async def test_the_record_comes_back_and_nothing_that_says_what_limitless_holds(
    shop: Shop, operator: Operator, tmp_path: Path
) -> None:
    """And the migration begins again from there, to two equal sides."""
    told(shop.classic)
    await moved(shop)
    file = str(tmp_path / "record.zip")
    role = f"web_{uuid.uuid4().hex[:8]}"
    shop.classic.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
    assert operator("grant", role).code == 0
    client = f"node_{uuid.uuid4().hex[:8]}"
    shop.classic.execute(f"CREATE ROLE {client}".encode())
    assert operator("grant", client, "--for", "client").code == 0
    made = operator("control", "backup", file, "--json")
    before = record(shop.classic)
    generation = shop.classic.execute("SELECT last_value FROM migrator.generation").fetchone()
    with Shim(shop.classic_dsn, shop.limitless_dsn, "web", settings=Settings(poll_s=0.1)) as shim:
        side = shim.run_read("1", lambda r: r.side)
        assert side == "limitless"
    shop.classic.execute(LOST)
    shop.classic.execute("UPDATE shop.purchase SET total = total + 1 WHERE id % 5 = 0")  # passes the journal

    shown = operator("control", "restore", file, "--dry-run", "--json")
    assert shop.classic.execute("SELECT to_regnamespace('migrator')").fetchone() == (None,), "a dry run changes nothing"
    done = operator("control", "restore", file, "--yes", "--as", "Ben", "--json")

    assert (made.code, shown.code, done.code) == (0, 0, 0), (made.err, shown.err, done.err)
    assert [a["id"] for a in shown.json["actions"]] == done.json["done"]
    after = record(shop.classic)
    (restored,) = after["decision"][len(before["decision"]) :]
    assert (
        restored[2:4] == ("Ben", "control.restored")
        and after["decision"][: len(before["decision"])] == before["decision"]
    )
    assert {n: r for n, r in after.items() if n != "decision"} == {n: r for n, r in before.items() if n != "decision"}
    verified = operator("log", "--verify", "--json")
    assert verified.code == 0, verified.out
    for query, wanted in (
        ("SELECT count(*) FROM migrator.route", 0),
        ("SELECT count(*) FROM migrator.tenant", 0),
        ("SELECT count(*) FROM migrator.position", 0),
        ("SELECT count(*) FROM migrator.captured_table", 0),
        ("SELECT count(*) FROM migrator.approval", 1),
        ("SELECT count(*) FROM migrator.approval_vote WHERE voided_at IS NULL", 1),
        ("SELECT count(*) FROM migrator.approval_vote", 2),
        ("SELECT count(*) FROM migrator.phase WHERE phase = 'cutover'", 0),
    ):
        assert shop.classic.execute(query.encode()).fetchone() == (wanted,), query
    row = shop.classic.execute("SELECT epoch, write_mode FROM migrator.switch").fetchone()
    assert row is not None and row[0] > 1_000_000 and row[1] == "classic_only"
    assert shop.limitless.execute("SELECT count(*) FROM migrator.mirrored").fetchone() == (0,)
    mine = with_parts(shop.classic_dsn, user=role, password="secret")
    try:
        assert (grants.clients(shop.classic), grants.lacking(shop.classic)) == ((client,), {}), "rights of the contract"
        with Shim(mine, shop.limitless_dsn, "web", settings=Settings(poll_s=0.1)) as shim:
            assert shim.run_read("1", lambda r: r.side) == "classic", "with the rights it had"
    finally:
        shop.classic.execute(f"DROP OWNED BY {role}, {client}".encode())
        shop.classic.execute(f"DROP ROLE {role}, {client}".encode())

    undone = operator("undo", "dual-write", "--yes")
    assert undone.code == 0, undone.err
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    assert shop.differences() == {}
    newest = shop.classic.execute("SELECT min(generation) FROM migrator.tenant").fetchone()
    assert newest is not None and generation is not None and newest[0] > generation[0], (
        "no old verdict is about a new copy"
    )


@contextmanager
def lost(shop: Shop, operator: Operator, tmp_path: Path) -> Iterator[Path]:
    """A file, and a classic without the tool's tables."""
    told(shop.classic)
    file = tmp_path / "record.zip"
    assert operator("control", "backup", str(file)).code == 0
    shop.classic.execute(LOST)
    yield file


def restored(operator: Operator, file: Path) -> Done:
    return operator("control", "restore", str(file), "--yes", "--json")


def test_once_writes_are_on_limitless_classic_is_not_opened_again(
    shop: Shop, operator: Operator, tmp_path: Path
) -> None:
    with lost(shop, operator, tmp_path) as file:
        shop.limitless.execute("INSERT INTO migrator.settled (epoch, write_mode, at, decisions)"
                               " VALUES (9, 'limitless_only', now(), 'x')")  # fmt: skip
        done = restored(operator, file)

    assert done.code == 3 and "terminal route" in done.json["blockers"][0]
    assert shop.classic.execute("SELECT to_regnamespace('migrator')").fetchone() == (None,)


def test_what_is_there_is_never_written_over(shop: Shop, operator: Operator, tmp_path: Path) -> None:
    """Also not a schema of that name that somebody began to make; and not beside a worker."""
    told(shop.classic)
    file = tmp_path / "record.zip"
    assert operator("control", "backup", str(file)).code == 0
    before = record(shop.classic)
    there = restored(operator, file)
    assert record(shop.classic) == before
    shop.classic.execute(LOST)
    shop.classic.execute("CREATE SCHEMA migrator")
    half = restored(operator, file)
    shop.classic.execute(LOST)
    with psycopg.connect(shop.classic_dsn, application_name="migrator mirror 0"):
        beside = restored(operator, file)
        shown = operator("control", "restore", str(file), "--dry-run")

    assert [d.code for d in (there, half, beside)] == [3, 3, 3]
    assert "never writes over" in there.json["blockers"][0] and "never writes over" in half.json["blockers"][0]
    assert "migrator mirror 0 is connected" in beside.json["blockers"][0]
    assert shown.code == 0 and "would be refused now: migrator mirror 0" in shown.err


def test_killed_in_the_middle_it_is_done_again(
    shop: Shop, operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session dies behind the last table, before the commit: nothing is there, and the next try does it all."""
    with lost(shop, operator, tmp_path) as file:

        def die(conn: psycopg.Connection[Any], *_: object) -> None:
            conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        with monkeypatch.context() as patched:
            patched.setattr(backup, "_begin_again", die)
            killed = restored(operator, file)
        assert shop.classic.execute("SELECT to_regnamespace('migrator')").fetchone() == (None,)
        done = restored(operator, file)

    assert killed.code == 5 and done.code == 0, (killed.out, done.out)


@pytest.mark.parametrize("damage", ["cut", "altered", "no manifest", "a table more", "of another version", "not a zip"])
def test_a_file_that_is_not_as_it_was_written_is_refused(
    shop: Shop, operator: Operator, tmp_path: Path, damage: str
) -> None:
    with lost(shop, operator, tmp_path) as file:
        _damage(file, damage)
        done = restored(operator, file)

    assert done.code == (3 if damage == "of another version" else 2), done.out
    assert str(file) in done.json["error"]
    assert shop.classic.execute("SELECT to_regnamespace('migrator')").fetchone() == (None,)


def _damage(file: Path, how: str) -> None:
    if how in ("cut", "not a zip"):
        file.write_bytes(file.read_bytes()[:-100] if how == "cut" else b"hello")
        return
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    if how == "altered":
        parts["decision.copy"] = parts["decision.copy"].replace(b"reason 3", b"reason 4")
    elif how == "a table more":
        manifest["tables"]["route"] = manifest["tables"]["decision"]
        parts["route.copy"] = parts["decision.copy"]
    elif how == "of another version":
        manifest["version"] += 1
    parts["manifest.json"] = json.dumps(manifest).encode()
    if how == "no manifest":
        del parts["manifest.json"]
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in parts.items():
            archive.writestr(name, body)


def test_the_file_is_whole_private_and_never_written_over(shop: Shop, operator: Operator, tmp_path: Path) -> None:
    told(shop.classic)
    file = tmp_path / "record.zip"
    first = operator("control", "backup", str(file))
    again = operator("control", "backup", str(file))
    nowhere = operator("control", "backup", str(tmp_path / "nowhere" / "record.zip"))

    assert (first.code, again.code, nowhere.code) == (0, 2, 2), (first.err, again.err, nowhere.err)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []
    with zipfile.ZipFile(file) as archive:
        assert set(archive.namelist()) <= {"manifest.json", *(f"{name}.copy" for name in backup.RECORD)}


def test_without_tables_or_plan_there_is_nothing_to_keep(shop: Shop, operator: Operator, tmp_path: Path) -> None:
    shop.classic.execute("DELETE FROM migrator.plan")
    without_plan = operator("control", "backup", str(tmp_path / "a.zip"))
    shop.classic.execute(LOST)
    without = operator("control", "backup", str(tmp_path / "a.zip"))

    assert without_plan.code == 3 and without.code == 3, (without_plan, without)
    assert not (tmp_path / "a.zip").exists()


def test_nothing_that_says_what_limitless_holds_is_in_the_record(shop: Shop) -> None:
    """Whoever adds a table decides: what describes the copy must stay out."""
    there = {name for (name,) in shop.classic.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'migrator'")}
    assert {"plan", "decision", "decision_seal", "tenant_hold"} <= set(backup.RECORD) & there
    assert not set(backup.RECORD) & {
        "switch", "route", "fallback", "tenant", "position", "copy_unit", "heartbeat", "captured_table", "epoch_mark",
    }  # fmt: skip
