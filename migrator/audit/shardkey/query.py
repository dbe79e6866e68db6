"""Which relations does a statement touch, and which of their shard keys does it bind?

Reading a statement fills an `Analysis` (walk.py) with a graph of equalities (graph.py). Names are resolved against the
catalog, views are expanded, policies of row-level security are applied, calls of user functions are followed through
their summaries. What is not understood binds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from migrator.audit.shardkey import from_clause, predicate, select
from migrator.audit.shardkey.operand import visit
from migrator.audit.shardkey.scope import Level, Outputs
from migrator.audit.shardkey.strict import strict_names
from migrator.audit.shardkey.walk import Analysis, Context
from migrator.grammar.parse import Body


def begin(context: Context, variables: Mapping[str, str] | None = None) -> Analysis:
    """Return the empty analysis of a statement; `statement` fills it.

    Args:
        variables: names of PL/pgSQL variables and parameters → key text.
    """
    return Analysis(context, variables, statement)


def statement(analysis: Analysis, tag: str, body: Body, outer: Level) -> Outputs:
    """Read one statement, whole or inside of another, in the level *outer*; return its output columns."""
    if tag == "SelectStmt":
        return select.select(analysis, body, outer)
    if tag == "InsertStmt":
        return insert(analysis, body, outer)
    if tag in ("UpdateStmt", "DeleteStmt"):
        return change(analysis, tag, body, outer)
    if tag in ("ExplainStmt", "DeclareCursorStmt", "PrepareStmt", "CreateTableAsStmt", "CopyStmt", "ViewStmt"):
        inner = body.get("query")
        if isinstance(inner, dict) and inner:
            [(inner_tag, inner_body)] = inner.items()
            return statement(analysis, inner_tag, inner_body, outer)
    if tag == "CopyStmt" and "relation" in body:
        whole_table(analysis, body["relation"], "COPY of the whole table names no tenant")
    elif tag in ("TruncateStmt", "LockStmt", "VacuumStmt"):
        for item in body.get("relations") or body.get("rels") or ():
            target = item.get("RangeVar") or item.get("VacuumRelation", {}).get("relation")
            if target:
                whole_table(analysis, target, "the command works on the whole table")
    elif tag == "CallStmt" and "funccall" in body:
        visit(analysis, {"FuncCall": body["funccall"]}, outer)
    return []


def whole_table(analysis: Analysis, target: Body, why: str) -> None:
    entry = from_clause.relation_entry(analysis, target, Level(None))
    for instance in analysis.instances:
        if instance.entry == entry.number:
            instance.why = why


def insert(analysis: Analysis, body: Body, level: Level) -> Outputs:
    select.with_clause(analysis, body, level)
    target = Level(level)
    entry = from_clause.relation_entry(analysis, body["relation"], target)
    target.allowed.update(e.number for e in target.entries)
    instance = next((i for i in analysis.instances if i.entry == entry.number), None)
    columns = [c["ResTarget"]["name"] for c in body.get("cols", ())]
    if not columns and entry.relation is not None:
        columns = list(entry.relation.columns)
    query = body.get("selectStmt", {}).get("SelectStmt")
    outputs: Outputs = []
    if query is not None and "valuesLists" in query and not query.get("withClause"):
        outputs = select.values(analysis, query["valuesLists"], Level(level))
    elif query is not None:
        source = Level(level)
        source.shut = True
        outputs = select.select(analysis, query, source)
    if instance is not None and instance.node is not None:
        position = columns.index(instance.key) if instance.key in columns else -1
        node = outputs[position][1] if 0 <= position < len(outputs) else None
        if node is not None:
            analysis.graph.edge(node, instance.node)
        elif position < 0 or query is None:
            instance.why = f"it gives no {instance.key}, so a default or a trigger decides where the row goes"
        else:
            instance.why = f"the value of {instance.key} is not a constant or a parameter in every row"
    conflict = body.get("onConflictClause")
    if conflict:
        excluded = analysis.entry(target, "excluded", closed=False)
        if entry.relation is not None:
            excluded.columns = dict.fromkeys(entry.relation.columns)
        visit(analysis, conflict, target)
    return select.targets(
        analysis, body.get("returningList") or body.get("returningClause", {}).get("exprs", ()), target
    )


def change(analysis: Analysis, tag: str, body: Body, level: Level) -> Outputs:
    select.with_clause(analysis, body, level)
    target = Level(level)
    from_clause.relation_entry(analysis, body["relation"], target)
    strict = strict_names(body.get("whereClause"))
    pending: from_clause.Pending = []
    for item in body.get("fromClause" if tag == "UpdateStmt" else "usingClause", ()):
        from_clause.from_item(analysis, item, target, pending, strict, inner=True)
    target.allowed.update(e.number for e in target.entries)
    for condition, allowed, joins in pending:
        predicate.conjunct(analysis, condition, target, allowed, joins=joins)
    if "whereClause" in body:
        predicate.conjunct(analysis, body["whereClause"], target, target.allowed)
    if tag == "UpdateStmt":
        visit(analysis, body.get("targetList", ()), target)
    return select.targets(
        analysis, body.get("returningList") or body.get("returningClause", {}).get("exprs", ()), target
    )
