"""Rules on commands that need the schema to be judged, or are costly. (KEY, TBL, IDX, FK, FN, QRY, SES rules)

Looks at the statement as a whole; what may stand anywhere inside one is statement.py's, and what Limitless refuses
whatever the schema holds is refused.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from migrator.audit.catalog import Relation
from migrator.audit.rules.rule import Hit
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Body, walk
from migrator.model.limits import EXTENSIONS
from migrator.model.refusing import is_temporary
from migrator.model.table import TableKind


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


def _create_table_as(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("objtype") != "OBJECT_MATVIEW" and not is_temporary(body.get("into", {}).get("rel")):
        yield Hit("LIM-TBL-11", "CREATE TABLE AS")


def _select_into(body: Body, context: Context) -> Iterator[Hit]:
    if "intoClause" in body and not is_temporary(body["intoClause"].get("rel")):
        yield Hit("LIM-TBL-11", "SELECT INTO")


def _create_index(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("concurrent") and not body.get("unique"):
        relation = _relation(body, context)
        if relation is not None and not context.shapes.of(relation).sharded:
            yield Hit("LIM-IDX-02", f"on {relation.qualified}")


def _alter_table(body: Body, context: Context) -> Iterator[Hit]:
    known = _relation(body, context)
    key = context.shapes.of(known).key if known is not None else None
    kept = _kept(known, context)
    for item in body.get("cmds", ()):
        command = item["AlterTableCmd"]
        subtype = command.get("subtype", "")
        if subtype in ("AT_DropColumn", "AT_AlterColumnType") and key and command.get("name") == key:
            yield Hit("LIM-KEY-05", f"{subtype.removeprefix('AT_')} {key}")
        if subtype in ("AT_DropColumn", "AT_DropConstraint") and command.get("name") in kept:
            yield Hit("LIM-TBL-08", f"{subtype.removeprefix('AT_')} {command['name']}: the primary key goes with it")
        constraint = command.get("def", {}).get("Constraint", {})
        if constraint.get("contype") == "CONSTR_FOREIGN" and constraint.get("skip_validation"):
            yield Hit("LIM-FK-08", f"FOREIGN KEY {constraint.get('conname', '')} NOT VALID")


def _kept(relation: Relation | None, context: Context) -> set[str | None]:
    """What a reference table may not lose: its primary key, and the columns of that."""
    if relation is None or context.shapes.of(relation).kind is not TableKind.REFERENCE:
        return set()
    return {name for index in relation.indexes if index.primary for name in (index.name, *index.columns)}


def _alter_function(body: Body, context: Context) -> Iterator[Hit]:
    for item in body.get("actions", ()):
        if item.get("DefElem", {}).get("defname") == "volatility":
            yield Hit("LIM-FN-09", f"ALTER {body.get('objtype', '').removeprefix('OBJECT_')} changes its volatility")


def _create_extension(body: Body, context: Context) -> Iterator[Hit]:
    if body.get("extname") not in EXTENSIONS:  # CREATE LANGUAGE without a handler is read as one too
        yield Hit("LIM-EXT-01", f"CREATE EXTENSION {body.get('extname', '')}")


def _set(body: Body, context: Context) -> Iterator[Hit]:
    name = body.get("name", "")
    values = [n.get("sval", {}).get("sval", "") for t, n in walk(body.get("args", [])) if t == "A_Const"]
    if name == "plan_cache_mode" and "force_generic_plan" in values:
        yield Hit("LIM-QRY-05", "SET plan_cache_mode = force_generic_plan")
    elif (
        not body.get("is_local")
        and name not in ("TRANSACTION", "TRANSACTION SNAPSHOT", "transaction_isolation")
        and body.get("kind") in ("VAR_SET_VALUE", "VAR_SET_MULTI")
    ):
        yield Hit("LIM-SES-04", f"SET {name} outlives the transaction")


def _prepare(body: Body, context: Context) -> Iterator[Hit]:
    yield Hit("LIM-SES-05", f"PREPARE {body.get('name', '')} pins a pooled connection")


_CHECKS: dict[str, Callable[[Body, Context], Iterator[Hit]]] = {
    "UpdateStmt": _update,
    "CreateTableAsStmt": _create_table_as,
    "SelectStmt": _select_into,
    "IndexStmt": _create_index,
    "AlterTableStmt": _alter_table,
    "AlterFunctionStmt": _alter_function,
    "CreateExtensionStmt": _create_extension,
    "VariableSetStmt": _set,
    "PrepareStmt": _prepare,
}
