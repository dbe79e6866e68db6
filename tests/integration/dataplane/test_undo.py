"""Undo of the whole phase: classic's catalog is exactly what it was, and Limitless has none of the migrated rows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fixtures.operator import Operator
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.integration.dataplane.test_ways_to_write import WAYS, run, w

__all__ = ["w"]

pytestmark = [pytest.mark.pg]

PLAN = """
name = "w"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
[tables]
schemas = ["w"]
[temporal]
address = "127.0.0.1:1"
"""

CATALOGS = """
class attribute attrdef constraint index trigger proc policy rewrite type enum range inherits event_trigger publication
publication_rel publication_namespace namespace extension default_acl db_role_setting description statistic_ext operator
opclass opfamily amop amproc aggregate cast collation conversion language partitioned_table sequence depend init_privs
seclabel foreign_table foreign_server transform ts_config ts_dict
"""
# What the server itself counts and cleans up. It takes its time to notice that a table has no triggers any more.
VOLATILE = """
relpages reltuples relallvisible relallfrozen relfrozenxid relminmxid relfilenode relhastriggers indcheckxmin
"""


def catalog(conn: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Every row of every catalog that describes objects of this database, by catalog."""
    ignored = VOLATILE.split()
    return {
        name: {str(row) for (row,) in conn.execute(f"SELECT to_jsonb(c) - %s::text[] FROM pg_{name} c", (ignored,))}
        for name in CATALOGS.split()
    }


def difference(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, tuple[list[str], list[str]]]:
    """Rows that went and rows that came, by catalog."""
    return {
        name: (sorted(before[name] - after[name]), sorted(after[name] - before[name]))
        for name in CATALOGS.split()
        if before[name] != after[name]
    }


async def test_undo_of_dual_write_leaves_no_trace(w: Shop, tmp_path: Path) -> None:
    """After a copy, mirrors, every way to write, and twice: the second undo finds nothing to do."""
    (tmp_path / "plan.toml").write_text(PLAN)
    environment = {"A": w.classic_dsn, "B": w.limitless_dsn, "MIGRATOR_CLASSIC_DSN": w.classic_dsn}
    operator = Operator(tmp_path, environment)
    w.classic.execute("GRANT SELECT ON w.item TO PUBLIC")
    w.classic.execute("COMMENT ON TABLE w.event_24 IS 'a leaf'")
    w.classic.execute("ALTER TABLE w.item DISABLE TRIGGER zz_again")
    before = catalog(w.classic)
    schema = catalog(w.limitless)
    rows = {t: w.classic.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("w.item", "w.event")}
    await w.start()
    assert "trigger" in difference(before, catalog(w.classic)), "capture shows in the catalog"
    async with w.mirrors():
        await w.copy_all()
        for way in ("on conflict", "tenant", "merge", "leaf", "root", "swap", "copy"):
            await asyncio.to_thread(run, w, WAYS[way])
        await w.copy_all()
        await w.caught_up()
    assert all(w.limitless.execute(f"SELECT count(*) > 90 FROM {t}").fetchone() == (True,) for t in rows)
    refused = operator("undo", "dual-write", "--yes", "--json", "--plan", str(tmp_path / "plan.toml"))
    assert refused.code != 0, "a mirror was seen a moment ago"

    async def undone() -> bool:
        return operator("undo", "dual-write", "--yes", "--json", "--plan", str(tmp_path / "plan.toml")).code == 0

    await until(undone, "the mirror is known to be gone")
    first = difference(before, catalog(w.classic))
    again = operator("undo", "dual-write", "--yes", "--json", "--plan", str(tmp_path / "plan.toml"))

    assert first == {}
    assert (again.code, difference(before, catalog(w.classic))) == (0, {})
    for table in rows:
        assert w.limitless.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        assert w.classic.execute(f"SELECT count(*) > 90 FROM {table}").fetchone() == (True,), table
    for table in ("mirrored", "copy_lease", "mirror_position"):
        assert w.limitless.execute(f"SELECT count(*) FROM migrator.{table}").fetchone() == (0,), table
    assert difference(schema, catalog(w.limitless)) == {}
    w.classic.execute("TRUNCATE w.item CASCADE")  # nobody refuses any more
    w.classic.execute("ALTER TABLE w.item ADD later int")


@pytest.mark.slow
async def test_the_phase_can_be_entered_again_after_its_undo(w: Shop, tmp_path: Path) -> None:
    """Undo, then all of it once more: both sides are equal again."""
    (tmp_path / "plan.toml").write_text(PLAN)
    operator = Operator(tmp_path, {"A": w.classic_dsn, "B": w.limitless_dsn, "MIGRATOR_CLASSIC_DSN": w.classic_dsn})

    async def undone() -> bool:
        return operator("undo", "dual-write", "--yes", "--plan", str(tmp_path / "plan.toml")).code == 0

    for _ in range(2):
        await w.start()
        async with w.mirrors():
            await w.copy_all()
            w.classic.execute("UPDATE w.item SET tenant_id = 4 - tenant_id WHERE id % 3 = 0")
            await w.caught_up()
        query = "SELECT count(*), sum(id * tenant_id) FROM w.item"
        assert w.classic.execute(query).fetchone() == w.limitless.execute(query).fetchone()
        await until(undone, "the mirror is known to be gone")
        assert w.limitless.execute("SELECT count(*) FROM w.item").fetchone() == (0,)
