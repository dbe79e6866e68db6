"""Which column does each parameter of a statement stand for? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.audit.catalog import Catalog, Relation
from migrator.grammar.parse import Body, Parsed, names, walk


@dataclass(frozen=True, slots=True)
class Binding:
    """A parameter's column. many: the parameter is an array of values of it."""

    relation: Relation
    column: str
    many: bool = False


def bindings(statement: Parsed, catalog: Catalog) -> dict[int, Binding]:
    """Return the column that each parameter is compared with, inserted into or set to, where the text says."""
    tables = _tables(statement, catalog)
    found: dict[int, Binding] = {}
    for tag, body in walk({statement.tag: statement.body}):
        for number, parts, many in _pairs(tag, body):
            relation = _relation(parts, tables)
            if relation is not None:
                found.setdefault(number, Binding(relation, parts[-1], many))
    for number, column, target in _written(statement, catalog):
        found.setdefault(number, Binding(target, column))
    return found


def limits(statement: Parsed) -> dict[int, str]:
    """Return values for the parameters that are a LIMIT or an OFFSET."""
    found = {}
    stack: list[Any] = [statement.body]
    while stack:
        current = stack.pop()
        if isinstance(current, dict):
            for name, value in (("limitCount", "20"), ("limitOffset", "0")):
                found.update(dict.fromkeys(_parameters(current.get(name)), value))
            stack.extend(current.values())
        elif isinstance(current, list):
            stack.extend(current)
    return found


def _tables(statement: Parsed, catalog: Catalog) -> dict[str, Relation]:
    """Return the relations of a statement by the name that columns are qualified with."""
    tables = list(statement.kinds.get("RangeVar", ()))
    if isinstance(own := statement.body.get("relation"), dict):
        tables.append(own)
    found = {}
    for table in tables:
        relation = catalog.find(table["relname"], table.get("schemaname"))
        if relation is not None:
            found[table.get("alias", {}).get("aliasname", table["relname"])] = relation
    return found


def _relation(parts: Sequence[str], tables: Mapping[str, Relation]) -> Relation | None:
    if len(parts) > 1:
        relation = tables.get(parts[-2])
        return relation if relation is not None and parts[-1] in relation.columns else None
    holders = {r.qualified: r for r in tables.values() if parts and parts[0] in r.columns}
    return next(iter(holders.values())) if len(holders) == 1 else None


def _pairs(tag: str, body: Body) -> Iterator[tuple[int, list[str], bool]]:
    """Yield (parameter, parts of the column's name, whether it is an array) of a comparison."""
    if tag != "A_Expr":
        return
    left, right = body.get("lexpr"), body.get("rexpr")
    many = body.get("kind") in ("AEXPR_OP_ANY", "AEXPR_OP_ALL")
    for column, other in ((left, right), (right, left)):
        if isinstance(column, dict) and "ColumnRef" in column:
            for number in _parameters(other):
                yield number, names(column["ColumnRef"].get("fields")), many


def _written(statement: Parsed, catalog: Catalog) -> Iterator[tuple[int, str, Relation]]:
    """Yield (parameter, column, relation) of what an INSERT or an UPDATE writes."""
    body, own = statement.body, statement.body.get("relation")
    relation = catalog.find(own["relname"], own.get("schemaname")) if isinstance(own, dict) else None
    if relation is None:
        return
    if statement.tag == "UpdateStmt":
        for item in body.get("targetList", ()):
            target = item.get("ResTarget", {})
            yield from ((n, target["name"], relation) for n in _parameters(target.get("val")) if "name" in target)
    if statement.tag == "InsertStmt":
        columns = [item["ResTarget"]["name"] for item in body.get("cols", ())] or list(relation.columns)
        values = body.get("selectStmt", {}).get("SelectStmt", {}).get("valuesLists", ())
        for row in values:
            for column, value in zip(columns, row.get("List", {}).get("items", ()), strict=False):
                yield from ((n, column, relation) for n in _parameters(value))


def _parameters(node: Any) -> list[int]:
    """Return the parameters of a value: itself, cast, or those of a list."""
    if isinstance(node, list):
        return [n for item in node for n in _parameters(item)]
    if not isinstance(node, dict):
        return []
    if "ParamRef" in node:
        return [node["ParamRef"].get("number", 0)]
    inner = node.get("TypeCast", {}).get("arg") or node.get("List", {}).get("items")
    return _parameters(inner or node.get("A_ArrayExpr", {}).get("elements"))
