"""What an upgrade makes is what an installation makes, with every row kept; it may be asked for at any time."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.control import upgrade
from migrator.control.install import VERSION, install
from migrator.db.connect import connect
from migrator.errors import WrongVersion
from migrator.plan.load import digest
from migrator.shim import Shim
from tests.fixtures.postgres import Machines, fresh_name
from tests.integration.upgrade.catalog import catalog, different
from tests.integration.upgrade.earlier import HISTORIES, PLAN, Earlier, upgrade_classic, version

pytestmark = pytest.mark.pg

_KEPT = (
    "approval",
    "breaker_trip",
    "captured_table",
    "copy_unit",
    "decision",
    "divergence",
    "fallback",
    "heartbeat",
    "hold",
    "incident",
    "phase",
    "plan",
    "position",
    "process",
    "read_sample",
    "report",
    "route",
    "shadow_sample",
    "switch",
    "tenant",
    "tenant_verdict",
    "throttle",
    "validation",
)
_THERE = ("copy_lease", "mirror_position", "mirrored", "provisioned")


def content(conn: psycopg.Connection[Any], tables: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    query = "SELECT to_jsonb(t) FROM {} t"
    return {
        name: [row for (row,) in conn.execute(sql.SQL(query).format(sql.Identifier("migrator", name)))]
        for name in tables
    }


def as_before(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> bool:
    """Whether *after* holds the rows of *before*, in the columns there were."""
    columns = before[0].keys() if before else ()
    return sorted(map(str, before)) == sorted(str({c: row[c] for c in columns}) for row in after)


def test_the_schema_is_that_of_a_new_installation(old: Earlier) -> None:
    """Columns, types, defaults, constraints, indexes, views, functions, triggers, guards: on both sides the same."""
    new_there = catalog_of_new_limitless(old)
    assert different(catalog(old.classic), catalog(old.fresh)), "the history is not of this version"

    done = old.operator("upgrade", "--yes", "--json")

    assert done.code == 0, done.err
    assert different(catalog(old.classic), catalog(old.fresh)) == {}
    assert different(catalog(old.limitless, limitless=True), new_there) == {}
    assert version(old.classic) == version(old.limitless) == VERSION


def catalog_of_new_limitless(old: Earlier) -> dict[str, str]:
    """As `install_limitless` makes it: in a transaction that is rolled back, where the old one was dropped."""
    from migrator.control.install import install_limitless

    with old.limitless.transaction(force_rollback=True):
        old.limitless.execute("DROP SCHEMA migrator CASCADE")
        install_limitless(old.limitless)
        return catalog(old.limitless, limitless=True)


def test_every_row_is_kept(old: Earlier) -> None:
    """Of every table; what means something else now says so in its column."""
    before, there = content(old.classic, _KEPT), content(old.limitless, _THERE)
    assert all(before[t] for t in set(_KEPT) - {"hold", "breaker_trip", "shadow_sample"}), "the history has rows of all"

    assert old.operator("upgrade", "--yes", "--as", "Ada").code == 0

    after = content(old.classic, _KEPT)
    (told,) = [row for row in after["decision"] if row["kind"] == "schema.upgraded"]
    after["decision"].remove(told)
    for row in before["tenant_verdict"]:
        row["tenant_id"] = row["tenant_id"] or None  # '' stood for the reference tables
    (plan,), (restated,) = before.pop("plan"), after.pop("plan")
    aside = [r for r in after["report"] if r["kind"] == "capture.set_aside"]
    after["report"] = [r for r in after["report"] if r["kind"] != "capture.set_aside"]
    assert {t for t in before if not as_before(before[t], after[t])} == set()
    assert all(as_before(there[t], rows) for t, rows in content(old.limitless, _THERE).items())
    assert (told["who"], told["kind"], told["before"], told["after"]) == (
        "Ada", "schema.upgraded", {"version": 1}, {"version": VERSION},
    )  # fmt: skip
    assert len(aside) == 1
    assert (restated["plan_id"], restated["digest"], restated["earlier"]) == ("shop", digest(PLAN), [plan["digest"]])


def test_what_was_proved_counts_and_what_was_not_does_not(old: Earlier) -> None:
    """A verdict and a divergent row keep their meaning: about the copy there is now, or history."""
    gates = "SELECT tenant_id, divergent, clean_at FROM migrator.gate_fact ORDER BY 1"
    reference = "SELECT divergent, clean_at, outdated FROM migrator.reference_fact"
    before = [old.classic.execute(q.encode()).fetchall() for q in (gates, reference)]
    assert before[1][0][1] is not None, "0.1.0 found the reference tables clean"

    assert old.operator("upgrade", "--yes").code == 0

    assert [old.classic.execute(q.encode()).fetchall() for q in (gates, reference)] == before
    row = old.classic.execute(
        "SELECT count(*) FILTER (WHERE v.tenant_id IS NULL), count(DISTINCT t.generation), count(DISTINCT t.tenant_id)"
        " FROM migrator.tenant t JOIN migrator.tenant_verdict v ON v.tenant_id = t.tenant_id"
        " AND v.generation = t.generation"
    ).fetchone()
    assert row == (0, 6, 6)
    old.classic.execute("UPDATE migrator.tenant SET generation = nextval('migrator.generation')")  # all copied again
    assert old.classic.execute(
        "SELECT count(*) FROM migrator.open_divergence WHERE tenant_id IS NOT NULL"
    ).fetchone() == (0,)


def test_a_dry_run_prints_the_steps_that_a_run_does(old: Earlier) -> None:
    before = catalog(old.classic)
    shown = old.operator("upgrade", "--dry-run", "--json")
    text = old.operator("upgrade", "--dry-run")
    assert different(before, catalog(old.classic)) == {}, "nothing was changed"

    done = old.operator("upgrade", "--yes", "--json")
    again = old.operator("upgrade", "--yes", "--json")
    nothing = old.operator("upgrade", "--dry-run")

    assert [a["id"] for a in shown.json["actions"]] == done.json["done"]
    assert all(a["summary"] in text.out for a in shown.json["actions"])
    assert again.code == 0 and again.json == {"done": []}
    assert "Nothing to do" in nothing.out


def test_an_older_schema_is_named_by_every_command_and_nothing_is_touched(old: Earlier) -> None:
    """What to do is said; status shows both versions and needs no more."""
    before = catalog(old.classic)
    status = old.operator("status", "--json")
    screen = old.operator("status")

    assert status.code == 0 and status.json["schema_version"] == 1
    assert "version 1" in status.json["blockers"][0] and "migrator upgrade" in status.json["next_steps"][0]
    assert "migrator upgrade" in screen.out
    for command in (
        ("rollback", "--tenant", "1", "--reason", "slow"),
        ("rollback", "--wave", "1", "--reason", "slow", "--dry-run"),
        ("run", "--yes"),
        ("mirror", "status"),
        ("tenant", "show", "1"),
        ("undo", "dual-write", "--yes"),
        ("provision", "--dry-run"),
    ):
        done = old.operator(*command)
        assert done.code == 3 and "version 1" in done.err and "migrator upgrade" in done.err, (command, done)
        assert "migrator rollback --all" in done.err, "what works meanwhile"
    with pytest.raises(WrongVersion, match="version 1"):
        install(old.classic, "shop", "digest", {}, {})
    assert different(before, catalog(old.classic)) == {}


def test_a_newer_schema_is_refused(old: Earlier) -> None:
    """By every command but a rollback, which later versions leave possible."""
    assert old.operator("upgrade", "--yes").code == 0
    for conn in (old.classic, old.limitless):
        conn.execute("INSERT INTO migrator.installed (version) VALUES (%s)", (VERSION + 1,))
    before = catalog(old.classic)

    found = [old.operator("upgrade", "--yes"), old.operator("upgrade", "--dry-run"), old.operator("mirror", "status")]
    rolled_back = old.operator("rollback", "--all", "--reason", "slow")

    assert [done.code for done in found] == [3, 3, 3]
    assert all(f"version {VERSION + 1}" in done.err and "newer" in done.err for done in found)
    assert rolled_back.code == 0, rolled_back.err
    assert different(before, catalog(old.classic)) == {}


def test_a_role_of_an_application_may_use_the_shim_of_this_version(old: Earlier) -> None:
    """It was granted what shims of 0.1.0 need; the upgrade gives it what came."""
    role = f"web_{conninfo.conninfo_to_dict(old.shop.classic_dsn)['dbname']}"
    mine = conninfo.make_conninfo(old.shop.classic_dsn, user=role, password="secret")
    old.classic.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
    for grant in (
        f"GRANT USAGE ON SCHEMA migrator, shop TO {role}",
        f"GRANT SELECT ON migrator.plan, migrator.switch, migrator.route, migrator.fallback, migrator.position,"
        f" migrator.process, migrator.breaker_trip TO {role}",
        f"GRANT INSERT, UPDATE, DELETE ON migrator.process, migrator.breaker_trip TO {role}",
        f"GRANT INSERT ON migrator.read_sample, migrator.shadow_sample, migrator.decision, migrator.incident TO {role}",
        f"GRANT INSERT, UPDATE ON migrator.fallback, shop.currency TO {role}",
        f"GRANT UPDATE (epoch) ON migrator.switch TO {role}",
    ):
        old.classic.execute(grant.encode())
    try:
        assert old.operator("upgrade", "--yes").code == 0
        with Shim(classic=mine, limitless=old.shop.limitless_dsn, name="web") as shim:
            with shim.write("1") as w:
                w.connection.execute("INSERT INTO shop.currency VALUES ('CHF', 1)")
    finally:
        old.classic.execute(f"DROP OWNED BY {role}".encode())
        old.classic.execute(f"DROP ROLE {role}".encode())

    assert w.token is not None and w.token.parts == 1, "partition 0 was touched"


def test_a_database_without_the_tools_tables_has_nothing_to_upgrade(classic_dsn: str) -> None:
    with connect(classic_dsn, "test") as conn:
        assert upgrade.upgrade_steps(conn, "classic", "test") == ()


def test_before_capture_an_upgrade_is_the_same(machines: Machines, classic_dsn: str) -> None:
    """A migration that has not come to dual write: no table is captured, no guard is there."""
    name = fresh_name("fresh")
    with connect(classic_dsn, "test") as old, connect(machines.new_classic(name), "test") as fresh:
        old.execute((HISTORIES / "control_v1_schema.sql").read_bytes())
        old.execute("INSERT INTO migrator.installed (version) VALUES (1)")
        install(fresh, "shop", "digest", {}, {})

        upgrade_classic(old)

        assert different(catalog(old), catalog(fresh)) == {}
    machines.drop(classic=name)
