"""Finds queries that rest on a primary key that is another one on Limitless. (LIM-QRY-10)

PostgreSQL lets a query that groups by a table's whole primary key select the table's other columns: they depend on it.
When the key (id) becomes (tenant_id, id), `GROUP BY id` alone is refused with SQLSTATE 42803, in a view when it is
created. Only primary keys count, never unique ones, and only columns that are named as such, as PostgreSQL has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from migrator.audit.catalog import Relation, RelationKind
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import Hit
from migrator.audit.shardkey.aggregate import is_aggregate
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import NAMES, Body, Kinds, Node, Unparsable, names, parse, walk

RULE = "LIM-QRY-10"


@dataclass(slots=True)
class _Item:
    """One item of a FROM clause: a table, or something without a primary key (relation None)."""

    alias: str
    relation: Relation | None
    grouped: set[str] = field(default_factory=set)

    def has(self, column: str) -> bool:
        return self.relation is not None and column in self.relation.columns


def hits(kinds: Kinds, context: Context) -> Iterator[Hit]:
    """Yield a hit for every table of every query of a statement, given by its nodes, that is grouped by a key that
    changes."""
    queries = [q for q in _queries(kinds) if q.get("groupClause")]
    if not queries:
        return
    expressions = {b.get("ctename", "") for b in kinds.get("CommonTableExpr", ())}
    for query in queries:
        yield from _query(query, expressions, context)


def check_views(context: Context, out: Collector) -> None:
    """Report the views that Limitless refuses to create, since they rest on a primary key that changes."""
    for relation in context.catalog.relations.values():
        if relation.kind not in (RelationKind.VIEW, RelationKind.MATVIEW) or not relation.view_sql:
            continue
        try:
            statements = parse(relation.view_sql)
        except Unparsable:
            continue  # its statements are reported as not readable where they are used
        for statement in statements:
            for hit in hits(statement.kinds, context):
                out.add(RULE, relation.qualified, f"the view cannot be created: {hit.evidence}", source=relation.source)


def _queries(kinds: Kinds) -> Iterator[Body]:
    """Yield every query level of a statement; the arms of a set operation are bodies without their type."""
    for found in kinds.get("SelectStmt", ()):
        yield found
        arms = [found[side] for side in ("larg", "rarg") if side in found]
        while arms:
            arm = arms.pop()
            yield arm
            arms += [arm[side] for side in ("larg", "rarg") if side in arm]


def _query(query: Body, expressions: set[str], context: Context) -> Iterator[Hit]:
    items = list(_items(query.get("fromClause", []), expressions, context))
    changed = [(item, key) for item in items if (key := _new_key(item, context))]
    if not changed:
        return
    everywhere, somewhere = _grouping(query)
    for expression in everywhere:
        column = _column(expression, items)
        if column is not None:
            column[0].grouped.add(column[1])
    shapes = [_bare(e) for e in (*everywhere, *somewhere)]
    for item, key in changed:
        relation = item.relation
        if relation is None or key in item.grouped or not item.grouped >= set(relation.primary_key):
            continue
        used = next(_ungrouped(query, item, items, shapes, context), None)
        if used is not None:
            old, new = ", ".join(relation.primary_key), ", ".join((key, *relation.primary_key))
            yield Hit(
                RULE,
                f"GROUP BY {old} of {relation.qualified} and {used}: its primary key ({old}) becomes ({new}), so "
                f"{key} must be in GROUP BY too (SQLSTATE 42803)",
            )


def _new_key(item: _Item, context: Context) -> str | None:
    """Return the column that the primary key of an item gains on Limitless; None when it stays."""
    if item.relation is None or not item.relation.primary_key:
        return None
    shape = context.shapes.of(item.relation)
    return shape.key if shape.sharded and shape.key not in item.relation.primary_key else None


def _items(nodes: list[Node], expressions: set[str], context: Context) -> Iterator[_Item]:
    for node in nodes:
        [(tag, body)] = node.items()
        if tag == "JoinExpr":
            # The merged column of a RIGHT JOIN … USING is the right one: it comes first then.
            sides = ["rarg", "larg"] if body.get("jointype") == "JOIN_RIGHT" else ["larg", "rarg"]
            yield from _items([body[side] for side in sides], expressions, context)
        elif tag == "RangeVar":
            name, schema = body.get("relname", ""), body.get("schemaname")
            found = None if not schema and name in expressions else context.named(name, schema)
            table = found.relation if found is not None and found.relation.is_table else None
            yield _Item(body.get("alias", {}).get("aliasname") or name, table)
        else:
            yield _Item(body.get("alias", {}).get("aliasname", ""), None)


def _grouping(query: Body) -> tuple[list[Node], list[Node]]:
    """Return the expressions of GROUP BY: those of every grouping set, and those of some only."""
    targets = [t["ResTarget"] for t in query.get("targetList", ())]
    everywhere: list[Node] = []
    somewhere: list[Node] = []
    for node in query["groupClause"]:
        if "GroupingSet" not in node:
            everywhere += _parts(node, targets)
            continue
        grouping = node["GroupingSet"]
        content = [_parts(n, targets) for n in grouping.get("content", ())]
        somewhere += [part for parts in content for part in parts]
        if grouping.get("kind") == "GROUPING_SET_SETS" and content:
            everywhere += [p for p in content[0] if all(_bare(p) in map(_bare, parts) for parts in content)]
    return everywhere, somewhere


def _parts(node: Node, targets: list[Body]) -> list[Node]:
    """Return what one item of GROUP BY stands for: an output column by its number or name, the columns of a row."""
    if "RowExpr" in node:
        return [part for arg in node["RowExpr"].get("args", ()) for part in _parts(arg, targets)]
    if "GroupingSet" in node:
        return [part for arg in node["GroupingSet"].get("content", ()) for part in _parts(arg, targets)]
    number = node.get("A_Const", {}).get("ival", {}).get("ival")
    if number is not None:
        return [targets[number - 1]["val"]] if 0 < number <= len(targets) else []
    if "ColumnRef" in node and len(node["ColumnRef"]["fields"]) == 1:
        [name] = names(node["ColumnRef"]["fields"]) or [""]
        # An input column of that name goes before an output column; both stand in the list, and only one resolves.
        return [node, *(t["val"] for t in targets if t.get("name") == name and "ColumnRef" in t.get("val", {}))]
    return [node]


def _column(node: Node, items: list[_Item]) -> tuple[_Item, str] | None:
    """Return the item and the column that a plain reference means."""
    parts = names(node["ColumnRef"].get("fields")) if "ColumnRef" in node else []
    if not parts or parts[-1] == "*":
        return None
    if len(parts) == 1:
        return next(((i, parts[0]) for i in items if i.has(parts[0])), None)
    return next(((i, parts[-1]) for i in items if i.alias == parts[-2] and i.has(parts[-1])), None)


def _ungrouped(query: Body, item: _Item, items: list[_Item], shapes: list[Any], context: Context) -> Iterator[str]:
    """Yield the uses of columns of *item* that are neither grouped nor aggregated, as words."""
    outputs = {t["ResTarget"].get("name") for t in query.get("targetList", ())}
    stack: list[tuple[Any, bool]] = [
        (query.get(clause), False) for clause in ("havingClause", "windowClause", "distinctClause", "targetList")
    ]
    for sort in query.get("sortClause", ()):
        node = sort["SortBy"]["node"]
        parts = names(node["ColumnRef"].get("fields")) if "ColumnRef" in node else []
        if not (len(parts) == 1 and parts[0] in outputs):
            stack.insert(0, (node, False))
    while stack:
        node, inner = stack.pop()
        if isinstance(node, list):
            stack += [(n, inner) for n in node]
            continue
        if not isinstance(node, dict) or _bare(node) in shapes:
            continue
        for tag, value in node.items():
            if tag == "ColumnRef":
                used = _uses(names(value.get("fields")), item, items, inner)
                if used:
                    yield used
            elif tag == "FuncCall" and is_aggregate(context, {"FuncCall": {**value, "args": []}}):
                continue
            elif tag == "SelectStmt" and item.alias in _aliases(value):
                continue  # the alias means another table in there
            elif tag not in NAMES and isinstance(value, (dict, list)):
                stack.append((value, inner or tag == "SelectStmt"))


def _aliases(query: Body) -> set[str]:
    found = set()
    for tag, body in walk(query.get("fromClause", [])):
        if tag == "RangeVar":
            found.add(body.get("alias", {}).get("aliasname") or body.get("relname", ""))
    return found


def _uses(parts: list[str], item: _Item, items: list[_Item], inner: bool) -> str:
    """Return the column of *item* that a reference reads although it is not grouped, "" when it reads none."""
    if parts == ["*"]:
        return "" if inner else "selects *"
    if len(parts) == 1:
        if inner:
            return ""  # it may be a column of the subquery's own tables
        if parts[0] == item.alias and not any(i.has(parts[0]) for i in items):
            return f"selects the row {item.alias}"
        owner = next((i for i in items if i.has(parts[0])), None)
        if owner is not item:
            return ""
    elif parts[-2] != item.alias:
        return ""
    column = parts[-1]
    if column == "*":
        return f"selects {item.alias}.*"
    return f"uses {column}" if item.has(column) and column not in item.grouped else ""


def _bare(node: Any) -> Any:
    """Return a tree without the places where its parts stand, to compare it with another."""
    if isinstance(node, dict):
        return {k: _bare(v) for k, v in node.items() if k != "location"}
    return [_bare(n) for n in node] if isinstance(node, list) else node
