"""Which parts of one statement does Limitless refuse or make dear? (DML, TXN, QRY, SEQ, SES and DDL rules on text)

Looks at the parse tree only; where a key or a kind of table matters it gets the analysis of the statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migrator.audit import unsupported
from migrator.audit.catalog import Catalog
from migrator.audit.grammar import Body, function_name, names, walk
from migrator.audit.shardkey.shape import Shapes
from migrator.audit.shardkey.verdict import Judged, StatementVerdict
from migrator.audit.shardkey.volatility import PER_STATEMENT
from migrator.audit.shardkey.walk import Context
from migrator.model.table import TableKind

SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"}
LARGE_OBJECTS = {
    "lo_import",
    "lo_export",
    "lo_create",
    "lo_creat",
    "lo_open",
    "lo_unlink",
    "lo_put",
    "lo_get",
    "lo_from_bytea",
}

ALTER_FORMS = {
    "AT_AttachPartition",
    "AT_DetachPartition",
    "AT_DetachPartitionFinalize",
    "AT_AddIdentity",
    "AT_DropIdentity",
    "AT_SetIdentity",
    "AT_DropExpression",
    "AT_SetOptions",
    "AT_ResetOptions",
    "AT_SetCompression",
    "AT_SetStatistics",
    "AT_SetExpression",
}


@dataclass(frozen=True, slots=True)
class Hit:
    rule: str
    evidence: str


def check(tag: str, body: Body, judged: Judged | None, context: Context) -> list[Hit]:
    """Return every rule the statement meets, in the order of the text."""
    found: dict[tuple[str, str], Hit] = {}
    for hit in _hits(tag, body, judged, context):
        found.setdefault((hit.rule, hit.evidence), hit)
    return list(found.values())


def _hits(tag: str, body: Body, judged: Judged | None, context: Context) -> Iterator[Hit]:
    yield from _top(tag, body, context.shapes, context.catalog)
    single = judged is not None and judged.verdict in (StatementVerdict.SINGLE_SHARD, StatementVerdict.MULTI_SHARD_KEYS)
    for kind, node in walk({tag: body}):
        if kind == "FuncCall":
            yield from _call(node, single, context)
        elif kind == "SQLValueFunction" and single:
            yield Hit("LIM-QRY-03", f"{str(node.get('op', '')).removeprefix('SVFOP_').lower()} is not immutable")
        elif kind == "ColumnRef":
            fields = names(node.get("fields"))
            if fields and fields[-1] in SYSTEM_COLUMNS and not _is_column(fields[-1], judged):
                yield Hit("LIM-DML-08", f"it uses {fields[-1]}")
        elif kind == "CurrentOfExpr":
            yield Hit("LIM-DML-04", "WHERE CURRENT OF")
        elif kind == "InsertStmt":
            yield from _conflict(node, context)
        elif kind == "MergeStmt" and tag != "MergeStmt":
            yield Hit("LIM-DML-01", "MERGE inside")
    if tag == "InsertStmt":
        yield from _conflict(body, context)
    if tag in ("InsertStmt", "DeleteStmt") and ("returningList" in body or "returningClause" in body):
        yield Hit("LIM-DML-07", "RETURNING")
    if judged is not None:
        yield from _shape(tag, body, judged, context)


def _is_column(name: str, judged: Judged | None) -> bool:
    """Return whether *name* is an ordinary column, or the statement reads system catalogs only."""
    if judged is None or judged.analysis is None:
        return False
    if not judged.relations:
        return True
    catalog = judged.analysis.context.catalog
    return any(name in catalog.relations[r].columns for r in judged.relations if r in catalog.relations)


def _top(tag: str, body: Body, shapes: Shapes, catalog: Catalog) -> Iterator[Hit]:
    if tag == "UpdateStmt":
        relation = catalog.find(body["relation"]["relname"], body["relation"].get("schemaname"))
        key = shapes.of(relation).key if relation is not None and shapes.of(relation).sharded else None
        for item in body.get("targetList", ()):
            if key and item.get("ResTarget", {}).get("name") == key:
                yield Hit("LIM-KEY-04", f"UPDATE sets {key} of {body['relation']['relname']}")
    elif tag == "CreateStmt":
        if body.get("relation", {}).get("relpersistence") == "t":
            yield Hit("LIM-TBL-04", f"CREATE TEMPORARY TABLE {body['relation'].get('relname')}")
        if "partspec" in body:
            yield Hit("LIM-TBL-01", "PARTITION BY")
        if "inhRelations" in body and "partbound" not in body:
            yield Hit("LIM-TBL-02", "INHERITS")
        if "options" in body:
            yield Hit("LIM-TBL-03", "WITH (…)")
    elif tag == "CreateTableAsStmt":
        into = body.get("into", {})
        if body.get("objtype") == "OBJECT_MATVIEW":
            yield Hit("LIM-OBJ-04", "CREATE MATERIALIZED VIEW")
        elif into.get("rel", {}).get("relpersistence") == "t":
            yield Hit("LIM-TBL-04", f"CREATE TEMPORARY TABLE {into['rel'].get('relname')} AS")
        else:
            yield Hit("LIM-TBL-11", "CREATE TABLE AS")
    elif tag == "SelectStmt" and "intoClause" in body:
        temporary = body["intoClause"].get("rel", {}).get("relpersistence") == "t"
        yield Hit("LIM-TBL-04" if temporary else "LIM-TBL-11", "SELECT INTO")
    elif tag == "IndexStmt":
        if body.get("concurrent"):
            relation = catalog.find(body["relation"]["relname"], body["relation"].get("schemaname"))
            if body.get("unique"):
                yield Hit("LIM-IDX-01", f"CREATE UNIQUE INDEX CONCURRENTLY {body.get('idxname', '')}")
            elif relation is not None and not shapes.of(relation).sharded:
                yield Hit("LIM-IDX-02", f"on {relation.qualified}")
        if body.get("if_not_exists"):
            yield Hit("LIM-IDX-06", f"CREATE INDEX IF NOT EXISTS {body.get('idxname', '')}")
    elif tag == "AlterTableStmt":
        yield from _alter(body, shapes, catalog)
    elif tag == "RenameStmt" and body.get("renameType") == "OBJECT_TABCONSTRAINT":
        yield Hit("LIM-TBL-13", "RENAME CONSTRAINT")
    elif tag == "CreateSchemaStmt" and "schemaElts" in body:
        yield Hit("LIM-TBL-12", f"CREATE SCHEMA {body.get('schemaname', '')} with elements")
    elif tag == "CreateSeqStmt":
        options = {o["DefElem"]["defname"]: o["DefElem"] for o in body.get("options", ())}
        if body.get("sequence", {}).get("relpersistence") in ("t", "u") or (
            "cycle" in options and options["cycle"].get("arg", {}).get("Boolean", {}).get("boolval")
        ):
            yield Hit("LIM-SEQ-01", "CREATE SEQUENCE")
    elif tag == "DropStmt":
        if (dropped := unsupported.drop(body)) is not None:
            yield Hit(*dropped)
    elif tag == "CopyStmt" and (body.get("filename") or body.get("is_program")):
        yield Hit(
            "LIM-DML-06", "COPY with a program" if body.get("is_program") else f"COPY with the file {body['filename']}"
        )
    elif tag == "CreatedbStmt" and any(
        o["DefElem"]["defname"] in ("template", "tablespace") for o in body.get("options", ())
    ):
        yield Hit("LIM-OBJ-10", "CREATE DATABASE")
    elif tag == "TransactionStmt":
        if "PREPARE" in body.get("kind", ""):
            yield Hit("LIM-TXN-02", "PREPARE TRANSACTION, COMMIT PREPARED or ROLLBACK PREPARED")
        yield from _isolation(body.get("options", ()))
    elif tag == "VariableSetStmt":
        yield from _set(body)
    elif tag == "PrepareStmt":
        yield Hit("LIM-SES-05", f"PREPARE {body.get('name', '')} pins a pooled connection")
    elif tag == "DefineStmt" and body.get("kind") in (
        "OBJECT_AGGREGATE",
        "OBJECT_TSCONFIGURATION",
        "OBJECT_TSDICTIONARY",
        "OBJECT_TSPARSER",
        "OBJECT_TSTEMPLATE",
    ):
        yield Hit("LIM-OBJ-07", f"CREATE {body['kind'].removeprefix('OBJECT_')}")
    elif tag == "CreateFunctionStmt":
        pass  # bodies are audited as functions


def _alter(body: Body, shapes: Shapes, catalog: Catalog) -> Iterator[Hit]:
    relation = body.get("relation", {})
    known = catalog.find(relation.get("relname", ""), relation.get("schemaname"))
    key = shapes.of(known).key if known is not None else None
    if body.get("objtype") == "OBJECT_TABLE" and not relation.get("inh"):
        yield Hit("LIM-TBL-13", f"ALTER TABLE ONLY {relation.get('relname', '')}")
    for item in body.get("cmds", ()):
        command = item["AlterTableCmd"]
        subtype = command.get("subtype", "")
        if subtype in ALTER_FORMS:
            yield Hit("LIM-TBL-13", subtype.removeprefix("AT_"))
        if subtype in ("AT_DropColumn", "AT_AlterColumnType") and key and command.get("name") == key:
            yield Hit("LIM-KEY-05", f"{subtype.removeprefix('AT_')} {key}")
        definition = command.get("def", {})
        if subtype == "AT_AlterColumnType" and "raw_default" in definition.get("ColumnDef", {}):
            yield Hit("LIM-COL-03", f"ALTER COLUMN {command.get('name', '')} TYPE … USING")
        constraint = definition.get("Constraint", {})
        if constraint.get("contype") == "CONSTR_FOREIGN" and constraint.get("skip_validation"):
            yield Hit("LIM-FK-08", f"FOREIGN KEY {constraint.get('conname', '')} NOT VALID")


def _isolation(options: object) -> Iterator[Hit]:
    for tag, node in walk(options):
        if tag == "DefElem" and node.get("defname") == "transaction_isolation":
            value = node.get("arg", {}).get("A_Const", {}).get("sval", {}).get("sval", "")
            if value == "serializable":
                yield Hit("LIM-TXN-01", "ISOLATION LEVEL SERIALIZABLE")


def _set(body: Body) -> Iterator[Hit]:
    name = body.get("name", "")
    values = [n.get("sval", {}).get("sval", "") for t, n in walk(body.get("args", [])) if t == "A_Const"]
    if name in ("TRANSACTION", "SESSION CHARACTERISTICS"):
        yield from _isolation(body.get("args", []))
    if name in ("transaction_isolation", "default_transaction_isolation") and "serializable" in values:
        yield Hit("LIM-TXN-01", f"SET {name} = serializable")
    if name == "plan_cache_mode" and "force_generic_plan" in values:
        yield Hit("LIM-QRY-05", "SET plan_cache_mode = force_generic_plan")
    elif (
        not body.get("is_local")
        and name not in ("TRANSACTION", "transaction_isolation")
        and body.get("kind")
        in (
            "VAR_SET_VALUE",
            "VAR_SET_MULTI",
        )
    ):
        yield Hit("LIM-SES-04", f"SET {name} outlives the transaction")


def _call(node: Body, single: bool, context: Context) -> Iterator[Hit]:
    schema, name = function_name(node)
    if name == "pg_notify":
        yield Hit("LIM-DML-05", "pg_notify")
    elif name == "setval":
        yield Hit("LIM-SEQ-02", "setval")
    elif name.startswith(("pg_advisory", "pg_try_advisory")):
        yield Hit("LIM-TXN-05", name)
    elif name in LARGE_OBJECTS:
        yield Hit("LIM-COL-06", name)
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
        for function in context.catalog.functions_named(name, schema):
            if function.security_definer:
                yield Hit("LIM-FN-07", f"{name}() is SECURITY DEFINER")


def _conflict(body: Body, context: Context) -> Iterator[Hit]:
    conflict = body.get("onConflictClause")
    if not conflict:
        return
    relation = context.catalog.find(body["relation"]["relname"], body["relation"].get("schemaname"))
    shape = context.shapes.of(relation) if relation is not None else None
    if shape is None or not shape.sharded or shape.key is None or relation is None:
        return
    infer = conflict.get("infer", {})
    columns = [e["IndexElem"].get("name") for e in infer.get("indexElems", ())]
    if infer.get("conname"):
        index = next((i for i in relation.indexes if i.name == infer["conname"]), None)
        columns = list(index.columns) if index is not None else []
    if infer and shape.key not in columns:
        yield Hit(
            "LIM-DML-03", f"ON CONFLICT ({', '.join(c or 'expression' for c in columns)}) on {relation.qualified}"
        )
    for item in conflict.get("targetList", ()):
        target = item["ResTarget"]
        if target.get("name") == shape.key:
            yield Hit("LIM-KEY-04", f"DO UPDATE sets {shape.key}")
        for tag, node in walk(target.get("val")):
            if tag == "SubLink":
                yield Hit("LIM-DML-02", f"a subquery for {target.get('name')}")
            elif tag == "SQLValueFunction":
                yield Hit(
                    "LIM-DML-02", f"{str(node.get('op', '')).removeprefix('SVFOP_').lower()} for {target.get('name')}"
                )
            elif tag == "FuncCall" and context.volatility(*function_name(node)) != "i":
                yield Hit("LIM-DML-02", f"{function_name(node)[1]}() for {target.get('name')}")


def _shape(tag: str, body: Body, judged: Judged, context: Context) -> Iterator[Hit]:
    """Rules that follow from where the statement runs."""
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
    yield from _outer_joins(body, judged, context)
    yield from _sequence_order(body, judged, context)


def _outer_joins(body: Body, judged: Judged, context: Context) -> Iterator[Hit]:
    if "reference" not in judged.relations.values() or "sharded" not in judged.relations.values():
        return
    for tag, join in walk(body):
        if tag != "JoinExpr" or join.get("jointype") not in ("JOIN_LEFT", "JOIN_RIGHT", "JOIN_FULL"):
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
            relation = context.catalog.find(body["relname"], body.get("schemaname"))
            kind = context.shapes.of(relation).kind if relation is not None else None
            if kind is not None:
                found.add(kind)
    return found


def _sequence_order(body: Body, judged: Judged, context: Context) -> Iterator[Hit]:
    """ORDER BY or a keyset on a column that a sequence fills: ids are no longer in the order of time."""
    columns: dict[str, str] = {}
    for name in judged.relations:
        relation = context.catalog.relations.get(name)
        if relation is None or not context.shapes.of(relation).sharded:
            continue
        for attribute in relation.columns.values():
            if attribute.sequence or attribute.identity:
                columns[attribute.name] = f"{name}.{attribute.name}"
    if not columns:
        return
    for item in body.get("sortClause", ()):
        node = item["SortBy"]["node"]
        if "ColumnRef" in node:
            field = names(node["ColumnRef"].get("fields"))[-1]
            if field in columns:
                yield Hit("LIM-SEQ-03", f"ORDER BY {columns[field]}")
            break  # only the first sort column decides the order in time
    for tag, comparison in walk(body.get("whereClause")):
        if (
            tag == "A_Expr"
            and comparison.get("kind") == "AEXPR_OP"
            and names(comparison.get("name"))[-1:] in (["<"], [">"], [">="], ["<="])
        ):
            for side in (comparison.get("lexpr") or {}, comparison.get("rexpr") or {}):
                if "ColumnRef" in side and names(side["ColumnRef"].get("fields"))[-1] in columns:
                    field = names(side["ColumnRef"]["fields"])[-1]
                    yield Hit("LIM-SEQ-03", f"keyset on {columns[field]}")
