"""Which statements does Limitless refuse that a plain server cannot be made to refuse?

Judged on the parse tree (libpg_query's JSON), wherever in a statement the form stands: in a CTE, behind EXPLAIN or
PREPARE, in the body of a function or of DO. What event triggers see as well, the server refuses itself
(standin_refusals.sql); both use the same words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pgparse

Node = dict[str, Any]

PUSHDOWN = "Aurora Limitless Tables doesn't support pushdown-unsafe functions with DO UPDATE clauses."

# Nodes that are refused wherever they stand.
_NEVER = {
    "ListenStmt": "LISTEN",
    "UnlistenStmt": "UNLISTEN",
    "NotifyStmt": "NOTIFY",
    "MergeStmt": "MERGE",
    "CurrentOfExpr": "WHERE CURRENT OF",
    "ConstraintsSetStmt": "SET CONSTRAINTS",
    "ReindexStmt": "REINDEX",
    "ReassignOwnedStmt": "REASSIGN OWNED",
    "DropOwnedStmt": "DROP OWNED",
    "CommentStmt": "COMMENT",
    "SecLabelStmt": "SECURITY LABEL",
    "AlterSystemStmt": "ALTER SYSTEM",
    "AlterDatabaseStmt": "ALTER DATABASE",
    "AlterDatabaseSetStmt": "ALTER DATABASE",
    "AlterDatabaseRefreshCollStmt": "ALTER DATABASE",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
    "AlterTableSpaceOptionsStmt": "ALTER TABLESPACE",
    "AlterTableMoveAllStmt": "ALL IN TABLESPACE",
    "CreateEventTrigStmt": "CREATE EVENT TRIGGER",
    "AlterEventTrigStmt": "ALTER EVENT TRIGGER",
    "AlterExtensionContentsStmt": "ALTER EXTENSION ADD or DROP",
}

_TRANSACTIONS = {
    "TRANS_STMT_PREPARE": "PREPARE TRANSACTION",
    "TRANS_STMT_COMMIT_PREPARED": "COMMIT PREPARED",
    "TRANS_STMT_ROLLBACK_PREPARED": "ROLLBACK PREPARED",
}

# Objects of the whole server: no event trigger sees that one is renamed, dropped or given away.
_SHARED = {
    "OBJECT_DATABASE": "DATABASE",
    "OBJECT_TABLESPACE": "TABLESPACE",
    "OBJECT_EVENT_TRIGGER": "EVENT TRIGGER",
}

_ALTER_TABLE = {
    "AT_AttachPartition": "ALTER TABLE ATTACH or DETACH PARTITION",
    "AT_DetachPartition": "ALTER TABLE ATTACH or DETACH PARTITION",
    "AT_DetachPartitionFinalize": "ALTER TABLE ATTACH or DETACH PARTITION",
    "AT_SetStatistics": "ALTER COLUMN SET STATISTICS or COMPRESSION",
    "AT_SetCompression": "ALTER COLUMN SET STATISTICS or COMPRESSION",
    "AT_SetOptions": "ALTER COLUMN SET or RESET options",
    "AT_ResetOptions": "ALTER COLUMN SET or RESET options",
    "AT_DropExpression": "ALTER COLUMN DROP EXPRESSION",
    "AT_AddIdentity": "ALTER COLUMN ADD GENERATED",
    "AT_SetIdentity": "ALTER COLUMN RESTART or SET of an identity column",
    "AT_DropIdentity": "ALTER COLUMN DROP IDENTITY",
    "AT_SetTableSpace": "TABLESPACE",
    "AT_SetRelOptions": "STORAGE PARAMETER",
    "AT_ResetRelOptions": "STORAGE PARAMETER",
}

_ISOLATION = ("transaction_isolation", "default_transaction_isolation")


def refusal(tree: Any, text: str) -> str | None:
    """What Limitless answers to the statement *text*, or None when it takes it (or the server itself refuses it)."""
    for kind, node in nodes(tree):
        if kind in _NEVER:
            return f"{_NEVER[kind]} is not supported"
        if (judge := _JUDGES.get(kind)) and (answer := judge(node)):
            return answer
        if kind in ("CreateFunctionStmt", "DoStmt") and (answer := _body(node, text)):
            return answer
    return None


def nodes(tree: Any) -> Iterator[tuple[str, Node]]:
    """Every node under *tree*, outer ones first, with what it is: the key it stands under.

    The JSON leaves out the kind of a node where only one is possible, so that the field's name has to do.
    """
    if isinstance(tree, list):
        for item in tree:
            yield from nodes(item)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if isinstance(value, dict):
                yield _FIELDS.get(str(key), str(key)), value
            yield from nodes(value)


# Fields whose value is a node of a known kind without its name.
_FIELDS = {"setstmt": "VariableSetStmt", "onConflictClause": "OnConflictClause"}


def calls(tree: Any) -> Iterator[tuple[int, str]]:
    """The function calls in DO UPDATE clauses under *tree*: where each begins (in bytes) and the name it is called by.

    Whether a function is immutable only the server knows.
    """
    for kind, clause in nodes(tree):
        if kind == "OnConflictClause":
            for inner, node in nodes([clause.get("targetList"), clause.get("whereClause")]):
                if inner == "FuncCall" and node.get("funcformat") != "COERCE_SQL_SYNTAX":
                    yield node["location"], ".".join(_quoted(part) for part in strings(node["funcname"]))


def strings(items: Any) -> list[str]:
    """The strings among *items*: parts of a name, values of a setting."""
    found = [value.get("sval", "") for kind, value in nodes(items) if kind == "String"]
    return found + [
        value["sval"].get("sval", "") for kind, value in nodes(items) if kind == "A_Const" and "sval" in value
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _transaction(node: Node) -> str | None:
    if (kind := node["kind"]) in _TRANSACTIONS:
        return f"{_TRANSACTIONS[kind]} is not supported"
    return _serializable(node.get("options"))


def _setting(node: Node) -> str | None:
    name = node.get("name", "").lower()
    if name in _ISOLATION:
        return _serializable([{"DefElem": {"defname": name, "arg": node.get("args")}}])
    return _serializable(node.get("args"))  # SET TRANSACTION, SET SESSION CHARACTERISTICS


def _serializable(options: Any) -> str | None:
    for kind, node in nodes(options):
        if (
            kind == "DefElem"
            and node["defname"] in _ISOLATION
            and "serializable" in map(str.lower, strings(node.get("arg")))
        ):
            return "ISOLATION LEVEL SERIALIZABLE is not supported"
    return None


def _call(node: Node) -> str | None:
    values = [value.lower() for value in strings(node.get("args"))]
    if strings(node["funcname"])[-1] == "set_config" and values[:1] and values[0] in _ISOLATION:
        return _serializable([{"DefElem": {"defname": values[0], "arg": node["args"]}}])
    return None


def _conflict(node: Node) -> str | None:
    for kind, _ in nodes([node.get("targetList"), node.get("whereClause")]):
        if kind == "SubLink":
            return "subquery in ON CONFLICT DO UPDATE is not supported"
        if kind == "SQLValueFunction":  # CURRENT_TIMESTAMP, CURRENT_USER and the like: none is immutable
            return PUSHDOWN
    return None


def _constraint(node: Node) -> str | None:
    return _storage("options" in node, "indexspace" in node)


def _index(node: Node) -> str | None:
    if node.get("unique") and node.get("concurrent"):
        return "CREATE UNIQUE INDEX CONCURRENTLY is not supported"
    return _storage(False, "tableSpace" in node)


def _storage(parameter: bool, tablespace: bool) -> str | None:
    word = "STORAGE PARAMETER" if parameter else "TABLESPACE" if tablespace else None
    return f"{word} is not supported" if word else None


def _only(node: Node) -> str | None:
    """The ONLY flag: the tree names inheritance where it is wanted, and nothing where it is not."""
    relation = node.get("relation")
    return "ALTER TABLE ONLY is not supported" if relation is not None and not relation.get("inh") else None


def _alter_table(node: Node) -> str | None:
    if answer := _only(node):
        return answer
    for kind, command in nodes(node["cmds"]):
        if kind != "AlterTableCmd":
            continue
        form = command.get("subtype", "")
        if form in _ALTER_TABLE:
            return f"{_ALTER_TABLE[form]} is not supported"
        if form == "AT_AlterColumnType" and "raw_default" in command["def"]["ColumnDef"]:
            return "USING in ALTER COLUMN TYPE is not supported"
    return None


def _rename(node: Node) -> str | None:
    if node.get("renameType") == "OBJECT_TABCONSTRAINT":
        return "ALTER TABLE RENAME CONSTRAINT is not supported"
    return _shared("ALTER", node.get("renameType")) or (
        _only(node) if node.get("renameType") == "OBJECT_COLUMN" else None
    )


def _shared(verb: str, kind: str | None) -> str | None:
    what = _SHARED.get(kind or "")
    return f"{verb} {what} is not supported" if what else None


def _create_database(node: Node) -> str | None:
    for kind, option in nodes(node.get("options")):
        if kind == "DefElem" and option["defname"] in ("template", "tablespace"):
            return f"CREATE DATABASE with {option['defname'].upper()} is not supported"
    return None


def _copy(node: Node) -> str | None:
    return "COPY from or to a file or program of the server is not supported" if "filename" in node else None


def _body(node: Node, text: str) -> str | None:
    """A function or DO block whose body holds what is refused; bodies in other languages are not looked into."""
    options = {
        option["defname"]: strings([option.get("arg")])
        for kind, option in nodes([node.get("options"), node.get("args")])
        if kind == "DefElem"
    }
    language = (options.get("language") or ["plpgsql"])[0].lower()
    inner: list[str] = []
    if language == "sql":
        inner = options.get("as", [])[:1]
    elif language == "plpgsql":
        inner = _plpgsql(text)
    for statement in inner:
        with contextlib.suppress(pgparse.PGQueryError):
            if answer := refusal(pgparse.parse(statement), statement):
                return answer
    return None


def _plpgsql(text: str) -> list[str]:
    """The statements of a PL/pgSQL body, those among them that EXECUTE is given as a constant."""
    found = []
    with contextlib.suppress(pgparse.PGQueryError):
        for kind, node in nodes(pgparse.parse_pgsql(text)):
            if kind == "PLpgSQL_expr" and node.get("parseMode", 0) == 0:
                found.append(node["query"])
            elif kind == "PLpgSQL_stmt_dynexecute":
                found += strings(pgparse.parse(f"SELECT {node['query']['PLpgSQL_expr']['query']}"))
    return found


_JUDGES = {
    "TransactionStmt": _transaction,
    "VariableSetStmt": _setting,
    "FuncCall": _call,
    "OnConflictClause": _conflict,
    "Constraint": _constraint,
    "IndexStmt": _index,
    "AlterTableStmt": _alter_table,
    "RenameStmt": _rename,
    "AlterOwnerStmt": lambda node: _shared("ALTER", node.get("objectType")),
    "DropStmt": lambda node: _shared("DROP", node.get("removeType")),
    "CreatedbStmt": _create_database,
    "CopyStmt": _copy,
}
