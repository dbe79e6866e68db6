"""Decides where a whole statement of a migration runs: on both sides, on classic alone, or nowhere. Pure.

On both sides runs what Limitless has and an application needs there. On classic alone runs what writes rows, which the
journal carries over, and what changes nothing that Limitless has a counterpart of. What Limitless lacks is refused, or
made on classic alone where a comment says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrator.dataplane.change import recipe
from migrator.dataplane.change.alter import STORAGE, Found
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.grammar.parse import Unparsable, parse, parse_plpgsql, walk
from migrator.grammar.tree import Tree
from migrator.grammar.written import Written
from migrator.model.refused import Refused
from migrator.model.refusing import command, met
from migrator.model.table import qualify

IGNORED = frozenset({"VariableSetStmt", "ConstraintsSetStmt", "LockStmt"})
"""What counts for a transaction or a session of the migration's own; changes have one each."""

BOTH = frozenset(
    {
        "CreateFunctionStmt", "AlterFunctionStmt", "ViewStmt", "CreatePolicyStmt", "GrantStmt", "CreateSchemaStmt",
        "CreateExtensionStmt", "AlterOwnerStmt", "AlterSeqStmt", "CreateCastStmt",
    }
)  # fmt: skip
_DROPPED_ON_BOTH = frozenset(
    f"OBJECT_{name}"
    for name in ("VIEW", "FUNCTION", "PROCEDURE", "TYPE", "SEQUENCE", "SCHEMA", "EXTENSION", "COLLATION", "CAST")
)
_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_ROLES = frozenset({"CreateRoleStmt", "AlterRoleStmt", "DropRoleStmt", "GrantRoleStmt"})
_ALONE = frozenset({"VacuumStmt", "ReindexStmt"})

_CLASSICS_OWN = frozenset(
    {"COMMENT", "SECURITY LABEL", "CREATE STATISTICS", "ALTER DEFAULT PRIVILEGES", "REFRESH MATERIALIZED VIEW"}
)
_NEVER = frozenset(
    {
        "ALTER SYSTEM", "ALTER DATABASE", "DROP OWNED", "REASSIGN OWNED", "ALL IN TABLESPACE", "ALTER TABLESPACE",
        "DROP TABLESPACE", "ALTER DOMAIN", "ALTER POLICY", "DROP POLICY", "ALTER ROUTINE", "DROP ROUTINE",
        "ALTER EXTENSION ADD or DROP", "ALTER EVENT TRIGGER", "DROP EVENT TRIGGER", "ALTER SUBSCRIPTION",
        "DROP SUBSCRIPTION", "ALTER LARGE OBJECT",
    }
)  # fmt: skip
"""What reaches beyond the schema, has a counterpart on Limitless, or decides what is journalled."""

_INSTEAD = {
    "LIM-OBJ-01": "let the application do it in the transaction that writes",
    "LIM-FN-01": "let the application do it in the transaction that writes",
    "LIM-OBJ-03": "use a view, or let the application do it",
    "LIM-OBJ-04": "use a table that a job fills",
    "LIM-OBJ-05": "read changes from the application",
    "LIM-OBJ-06": "read the other database from the application",
    "LIM-OBJ-07": "leave it out, or use what is built in",
    "LIM-OBJ-09": "GRANT by name, ALTER ROLE … SET, or the parameter group",
    "LIM-COL-04": "use the base type with a CHECK of the table",
    "LIM-OBJ-12": "say DROP FUNCTION or DROP PROCEDURE",
    "LIM-SEC-01": "CREATE POLICY under another name is possible",
    "LIM-TBL-04": "use WITH in the statement, or a table of its own",
}
_JOURNALLED = "the journal carries to Limitless what it writes"
OPT_IN = "or put '-- migrator: side = classic' before it, and it is made on classic alone, to go before the hand-over"

_RENAMED = {
    "OBJECT_SEQUENCE": "create another and set the defaults to it",
    "OBJECT_TYPE": "create another, and give the columns that type in steps",
    "OBJECT_SCHEMA": "the plan names it: rename it when dual write is over",
}


def read(where: str, node: Tree, written: Written, side: str, path: tuple[str, ...]) -> Found | None:
    """Return the request that a whole statement is, what is wrong with it, or None where there is nothing to do.

    Args:
        side: what a comment says about it: 'classic', or ''.
        path: schemas that its names are looked up in.
    """
    tag = node.tag
    if tag in IGNORED or (tag == "TransactionStmt" and node.kind in _FRAME):
        return None
    if tag == "TransactionStmt":
        return "every change is carried out by itself: leave ROLLBACK, savepoints and prepared transactions out"
    if side == "classic":
        return _on_classic(where, written, path, "a comment says so", alone=tag in _ALONE, rows=tag in _WRITES)
    whole = command(tag, node.body)
    if whole is not None:
        return _lacking(where, node, written, path, whole)
    if tag == "AlterTableStmt" and node.cmds and all(c.subtype in STORAGE for c in node.cmds):
        return _on_classic(where, written, path, "Limitless decides by itself how it stores a table")
    if tag in _WRITES or (tag == "SelectStmt" and node.intoClause is None):
        return _on_classic(where, written, path, _JOURNALLED, rows=True)
    if tag in _ROLES:
        return _on_classic(where, written, path, "roles and their rights follow by themselves: docs/roles.md")
    if tag in _ALONE:
        return _on_classic(where, written, path, "Limitless looks after its own tables", alone=True)
    problem = _problem(node)
    if problem:
        return problem
    lacks = sorted({(r.rule, r.reason) for r in _refusals(node) if r.until is None})
    if lacks:
        return "; ".join(_refusal(rule, reason) for rule, reason in lacks)
    return RequestedChange(where, Kind.BOTH_SIDES, "", "", "", statement=written.whole, path=path)


_FRAME = frozenset({"TRANS_STMT_BEGIN", "TRANS_STMT_START", "TRANS_STMT_COMMIT"})


def returns_trigger(node: Tree) -> bool:
    """Whether a CREATE FUNCTION makes a function that only triggers can call."""
    if node.tag != "CreateFunctionStmt" or node.returnType is None:
        return False
    return node.returnType.names[-1].sval in ("trigger", "event_trigger")


def search_path(node: Tree) -> tuple[str, ...] | None:
    """Return the schemas that SET search_path names; None for another statement."""
    if node.tag != "VariableSetStmt" or node.name != "search_path" or not node.args:
        return None
    return tuple(text for argument in node.args if (text := argument.text) and text not in ("$user", "pg_catalog"))


def _on_classic(
    where: str, written: Written, path: tuple[str, ...], note: str, *, alone: bool = False, rows: bool = False
) -> Found:
    """Return a statement for classic: one that takes no transaction *alone*, one that writes *rows* as a write."""
    return RequestedChange(
        where, Kind.CLASSIC_ONLY, "", "", "", statement=written.whole, path=path, note=note, late=alone,
        condition="w" if rows else "",
    )  # fmt: skip


def _lacking(where: str, node: Tree, written: Written, path: tuple[str, ...], whole: Refused) -> Found:
    """Return what becomes of a command that Limitless lacks: what is there on classic may change, and go."""
    verb = whole.name.partition(" ")[0]
    if whole.name == "REINDEX":
        if not any(option.defname == "concurrently" for option in node.params or ()):
            return "REINDEX locks writers out: say REINDEX … CONCURRENTLY"
        return _on_classic(where, written, path, "Limitless has no REINDEX, and indexes of its own", alone=True)
    if node.behavior == "DROP_CASCADE":
        return "leave CASCADE out: drop what depends on it by name"
    if whole.name == "MERGE":
        return _on_classic(where, written, path, _JOURNALLED, rows=True)
    if whole.name in _CLASSICS_OWN or (verb in ("ALTER", "DROP") and whole.name not in _NEVER):
        return _on_classic(where, written, path, whole.reason)
    return _refusal(whole.rule, whole.reason)


def _refusal(rule: str, reason: str) -> str:
    instead = _INSTEAD.get(rule, "")
    return f"{reason} ({rule}): " + (f"{instead}, " if instead else "") + OPT_IN


def _problem(node: Tree) -> str:
    """Return why a statement that Limitless has is not possible all the same; '' when it is."""
    match node.tag:
        case "RenameStmt" if node.renameType == "OBJECT_TABLE":
            return recipe.rename_table(_name(node), node.newname)
        case "RenameStmt" if node.renameType == "OBJECT_COLUMN" and node.relationType == "OBJECT_TABLE":
            return recipe.rename_column(None, _name(node), node.subname, node.newname)
        case "RenameStmt" if node.renameType in _RENAMED:
            return _RENAMED[node.renameType]
        case "RenameStmt" if node.renameType in ("OBJECT_FUNCTION", "OBJECT_PROCEDURE"):
            return ""
        case "RenameStmt" | "AlterTableStmt" if "VIEW" in (node.renameType or node.objtype or ""):
            return ""
        case "DropStmt" if node.removeType in _DROPPED_ON_BOTH:
            return "leave CASCADE out: drop what depends on it by name" if node.behavior == "DROP_CASCADE" else ""
        case "DropStmt" if node.removeType == "OBJECT_TABLE":
            return (
                "its rows would be gone on both sides, and reads could not go back. Where it is captured, let the"
                " application stop using it now and drop it once classic is retired; where it is not, put"
                " '-- migrator: side = classic' before the statement"
            )
        case "AlterSeqStmt":
            options = {option.defname for option in node.options or ()}
            if "restart" in options:
                return "Limitless' sequences get their numbers at the hand-over: SELECT setval(…) sets classic's alone"
            return "leave OWNED BY out" if "owned_by" in options else ""
        case "CreateFunctionStmt" if returns_trigger(node) and not node.replace:
            return _refusal("LIM-FN-01", "functions of triggers have no use on Limitless, which has no triggers")
        case "DoStmt" | "CallStmt":
            return (
                "what a procedure's code does is not known before: write its statements out; where it only writes rows,"
                " put '-- migrator: side = classic' before it"
            )
        case "TruncateStmt":
            return "TRUNCATE names no row, so nothing could be journalled: DELETE in batches"
        case "CreateTableAsStmt" | "SelectStmt":
            return "write CREATE TABLE with its columns and key, then INSERT … SELECT"
        case tag if tag in BOTH:
            return ""
    return f"it is not known here, so it runs nowhere: do it in other words, {OPT_IN}"


def _name(node: Tree) -> str:
    return qualify(node.relation.schemaname or "public", node.relation.relname)


def _refusals(node: Tree) -> Iterator[Refused]:
    """Yield what Limitless refuses in a statement, and in the body of the function it makes."""
    for kind, body in walk(node.node):
        yield from met(kind, body)
    if node.tag != "CreateFunctionStmt":
        return
    options = {option.defname: option for option in node.options or ()}
    language = options["language"].arg.text if "language" in options else "sql"
    bodies = [item.text for item in options["as"].arg] if "as" in options else []
    for text in bodies[:1]:
        try:
            texts = [text] if language == "sql" else _queries(node, text) if language == "plpgsql" else []
            for statement in (s for t in texts for s in parse(t)):
                for kind, body in walk({statement.tag: statement.body}):
                    yield from met(kind, body)
        except Unparsable:  # what the server makes of it, its trial says
            continue


def _queries(node: Tree, text: str) -> Iterator[str]:
    """Yield the statements in a body of PL/pgSQL."""
    tag = "$migrator_body$"
    found: Any = parse_plpgsql(f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS {tag}{text}{tag}")
    stack = [found]
    while stack:
        current = stack.pop()
        if isinstance(current, list):
            stack.extend(current)
        elif isinstance(current, dict):
            if "PLpgSQL_stmt_execsql" in current:
                query = current["PLpgSQL_stmt_execsql"].get("sqlstmt", {}).get("PLpgSQL_expr", {}).get("query")
                if query:
                    yield query
            stack.extend(current.values())
