"""What a role lacks on Limitless holds every gate behind which somebody would notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from migrator.control.install import install, install_limitless
from migrator.model.phase import Phase
from tests.integration.rights.conftest import Land
from workflows.activities import gates
from workflows.activities.base import Context
from workflows.activities.cutover import CutoverActivities
from workflows.messages import NextWave, NextWaveInput

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


async def test_a_missing_grant_holds_dual_write_waves_and_decommission(land: Land, tmp_path: Path) -> None:
    for side, dsn in (("classic", land.classic_dsn), ("limitless", land.limitless_dsn)):
        (tmp_path / side).write_text(dsn)
    plan = land.plan.model_copy(
        update={
            "classic": land.plan.classic.model_copy(update={"writer": f"file:{tmp_path / 'classic'}"}),
            "limitless": land.plan.limitless.model_copy(update={"dsn": f"file:{tmp_path / 'limitless'}"}),
        }
    )
    install(land.classic, "test", "digest", {}, {})
    install_limitless(land.limitless)
    land.provision()
    land.classic.execute("INSERT INTO migrator.tenant (tenant_id, part, state) VALUES ('1', 1, 'mirrored')")
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT SELECT ON app.orders TO {web}")
    context, wanted = Context(plan), f"role {land.roles.name('web')} may SELECT app.orders on classic"

    async def held() -> list[bool]:
        answers = [await gates.ask(context, phase, "") for phase in (Phase.DUAL_WRITE, Phase.STABILIZE)]
        wave: NextWave = await ActivityEnvironment().run(
            CutoverActivities(context).next_wave, NextWaveInput(plan="test", late=False)
        )
        found = [*(answer.blockers for answer in answers), wave.blockers]
        assert (wave.wave is None) == bool(wave.held)
        return [any(blocker.startswith(wanted) for blocker in blockers) for blockers in found]

    assert await held() == [True, True, True]
    land.provision()
    assert await held() == [False, False, False]
