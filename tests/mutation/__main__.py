"""Try the mutations and say what came of them."""

from __future__ import annotations

import argparse
import queue
import sys
import threading
from collections.abc import Sequence

from tests.mutation.mutation import Mutation
from tests.mutation.table import MUTATIONS
from tests.mutation.workshop import Lane, Outcome, Verdict, lanes


def try_all(mutations: Sequence[Mutation], count: int) -> list[Outcome]:
    """Try *mutations* in *count* lanes, telling each outcome as it comes."""
    waiting: queue.SimpleQueue[Mutation] = queue.SimpleQueue()
    for mutation in mutations:
        waiting.put(mutation)
    found: list[Outcome] = []

    def work(lane: Lane) -> None:
        while True:
            try:
                mutation = waiting.get_nowait()
            except queue.Empty:
                return
            outcome = lane.try_out(mutation)
            found.append(outcome)
            print(f"{outcome.verdict:16} {outcome.seconds:5.1f} s  {mutation.name}: {outcome.detail}", flush=True)

    with lanes(min(count, len(mutations))) as opened:
        threads = [threading.Thread(target=work, args=(lane,)) for lane in opened]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


def main() -> int:
    """Return 0 when every mutation was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", action="append", help="those whose names begin with this; may be repeated")
    parser.add_argument("--lanes", type=int, default=2, help="how many are tried at once (default: 2)")
    given = parser.parse_args()
    chosen = [m for m in MUTATIONS if not given.only or m.name.startswith(tuple(given.only))]
    if not chosen:
        parser.error("no mutation has such a name")
    outcomes = try_all(chosen, given.lanes)
    left = [o for o in outcomes if o.verdict is not Verdict.NOTICED]
    print(f"{len(outcomes) - len(left)} of {len(chosen)} noticed")
    return 1 if left or len(outcomes) < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
