"""A plan that 0.1.0 stored may break rules that came since: it is read before the first step, and holds nothing up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from migrator.control import upgrade
from migrator.errors import PlanInvalid
from migrator.plan.load import digest, dump, from_body
from migrator.plan.schema import Plan
from tests.fixtures.rows import row
from tests.integration.upgrade.catalog import catalog, different
from tests.integration.upgrade.earlier import PLAN, Connection, Earlier, steps, version

pytestmark = pytest.mark.pg

REHEARSAL = {"clock_scale": 1.0, "tenants": 200, "rows": 200_000}


def store(conn: Connection, section: str, value: dict[str, Any]) -> None:
    """Have 0.1.0's plan say *value* there."""
    conn.execute("UPDATE migrator.plan SET body = jsonb_set(body, ARRAY[%s], %s::jsonb)", (section, json.dumps(value)))


def stored(conn: Connection) -> tuple[dict[str, Any], str, list[str]]:
    body, digest, earlier = row(conn, "SELECT body, digest, earlier FROM migrator.plan")
    return body, digest, earlier


def test_a_section_for_rehearsals_that_0_1_0_let_through_is_left_out(old: Earlier) -> None:
    """The plan file without it is then the plan that runs; the step says so."""
    store(old.classic, "rehearsal", REHEARSAL)
    shown = old.operator("upgrade", "--dry-run")
    done = old.operator("upgrade", "--yes")

    assert shown.code == done.code == 0, (shown.err, done.err)
    assert "without [rehearsal]" in shown.out
    body, now, earlier = stored(old.classic)
    assert from_body(body) == PLAN and now == digest(PLAN) and len(earlier) == 1
    assert old.operator("mirror", "status").code == 0


async def test_the_new_release_says_beforehand_whether_it_can_go_on(old: Earlier, temporal_address: str) -> None:
    """With the plan as 0.1.0 stored it, and before anything is changed."""
    store(old.classic, "rehearsal", REHEARSAL)
    before = catalog(old.classic)
    done = await asyncio.to_thread(old.operator, "worker", "--check", "--json", MIGRATOR_TEMPORAL=temporal_address)

    assert done.code == 0 and done.json["plan"] == "shop", done.err
    assert different(before, catalog(old.classic)) == {} and version(old.classic) == 1


def test_where_a_rehearsal_made_the_servers_the_section_stays(alone: Connection) -> None:
    store(alone, "rehearsal", REHEARSAL)
    store(alone, "temporal", {"address": "127.0.0.1:7233", "namespace": "default"})

    upgrade.run(alone, "classic", steps(alone, "classic"))

    body, now, _ = stored(alone)
    assert body["rehearsal"].items() >= REHEARSAL.items() and now == digest(from_body(body))


def test_a_port_that_no_server_has_does_not_stop_an_upgrade(alone: Connection) -> None:
    """It is refused where the plan is used, as before; the digest is that of the values."""
    store(alone, "temporal", {"address": "temporal:70000", "namespace": "default"})

    upgrade.run(alone, "classic", steps(alone, "classic"))

    body, now, _ = stored(alone)
    assert now == digest(Plan.model_validate(body)) and dump(Plan.model_validate(body)) == body
    with pytest.raises(PlanInvalid, match=r"temporal\.address"):
        from_body(body)


@pytest.mark.parametrize("words", [("--yes",), ("--dry-run",)], ids=["run", "dry run"])
def test_a_plan_that_cannot_be_read_is_named_before_anything_is_changed(old: Earlier, words: tuple[str, ...]) -> None:
    """Also with a plan file that is right: the stored one would fail half-way."""
    store(old.classic, "waves", {"sizes": "many"})
    before = catalog(old.classic)
    file = old.operator.home / "plan.toml"
    file.write_text(
        'name = "shop"\n[classic]\nwriter = "env:MIGRATOR_CLASSIC_DSN"\n[limitless]\n'
        'dsn = "env:MIGRATOR_LIMITLESS_DSN"\n[tables]\nschemas = ["shop"]\n'
    )

    done = old.operator("upgrade", *words, "--plan", str(file))

    assert done.code == 2 and "the stored plan" in done.err and "waves.sizes" in done.err, done
    assert different(before, catalog(old.classic)) == {}
    assert version(old.classic) == version(old.limitless) == 1
