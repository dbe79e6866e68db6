"""What an operator sees and does: compare, repair, copy again, look back, pause."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from migrator.cli.exits import ExitCode
from tests.fixtures.operator import Done, Operator
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from workflows.activities.base import Context
from workflows.activities.validation import ValidationActivities
from workflows.messages import PlanInput

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

PLAN = """
name = "shop"
[classic]
writer = "env:CLASSIC"
[limitless]
dsn = "env:LIMITLESS"
[tables]
schemas = ["shop"]
[tables.table."shop.line"]
kind = "sharded"
via = "purchase_id -> shop.purchase.id"
[tables.table."shop.remark"]
kind = "sharded"
via = "line_id -> shop.line.id"
[tables.table."shop.currency"]
kind = "reference"
[temporal]
address = "{address}"
"""


def operator(shop: Shop, home: Path, address: str = "127.0.0.1:1") -> Operator:
    path = home / "plan.toml"
    path.write_text(PLAN.format(address=address))
    return Operator(
        home,
        {
            "CLASSIC": shop.classic_dsn,
            "LIMITLESS": shop.limitless_dsn,
            "MIGRATOR_PLAN": str(path),
            "MIGRATOR_OPERATOR": "ana",
        },
    )


async def test_an_operator_finds_repairs_and_looks_back(shop: Shop, tmp_path: Path) -> None:
    run = operator(shop, tmp_path)

    async def migrator(*words: str) -> Done:
        return await asyncio.to_thread(run, *words)

    def count(what: str) -> int:
        return int(value(shop.classic, f"SELECT count(*) FROM migrator.{what}"))

    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        clean = await migrator("validate")
        shop.limitless.execute("UPDATE shop.line SET sku = 'a secret' WHERE tenant_id = 2 AND id = 36")
        masked = await migrator("validate", "--tenant", "2", "--dry-run")
        shown = await migrator("validate", "--tenant", "2", "--dry-run", "--show-values")
        dry = await migrator("validate", "--repair", "--dry-run", "--json")
        untouched = (count("incident"), count("fallback"), count("decision WHERE kind = 'divergence.repaired'"))
        unasked = await migrator("validate", "--repair")
        mended = await migrator("validate", "--repair", "--yes", "--json")
        shop.limitless.execute("DELETE FROM shop.line WHERE tenant_id = 3")
        both = await migrator("validate", "--repair", "--recopy")
        copied = await migrator("validate", "--tenant", "3", "--sample", "2", "--recopy", "--yes")

        async def pending() -> bool:
            row = shop.classic.execute("SELECT state FROM migrator.tenant WHERE tenant_id = '3'").fetchone()
            return row == ("pending",)

        await until(pending, "it left the mirrored set")
        unknown = await migrator("validate", "--tenant", "3")
        await shop.copy_all()
        last = await migrator("validate", "--full")
        wrong = await migrator("validate", "--table", "shop.nothing")
        history = await migrator("validation", "history", "--json")
        story = await migrator("validation", "history", "--tenant", "2")

    assert clean.code == ExitCode.OK and "Clean: no divergence." in clean.out and "longest pause" in clean.out
    assert masked.code == ExitCode.DIVERGENCE
    assert "mismatched shop.line (id=36) tenant 2 in sku" in masked.out
    assert "a secret" not in masked.out and "a secret" in shown.out and "sku 36" in shown.out
    assert dry.code == ExitCode.DIVERGENCE and dry.json["direction"] == "classic → limitless"
    assert "would let the mirror write 1 row on Limitless again" in dry.err and untouched == (0, 0, 0)
    assert unasked.code == ExitCode.USAGE and "--yes" in unasked.err
    assert mended.code == ExitCode.OK and mended.json["after_repair"]["divergent_rows"] == 0
    assert count("incident WHERE kind = 'divergence' AND reported_by = 'ana'") >= 1
    assert both.code == ExitCode.USAGE
    assert copied.code == ExitCode.DIVERGENCE and "classic → limitless: 1 tenant is copied again" in copied.err
    assert copied.out.count("missing") == 2, "a sample of two"
    assert unknown.code == ExitCode.NO_GO and "Not mirrored" in unknown.out
    assert last.code == ExitCode.OK and shop.differences() == {}
    assert wrong.code not in (ExitCode.OK, ExitCode.UNEXPECTED) and "shop.nothing" in wrong.err
    verdicts = {(v["tenant_id"], v["clean"]) for v in history.json["verdicts"]}
    assert {("2", True), ("2", False), (None, True)} <= verdicts and history.json["runs"]
    assert story.out.count("divergent  ") >= 1 and "(reference)" not in story.out


async def test_the_schedule_is_seen_paused_and_resumed(
    shop: Shop, tmp_path: Path, temporal_env: WorkflowEnvironment, temporal_address: str
) -> None:
    """An operator's pause outlives the migration's own update of the schedule."""
    run = operator(shop, tmp_path, temporal_address)

    async def migrator(*words: str) -> Done:
        return await asyncio.to_thread(run, "validation", "schedule", *words, "--json")

    activities = ValidationActivities(Context(shop.plan))
    environment = ActivityEnvironment(client=temporal_env.client)
    nothing = await migrator("show")
    await environment.run(activities.ensure_schedule, PlanInput(plan="shop"))
    shown = await migrator("show")
    dry = await migrator("pause", "--reason", "month-end", "--dry-run")
    paused = await migrator("pause", "--reason", "month-end")
    await environment.run(activities.ensure_schedule, PlanInput(plan="shop"))
    still = await migrator("show")
    resumed = await migrator("resume")
    await environment.run(activities.remove_schedule, PlanInput(plan="shop"))
    away = await asyncio.to_thread(operator(shop, tmp_path), "validation", "schedule", "show")

    assert nothing.code == ExitCode.NO_GO and "no schedule" in nothing.err
    assert (shown.json["paused"], shown.json["every_s"]) == (False, 900.0) and shown.json["next_at"]
    assert dry.json["paused"] is False
    assert (paused.json["paused"], paused.json["note"]) == (True, "ana: month-end")
    assert still.json["paused"] and not resumed.json["paused"]
    assert away.code == ExitCode.TRY_AGAIN
