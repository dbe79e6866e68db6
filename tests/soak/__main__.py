"""Replays a folder of migrations and prints what became of each, and of each kind of statement.

    python -m tests.soak DIR application.toml [--begin N] [--end N] [--seed N] [--kills N] [--processes]

application.toml has the fields of `tests.soak.history.Application`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.fixtures.postgres import Cluster
from tests.soak.history import Application, read_history
from tests.soak.replay import Outcome, Replay, Result


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("application", type=Path)
    arguments.add_argument("--begin", type=int)
    arguments.add_argument("--end", type=int)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--kills", type=int, default=2, help="runs of each file that are killed at most")
    arguments.add_argument("--processes", action="store_true", help="with SIGKILL of processes of their own")
    given = arguments.parse_args()
    application = Application.load(given.application)
    if given.begin is not None:
        application = replace(application, begin=given.begin)
    migrations = read_history(given.folder)[: given.end]
    cluster = Cluster(None)
    try:
        with cluster.pair() as machines:
            replay = Replay(machines, application, migrations, given.seed, kills=given.kills, processes=given.processes)
            outcomes = asyncio.run(_followed(replay))
    finally:
        cluster.remove()
    _print(replay, outcomes)


async def _followed(replay: Replay) -> list[Outcome]:
    found = []
    began = time.monotonic()
    async for outcome in replay.run():
        found.append(outcome)
        print(f"{time.monotonic() - began:6.0f} s  {outcome.result}  {outcome.name}", flush=True)
        for problem in outcome.problems:
            print(f"            {problem}", flush=True)
    return found


def _print(replay: Replay, outcomes: list[Outcome]) -> None:
    results = Counter(o.result for o in outcomes)
    print(
        "\n" + ", ".join(f"{results[r]} {r}" for r in Result),
        f"of {len(outcomes)} migrations; {sum(o.kills for o in outcomes)} kills, {replay.validated} validations, "
        f"{replay.lives} dual writes, {replay.written.total()} rows written",
    )
    usable = [o for o in outcomes if o.result is not Result.UNUSABLE]
    total = Counter(k for o in usable for k in o.kinds)
    refused = Counter(k for o in usable for k in o.refused)
    print("\n| kind | statements | refused |\n|---|---|---|")
    for kind, number in total.most_common():
        print(f"| `{kind}` | {number} | {refused[kind] or ''} |")


if __name__ == "__main__":
    main()
