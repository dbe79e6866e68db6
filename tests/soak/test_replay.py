"""An application's migrations reach both sides one after the other, while it writes and the runs are killed."""

from __future__ import annotations

import re

import pytest

from tests import ROOT
from tests.fixtures.postgres import Machines
from tests.soak.history import Application, Migration, read_history
from tests.soak.replay import Outcome, Replay, Result

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

LENDING = ROOT / "tests/cases/lending"
QUICK = (
    "0001_schema",
    "0002_first_data",
    "0003_state_of_loans",
    "0004_reviews",
    "0007_constraints",
    "0008_defaults",
    "0013_borrower",
    "0015_backfill_state",
    "0021_countries",
    "0032_drop_table",
    "0034_rename_column",
)
_EXPECTED = re.compile(r"-- expected: (applied|refused)(?:: (.+))?")


async def replayed(replay: Replay) -> list[Outcome]:
    try:
        return [outcome async for outcome in replay.run()]
    finally:
        replay.close()


def assert_as_expected(migrations: list[Migration], outcomes: list[Outcome]) -> None:
    """Each file says in its first line what becomes of it, and words of the advice that refusals give."""
    wrong = []
    texts = {m.name: m.text for m in migrations}
    for outcome in outcomes:
        expected = _EXPECTED.match(texts[outcome.name])
        assert expected is not None, outcome.name
        said = "\n".join(map(str, outcome.problems))
        if outcome.result != expected[1] or not all(advice in said for advice in (expected[2] or "").split(" / ")):
            wrong.append(outcome)
    assert wrong == []


async def test_nine_migrations(machines: Machines) -> None:
    migrations = [m for m in read_history(LENDING) if m.name in QUICK]
    replay = Replay(machines, Application.load(LENDING / "application.toml"), migrations, kills=1)

    outcomes = await replayed(replay)

    assert_as_expected(migrations, outcomes)
    assert len(outcomes) == len(QUICK) - 2
    assert replay.lives == 1  # what is applied does not end the dual write
    assert sum(o.kills for o in outcomes) >= 5
    assert all(replay.written[table] > 0 for table in ("public.loan", "public.Review", "public.country"))


@pytest.mark.slow
async def test_a_whole_history(machines: Machines) -> None:
    """All of it, with runs that are processes of their own and get SIGKILL."""
    migrations = read_history(LENDING)
    replay = Replay(machines, Application.load(LENDING / "application.toml"), migrations, kills=1, processes=True)

    outcomes = await replayed(replay)

    assert_as_expected(migrations, outcomes)
    assert len(outcomes) == len(migrations) - 2
    assert {o.result for o in outcomes} == {Result.APPLIED, Result.REFUSED}
    assert sum(o.kills for o in outcomes) >= 15
