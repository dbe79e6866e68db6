"""Parses DROP TABLE into one request for each of its tables. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from migrator.dataplane.change.alter import Found
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.grammar.tree import Tree
from migrator.model.table import qualify, split_qualified


def tables(where: str, node: Tree, known: Callable[[Tree], list[str]], path: Sequence[str]) -> Iterator[Found]:
    """Yield the requests, or what is wrong. CASCADE drops nothing that the file does not name: the check asks for it.

    Args:
        known: returns the captured tables that a relation may mean.
        path: schemas that a name without one is looked up in, where no captured table has it.
    """
    for parts in node.objects:
        *schemas, name = (part.sval for part in parts)
        found = known(Tree("RangeVar", {"schemaname": "".join(schemas[-1:]), "relname": name}))
        places = found or [qualify(schema, name) for schema in (*schemas[-1:], *path)]
        if len(found) > 1 or not places:
            may = " or ".join(sorted(found)) or "in any schema"
            yield f"{name} may be {may}: name the schema"
        else:
            schema, relation = split_qualified(places[0])
            yield RequestedChange(where, Kind.DROP_TABLE, places[0], schema, relation, bool(node.missing_ok))
