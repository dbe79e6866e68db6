"""What is one side of an equality: keys known from the text, a column, or nothing known?"""

from __future__ import annotations

import json
from typing import Any

from migrator.audit.catalog import SYSTEM_SCHEMAS
from migrator.audit.shardkey import pull_up
from migrator.audit.shardkey.graph import KeySet
from migrator.audit.shardkey.scope import Instance, Level, Outputs
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import LEAVES, NAMES, Body, Node, constant, function_name, names, walk
from migrator.grammar.types import plain_type, type_name, type_text

ALWAYS, NEVER = -1, -2
"""Pseudo entries: a node that may always be restricted (semi-join output), and one that never may (scalar subquery)."""

Column = tuple[int, int]  # node and the entry through which it is seen
Operand = KeySet | Column | None


def term(analysis: Analysis, node: Node, level: Level) -> KeySet | int | None:
    """Return the keys of a constant, or the node of a column; None when nothing is known."""
    found = operand(analysis, node, level)
    return found[0] if isinstance(found, tuple) else found


def column_node(analysis: Analysis, node: Node, level: Level) -> int | None:
    found = operand(analysis, node, level) if "ColumnRef" in node or "TypeCast" in node else None
    return found[0] if isinstance(found, tuple) else None


def operand(analysis: Analysis, node: Node, level: Level) -> Operand:
    """Return what one side of an equality is: known keys, a column, or nothing known."""
    [(tag, body)] = node.items()
    if tag == "ParamRef":
        return frozenset((f"${body.get('number', 0)}",))
    if tag == "ColumnRef":
        return resolve(analysis, body, level)
    if tag == "A_Const":
        text = constant(body)
        return None if text is None else frozenset((text,))
    if tag == "TypeCast":
        return _cast(analysis, body, level)
    if tag == "SubLink":
        inner, outputs = subquery(analysis, body["subselect"], level)
        if body["subLinkType"] == "EXPR_SUBLINK" and not inner.crossed and outputs and outputs[0][1] is not None:
            return (outputs[0][1], NEVER)
        return None
    if tag == "CoalesceExpr" and level.halves:
        sides = [resolve(analysis, a["ColumnRef"], level) for a in body["args"] if "ColumnRef" in a]
        if len(sides) == len(body["args"]) == 2 and isinstance(sides[0], tuple) and isinstance(sides[1], tuple):
            return level.halves.get((sides[0][0], sides[1][0]))
    if tag == "A_Indirection" and (column := _field(body, level)) is not None:
        return resolve(analysis, column, level)
    visit(analysis, node, level)
    return _computed(analysis, node, level)


def _field(body: Body, level: Level) -> Body | None:
    """Return `(a).t`, a field of a table's whole row, as the column `a.t` that a planner makes of it; None where `a`
    may be anything else."""
    of, field = names(body["arg"].get("ColumnRef", {}).get("fields")), names(body.get("indirection"))
    if len(of) != 1 or len(field) != 1 or field == ["*"] or len(body["indirection"]) != 1:
        return None
    here: Level | None = level
    while here is not None:
        for entry in here.entries:
            if not entry.closed or of[0] in entry.columns or (entry.relation and of[0] in entry.relation.columns):
                return None  # a column of that name goes before the table
        if any(entry.alias == of[0] for entry in here.entries):
            tables = [e for e in here.entries if e.alias == of[0] and e.relation is not None]
            known = len(tables) == 1 and tables[0].relation is not None and field[0] in tables[0].relation.columns
            return {"fields": [*body["arg"]["ColumnRef"]["fields"], *body["indirection"]]} if known else None
        here = here.parent
    return None


def _cast(analysis: Analysis, body: Body, level: Level) -> Operand:
    inner = operand(analysis, body["arg"], level)
    column = body["arg"]
    while "TypeCast" in column:
        column = column["TypeCast"]["arg"]
    if not isinstance(inner, tuple) or "ColumnRef" not in column:
        return inner
    declared = _declared_type(column["ColumnRef"], level)
    wanted = plain_type(type_name(body.get("typeName")))
    text = {"text", "character varying"}
    if declared is not None and "typmods" in body["typeName"]:
        if declared == type_text(body["typeName"]):
            return inner
    elif declared is not None and ((plain := plain_type(declared)) == wanted or {plain, wanted} <= text):
        return inner  # a cast to the column's own type changes nothing, one to a length may
    analysis.graph.notes.setdefault(inner[0], f"the key is cast to {wanted}, so it is no plain equality on the column")
    return None


def _declared_type(body: Body, level: Level) -> str | None:
    fields = names(body.get("fields"))
    here: Level | None = level
    while here is not None:
        for entry in here.entries:
            if entry.relation is not None and (len(fields) < 2 or entry.alias == fields[-2]):
                attribute = entry.relation.columns.get(fields[-1])
                if attribute is not None:
                    return attribute.type
        here = here.parent
    return None


def _computed(analysis: Analysis, node: Node, level: Level) -> KeySet | None:
    """Return the key text of an expression over constants and parameters only, if its value is one per statement."""
    unstable = set()
    for tag, body in walk(node):
        if tag == "ColumnRef":
            fields = names(body.get("fields"))
            if not (fields and fields[0] in analysis.variables):
                return None
        elif tag in ("SubLink", "SetToDefault"):
            return None
        elif tag == "FuncCall":
            schema, name = function_name(body)
            if schema == "sqlc":
                continue
            volatility = analysis.context.volatility(schema, name)
            if volatility == "v" or "over" in body or pull_up.returns_sets(analysis.context, {tag: body}):
                return None
            if volatility == "s":
                unstable.add(name)
        elif tag == "SQLValueFunction":
            unstable.add(str(body.get("op", "")).removeprefix("SVFOP_").lower())
    key = json.dumps(_without_locations(node), sort_keys=True)
    if unstable:
        analysis.unstable[key] = sorted(unstable)
    return frozenset((key,))


def _without_locations(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_locations(v) for k, v in node.items() if k != "location"}
    if isinstance(node, list):
        return [_without_locations(v) for v in node]
    return node


def resolve(analysis: Analysis, body: Body, level: Level) -> Operand:
    """Return the column a name means, searching outwards; a PL/pgSQL variable counts as a constant."""
    fields = names(body.get("fields"))
    if not fields or fields[-1] == "*":
        return None
    name = fields[-1]
    here: Level | None = level
    while here is not None:
        if len(fields) > 1:
            for entry in here.entries:
                if entry.alias == fields[-2]:
                    _crossed(level, here)
                    node = analysis.column(entry, name)
                    return None if node is None else (node, entry.number)
        elif name in here.merged:
            _crossed(level, here)
            return here.merged[name]
        else:
            found = [e for e in here.entries if (name in e.relation.columns if e.relation else name in e.columns)]
            found = found or [e for e in here.entries if name in e.columns]
            found = found or [e for e in here.entries if not e.closed]
            if found:
                _crossed(level, here)
            if len(found) == 1:
                node = analysis.column(found[0], name)
                return None if node is None else (node, found[0].number)
            if found:
                return None  # ambiguous for us; PostgreSQL knows, we do not guess
        here = here.parent
    key = analysis.variables.get(".".join(fields)) or analysis.variables.get(fields[0])
    return frozenset((key,)) if key is not None else None


def _crossed(level: Level, owner: Level) -> None:
    """Note that a name in *level* belongs to *owner*, outside of it."""
    here: Level | None = level
    while here is not None and here is not owner:
        here.crossed = True
        here = here.parent


def visit(analysis: Analysis, node: Any, level: Level) -> None:
    """Find subqueries and calls in an expression whose value restricts nothing."""
    if analysis.flat and analysis.depth == 0:
        return
    stack = [node]
    pop, push, extend = stack.pop, stack.append, stack.extend
    while stack:
        current = pop()
        if type(current) is list:
            extend(current)
            continue
        for key, value in current.items():
            below = type(value)
            if below is list:
                if key not in NAMES:
                    extend(value)
            elif below is not dict or key in LEAVES:
                continue
            elif key == "SubLink":
                subquery(analysis, value["subselect"], level)
                if "testexpr" in value:
                    push(value["testexpr"])
            else:
                if key == "FuncCall":
                    call(analysis, value, level)
                push(value)


def subquery(analysis: Analysis, node: Node, level: Level) -> tuple[Level, Outputs]:
    """Read a subquery of an expression that is planned by itself; return its level and its output columns."""
    [(tag, body)] = node.items()
    inner = Level(level)
    inner.merges, inner.shut = False, True
    return inner, analysis.descend(analysis, tag, body, inner)


def call(analysis: Analysis, body: Body, level: Level) -> None:
    """A call of a user function touches what its body touches."""
    schema, name = function_name(body)
    analysis.calls.append(name)
    summary = analysis.context.summaries.get(name)
    if summary is None or (schema in SYSTEM_SCHEMAS):
        return
    if summary.bound_to is None and not summary.touches:
        analysis.opaque.append(summary.why)
    for table in summary.touches:
        relation = analysis.context.catalog.relations.get(table)
        if relation is None:
            continue
        shape = analysis.context.shapes.of(relation)
        analysis.kinds.setdefault(table, shape)
        if not shape.sharded or shape.key is None:
            continue
        instance = Instance(relation, f"{name}()", None, shape.key, -1, level)
        if summary.bound_to is None:
            instance.why = summary.why or f"the body of {name} does not bind its key"
        else:
            args = body.get("args", ())
            terms = [term(analysis, args[i], level) for i in summary.bound_to if i < len(args)]
            node = analysis.graph.node()
            for found in terms:
                if isinstance(found, frozenset):
                    analysis.graph.bind(node, found)
                elif isinstance(found, int):
                    analysis.graph.edge(found, node)
            instance.node = node
        analysis.instances.append(instance)
