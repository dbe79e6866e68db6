"""Workers that run another plan than classic holds: named, a blocker in every gate, and refused."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError

from migrator.control import workers
from migrator.control.install import VERSION, install
from migrator.control.status import collect
from migrator.model.phase import Phase
from migrator.plan.load import digest, dump, shim_settings
from migrator.plan.schema import Plan
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.shop import Shop
from workflows.activities import gates
from workflows.activities.base import Context
from workflows.fit import ALWAYS, Fit, loaded

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Plan:
    return stored(shop, small_plan(), monkeypatch)


def changed(plan: Plan, **sections: object) -> Plan:
    return Plan.model_validate({**dump(plan), **sections})


async def test_a_worker_that_was_started_before_the_plan_changed_refuses_and_is_named(shop: Shop, plan: Plan) -> None:
    """The same plan passes; after a change of the plan on classic the old one does not, elsewhere it may."""
    old = Fit(Context(plan))
    await old.check()
    new = changed(plan, dual_write={"parts": 5})
    install(shop.classic, new.name, digest(new), dump(new), shim_settings(new))
    old.asked_at = float("-inf")  # more than a second later

    with pytest.raises(ApplicationError, match="restart it") as refused:
        await old.check()
    await Fit(Context(new)).check()
    workers.beat(shop.classic, "old:1", loaded(plan), ["control"])
    workers.beat(shop.classic, "new:2", loaded(new), ["control"])
    gate = await gates.ask(Context(new), Phase.CUTOVER, "")
    seen = collect(shop.classic)

    assert not refused.value.non_retryable, "another worker may do it"
    assert (seen.workers, len(seen.outdated_workers)) == (2, 1)
    assert seen.outdated_workers[0] in seen.blockers and seen.outdated_workers[0] in gate.blockers
    assert not gate.go and "old:1" in seen.outdated_workers[0]


@pytest.mark.parametrize("version", [1, VERSION + 1])
async def test_on_tables_of_another_version_a_worker_does_nothing(shop: Shop, plan: Plan, version: int) -> None:
    """Until they are upgraded, or it is; its activities are tried again meanwhile."""
    shop.classic.execute("UPDATE migrator.installed SET version = %s", (version,))
    fit = Fit(Context(plan))

    with pytest.raises(ApplicationError, match=f"version {version}") as refused:
        await fit.check()
    shop.classic.execute("UPDATE migrator.installed SET version = %s", (VERSION,))
    fit.asked_at = float("-inf")
    await fit.check()

    assert not refused.value.non_retryable


@pytest.mark.parametrize(
    ("knows", "words"),
    [
        ({"shim": {"staleness_s": 99.0}}, "shim and breaker"),
        ({"name": "another"}, "serves plan another"),
        ({}, ""),
    ],
    ids=["settings", "plan", "same"],
)
async def test_each_difference_is_said_in_its_words(
    shop: Shop, plan: Plan, knows: dict[str, object], words: str
) -> None:
    workers.beat(shop.classic, "w:1", loaded(changed(plan, **knows)), ["control"])

    found = workers.outdated(shop.classic)

    assert bool(found) is bool(words)
    assert words in "".join(found)


async def test_two_versions_at_once_are_a_difference_and_the_silent_count_no_more(shop: Shop, plan: Plan) -> None:
    knows = loaded(plan)
    workers.beat(shop.classic, "a:1", knows, [])
    workers.beat(shop.classic, "b:2", workers.Loaded(knows.plan_id, knows.digest, "9.10.0", knows.shim), [])
    both = workers.outdated(shop.classic)
    shop.classic.execute("UPDATE migrator.worker SET seen_at = now() - interval '5 minutes' WHERE worker_id = 'a:1'")
    one = workers.outdated(shop.classic)
    workers.leave(shop.classic, "b:2")

    assert len(both) == 1 and "a:1 is version" in both[0] and "9.10.0" in both[0]
    assert one == ()
    assert workers.living(shop.classic) == []


async def test_a_rollback_waits_for_no_worker_to_be_restarted() -> None:
    """At night it must happen, and nothing of it comes from the plan."""
    assert {"roll_back", "decommission_reopen"} <= ALWAYS
