"""How many statements of migrations does `schema apply` take, refuse with advice, or not know?

    python -m tests.soak.coverage NAME=DIR [NAME=DIR …] [--list]

Read alone, without a server, after the first migration of each folder: every table that a folder makes counts as
captured. What the check on servers refuses further (types that write rows anew, keys) is not in it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from migrator.dataplane.change.request import read_requests
from migrator.grammar.parse import Unparsable, parse
from migrator.grammar.tree import Tree
from migrator.model.table import Column, Table, TableKind
from migrator.scripts.statement_file import split
from tests.soak.history import read_history

WITHOUT_ADVICE = ("it is not known here", "before dual write begins, or after it ends")


def counted(folder: Path) -> tuple[Counter[str], list[str]]:
    """Return how many statements are taken, refused with advice and refused without, and what is refused without."""
    found: Counter[str] = Counter()
    plain: list[str] = []
    tables: dict[tuple[str, str], Table] = {}
    for number, migration in enumerate(read_history(folder)):
        for piece in split(migration.text):
            try:
                [statement] = parse(piece.sql)
            except (Unparsable, ValueError):
                continue
            node = Tree(statement.tag, statement.body)
            if number:
                path = f"SET search_path = {', '.join(sorted({s for s, _ in tables} | {'public'}))};"
                schemas = tuple(sorted({s for s, _ in tables} | {"public"}))
                _, refused = read_requests(path + piece.sql, tuple(tables.values()), schemas)
                refused = [r for r in refused if not r.missing]
                bare = [r for r in refused if any(words in r for words in WITHOUT_ADVICE)]
                found["taken" if not refused else "refused without advice" if bare else "refused with advice"] += 1
                plain += [f"{migration.name}: {piece.sql[:80]!r}: {r}" for r in bare]
            if node.tag == "CreateStmt":
                name = (node.relation.schemaname or "public", node.relation.relname)
                columns = tuple(Column(e.colname, "text") for e in node.tableElts or () if e.tag == "ColumnDef")
                tables[name] = Table(*name, TableKind.SHARDED, columns, ("id",), "tenant_id", "tenant_id")
    return found, plain


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folders", nargs="+", metavar="NAME=DIR")
    arguments.add_argument("--list", action="store_true", help="print what is refused without advice")
    given = arguments.parse_args()
    total: Counter[str] = Counter()
    for name, _, folder in (f.partition("=") for f in given.folders):
        found, plain = counted(Path(folder))
        total += found
        print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in found.most_common()))
        if given.list:
            print("\n".join(f"  {line}" for line in plain))
    print("all: " + ", ".join(f"{100 * n / (total.total() or 1):.1f} % {what}" for what, n in total.most_common()))


if __name__ == "__main__":
    main()
