"""Rules on the parts of one statement that Limitless refuses or makes costly. (DML, QRY, SEQ, FN rules; command.py)

Reads the parse tree only; where a key or a kind of table matters it gets the analysis of the statement.
"""

from __future__ import annotations

from collections.abc import Iterator

from migrator.audit.rules import ambiguous, command, grouping, refused
from migrator.audit.rules.rule import Hit
from migrator.audit.shardkey.verdict import ON_ROWS, Judged, StatementVerdict
from migrator.audit.shardkey.volatility import PER_STATEMENT
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Body, Parsed, function_name, names, operator, walk
from migrator.model.refusing import KINDS
from migrator.model.table import TableKind

SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"}
_LOOKED_AT = KINDS | {"FuncCall", "SQLValueFunction", "ColumnRef", "InsertStmt", "UpdateStmt"}
_ORDERS = frozenset(("<", ">", ">=", "<="))
_NO_NAME: Body = {}
_INSIDE = frozenset(("FuncCall", "SQLValueFunction", "CommonTableExpr", "CurrentOfExpr", "MergeStmt"))
"""What a statement on rows may hold that a rule looks at: other statements stand in WITH."""


def check(statement: Parsed, judged: Judged | None, context: Context) -> list[Hit]:
    """Return every rule the statement meets, in the order of the text."""
    found: dict[tuple[str, str], Hit] = {}
    for hit in _hits(statement, judged, context):
        found.setdefault((hit.rule, hit.evidence), hit)
    return list(found.values())


def _hits(statement: Parsed, judged: Judged | None, context: Context) -> Iterator[Hit]:
    tag, body = statement.tag, statement.body
    plain = _is_plain(statement)
    if not plain:
        yield from refused.hits(tag, body)
    if not plain or tag == "UpdateStmt":
        yield from command.check(tag, body, context)
    yield from grouping.hits(statement.kinds, context)
    yield from ambiguous.hits(statement, context)
    single = judged is not None and judged.verdict in (StatementVerdict.SINGLE_SHARD, StatementVerdict.MULTI_SHARD_KEYS)
    for kind, node in () if plain else statement.nodes:
        if kind not in _LOOKED_AT:
            continue
        if kind in KINDS and node is not body:
            yield from refused.hits(kind, node, inside=True)
        if kind == "FuncCall":
            yield from _call(node, single, context)
        elif kind == "SQLValueFunction" and single:
            yield Hit("LIM-QRY-03", f"{str(node.get('op', '')).removeprefix('SVFOP_').lower()} is not immutable")
        elif kind == "ColumnRef":
            name = node["fields"][-1].get("String", _NO_NAME).get("sval")
            if name in SYSTEM_COLUMNS and not _is_column(name, judged):
                yield Hit("LIM-DML-08", f"it uses {name}")
        elif kind == "InsertStmt":
            yield from _conflict(node, context)
        elif kind == "UpdateStmt" and node is not body:
            yield from command.check(kind, node, context)
    if tag == "InsertStmt":
        yield from _conflict(body, context)
    if tag in ("InsertStmt", "DeleteStmt") and ("returningList" in body or "returningClause" in body):
        yield Hit("LIM-DML-07", "RETURNING")
    if judged is not None:
        yield from _shape(statement, judged, context)


def _is_plain(statement: Parsed) -> bool:
    """Return whether a statement is one on rows that certainly holds nothing a rule looks at, itself left out."""
    return (
        statement.tag in ON_ROWS
        and _INSIDE.isdisjoint(statement.kinds)
        and "intoClause" not in statement.body
        and not statement.may_name(*SYSTEM_COLUMNS)
    )


def _is_column(name: str, judged: Judged | None) -> bool:
    """Return whether *name* is an ordinary column, or the statement reads system catalogs only."""
    if judged is None or judged.analysis is None:
        return False
    if not judged.relations:
        return True
    catalog = judged.analysis.context.catalog
    return any(name in catalog.relations[r].columns for r in judged.relations if r in catalog.relations)


def _call(node: Body, single: bool, context: Context) -> Iterator[Hit]:
    schema, name = function_name(node)
    if name.startswith(("pg_advisory", "pg_try_advisory")):
        yield Hit("LIM-TXN-05", name)
    elif name.startswith("dblink"):
        yield Hit("LIM-OBJ-06", name)
    elif name == "set_config":
        arguments = node.get("args", [])
        local = arguments[2].get("A_Const", {}).get("boolval", {}).get("boolval") if len(arguments) > 2 else None
        if not local:
            yield Hit("LIM-SES-04", "set_config for the whole session")
    if single and name != "set_config":
        volatility = context.volatility(schema, name)
        if name in PER_STATEMENT or (volatility == "v" and name != "nextval"):
            yield Hit("LIM-QRY-03", f"{name}() is {'stable' if name in PER_STATEMENT else 'volatile'}")
        for function in context.functions_named(name, schema):
            if function.security_definer:
                yield Hit("LIM-FN-07", f"{name}() is SECURITY DEFINER")


def _conflict(body: Body, context: Context) -> Iterator[Hit]:
    conflict = body.get("onConflictClause")
    if not conflict:
        return
    named = context.named(body["relation"]["relname"], body["relation"].get("schemaname"))
    relation, shape = (named.relation, named.shape) if named is not None else (None, None)
    key = shape.key if shape is not None and shape.sharded else None
    infer = conflict.get("infer", {})
    columns = [e["IndexElem"].get("name") for e in infer.get("indexElems", ())]
    if infer.get("conname") and relation is not None:
        index = next((i for i in relation.indexes if i.name == infer["conname"]), None)
        columns = list(index.columns) if index is not None else []
    if infer and key is not None and relation is not None and key not in columns:
        yield Hit(
            "LIM-DML-03", f"ON CONFLICT ({', '.join(c or 'expression' for c in columns)}) on {relation.qualified}"
        )
    for item in conflict.get("targetList", ()):
        target = item["ResTarget"]
        if key is not None and target.get("name") == key:
            yield Hit("LIM-KEY-04", f"DO UPDATE sets {key}")
        yield from _not_pushed(target.get("val"), f"for {target.get('name')}", context)
    yield from _not_pushed(conflict.get("whereClause"), "in the condition of DO UPDATE", context)


def _not_pushed(value: object, where: str, context: Context) -> Iterator[Hit]:
    """What DO UPDATE may not hold, whatever kind of table it is about."""
    for tag, node in walk(value):
        if tag == "SubLink":
            yield Hit("LIM-DML-02", f"a subquery {where}")
        elif tag == "SQLValueFunction":
            yield Hit("LIM-DML-02", f"{str(node.get('op', '')).removeprefix('SVFOP_').lower()} {where}")
        elif tag == "FuncCall" and context.volatility(*function_name(node)) != "i":
            yield Hit("LIM-DML-02", f"{function_name(node)[1]}() {where}")


def _shape(statement: Parsed, judged: Judged, context: Context) -> Iterator[Hit]:
    """Rules that follow from where the statement runs."""
    tag, body = statement.tag, statement.body
    if judged.verdict is StatementVerdict.CROSS_SHARD and judged.unbound:
        join = len(judged.instances) > len(judged.unbound)
        notes = judged.analysis.graph.notes if judged.analysis else {}
        shaped = any(i.node in notes for i in judged.unbound)
        yield Hit("LIM-QRY-02" if join else "LIM-QRY-08" if shaped else "LIM-QRY-01", judged.reasons[0])
        if not join and tag == "SelectStmt" and "whereClause" not in body and "fromClause" in body:
            yield Hit("LIM-QRY-09", "no condition at all")
    elif judged.verdict is StatementVerdict.SINGLE_SHARD and judged.analysis is not None and judged.analysis.late:
        yield Hit("LIM-QRY-02", judged.reasons[-1] if len(judged.reasons) == 2 else "; ".join(judged.reasons[1:]))
    elif judged.verdict is StatementVerdict.MULTI_SHARD_KEYS:
        yield Hit("LIM-QRY-08", judged.reasons[0])
        if tag in ("InsertStmt", "UpdateStmt", "DeleteStmt"):
            yield Hit("LIM-TXN-03", judged.reasons[0])
    elif judged.verdict is StatementVerdict.CROSS_SHARD and tag in ("UpdateStmt", "DeleteStmt"):
        yield Hit("LIM-TXN-03", judged.reasons[0])
    kinds = set(judged.relations.values())
    if TableKind.STANDARD.value in kinds and kinds & {"sharded", "reference"}:
        yield Hit("LIM-QRY-07", ", ".join(f"{n} ({k})" for n, k in judged.relations.items()))
    yield from _outer_joins(statement, judged, context)
    yield from _sequence_order(statement, judged, context)


def _outer_joins(statement: Parsed, judged: Judged, context: Context) -> Iterator[Hit]:
    if "reference" not in judged.relations.values() or "sharded" not in judged.relations.values():
        return
    for join in statement.kinds.get("JoinExpr", ()):
        if join.get("jointype") not in ("JOIN_LEFT", "JOIN_RIGHT", "JOIN_FULL"):
            continue
        left, right = (_kinds_in(join[side], context) for side in ("larg", "rarg"))
        padded, kept = (right, left) if join["jointype"] == "JOIN_LEFT" else (left, right)
        if (TableKind.SHARDED in padded and TableKind.SHARDED not in kept and TableKind.REFERENCE in kept) or (
            join["jointype"] == "JOIN_FULL" and TableKind.SHARDED in left | right
        ):
            yield Hit("LIM-QRY-06", "the sharded side is null-padded")


def _kinds_in(node: object, context: Context) -> set[TableKind]:
    found = set()
    for tag, body in walk(node):
        if tag == "RangeVar":
            named = context.named(body["relname"], body.get("schemaname"))
            if named is not None and named.shape.kind is not None:
                found.add(named.shape.kind)
    return found


def _sequence_order(statement: Parsed, judged: Judged, context: Context) -> Iterator[Hit]:
    """ORDER BY or a keyset on a column that a sequence fills: ids are no longer in the order of time."""
    body = statement.body
    keyset = (
        "whereClause" in body
        and ("<" in statement.text or ">" in statement.text)
        and any(operator(e) in _ORDERS for e in statement.kinds.get("A_Expr", ()))
    )
    if "sortClause" not in body and not keyset:
        return
    columns = {name: shown for relation in judged.relations for name, shown in context.sequenced(relation).items()}
    if not columns:
        return
    for item in body.get("sortClause", ()):
        node = item["SortBy"]["node"]
        if "ColumnRef" in node:
            field = names(node["ColumnRef"].get("fields"))[-1]
            if field in columns:
                yield Hit("LIM-SEQ-03", f"ORDER BY {columns[field]}")
            break  # only the first sort column decides the order in time
    for tag, comparison in walk(body["whereClause"]) if keyset else ():
        if tag == "A_Expr" and comparison.get("kind") == "AEXPR_OP" and operator(comparison) in _ORDERS:
            for side in (comparison.get("lexpr") or {}, comparison.get("rexpr") or {}):
                if "ColumnRef" in side and names(side["ColumnRef"].get("fields"))[-1] in columns:
                    field = names(side["ColumnRef"]["fields"])[-1]
                    yield Hit("LIM-SEQ-03", f"keyset on {columns[field]}")
