"""The end of a migration with its dossier: written before classic is retired, and all that answers when it is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from migrator.control.phase import set_phase
from migrator.model.phase import Phase
from migrator.plan.schema import Plan
from tests.fixtures.dossier import a_key, pem_of
from tests.fixtures.operator import PLAN, Operator
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.postgres import Servers
from tests.fixtures.shop import Shop, new_shop
from tests.workflow.serving import serving
from tests.workflow.test_decommission_resumed import ended_afterwards, everything, retired, tried

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

KEY = a_key()
FINGERPRINT = KEY.line.fingerprint


@pytest.fixture
def own_shop(servers: Servers) -> Iterator[Shop]:
    with new_shop(servers.classic_dsn, servers.limitless_dsn) as made:
        yield made


@pytest.fixture
async def plan(own_shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Plan]:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path / "worker"))
    monkeypatch.setenv("DOSSIER_KEY", pem_of(KEY).replace("\n", "\\n"))
    rules = small_plan().decommission.model_dump() | {
        "dossier": str(tmp_path / "evidence" / "shop.dossier"),
        "dossier_key": "env:DOSSIER_KEY",
    }
    found = stored(own_shop, small_plan(decommission=rules), monkeypatch)
    await own_shop.start()
    async with own_shop.mirrors():
        await own_shop.copy_all()
    yield found


async def test_after_the_end_everything_is_answered_by_the_dossier(
    temporal_env: WorkflowEnvironment, plan: Plan, own_shop: Shop, servers: Servers, tmp_path: Path
) -> None:
    """The final one is written; classic's server stops; status, report and the log go on answering, anywhere."""
    for phase in Phase:
        set_phase(own_shop.classic, phase.value, "done")
    async with ended_afterwards(temporal_env, plan), serving(temporal_env.client, plan.name, everything(plan)):
        result = await tried(temporal_env, plan)
    assert result is not None and result.done
    retired(own_shop)
    own_shop.classic.close()
    servers.classic.stop()

    place = str(tmp_path / "evidence" / "shop.dossier")
    here = Operator(tmp_path / "worker", {"MIGRATOR_CLASSIC_DSN": servers.classic_dsn})
    status = here("status")
    assert status.code == 0, status.err
    assert f"{place}; classic is retired." in status.out and status.out.startswith("From the dossier of ")
    assert (
        here("status", "--json").json["dossier"]["trusted"] == "it is signed by the key that signed earlier ones here"
    )
    assert "From the dossier of" in here("report", "migration").out
    assert "Finished" in here("report", "migration").out
    page = tmp_path / "page.html"
    assert here("report", "migration", "--html", str(page)).code == 0
    assert "classic is retired" in page.read_text()
    kinds = {line["kind"] for line in here("report", "decisions", "--limit", "1000", "--json").json}
    assert {"decommission.begun", "writes.closed", "capture.removed", "write_mode.changed"} <= kinds
    assert "decommission" in here("report").out
    assert here("report", "decommission").json["body"]["state"] == "handed_over"
    assert here("dossier", "verify", place).code == 0
    log = here("log", "--limit", "500")
    assert "classic is retired" in log.out and "capture.removed" in log.out
    verified = here("log", "--verify")
    assert verified.code == 0 and "The decision log is as it was written" in verified.out
    assert here("log", "--verify", "--anchor", "0" * 64).code == 3

    # An auditor's machine knows nothing: it says whose key it is, and believes it only when told the fingerprint.
    auditor = Operator(tmp_path / "auditor", {})
    auditor.home.mkdir()
    unknown = auditor("dossier", "verify", place)
    assert unknown.code == 3 and FINGERPRINT in unknown.err
    assert auditor("dossier", "verify", place, "--key", FINGERPRINT).code == 0
    assert auditor("dossier", "verify", place, "--key", a_key().line.fingerprint).code == 3
    assert auditor("status", "--dossier", place).code == 0
    shown = auditor("dossier", "show", place, "--json").json
    assert shown["manifest"]["kind"] == "final" and shown["manifest"]["attempt"]
    member = auditor.process("dossier", "show", place, "--member", "approvals.jsonl")
    assert member.code == 0

    # A plan that names place and fingerprint is enough on any machine; without either, classic is an outage.
    file = tmp_path / "plan.toml"
    rules = f'[decommission]\ndossier = "{place}"\ndossier_fingerprint = "{FINGERPRINT}"\n'
    file.write_text(PLAN.replace('"shop"', f'"{plan.name}"', 1).replace("[temporal]", f"{rules}[temporal]"))
    planned = Operator(tmp_path / "other", {"A": servers.classic_dsn, "B": servers.limitless_dsn})
    assert "the plan names" in planned("status", "--plan", str(file), "--json").json["dossier"]["trusted"]
    silent = Operator(tmp_path / "nothing", {"MIGRATOR_CLASSIC_DSN": servers.classic_dsn})("status")
    assert silent.code == 5 and "dossier" not in silent.out
