"""Dual write does not begin, and is not left, on a writer that does not last; gate, status and audit say the same."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator import gates
from migrator.audit.run import audit_live
from migrator.cli.status_view import render
from migrator.control.history import add_report
from migrator.control.install import install
from migrator.control.status import collect
from migrator.model.status import Status
from migrator.plan.load import digest, dump, from_body, shim_settings
from migrator.plan.schema import Plan
from migrator.runway import forecast
from migrator.runway.forecast import CLOUDWATCH, VCPUS, on_this_machine
from migrator.traffic.cutover.wave import next_wave
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

FULL: dict[str, Any] = {"cpu_pct": 85.0, "vcpus": 64}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own servers are on this machine; a writer is not."""
    monkeypatch.setattr(forecast, "on_this_machine", lambda conn: False)


async def test_a_server_says_whether_it_is_on_this_machine(
    shop: Shop, embedded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_this_machine(shop.classic) == embedded
    assert about_the_writer(gates._dual_write(shop.classic, plan_of(shop)).blockers) == ["runway.unknown"]
    monkeypatch.setattr(forecast, "on_this_machine", on_this_machine)
    spared = [] if embedded else ["runway.unknown"]
    assert about_the_writer(gates._dual_write(shop.classic, plan_of(shop)).blockers) == spared
    assert about_the_writer(gates._dual_write(shop.classic, plan_of(shop, **FULL)).blockers) == ["runway.short"]


def plan_of(shop: Shop, *, acknowledged: tuple[str, ...] = (), local: bool = False, **runway: Any) -> Plan:
    """The shop's plan for servers that the tool does not keep itself; stored on classic."""
    body = dump(shop.plan)
    if not local:
        body["classic"]["writer"], body["limitless"]["dsn"] = "env:TEST_CLASSIC", "env:TEST_LIMITLESS"
    body["gates"]["acknowledged"] = list(acknowledged)
    body["runway"] |= runway
    plan = from_body(body)
    shop.classic.execute("DELETE FROM migrator.plan")
    install(shop.classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
    return plan


def about_the_writer(blockers: tuple[Any, ...]) -> list[str]:
    return [b.code for b in blockers if b.code.startswith("runway.")]


def both(shop: Shop, plan: Plan) -> list[list[str]]:
    """What the gate before dual write says, and the one behind it."""
    answers = gates._provision(shop.classic, plan), gates._dual_write(shop.classic, plan)
    assert not any(answer.go and about_the_writer(answer.blockers) for answer in answers)
    return [about_the_writer(answer.blockers) for answer in answers]


async def test_dual_write_waits_for_a_writer_that_lasts(shop: Shop) -> None:
    """Before it begins and before it is left; unknown is no yes; what a team accepts by name counts."""
    add_report(shop.classic, "provision.verdict", {"blockers": []})

    assert both(shop, plan_of(shop)) == [["runway.unknown"]] * 2
    assert both(shop, plan_of(shop, acknowledged=("runway.unknown",))) == [[], []]
    assert both(shop, plan_of(shop, **FULL)) == [["runway.short"]] * 2
    assert both(shop, plan_of(shop, **FULL, acknowledged=("runway.unknown",))) == [["runway.short"]] * 2
    assert both(shop, plan_of(shop, **FULL, acknowledged=("runway.short",))) == [[], []]
    assert both(shop, plan_of(shop, cpu_pct=20.0, vcpus=64)) == [[], []]
    assert both(shop, plan_of(shop, cpu_pct=20.0, vcpus=64, monthly_growth_pct=60.0)) == [["runway.short"]] * 2
    assert both(shop, plan_of(shop, local=True)) == [[], []], "a server of this machine"
    assert both(shop, plan_of(shop, local=True, **FULL)) == [["runway.short"]] * 2, "the plan says more"


async def test_what_would_close_it_has_its_figures(shop: Shop) -> None:
    shop.classic.execute(
        "UPDATE shop.line SET sku = 'x' WHERE id <= 900; UPDATE shop.remark SET body = 'x' WHERE number <= 100"
    )
    shop.classic.execute("SELECT pg_stat_force_next_flush()")
    [text] = [b for b in gates._dual_write(shop.classic, plan_of(shop, **FULL)).blockers if b.code == "runway.short"]

    for said in (
        "CPU 85% in the busiest hour, as the plan says", "growth 15.0% a month", "24.0 weeks more",
        "of the application's load has to leave the writer", "192 vCPUs for 64",
        "fewer tables at first: shop.line, shop.remark have 100% of all row writes",
        "move writes early: from week", "a calendar of at most", 'gates.acknowledged = ["runway.short"]',
    ):  # fmt: skip
        assert said in text, text


async def test_waves_stop_below_the_floor(shop: Shop) -> None:
    """With weeks left they go on; the floor is another name to accept."""
    await shop.start()
    shop.classic.execute("INSERT INTO migrator.tenant (tenant_id, part, state) VALUES ('1', 1, 'mirrored')")

    held = next_wave(shop.classic, plan_of(shop, **FULL, floor_weeks=2.0), late=False)
    assert held.wave is None and held.held == "classic's writer is nearly full"
    assert [b.code for b in held.blockers] == ["runway.floor"]
    assert next_wave(shop.classic, plan_of(shop, **FULL, floor_weeks=0.5), late=False).wave is not None
    accepted = plan_of(shop, **FULL, floor_weeks=2.0, acknowledged=("runway.floor",))
    assert next_wave(shop.classic, accepted, late=False).wave is not None


def put(conn: psycopg.Connection[Any], metric: str, value: str) -> None:
    """70 days of hours until now, of *value*, by SQL over the day's number `d` and the hour's `h`."""
    query = (
        "INSERT INTO migrator.writer_load (grain, at, metric, total, seconds, peak)"
        " SELECT 'hour', at, {}, ({}) * 3600, 3600, ({}) FROM (SELECT at, extract(hour FROM at AT TIME ZONE 'UTC') AS"
        " h, extract(epoch FROM at - now()) / 86400 AS d FROM generate_series("
        " date_trunc('hour', clock_timestamp(), 'UTC') - interval '70 days',"
        " date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour', '1 hour') at) s"
    )
    conn.execute(sql.SQL(query).format(metric, sql.SQL(value), sql.SQL(value)))


async def test_gate_status_and_audit_have_one_answer(shop: Shop) -> None:
    """Measured for ten weeks: 60 % at ten o'clock, row writes growing by 20 % a month; the plan is not asked."""
    put(shop.classic, CLOUDWATCH, "0.3 + 0.3 * (h = 10)::int")
    put(shop.classic, VCPUS[CLOUDWATCH], "64")
    put(shop.classic, "row_writes", "40000 * 1.2 ^ (d / 30.4)")
    plan = plan_of(shop, monthly_growth_pct=1.0)

    [said] = [b for b in gates._dual_write(shop.classic, plan).blockers if b.code == "runway.short"]
    status = collect(shop.classic)
    report = audit_live(shop.classic, plan)

    assert status.runway is not None and status.runway.closes is report.runway["closes"] is False
    for text in (said, status.runway.summary, report.runway["summary"]):
        assert "CPU 60% in the busiest hour, measured by CloudWatch in 7 days" in text
        assert "growth 20.0% a month" in text and "row writes over" in text
    # Two questions that are a moment apart differ in the last digit at most.
    assert status.runway.weeks == pytest.approx(report.runway["weeks"]["triggers"], abs=0.11)
    assert report.runway["capture_cost_source"].startswith("modelled: 10 to 26 us")
    assert [f for f in report.findings if f.rule == "AUD-RUN-01"] and report.sizing["max_acu"]
    shown = drawn(status)
    assert "Runway" in shown and "full after" in shown and "→ move reads to replicas first" in shown
    assert "what the tool costs classic is unknown: no worker has sampled it" in shown


def drawn(status: Status) -> str:
    from io import StringIO

    from rich.console import Console

    text = StringIO()
    screen = Console(file=text, width=2000)
    screen.print(render(status, None, framed=False))
    return text.getvalue()
