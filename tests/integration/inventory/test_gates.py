"""A table that nobody captures passes no gate, is never handed over and never made on Limitless."""

from __future__ import annotations

import pytest

from migrator import gates as asked
from migrator.control.phase import set_phase
from migrator.control.status import collect
from migrator.decommission import attempt, drain, hand_over, record
from migrator.decommission.facts import gather
from migrator.decommission.gate import decommission_verdict
from migrator.decommission.window import Window
from migrator.errors import NoGo
from migrator.inventory.look import losses, refresh
from migrator.local.process import free_port
from migrator.model.phase import Phase
from migrator.model.route import WriteMode
from migrator.plan.load import dump, from_body
from migrator.traffic.cutover.facts import reference_facts, tenant_facts, wave_tenants
from migrator.traffic.cutover.gate import GateLimits, wave_verdict
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.postgres import with_parts
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from workflows.activities import decommission, gates
from workflows.activities.base import Context
from workflows.activities.control import ControlActivities
from workflows.messages import GateAnswer

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

LATER = (
    "CREATE TABLE shop.later (id bigint PRIMARY KEY, tenant_id bigint NOT NULL); INSERT INTO shop.later VALUES (1, 1)"
)
NAMED = "table shop.later is not captured"


def made_there(shop: Shop) -> bool:
    row = shop.limitless.execute("SELECT to_regclass('shop.later') IS NOT NULL").fetchone()
    return bool(row and row[0])


def named(blockers: tuple[str, ...]) -> bool:
    return sum(NAMED in b for b in blockers) == 1


async def test_every_gate_says_no(shop: Shop) -> None:
    """And status at once, whichever phase it is in; with the table gone all of them are as before."""
    await shop.start()
    without = answers(shop)
    assert not any(NAMED in b for blockers in without for b in blockers)

    shop.classic.execute(LATER)

    assert all(named(blockers) for blockers in answers(shop))
    tenants = tenant_facts(shop.classic, wave_tenants(shop.classic, 1))
    wave = wave_verdict(tenants, GateLimits(5, 60), reference_facts(shop.classic), losses(shop.classic))
    assert named(wave.verdict.blockers) and not wave.ready
    for stage in ("mirrored", "final"):
        with pytest.raises(NoGo, match=NAMED):
            decommission._finalize(shop.classic, shop.limitless, shop.plan, stage)
    with pytest.raises(NoGo, match=NAMED):
        decommission._close(shop.classic, shop.plan, attempt.begin(shop.classic, "ana"))
    assert shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("dual",)
    assert not made_there(shop)

    shop.classic.execute("DROP TABLE shop.later")
    assert answers(shop) == without


def answers(shop: Shop) -> list[tuple[str, ...]]:
    """The blockers of status and of every gate."""
    return [
        collect(shop.classic).blockers,
        gates._dual_write(shop.classic, shop.plan).blockers,
        gates._cutover(shop.classic, shop.plan).blockers,
        decommission_verdict(gather(shop.classic, True, "over", 5, 60)).blockers,
        decommission_verdict(gather(shop.classic, True, "over", 5, 60, shop.limitless)).blockers,
    ]


async def test_a_gate_looks_at_both_sides_before_it_says_yes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would lose rows counts in every gate, what would break the application in the last one; what cannot be
    looked at is no yes."""
    monkeypatch.setenv("TEST_CLASSIC", shop.classic_dsn)
    monkeypatch.setenv("TEST_LIMITLESS", shop.limitless_dsn)
    plan = dump(shop.plan)
    plan["classic"]["writer"], plan["limitless"]["dsn"] = "env:TEST_CLASSIC", "env:TEST_LIMITLESS"
    context = Context(from_body(plan))
    await shop.start()
    assert (await gates.ask(context, Phase.CUTOVER, "")).go

    shop.limitless.execute("CREATE VIEW shop.v AS SELECT 1 AS one")
    assert (await gates.ask(context, Phase.CUTOVER, "")).go
    last = gates._differences(shop.classic, shop.limitless, Phase.STABILIZE, shop.plan)
    assert last[0].startswith("view shop.v exists on")
    shop.limitless.execute("DROP TABLE shop.currency")
    assert "table shop.currency is captured" in (await gates.ask(context, Phase.CUTOVER, "")).blockers[0]

    shop.limitless.execute("CREATE TABLE shop.currency (code char(3) PRIMARY KEY, rate numeric)")
    monkeypatch.setenv("TEST_LIMITLESS", with_parts(shop.limitless_dsn, port=str(free_port())))
    refresh(shop.classic, shop.limitless)
    unknown = await gates.ask(context, Phase.CUTOVER, "")
    assert not unknown.go and unknown.blockers[0].startswith("what Limitless holds is not known")


async def test_late_sign_ups_hide_no_blocker(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their wave may take long: status says what the gate waits for, also after it was approved. And what both sides
    have against a hand-over holds waves up too, so none is begun for it."""
    monkeypatch.setenv("TEST_CLASSIC", shop.classic_dsn)
    monkeypatch.setenv("TEST_LIMITLESS", shop.limitless_dsn)
    plan = dump(shop.plan)
    plan["classic"]["writer"], plan["limitless"]["dsn"] = "env:TEST_CLASSIC", "env:TEST_LIMITLESS"
    context = Context(from_body(plan))
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    record.store_window(shop.classic, Window(started_s=0, deadline_s=1), True, "day 90 of 90")
    set_phase(shop.classic, "stabilize", "waiting", "waiting for an approval of decommission")
    shop.classic.execute("UPDATE migrator.tenant SET divergent = 1 WHERE tenant_id = '1'")

    answer = await ControlActivities(context)._gate(Phase.STABILIZE, "ana")

    noted = shop.classic.execute("SELECT state, blockers::text FROM migrator.phase WHERE phase = 'stabilize'")
    state, blockers = noted.fetchone() or ("", "")
    assert answer.late_tenants > 0 and not answer.go
    assert state == "blocked" and "tenants with divergent rows: 1" in blockers

    shop.limitless.execute("CREATE VIEW shop.v AS SELECT 1 AS one")
    monkeypatch.setattr(asked, "_stabilize", lambda *_: GateAnswer(go=True, needs_approval=True, late_tenants=2))
    answer = await gates.ask(context, Phase.STABILIZE, "ana")
    assert not answer.go and answer.late_tenants == 0


async def test_nothing_is_handed_over_that_came_in_the_pause(shop: Shop) -> None:
    """A table made while writes are closed stops the hand-over, one made right after it stops what would forget it."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        decommission._finalize(shop.classic, shop.limitless, shop.plan, "mirrored")
        number = attempt.begin(shop.classic, "ana")
        decommission._close(shop.classic, shop.plan, number)

        async def drained() -> bool:
            return decommission._left(shop.classic, shop.limitless, number) == ([], [])

        await until(drained, "the mirrors have the last write")
    decommission._sequences(shop.classic, shop.limitless, shop.plan, number)
    decommission._close_positions(shop.classic, shop.limitless, number)
    shop.classic.execute(LATER)
    with pytest.raises(NoGo, match=NAMED):
        over(shop, number)
    assert shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("closed",)

    shop.classic.execute("DROP TABLE shop.later")
    over(shop, number)
    shop.classic.execute(LATER)
    with pytest.raises(NoGo, match=NAMED):
        decommission._settle(shop.classic, shop.limitless, shop.plan, number)
    assert NAMED in "".join(collect(shop.classic).blockers), "capture is still there, so status still knows"
    assert not made_there(shop)

    shop.classic.execute("DROP TABLE shop.later")
    settled = decommission._settle(shop.classic, shop.limitless, shop.plan, number)
    assert settled.done and settled.blockers == ()
    assert decommission._settle(shop.classic, shop.limitless, shop.plan, number).done, "again, with capture gone"
    snapshot = attempt.read(shop.classic, number).snapshot
    assert snapshot is not None and drain.closed(shop.limitless, snapshot)


def over(shop: Shop, number: int) -> None:
    def only_limitless() -> int:
        return write_mode(
            shop.classic, WriteMode.LIMITLESS_ONLY, who="ana", reason="approved", expected=WriteMode.CLOSED
        )

    tables = decommission._tables(shop.classic)
    hand_over.hand_over(shop.classic, shop.limitless, number, tables, 60.0, only_limitless)
