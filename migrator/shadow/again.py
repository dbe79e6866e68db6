"""Which calls are repeated once more, because those so far do not tell whether their statement is slower? Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain, cycle, islice, zip_longest

from migrator.shadow.prepare import Repeated
from migrator.shadow.replay import Pair
from migrator.shadow.statistics import FEWEST

MORE = 2 * FEWEST
"""Calls of a statement that one more round has at least: of two equal sides enough, also where they are uneven."""

MOST = 500
"""And at most: a rare statement is not to take the time of all others."""


def more(calls: Sequence[Repeated], pairs: Sequence[Pair], undecided: Collection[str]) -> list[Repeated]:
    """Return calls of the statements that are *undecided*, as many as there were, in turns, in no session's order."""
    by_statement: dict[str, list[Repeated]] = defaultdict(list)
    for repeated in calls:
        if (name := repeated.statement.fingerprint.id) in undecided:
            by_statement[name].append(repeated)
    done = dict.fromkeys(by_statement, 0)
    for pair in pairs:
        if (name := pair.repeated.statement.fingerprint.id) in done:
            done[name] += 1
    rounds = [islice(cycle(mine), min(MOST, max(MORE, done[name]))) for name, mine in by_statement.items()]
    found = chain.from_iterable(zip_longest(*rounds))
    return [replace(repeated, call=replace(repeated.call, session="")) for repeated in found if repeated is not None]
