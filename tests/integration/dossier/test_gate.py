"""Classic is retired only where its dossier can be written: known before anything is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.decommission import dossier
from migrator.decommission.prepare import prepare
from migrator.errors import NoGo
from migrator.plan.schema import Plan
from tests.fixtures.dossier import a_key, pem_of
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path / "worker"))
    monkeypatch.setenv("DOSSIER_KEY", pem_of(a_key()))
    rules = {"dossier": f"{tmp_path}/evidence/", "dossier_key": "env:DOSSIER_KEY"}
    return stored(shop, small_plan(decommission=rules), monkeypatch)


async def test_nothing_is_closed_while_the_dossier_cannot_be_written(
    plan: Plan, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate says no, what comes before the pause says no, and both say yes once the cause is gone."""
    await shop.start()
    classic, limitless = shop.classic, shop.limitless
    (tmp_path / "evidence").write_text("a file where a directory should be")
    worker = tmp_path / "worker"

    refused = dossier.blockers(classic, plan, worker, keep=True)
    assert [blocker.code for blocker in refused] == ["dossier.unwritable"]
    assert "a dossier cannot be written to" in refused[0].text
    assert dossier.blockers(classic, plan, worker, keep=False) == refused, "a command shows what a worker found"
    with pytest.raises(NoGo, match="a dossier cannot be written to"):
        prepare(classic, limitless, plan)

    (tmp_path / "evidence").unlink()
    assert dossier.blockers(classic, plan, worker, keep=True) == ()
    monkeypatch.delenv("DOSSIER_KEY")
    assert dossier.blockers(classic, plan, worker, keep=True) == (), "what worked is not tried again within minutes"
    with pytest.raises(NoGo, match="the environment variable DOSSIER_KEY is not set"):
        prepare(classic, limitless, plan)
    assert list((tmp_path / "evidence").iterdir()) == [], "a probe leaves nothing behind"


async def test_a_cluster_that_is_to_be_deleted_needs_a_place_for_its_dossier(plan: Plan, shop: Shop) -> None:
    rules = plan.decommission.model_copy(update={"dossier": None, "release_classic": True})
    on_aws = plan.classic.model_copy(update={"cluster_id": "orders"})
    there = plan.model_copy(update={"decommission": rules, "classic": on_aws})
    (blocker,) = dossier.blockers(shop.classic, there, Path("/nowhere"), keep=True)
    assert blocker.code == "dossier.no_place"
