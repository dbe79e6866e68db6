"""After dual write was begun and undone: is every finding on a statement about one of the application's?"""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest

from migrator.audit.report.values import AuditReport
from migrator.audit.run import audit_live
from migrator.consistency.run import validate
from migrator.plan.schema import Plan
from migrator.shim import Shim
from tests.fixtures.operator import Operator
from tests.fixtures.waiting import until
from tests.fixtures.world import World
from tests.integration.dataplane.test_undo import PLAN
from tests.integration.dataplane.test_ways_to_write import w

__all__ = ["w"]

pytestmark = [pytest.mark.pg]

OF_THE_APPLICATION = {
    "LISTEN jobs": "LIM-DML-05",
    "SELECT pg_notify('jobs', 'x')": "LIM-DML-05",
    "UPDATE w.item SET touched = 9 WHERE id = 1": "LIM-QRY-01",
    "SELECT setval('w.own', 7)": "LIM-SEQ-02",
}


def _application(w: World) -> None:
    w.classic.execute("CREATE SEQUENCE w.own")
    w.classic.execute("SELECT public.pg_stat_statements_reset()")
    for text in OF_THE_APPLICATION:
        w.classic.execute(text.encode())


def _through_the_shim(w: World) -> None:
    with Shim(w.classic_dsn, w.limitless_dsn, "shopfront") as shim:
        for tenant in ("1", "2"):
            shim.run_read(tenant, lambda r: r.connection.execute("SELECT 1 AS asked").fetchall())
            shim.run_write(tenant, lambda x: x.connection.execute("SELECT 2 AS written"))


def _of_statements(report: AuditReport) -> dict[str, str]:
    """Return the texts of the statements that a finding of rank blocker or rewrite, or on cost, is about."""
    texts = {f"statement {s.name}": s.sql for s in report.statements if s.function is None}
    rules = ("LIM-DML", "LIM-SEQ", "LIM-OBJ", "LIM-TBL", "LIM-TXN-06", "LIM-QRY", "LIM-TXN-05")
    return {texts[f.object]: f.rule for f in report.findings if f.object in texts and f.rule.startswith(rules)}


async def test_what_the_tool_ran_is_no_finding_and_what_the_application_ran_is(w: World, tmp_path: Path) -> None:
    """Capture, copy, mirrors, shim, a schema change, validation, the commands that read, and the undo."""
    (tmp_path / "plan.toml").write_text(PLAN)
    (tmp_path / "change.sql").write_text("ALTER TABLE w.item ADD COLUMN later int;")
    plan = ("--plan", str(tmp_path / "plan.toml"))
    operator = Operator(tmp_path, {"A": w.classic_dsn, "B": w.limitless_dsn, "MIGRATOR_CLASSIC_DSN": w.classic_dsn})
    w.classic.execute("CREATE EXTENSION pg_stat_statements SCHEMA public")
    _application(w)
    await w.start()
    async with w.mirrors():
        await w.copy_all()
        await w.caught_up()
        await asyncio.to_thread(_through_the_shim, w)
        changed = await asyncio.to_thread(operator, "schema", "apply", str(tmp_path / "change.sql"), *plan)
        assert changed.code == 0, changed
        await validate(w.classic_dsn, w.limitless_dsn)
        for words in (("status",), ("mirror", "status"), ("tenant", "show", "1"), ("plan", "check", "--connect")):
            assert (await asyncio.to_thread(operator, *words, *plan)).code == 0, words

    async def undone() -> bool:
        return operator("undo", "dual-write", "--yes", *plan).code == 0

    await until(undone, "the mirror is known to be gone")
    report = audit_live(w.classic, Plan.model_validate(tomllib.loads(PLAN)))

    found = {text for text in _of_statements(report) if "pg_stat_statements" not in text}
    assert report.evidence["statements_of_this_tool"] > 150
    assert found == {
        "LISTEN jobs",
        "SELECT pg_notify($1, $2)",
        "UPDATE w.item SET touched = $1 WHERE id = $2",
        "SELECT setval($1, $2)",
    }
