"""What in migrations cannot be applied, and where does it stand? Pure: every problem of all files at once."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence

from migrator.dataplane.change.refusal import NOWHERE, Refusal
from migrator.dataplane.change.request import read_requests
from migrator.grammar.parse import parse, walk
from migrator.grammar.written import quoted
from migrator.model.table import Table, TableKind, qualify
from migrator.scripts.migration import Migration, Place, Problem

_SAID = re.compile(r"^statement \d+: |(?<=.) \(line \d+\)$", re.DOTALL)
_PATH = re.compile(r"search_path", re.IGNORECASE)


class Joined:
    """The text of several migrations as one, so that a later one may use what an earlier one makes.

    `home`: the schema in which each begins; empty where nothing says it.
    """

    def __init__(self, migrations: Sequence[Migration], home: str = "") -> None:
        self.migrations = [m for m in migrations if not m.problems]
        parts = [_begins(home)]
        self.lines: list[int] = []
        line = 1 + parts[0].count("\n")
        for migration in self.migrations:
            parts.append(f"{migration.text}\n;\n")
            if _PATH.search(migration.text):  # what it sets counts for itself alone
                parts[-1] += _begins(home) or "SET search_path = pg_catalog;\n"
            self.lines.append(line)
            line += parts[-1].count("\n")
        self.text = "".join(parts)

    def problems(self, refusals: Iterable[str]) -> list[Problem]:
        """Return what was said about the text with its place in the files."""
        return [self._problem(refusal) for refusal in refusals]

    def _problem(self, refusal: str) -> Problem:
        place = refusal.place if isinstance(refusal, Refusal) else NOWHERE
        rule = refusal.rule if isinstance(refusal, Refusal) else ""
        text = _SAID.sub("", refusal)
        if place == NOWHERE:
            return Problem(Place(self.migrations[-1].path), text, rule)
        number = max(0, bisect_right(self.lines, place.line) - 1)
        return Problem(
            Place(self.migrations[number].path, place.line - self.lines[number] + 1, place.column), text, rule
        )


def _begins(home: str) -> str:
    return f"SET search_path = {quoted(home)};\n" if home else ""


def refusals(
    migrations: Sequence[Migration], tables: tuple[Table, ...], schemas: tuple[str, ...], home: str = ""
) -> list[Problem]:
    """Return everything in *migrations* that cannot be read, or cannot be applied whatever the servers hold.

    Args:
        home: the schema of names without one, where several are migrated.
    """
    found = [problem for m in migrations for problem in m.problems]
    joined = Joined(migrations, home or (schemas[0] if len(schemas) == 1 else ""))
    if any(parse(m.text) for m in joined.migrations):
        found += joined.problems(read_requests(joined.text, tables, schemas)[1])
    found += [
        Problem(Place(m.path), "it holds no statement") for m in joined.migrations if not m.known and not parse(m.text)
    ]
    order = {m.path: n for n, m in enumerate(migrations)}
    return sorted(found, key=lambda p: (order[p.place.path], p.place.line, p.place.column))


def assumed(
    migrations: Sequence[Migration], schemas: Sequence[str] = (), left_out: Collection[str] = ()
) -> tuple[tuple[Table, ...], tuple[str, ...], str]:
    """Return tables, schemas and the one of names without any, where no database says: all that is named is there.

    Args:
        schemas: those that are migrated, if it is known; the first is where names without a schema are.
        left_out: tables that are known not to be migrated.
    """
    named: dict[tuple[str, str], None] = {}
    made: set[tuple[str, str]] = set()
    for statement in parse(Joined(migrations).text):
        new = statement.body.get("relation") if statement.tag == "CreateStmt" else None
        for _, body in walk({statement.tag: statement.body}):
            for relation in (body, *body.values()):
                if not isinstance(relation, dict) or "relname" not in relation:
                    continue
                name = (relation.get("schemaname", ""), relation["relname"])
                if relation is new:
                    made.add(name)
                elif name not in made:
                    named[name] = None
    known = list(schemas) or list(dict.fromkeys(s for s, _ in (*named, *made) if s))
    home = schemas[0] if schemas else "public"
    places = [(schema or home, name) for schema, name in named]
    return (
        tuple(
            Table(schema, name, TableKind.SHARDED, (), ())
            for schema, name in dict.fromkeys(places)
            if schema in (home, *known) and qualify(schema, name) not in left_out
        ),
        tuple(known) if home in known else (home, *known),
        home,
    )
