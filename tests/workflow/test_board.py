"""A gate of a running migration is approved on the board, in the name of who signed in."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from migrator.control.install import install
from migrator.db.connect import connect
from migrator.plan.load import digest, dump, shim_settings
from tests.fixtures.world import plan_of
from tests.integration.serve.served import TOKEN, hidden, serving, sign_in
from tests.workflow.fakes import World, fakes
from tests.workflow.serving import serving as working
from tests.workflow.test_migration import ALWAYS, begun, waits_for

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


async def test_a_gate_is_approved_on_the_board(
    temporal_env: WorkflowEnvironment, temporal_address: str, plan: str, classic_dsn: str
) -> None:
    """Once; and what the workflow refuses is told in its words."""
    made = plan_of(plan, temporal={"address": temporal_address})
    with connect(classic_dsn, "test") as conn:
        install(conn, made.name, digest(made), dump(made), shim_settings(made))
    world = World({"gate audit": [ALWAYS]})
    async with working(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "audit")
        said = await asyncio.to_thread(_approve, classic_dsn, temporal_address, ("cutover", "audit"))
        await handle.terminate()

    assert "not waiting" in said[0] or "does not wait" in said[0], said[0]
    assert "audit approved by Ada" in said[1]
    assert [a.approver for a in world.seen["record_approval"]] == ["Ada"]


def _approve(dsn: str, temporal: str, gates: tuple[str, ...]) -> list[str]:
    """Approve *gates* on a board, one after the other; return what it says."""
    said = []
    with serving(dsn, MIGRATOR_BOARD_TOKEN=TOKEN, MIGRATOR_TEMPORAL=temporal) as served:
        with served.client(follow_redirects=True) as client:
            own = {"Origin": served.url}
            sign_in(client)
            for gate in gates:
                path = str(httpx.URL("/act/approve", params={"gate": gate}))
                shown = client.post(path, data={"csrf": hidden(client.get(path).text, "csrf")}, headers=own).text
                fields = {name: hidden(shown, name) for name in ("csrf", "number")}
                said.append(client.post("/do", data=fields, headers=own).text)
    return said
