"""Which kinds of statements do application migrations consist of?

    python -m tests.soak.shares NAME=DIR [NAME=DIR …] [--unread]

DIR is a folder of migrations as its tool orders it; only ways forward are counted. The first migration of a folder
makes the schema and is counted apart: it is made before the data is moved.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from migrator.grammar.parse import Unparsable
from migrator.scripts.directions import forward
from migrator.scripts.folder import expand
from migrator.scripts.statement_file import split
from tests.soak.kinds import kinds_of


@dataclass(slots=True)
class History:
    """One application's migrations: statements of the first, of those after it, and what could not be read."""

    name: str
    files: int = 0
    first: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)


def read(name: str, folder: Path) -> History:
    """Count the statements of a folder of migrations."""
    history = History(name)
    for path in expand(folder).files:
        text = forward(path.read_text(encoding="utf-8", errors="replace")).text
        counted = history.later if history.files else history.first
        statements = 0
        for piece in split(text):
            try:
                counted.update(kinds_of(piece.sql))
                statements += 1
            except Unparsable as error:
                history.unread.append(f"{path}:{piece.line}: {error.why}")
        history.files += statements > 0
    return history


def table(histories: list[History]) -> list[tuple[str, int, float, float, int]]:
    """Return (kind, number, share of all in %, mean of the shares by history in %, histories with it) by mean share."""
    total = sum(h.later.total() for h in histories)
    kinds = {kind for h in histories for kind in h.later}
    rows = []
    for kind in kinds:
        number = sum(h.later[kind] for h in histories)
        mean = sum(h.later[kind] / (h.later.total() or 1) for h in histories) / len(histories)
        rows.append((kind, number, 100 * number / total, 100 * mean, sum(1 for h in histories if h.later[kind])))
    return sorted(rows, key=lambda r: -r[3])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folders", nargs="+", metavar="NAME=DIR")
    arguments.add_argument("--unread", action="store_true", help="list what could not be parsed")
    given = arguments.parse_args()
    histories = [read(name, Path(folder)) for name, _, folder in (f.partition("=") for f in given.folders)]
    for history in histories:
        print(
            f"{history.name}: {history.files} migrations, {history.first.total()} statements in the first, "
            f"{history.later.total()} after it, {len(history.unread)} not read"
        )
    print("\n| kind | number | share of all | mean share | histories |\n|---|---|---|---|---|")
    for kind, number, share, mean, having in table(histories):
        print(f"| `{kind}` | {number} | {share:.1f} % | {mean:.1f} % | {having} of {len(histories)} |")
    if given.unread:
        print("\n" + "\n".join(line for h in histories for line in h.unread))


if __name__ == "__main__":
    main()
