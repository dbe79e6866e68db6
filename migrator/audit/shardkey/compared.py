"""Does an equality between two types find the shard by hash, or is the column converted before it is compared?

`bigint = numeric` compares two numerics: PostgreSQL converts the column, and then no partition or shard is left out.
Only built-in types are judged; of all others, and of what has no type in the text, nothing is said.
"""

from __future__ import annotations

from functools import lru_cache

from migrator.grammar.parse import Node, constant, function_name, names, walk
from migrator.grammar.types import plain_type, type_name

_FAMILIES = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "numeric",
    "real": "float",
    "double precision": "float",
    "text": "text",
    "character varying": "text",
    "character": "character",
    "bpchar": "character",
    "name": "name",
    "citext": "citext",
    **dict.fromkeys(("oid", "regclass", "regtype", "regrole", "regnamespace", "regproc", "regprocedure"), "oid"),
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}
"""Types of one family share a hash; between families there is none, or one side is converted."""

_WIDENS = {"numeric": ("integer",), "float": ("integer", "numeric"), "oid": ("integer",)}
"""Family of the column → families of values that are converted to it, so that the column stays as it is."""

_BOUND_ELSE = {
    "integer": ("numeric", "double precision"),
    "numeric": ("double precision",),
    "date": ("timestamp", "timestamp with time zone"),
    "timestamp": ("timestamp with time zone", "date"),
    "timestamptz": ("timestamp", "date"),
}
"""Family of the column → types as which drivers may bind a value for it, and by which no shard is found."""

_WIDTH = ("integer", "numeric", "double precision")
"""What arithmetic makes of two of them: the later one."""

_RETURNS = {
    **dict.fromkeys(
        ("ceil", "ceiling", "div", "exp", "extract", "factorial", "floor", "ln", "log", "log10"), "numeric"
    ),
    **dict.fromkeys(("pow", "power", "round", "sign", "sqrt", "to_number", "trim_scale", "trunc"), "numeric"),
    **dict.fromkeys(("cbrt", "date_part", "degrees", "pi", "radians", "random"), "double precision"),
    **dict.fromkeys(("current_database", "current_schema", "getdatabaseencoding", "getpgusername"), "name"),
    **dict.fromkeys(("pg_client_encoding", "pg_encoding_to_char", "pg_get_userbyid"), "name"),
    **dict.fromkeys(("now", "clock_timestamp", "statement_timestamp", "to_timestamp"), "timestamp with time zone"),
}
"""What functions of PostgreSQL return in every form; numeric stands for double precision too, and never an integer."""

_OF_ARGUMENTS = ("abs", "mod", "gcd", "lcm")
_OF_NAMES = (None, "text", "character varying")
_NAMED = ("SQLValueFunction", "FuncCall", "TypeCast")
_USERS = ("USER", "ROLE", "CATALOG", "SCHEMA")

UNLIKE = "the key is compared with another type, to which PostgreSQL converts the column: cast the value instead"
COLLATED = "the comparison has a collation of its own, by which no shard is found"


@lru_cache(maxsize=4096)
def found_by_hash(column: str | None, value: str | None) -> bool:
    """Return whether `column = value` can be looked up in *column*'s hash, for types as `format_type` spells them."""
    one, other = _family(column), _family(value)
    if one is None or other is None or one == other:
        return True
    if other == "name":
        return one not in ("text", "character", "citext")
    plain = (plain_type(column or ""), plain_type(value or ""))
    if plain in (("character", "character varying"), ("bpchar", "character varying")):
        return True
    if plain[0] == "text" and other == "character":
        return True  # though a varchar is not: both become bpchar
    return other in _WIDENS.get(one, ())


def bound_else(column: str | None) -> tuple[str, ...]:
    """Return the types as which a driver may bind a value of *column*'s type so that no shard is found by it."""
    return _BOUND_ELSE.get(_family(column) or "", ())


def same_hash(one: str | None, other: str | None) -> bool:
    """Return whether a key known in a column of one type is known in an equal column of the other, for a planner."""
    known = _family(one), _family(other)
    return None in known or known[0] == known[1]


def value_type(node: Node) -> str | None:
    """Return the type that an expression has by its text alone; None for parameters, strings and what is not known.

    What is made of a `name` (current_user) counts as one, as a text too: it brings the collation "C" with it.
    """
    if "ParamRef" in node:
        return None
    found = _type(node)
    if found in _OF_NAMES and any(_type({tag: body}) == "name" for tag, body in walk(node) if tag in _NAMED):
        return "name"
    return found


def _type(node: Node) -> str | None:
    [(tag, body)] = node.items()
    if tag == "TypeCast":
        return plain_type(type_name(body.get("typeName")))
    if tag == "A_Const":
        return _literal(constant(body) or "") if "fval" in body else "integer" if "ival" in body else None
    if tag == "SQLValueFunction":
        return "name" if str(body.get("op", "")).endswith(_USERS) else None
    if tag == "FuncCall":
        schema, name = function_name(body)
        if schema not in (None, "pg_catalog"):
            return None
        return _widest(body.get("args", [])) if name in _OF_ARGUMENTS else _RETURNS.get(name)
    if tag == "CaseExpr":
        arms = [arm["CaseWhen"]["result"] for arm in body.get("args", ())]
        return _widest([*arms, body["defresult"]] if "defresult" in body else arms)
    if tag == "A_Expr" and body.get("kind") in ("AEXPR_OP", "AEXPR_NULLIF"):
        return _widest([body[side] for side in ("lexpr", "rexpr") if side in body])
    if tag in ("CoalesceExpr", "MinMaxExpr"):
        return _widest(body.get("args", []))
    return None


def common_type(nodes: list[Node]) -> str | None:
    """Return the type of a column of VALUES or a list, where one of its values says more than that it is a number."""
    if len(nodes) == 1:
        return value_type(nodes[0])
    found = {t for t in map(value_type, nodes) if t is not None}
    return _widest(nodes) or (found.pop() if len(found) == 1 else None)


def list_type(right: Node, items: list[Node], position: int | None) -> str | None:
    """Return the type of the elements of `IN (…)` or `ANY (…)`, of those at *position* where they are rows."""
    if "TypeCast" in right:
        return plain_type(type_name(right["TypeCast"].get("typeName")).removesuffix("[]"))
    if position is None:
        return common_type(items)
    rows = [item["RowExpr"]["args"] for item in items if "RowExpr" in item]
    return common_type([row[position] for row in rows if position < len(row)])


def collated(node: Node) -> bool:
    """Return whether *node* has a COLLATE clause at its top, other than the database's own."""
    return "CollateClause" in node and names(node["CollateClause"].get("collname"))[-1:] != ["default"]


def _literal(text: str) -> str:
    """A number too long for an integer comes as a float: as long as it has digits only and fits, it is a bigint."""
    return "bigint" if text.isdigit() and int(text) < 2**63 else "numeric"


def _widest(nodes: list[Node]) -> str | None:
    found = {"double precision" if t == "real" else t for t in map(value_type, nodes)}
    numbers = [t for t in _WIDTH if t in found]
    return numbers[-1] if numbers and numbers[-1] != "integer" else None


def _family(name: str | None) -> str | None:
    return None if name is None else _FAMILIES.get(plain_type(name))
