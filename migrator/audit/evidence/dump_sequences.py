"""Reads the sequences of a schema dump and the numbers they hand out."""

from __future__ import annotations

from typing import Any

from migrator.audit.catalog import Attribute, Relation, Sequence
from migrator.audit.evidence.dump_reader import Reader, type_text

LIMITS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
SERIAL = {
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
    "smallserial": "smallint",
    "serial2": "smallint",
}


def create_sequence(reader: Reader, node: Any) -> None:
    schema, name = reader.name_of(node.sequence)
    sequence = Sequence(schema, name, source=reader.source, unlogged=node.sequence.relpersistence == "u")
    _options(reader, sequence, node.options)
    reader.catalog.sequences[sequence.qualified] = sequence


def alter_sequence(reader: Reader, node: Any) -> None:
    schema, name = reader.name_of(node.sequence)
    sequence = reader.catalog.sequences.get(f"{schema}.{name}")
    if sequence is not None:
        _options(reader, sequence, node.options)


def add_serial(reader: Reader, relation: Relation, attribute: Attribute) -> None:
    """Give a column of a type in SERIAL the sequence that PostgreSQL makes for it."""
    attribute.type = SERIAL[attribute.type]
    attribute.not_null = True
    sequence = Sequence(
        relation.schema,
        f"{relation.name}_{attribute.name}_seq",
        attribute.type,
        maximum=LIMITS[attribute.type],
        source=reader.source,
        owned_by=f"{relation.qualified}.{attribute.name}",
    )
    reader.catalog.sequences[sequence.qualified] = sequence
    attribute.sequence = sequence.qualified
    attribute.default = f"nextval('{sequence.qualified}'::regclass)"


def _options(reader: Reader, sequence: Sequence, options: Any) -> None:
    stated = False
    for option in options or ():
        value = option.arg
        if option.defname == "as":
            sequence.type = type_text(value)
        elif option.defname == "cycle":
            sequence.cycle = value is None or bool(value.boolval)
        elif option.defname == "cache":
            sequence.cache = _number(value)
        elif option.defname == "increment":
            sequence.increment = _number(value)
        elif option.defname == "maxvalue" and value is not None:
            sequence.maximum, stated = _number(value), True
        elif option.defname == "owned_by":
            parts = [p.sval for p in value]
            if len(parts) > 1:
                table = parts if len(parts) > 2 else [reader.default, *parts]
                reader.pending_owners.append((".".join(table), sequence.qualified))
    if not stated and sequence.type in LIMITS:
        sequence.maximum = LIMITS[sequence.type]


def _number(node: Any) -> int:
    return int(node.ival) if node.ival is not None else int(node.fval)
