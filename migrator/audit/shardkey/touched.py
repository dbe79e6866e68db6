"""Does a statement touch no sharded table, or one alone whose tenant WHERE names? Then there is nothing to follow.

Most of an application's statements are of these kinds. The answers are those of `judge`, which reads every condition;
whatever is not plain is left to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from migrator.audit.catalog import SYSTEM_SCHEMAS, RelationKind
from migrator.audit.shardkey.shape import Shape
from migrator.audit.shardkey.walk import Context, Named
from migrator.grammar.parse import Body, Kinds, Node, Parsed, function_name, names, operator, walk

_NOT_PLAIN = frozenset(("MergeStmt", "CurrentOfExpr", "LockingClause"))
"""Names in them are of no table, or they are not followed."""
_FURTHER = frozenset(
    [
        *("SubLink", "FuncCall", "CommonTableExpr", "JoinExpr", "RangeSubselect", "RangeFunction", "RangeTableFunc"),
        *("CurrentOfExpr", "LockingClause", "GroupingSet", "MergeStmt", "JsonTable", "RangeTableSample"),
        "A_Indirection",
    ]
)
"""What may bring another table, or another meaning of a condition."""
_CHANGING = ("InsertStmt", "UpdateStmt", "DeleteStmt")


def without_shards(context: Context, body: Body, kinds: Kinds) -> dict[str, Shape] | None:
    """Return the tables of a SELECT, INSERT, UPDATE or DELETE by qualified name; None where one is sharded or may
    become so, or a view, where a function of the user's brings its own, and where it is not that simple."""
    ctes: frozenset[str] | None = None
    found: dict[str, Shape] = {}
    for table in _tables(kinds):
        name, schema = table["relname"], table.get("schemaname")
        named = context.named(name, schema)
        if named is None:
            ctes = _ctes(context, body, kinds) if ctes is None else ctes
            if schema or name not in ctes:
                return None
        elif _is_system(name, schema) or not _is_unsharded(named):
            return None
        else:
            found[named.qualified] = named.shape
    if not _NOT_PLAIN.isdisjoint(kinds) or ("CommonTableExpr" in kinds and not (ctes or _ctes(context, body, kinds))):
        return None
    if context.summaries and any(function_name(call)[1] in context.summaries for call in kinds.get("FuncCall", ())):
        return None
    return found


def one_table(context: Context, statement: Parsed) -> tuple[Body, str] | None:
    """Return the sharded table that a statement reads and nothing else, with the parameter that is its tenant; None
    where it is not that simple."""
    kinds, body = statement.kinds, statement.body
    tables = kinds.get("RangeVar", [])
    if statement.tag in ("UpdateStmt", "DeleteStmt"):
        tables = [body["relation"], *tables]
    if len(tables) != 1 or statement.tag == "InsertStmt" or not _FURTHER.isdisjoint(kinds) or "larg" in body:
        return None
    [table] = tables
    named = context.named(table["relname"], table.get("schemaname"))
    if named is None or not named.shape.sharded or named.relation.row_security or not named.shape.key:
        return None
    if _is_system(table["relname"], table.get("schemaname")):
        return None
    alias = table.get("alias", {})
    called = alias.get("aliasname", table["relname"])
    key = None if "colnames" in alias else tenant_parameter(body, called, named.shape.key)
    if key is None or _updates(body, named.shape.key):
        return None
    return table, key


def tenant_parameter(body: Body, alias: str, column: str) -> str | None:
    """Return the parameter that *column* equals by the WHERE of a statement on one table; None where no condition, or
    more than one, names the column there."""
    where = body.get("whereClause")
    if where is None:
        return None
    choice = where.get("BoolExpr", where)
    key = None
    for arm in choice["args"] if choice.get("boolop") == "AND_EXPR" else (where,):
        named = sum(tag == "ColumnRef" and names(found["fields"])[-1:] == [column] for tag, found in walk(arm))
        if named and (named > 1 or key is not None or (key := _parameter(arm, alias, column)) is None):
            return None
    return key


def _parameter(arm: Node, alias: str, column: str) -> str | None:
    """Return the parameter of `column = $1`; None where a condition is another one."""
    body = arm.get("A_Expr", {})
    left, right = body.get("lexpr", {}), body.get("rexpr", {})
    if "ParamRef" in left:
        left, right = right, left
    if "ColumnRef" not in left or "ParamRef" not in right or body["kind"] != "AEXPR_OP" or operator(body) != "=":
        return None
    if names(left["ColumnRef"]["fields"]) not in ([column], [alias, column]):
        return None
    return f"${right['ParamRef'].get('number', 0)}"


def _updates(body: Body, key: str) -> bool:
    return any(target.get("ResTarget", {}).get("name") == key for target in body.get("targetList", ()))


def _is_unsharded(named: Named) -> bool:
    return not (named.shape.sharded or named.shape.proposed or named.relation.kind is RelationKind.VIEW)


def _is_system(name: str, schema: str | None) -> bool:
    return schema in SYSTEM_SCHEMAS or (schema is None and name.startswith("pg_"))


def _tables(kinds: Kinds) -> Iterator[Body]:
    yield from kinds.get("RangeVar", ())
    for tag in _CHANGING:
        for body in kinds.get(tag, ()):
            yield body["relation"]


def _ctes(context: Context, body: Body, kinds: Kinds) -> frozenset[str]:
    """Return the names of its common table expressions; none where one is not seen in the whole statement, or hides a
    table."""
    found = frozenset(i["CommonTableExpr"]["ctename"] for i in body.get("withClause", {}).get("ctes", ()))
    if len(kinds.get("CommonTableExpr", ())) != len(found) or any(context.named(name, None) for name in found):
        return frozenset()
    return found
