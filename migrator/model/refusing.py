"""Finds the entries of the table of refusals (refused.py) that one node of a parse tree meets. Pure.

Trees are libpg_query's, as JSON: {"ColumnRef": {…}}. The caller walks the tree; one node is judged by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from migrator.model.refused import ALTER_TABLE, COMMANDS, FORMS, FUNCTIONS, Refused

Node = Mapping[str, Any]

# Commands that are one kind of node.
_NODES = {
    "MergeStmt": "MERGE",
    "ListenStmt": "LISTEN",
    "UnlistenStmt": "UNLISTEN",
    "NotifyStmt": "NOTIFY",
    "ReindexStmt": "REINDEX",
    "ConstraintsSetStmt": "SET CONSTRAINTS",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "ImportForeignSchemaStmt": "IMPORT FOREIGN SCHEMA",
    "CreateTrigStmt": "CREATE TRIGGER",
    "CreateEventTrigStmt": "CREATE EVENT TRIGGER",
    "AlterEventTrigStmt": "ALTER EVENT TRIGGER",
    "RuleStmt": "CREATE RULE",
    "CreatePublicationStmt": "CREATE PUBLICATION",
    "AlterPublicationStmt": "ALTER PUBLICATION",
    "CreateSubscriptionStmt": "CREATE SUBSCRIPTION",
    "AlterSubscriptionStmt": "ALTER SUBSCRIPTION",
    "DropSubscriptionStmt": "DROP SUBSCRIPTION",
    "CreateFdwStmt": "CREATE FOREIGN DATA WRAPPER",
    "AlterFdwStmt": "ALTER FOREIGN DATA WRAPPER",
    "CreateForeignServerStmt": "CREATE SERVER",
    "AlterForeignServerStmt": "ALTER SERVER",
    "CreateForeignTableStmt": "CREATE FOREIGN TABLE",
    "CreateUserMappingStmt": "CREATE USER MAPPING",
    "AlterUserMappingStmt": "ALTER USER MAPPING",
    "DropUserMappingStmt": "DROP USER MAPPING",
    "CreateStatsStmt": "CREATE STATISTICS",
    "AlterStatsStmt": "ALTER STATISTICS",
    "CreateTransformStmt": "CREATE TRANSFORM",
    "CreateAmStmt": "CREATE ACCESS METHOD",
    "CreatePLangStmt": "CREATE LANGUAGE",
    "AlterTSConfigurationStmt": "ALTER TEXT SEARCH CONFIGURATION",
    "AlterTSDictionaryStmt": "ALTER TEXT SEARCH DICTIONARY",
    "CreateDomainStmt": "CREATE DOMAIN",
    "AlterDomainStmt": "ALTER DOMAIN",
    "CommentStmt": "COMMENT",
    "SecLabelStmt": "SECURITY LABEL",
    "AlterPolicyStmt": "ALTER POLICY",
    "AlterExtensionContentsStmt": "ALTER EXTENSION ADD or DROP",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "AlterTableSpaceOptionsStmt": "ALTER TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
    "AlterTableMoveAllStmt": "ALL IN TABLESPACE",
    "AlterDefaultPrivilegesStmt": "ALTER DEFAULT PRIVILEGES",
    "AlterDatabaseStmt": "ALTER DATABASE",
    "AlterDatabaseSetStmt": "ALTER DATABASE",
    "AlterDatabaseRefreshCollStmt": "ALTER DATABASE",
    "AlterSystemStmt": "ALTER SYSTEM",
    "DropOwnedStmt": "DROP OWNED",
    "ReassignOwnedStmt": "REASSIGN OWNED",
}

# Commands that share a node, by the field that names the sort of object.
_BY_SORT = {
    "DropStmt": ("DROP", "removeType"),
    "DefineStmt": ("CREATE", "kind"),
    "CreateTableAsStmt": ("CREATE", "objtype"),
    "AlterTableStmt": ("ALTER", "objtype"),
    "AlterFunctionStmt": ("ALTER", "objtype"),
    "AlterOwnerStmt": ("ALTER", "objectType"),
    "AlterObjectSchemaStmt": ("ALTER", "objectType"),
    "AlterObjectDependsStmt": ("ALTER", "objectType"),
    "RenameStmt": ("ALTER", "renameType"),
}
_PARTS = ("OBJECT_COLUMN", "OBJECT_ATTRIBUTE")  # of a relation, whose sort is named beside

_SORTS = {
    "OBJECT_MATVIEW": "MATERIALIZED VIEW",
    "OBJECT_FDW": "FOREIGN DATA WRAPPER",
    "OBJECT_FOREIGN_SERVER": "SERVER",
    "OBJECT_STATISTIC_EXT": "STATISTICS",
    "OBJECT_LARGEOBJECT": "LARGE OBJECT",
    "OBJECT_TSCONFIGURATION": "TEXT SEARCH CONFIGURATION",
    "OBJECT_TSDICTIONARY": "TEXT SEARCH DICTIONARY",
    "OBJECT_TSPARSER": "TEXT SEARCH PARSER",
    "OBJECT_TSTEMPLATE": "TEXT SEARCH TEMPLATE",
    "OBJECT_DOMCONSTRAINT": "DOMAIN",
}

_TRANSACTIONS = {
    "TRANS_STMT_PREPARE": "PREPARE TRANSACTION",
    "TRANS_STMT_COMMIT_PREPARED": "COMMIT PREPARED",
    "TRANS_STMT_ROLLBACK_PREPARED": "ROLLBACK PREPARED",
}

ISOLATION = ("transaction_isolation", "default_transaction_isolation")


def command(kind: str, node: Node) -> Refused | None:
    """Return the entry of the command that a node is, None when Limitless has it."""
    name = _NODES.get(kind)
    if kind in _BY_SORT:
        verb, field = _BY_SORT[kind]
        sort = node.get(field, "")
        if sort in _PARTS:
            sort = node.get("relationType", sort)
        name = f"{verb} {_SORTS.get(sort) or sort.removeprefix('OBJECT_').replace('_', ' ')}"
    elif kind == "TransactionStmt":
        name = _TRANSACTIONS.get(node.get("kind", ""))
    return COMMANDS.get(name or "")


def forms(kind: str, node: Node) -> Iterator[Refused]:
    """Yield the entries of the refused forms and functions that a node is or holds directly, each time it does."""
    if kind == "FuncCall":
        yield from _function(node)
    elif kind in _FORMS:
        for name in _FORMS[kind](node):
            yield FORMS[name]


def met(kind: str, node: Node) -> Iterator[Refused]:
    """Yield every entry that a node meets; of a command that Limitless lacks, that alone."""
    whole = command(kind, node)
    if whole is not None:
        yield whole
    else:
        yield from forms(kind, node)


def strings(tree: Any) -> list[str]:
    """Return the texts under *tree*, parts of a name or values of a setting, in order."""
    if isinstance(tree, list):
        return [text for item in tree for text in strings(item)]
    if not isinstance(tree, Mapping):
        return []
    texts = [tree["sval"]] if isinstance(tree.get("sval"), str) else []
    return texts + [text for value in tree.values() for text in strings(value)]


def _function(node: Node) -> Iterator[Refused]:
    *schema, name = strings(node.get("funcname")) or [""]
    if schema not in ([], ["pg_catalog"]):
        return
    if name in FUNCTIONS:
        yield FUNCTIONS[name]
    arguments = node.get("args", ())
    if name == "set_config" and len(arguments) > 1:
        setting = strings(arguments[0])
        if setting and setting[0].lower() in ISOLATION and _is_serializable(arguments[1]):
            yield FORMS["ISOLATION LEVEL SERIALIZABLE"]


def _is_serializable(values: Any) -> bool:
    return "serializable" in (text.lower() for text in strings(values))


def _options(node: Node) -> dict[str, Node]:
    return {o["DefElem"]["defname"]: o["DefElem"] for o in node.get("options", ()) if "DefElem" in o}


def _isolation(options: Any) -> Iterator[str]:
    for item in options or ():
        option = item.get("DefElem", {})
        if option.get("defname") in ISOLATION and _is_serializable(option.get("arg")):
            yield "ISOLATION LEVEL SERIALIZABLE"


def _set(node: Node) -> Iterator[str]:
    if node.get("name", "").lower() in ISOLATION:
        if _is_serializable(node.get("args")):
            yield "ISOLATION LEVEL SERIALIZABLE"
    else:  # SET TRANSACTION, SET SESSION CHARACTERISTICS
        yield from _isolation(node.get("args"))


def _conflict(node: Node) -> Iterator[str]:
    for kind in _kinds([node.get("targetList"), node.get("whereClause")]):
        if kind == "SubLink":
            yield "subquery in ON CONFLICT DO UPDATE"
        elif kind == "SQLValueFunction":  # CURRENT_TIMESTAMP, CURRENT_USER and the like: none is immutable
            yield "volatile ON CONFLICT DO UPDATE"


def _kinds(tree: Any) -> Iterator[str]:
    if isinstance(tree, list):
        for item in tree:
            yield from _kinds(item)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            if isinstance(value, Mapping):
                yield key
            yield from _kinds(value)


def _create_table(node: Node) -> Iterator[str]:
    yield from _temporary(node.get("relation"))
    if "partspec" in node:
        yield "PARTITION BY"
    if "partbound" in node:
        yield "PARTITION OF"
    elif "inhRelations" in node:
        yield "INHERITS"
    yield from _storage("options" in node, "tablespacename" in node)


def _into(node: Node) -> Iterator[str]:
    """CREATE TABLE AS and SELECT INTO."""
    into = node.get("into") or node.get("intoClause") or {}
    yield from _temporary(into.get("rel"))
    yield from _storage("options" in into, "tableSpaceName" in into)


def _temporary(relation: Node | None) -> Iterator[str]:
    if is_temporary(relation):
        yield "TEMPORARY TABLE"


def is_temporary(relation: Node | None) -> bool:
    """Return whether what is made under this name is temporary: by the word, or by the schema."""
    return relation is not None and (relation.get("relpersistence") == "t" or relation.get("schemaname") == "pg_temp")


def _storage(parameter: bool, tablespace: bool) -> Iterator[str]:
    if parameter:
        yield "STORAGE PARAMETER"
    if tablespace:
        yield "TABLESPACE"


def _constraint(node: Node) -> Iterator[str]:
    if node.get("contype") == "CONSTR_IDENTITY":
        yield "IDENTITY COLUMN"
        return
    if node.get("contype") == "CONSTR_EXCLUSION":
        yield "EXCLUSION CONSTRAINT"
    yield from _storage("options" in node, "indexspace" in node)


def _index(node: Node) -> Iterator[str]:
    if node.get("unique") and node.get("concurrent"):
        yield "CREATE UNIQUE INDEX CONCURRENTLY"
    if node.get("if_not_exists"):
        yield "CREATE INDEX IF NOT EXISTS"
    yield from _storage(False, "tableSpace" in node)


def _only(node: Node) -> Iterator[str]:
    """The ONLY flag: the tree names inheritance where it is wanted, and nothing where it is not."""
    relation = node.get("relation")
    if relation is not None and not relation.get("inh"):
        yield "ALTER TABLE ONLY"


def _alter_table(node: Node) -> Iterator[str]:
    yield from _only(node)
    for item in node.get("cmds", ()):
        yield from alter_table_command(item["AlterTableCmd"], node.get("objtype", ""))


def alter_table_command(step: Node, sort: str) -> Iterator[str]:
    """Yield the names of the forms that one step of ALTER TABLE, INDEX or VIEW (*sort*) is."""
    subtype = step.get("subtype", "")
    name = ALTER_TABLE.get(subtype)
    # Options of views are no storage parameters; of those of indexes no document says anything.
    if name == "ALTER TABLE SET STORAGE PARAMETER" and sort != "OBJECT_TABLE":
        name = None
    if name is not None:
        yield name
    definition = step.get("def", {})
    if subtype == "AT_AlterColumnType" and "raw_default" in definition.get("ColumnDef", {}):
        yield "USING in ALTER COLUMN TYPE"


def _rename(node: Node) -> Iterator[str]:
    yield from _only(node)
    if node.get("renameType") == "OBJECT_TABCONSTRAINT":
        yield "ALTER TABLE RENAME CONSTRAINT"


def _create_schema(node: Node) -> Iterator[str]:
    if "schemaElts" in node:
        yield "CREATE SCHEMA with schema elements"


def _create_database(node: Node) -> Iterator[str]:
    for name in ("template", "tablespace"):
        if name in _options(node):
            yield f"CREATE DATABASE with {name.upper()}"


def _sequence(node: Node) -> Iterator[str]:
    if _options(node).get("cycle", {}).get("arg", {}).get("Boolean", {}).get("boolval"):
        yield "CYCLE"
    sequence = node.get("sequence")
    if is_temporary(sequence) or (sequence or {}).get("relpersistence") == "u":
        yield "TEMPORARY or UNLOGGED SEQUENCE"


def _copy(node: Node) -> Iterator[str]:
    if "filename" in node:
        yield "COPY from or to a file or program of the server"


_FORMS: Mapping[str, Callable[[Node], Iterator[str]]] = {
    "CurrentOfExpr": lambda node: iter(("WHERE CURRENT OF",)),
    "OnConflictClause": _conflict,
    "CopyStmt": _copy,
    "TransactionStmt": lambda node: _isolation(node.get("options")),
    "VariableSetStmt": _set,
    "AlterRoleSetStmt": lambda node: _set(node.get("setstmt", {})),
    "CreateStmt": _create_table,
    "CreateTableAsStmt": _into,
    "SelectStmt": _into,
    "Constraint": _constraint,
    "IndexStmt": _index,
    "CreateSchemaStmt": _create_schema,
    "CreatedbStmt": _create_database,
    "CreateSeqStmt": _sequence,
    "AlterSeqStmt": _sequence,
    "AlterTableStmt": _alter_table,
    "RenameStmt": _rename,
    "AlterObjectSchemaStmt": _only,
}

KINDS = frozenset((*_NODES, *_BY_SORT, *_FORMS, "FuncCall"))
"""Kinds of nodes that may meet an entry."""
