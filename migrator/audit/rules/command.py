"""Which commands does Limitless refuse or make dear? (TBL, IDX, SEQ, OBJ, TXN and SES rules, by the type of statement)

Looks at the statement as a whole; what may stand anywhere inside one is statement.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from migrator.audit import unsupported
from migrator.audit.catalog import Relation
from migrator.audit.grammar import Body, walk
from migrator.audit.rules.rule import Hit
from migrator.audit.shardkey.walk import Context

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

DEFINITIONS = {
    "OBJECT_AGGREGATE",
    "OBJECT_TSCONFIGURATION",
    "OBJECT_TSDICTIONARY",
    "OBJECT_TSPARSER",
    "OBJECT_TSTEMPLATE",
}


def check(tag: str, body: Body, context: Context) -> Iterator[Hit]:
    """Yield the rules that the statement meets by what it is."""
    if tag in _CHECKS:
        yield from _CHECKS[tag](body, context)


def _relation(body: Body, context: Context) -> Relation | None:
    named = body.get("relation", {})
    return context.catalog.find(named.get("relname", ""), named.get("schemaname"))


def _update(body: Body, context: Context) -> Iterator[Hit]:
    relation = _relation(body, context)
    shape = context.shapes.of(relation) if relation is not None else None
    if shape is None or not shape.sharded or not shape.key:
        return
    for item in body.get("targetList", ()):
        if item.get("ResTarget", {}).get("name") == shape.key:
            yield Hit("LIM-KEY-04", f"UPDATE sets {shape.key} of {body['relation']['relname']}")


def _create_table(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("relation", {}).get("relpersistence") == "t":
        yield Hit("LIM-TBL-04", f"CREATE TEMPORARY TABLE {body['relation'].get('relname')}")
    if "partspec" in body:
        yield Hit("LIM-TBL-01", "PARTITION BY")
    if "inhRelations" in body and "partbound" not in body:
        yield Hit("LIM-TBL-02", "INHERITS")
    if "options" in body:
        yield Hit("LIM-TBL-03", "WITH (…)")


def _create_table_as(body: Body, context: Context) -> Iterator[Hit]:
    into = body.get("into", {})
    if body.get("objtype") == "OBJECT_MATVIEW":
        yield Hit("LIM-OBJ-04", "CREATE MATERIALIZED VIEW")
    elif into.get("rel", {}).get("relpersistence") == "t":
        yield Hit("LIM-TBL-04", f"CREATE TEMPORARY TABLE {into['rel'].get('relname')} AS")
    else:
        yield Hit("LIM-TBL-11", "CREATE TABLE AS")


def _select_into(body: Body, context: Context) -> Iterator[Hit]:
    if "intoClause" in body:
        temporary = body["intoClause"].get("rel", {}).get("relpersistence") == "t"
        yield Hit("LIM-TBL-04" if temporary else "LIM-TBL-11", "SELECT INTO")


def _create_index(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("concurrent"):
        relation = _relation(body, context)
        if body.get("unique"):
            yield Hit("LIM-IDX-01", f"CREATE UNIQUE INDEX CONCURRENTLY {body.get('idxname', '')}")
        elif relation is not None and not context.shapes.of(relation).sharded:
            yield Hit("LIM-IDX-02", f"on {relation.qualified}")
    if body.get("if_not_exists"):
        yield Hit("LIM-IDX-06", f"CREATE INDEX IF NOT EXISTS {body.get('idxname', '')}")


def _alter_table(body: Body, context: Context) -> Iterator[Hit]:
    relation, known = body.get("relation", {}), _relation(body, context)
    key = context.shapes.of(known).key if known is not None else None
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


def _rename(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("renameType") == "OBJECT_TABCONSTRAINT":
        yield Hit("LIM-TBL-13", "RENAME CONSTRAINT")


def _create_schema(body: Body, context: Context) -> Iterator[Hit]:
    if "schemaElts" in body:
        yield Hit("LIM-TBL-12", f"CREATE SCHEMA {body.get('schemaname', '')} with elements")


def _create_sequence(body: Body, context: Context) -> Iterator[Hit]:
    options = {o["DefElem"]["defname"]: o["DefElem"] for o in body.get("options", ())}
    cycle = options.get("cycle", {}).get("arg", {}).get("Boolean", {}).get("boolval")
    if cycle or body.get("sequence", {}).get("relpersistence") in ("t", "u"):
        yield Hit("LIM-SEQ-01", "CREATE SEQUENCE")


def _drop(body: Body, context: Context) -> Iterator[Hit]:
    if (dropped := unsupported.drop(body)) is not None:
        yield Hit(*dropped)


def _copy(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("is_program"):
        yield Hit("LIM-DML-06", "COPY with a program")
    elif body.get("filename"):
        yield Hit("LIM-DML-06", f"COPY with the file {body['filename']}")


def _create_database(body: Body, context: Context) -> Iterator[Hit]:
    if any(o["DefElem"]["defname"] in ("template", "tablespace") for o in body.get("options", ())):
        yield Hit("LIM-OBJ-10", "CREATE DATABASE")


def _transaction(body: Body, context: Context) -> Iterator[Hit]:
    if "PREPARE" in body.get("kind", ""):
        yield Hit("LIM-TXN-02", "PREPARE TRANSACTION, COMMIT PREPARED or ROLLBACK PREPARED")
    yield from _isolation(body.get("options", ()))


def _isolation(options: object) -> Iterator[Hit]:
    for tag, node in walk(options):
        if tag == "DefElem" and node.get("defname") == "transaction_isolation":
            value = node.get("arg", {}).get("A_Const", {}).get("sval", {}).get("sval", "")
            if value == "serializable":
                yield Hit("LIM-TXN-01", "ISOLATION LEVEL SERIALIZABLE")


def _set(body: Body, context: Context) -> Iterator[Hit]:
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
        and body.get("kind") in ("VAR_SET_VALUE", "VAR_SET_MULTI")
    ):
        yield Hit("LIM-SES-04", f"SET {name} outlives the transaction")


def _prepare(body: Body, context: Context) -> Iterator[Hit]:
    yield Hit("LIM-SES-05", f"PREPARE {body.get('name', '')} pins a pooled connection")


def _define(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("kind") in DEFINITIONS:
        yield Hit("LIM-OBJ-07", f"CREATE {body['kind'].removeprefix('OBJECT_')}")


_CHECKS: dict[str, Callable[[Body, Context], Iterator[Hit]]] = {
    "UpdateStmt": _update,
    "CreateStmt": _create_table,
    "CreateTableAsStmt": _create_table_as,
    "SelectStmt": _select_into,
    "IndexStmt": _create_index,
    "AlterTableStmt": _alter_table,
    "RenameStmt": _rename,
    "CreateSchemaStmt": _create_schema,
    "CreateSeqStmt": _create_sequence,
    "DropStmt": _drop,
    "CopyStmt": _copy,
    "CreatedbStmt": _create_database,
    "TransactionStmt": _transaction,
    "VariableSetStmt": _set,
    "PrepareStmt": _prepare,
    "DefineStmt": _define,
}
