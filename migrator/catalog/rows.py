"""Makes values of the rows that the statements of this package return. Pure."""

from __future__ import annotations

import re
from typing import Any

from migrator.catalog.values import Check, Column, ForeignKey, Index, Name, Relation, Type

Row = dict[str, Any]

_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_RANGE_OPTIONS = ("subtype", "subtype_opclass", "collation", "subtype_diff", "multirange_type_name")
_HASH_KEY = re.compile(r"^HASH \((?P<columns>.*)\)$")

_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\s."]+)'
_INDEX = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX {_IDENTIFIER} ON (?:ONLY )?{_IDENTIFIER}(?:\.{_IDENTIFIER})? USING {_IDENTIFIER} "
    r"(?P<tail>.*)",
    re.DOTALL,
)
_STORAGE = re.compile(r" WITH \((?:[^()']|'(?:[^']|'')*')*\)$")


def relation(row: Row) -> Relation:
    kin = zip(row["kin_schemas"] or (), row["kin_names"] or (), strict=True)
    return Relation(row["oid"], row["schema"], row["name"], row["kind"], tuple(kin))


def column(row: Row) -> Column:
    return Column(
        name=row["name"],
        type=row["type"],
        not_null=row["not_null"],
        default=row["default_text"],
        generated=row["generated"],
        identity=row["identity"],
        collation=(row["collation_schema"], row["collation_name"]) if row["collation_name"] else None,
        checks=tuple(
            (name, over_column(text, row["quoted"]))
            for name, text in zip(row["check_names"] or (), row["check_texts"] or (), strict=True)
        ),
        domain=row["domain"],
        never_null=row["never_null"],
    )


def over_column(condition: str, quoted: str) -> str:
    """Return a domain's CHECK text over a column instead of VALUE; string literals and quoted names stay."""
    parts = re.split(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""", condition)
    return "".join(part if i % 2 else re.sub(r"\bVALUE\b", lambda _: quoted, part) for i, part in enumerate(parts))


def check(row: Row) -> Check:
    return Check(row["name"], row["condition"], row["validated"])


def index(row: Row) -> Index:
    return Index(
        name=row["name"],
        table=(row["schema"], row["table_name"]),
        unique=row["is_unique"],
        columns=tuple(row["columns"]),
        method=row["method"],
        tail=tail(row["definition"], row["predicate"], has_options=row["has_options"]),
        constraint=row["is_constraint"],
        deferrable=row["deferrable"],
        partial=row["predicate"] is not None,
        valid=row["is_valid"],
        primary=row["is_primary"],
        temporal=row["is_temporal"],
        as_compared=row["as_compared"],
        oid=row["oid"],
    )


def tail(definition: str, predicate: str | None, *, has_options: bool) -> str:
    """Return what follows the method in an index's *definition*, without storage parameters: Limitless has none.

    Names and texts in it may hold any words, so it is read from its beginning, and storage parameters from the end of
    what stands before the predicate.

    Raises:
        ValueError: it is no CREATE INDEX as the server writes it.
    """
    match = _INDEX.fullmatch(definition)
    if match is None:
        raise ValueError(f"not the definition of an index: {definition}")
    where = f" WHERE {predicate}" if predicate is not None else ""
    head = match["tail"].removesuffix(where)
    return (_STORAGE.sub("", head) if has_options else head) + where


def foreign_key(row: Row) -> ForeignKey:
    return ForeignKey(
        name=row["name"],
        table=(row["schema"], row["table_name"]),
        columns=tuple(row["columns"]),
        parent=(row["parent_schema"], row["parent_name"]),
        parent_columns=tuple(row["parent_columns"]),
        on_delete=_ACTIONS[row["on_delete"]],
        on_update=_ACTIONS[row["on_update"]],
        match_full=row["match_full"],
        deferrable=row["is_deferrable"],
        deferred=row["is_deferred"],
        validated=row["validated"],
        temporal=row["is_temporal"],
    )


def type_(row: Row) -> Type:
    return Type(
        row["schema"],
        row["name"],
        tuple(row["labels"] or ()),
        tuple(zip(row["attribute_names"] or (), row["attribute_types"] or (), strict=True)),
        tuple((option, row[option]) for option in _RANGE_OPTIONS if row[option]),
    )


def placement(row: Row) -> tuple[str, tuple[str, ...], str | None]:
    """Return kind, shard key and collocation group of a table on Limitless."""
    match = _HASH_KEY.match(row["distribution_key"] or "")
    key = tuple(part.strip().strip('"') for part in match["columns"].split(",")) if match else ()
    group = str(row["collocation_id"]) if row["collocation_id"] is not None else None
    return row["table_type"], key, group


def name(row: Row) -> Name:
    """Return the table that a row of a column, a check or an index belongs to."""
    return (row["schema"], row["table_name"])
