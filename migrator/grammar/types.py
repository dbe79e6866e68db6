"""How is a type spelled? Trees and short names become what `format_type` of PostgreSQL says."""

from __future__ import annotations

import re
from functools import lru_cache

from migrator.grammar.parse import Body, Node, constant, expression, names

_PLAIN = {
    "int8": "bigint",
    "int4": "integer",
    "int2": "smallint",
    "bool": "boolean",
    "varchar": "character varying",
    "bpchar": "character",
    "varbit": "bit varying",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "float8": "double precision",
    "float4": "real",
    "decimal": "numeric",
    "timetz": "time with time zone",
    "time": "time without time zone",
    "int": "integer",
}
_FIELDS = {4: "year", 2: "month", 8: "day", 1024: "hour", 2048: "minute", 4096: "second"}
_ALL_FIELDS = 0x7FFF


def type_name(body: Body | None) -> str:
    """Return the last part of a TypeName, with [] for arrays."""
    if not body:
        return ""
    parts = names(body.get("names"))
    return (parts[-1] if parts else "") + ("[]" if body.get("arrayBounds") else "")


@lru_cache(maxsize=4096)
def plain_type(name: str) -> str:
    """Return a type's name as `format_type` spells it, without length or precision."""
    base = re.sub(r"\s*\([^)]*\)", "", name).strip().removeprefix("pg_catalog.")
    return _PLAIN.get(base, base)


def type_text(body: Body) -> str:
    """Return a TypeName as `format_type` spells it, with length or precision and quoted where it must be."""
    *schema, name = names(body.get("names")) or [""]
    arguments = [_argument(a) for a in body.get("typmods", ())]
    if schema in ([], ["pg_catalog"]) and name in _PLAIN:
        text = _of_server(_PLAIN[name], arguments)
    elif schema == ["pg_catalog"] and name == "interval" and arguments:
        text = _interval(*arguments)
    else:
        text = name if schema == ["pg_catalog"] and name != "char" else ".".join(_quoted(p) for p in (*schema, name))
        text = text.removeprefix("pg_catalog.") + (f"({','.join(arguments)})" if arguments else "")
    if body.get("pct_type"):
        text += "%TYPE"
    return text + "[]" * len(body.get("arrayBounds", ()))


def _of_server(plain: str, arguments: list[str]) -> str:
    if plain == "character" and arguments == ["1"]:
        return "character(1)"
    if not arguments:
        return "bpchar" if plain == "character" else plain  # `character` alone means one of them
    word, space, rest = plain.partition(" with")  # timestamp(3) with time zone
    return f"{word}({','.join(arguments)}){space}{rest}"


def _interval(mask: str, precision: str = "") -> str:
    fields = [word for bit, word in _FIELDS.items() if int(mask) & bit] if int(mask) != _ALL_FIELDS else []
    text = " to ".join(dict.fromkeys((fields[0], fields[-1]))) if fields else ""
    return f"interval{' ' if text else ''}{text}{f'({precision})' if precision else ''}"


def _argument(node: Node) -> str:
    if "A_Const" in node:
        return constant(node["A_Const"]) or "NULL"
    return ".".join(names(node.get("ColumnRef", {}).get("fields")))  # geometry(Point, 4326)


@lru_cache
def _quoted(name: str) -> str:
    """Return *name* as a type's name; keywords mean another type when they stand bare ("char")."""
    if re.fullmatch(r"[a-z_][a-z0-9_$]*", name):
        cast = expression(f"NULL::{name}")
        if cast is not None and "TypeCast" in cast and names(cast["TypeCast"]["typeName"].get("names")) == [name]:
            return name
    return '"' + name.replace('"', '""') + '"'
