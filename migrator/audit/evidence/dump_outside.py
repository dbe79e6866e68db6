"""Finds references of tables to objects that no given file holds, when every file has been read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from migrator.audit.catalog import Attribute, Catalog, ForeignKey, Relation, Source
from migrator.grammar.types import plain_type

Note = tuple[str, str, Source]
"""(object, what it leads to, where it was read)."""

OUTSIDE = "outside the files given"

BUILT_IN = frozenset(
    re.findall(
        r"\w+",
        "bigint int8 bigserial bit varbit boolean bool box bytea character char bpchar varchar cidr circle date float4 "
        "float8 float double inet integer int int4 interval json jsonb jsonpath line lseg macaddr macaddr8 money name "
        "numeric decimal dec path pg_lsn pg_snapshot point polygon real smallint int2 text time timetz timestamp "
        "timestamptz tsquery tsvector txid_snapshot uuid xml xid xid8 cid tid oid regclass regproc regprocedure "
        "regoper regoperator regtype regrole regnamespace regconfig regdictionary regcollation refcursor "
        "int2vector oidvector aclitem int4range int8range numrange tsrange tstzrange daterange "
        "int4multirange int8multirange nummultirange "
        "tsmultirange tstzmultirange datemultirange serial serial2 serial4 serial8 smallserial",
    )
)
EXTENSIONS = frozenset(
    re.findall(
        r"\w+",
        "citext hstore ltree lquery ltxtquery cube seg lo isbn isbn13 issn ean13 geometry geography box2d box3d raster "
        "vector halfvec sparsevec",
    )
)
"""Types of common extensions, which a dump seldom creates in the schema that it names them in."""


def settle(catalog: Catalog) -> list[Note]:
    """Complete what was read before its parent, and return the references that lead outside.

    A key that names no columns means its parent's primary key. A partition whose parent is missing counts as a table
    of its own, so that it is not lost.
    """
    notes: list[Note] = []
    for relation in list(catalog.relations.values()):
        if relation.unknown_columns:
            notes.append((relation.qualified, relation.unknown_columns, relation.source))
        notes += _above(catalog, relation)
        for key in relation.foreign_keys:
            notes += _foreign_key(catalog, relation, key)
        for attribute in relation.columns.values():
            notes += _type(catalog, relation, attribute)
    return notes


def _above(catalog: Catalog, relation: Relation) -> Iterator[Note]:
    for parent in (relation.partition_of, *relation.inherits):
        if parent is None:
            continue
        above = catalog.relations.get(parent)
        if above is not None:
            inherited = {n: replace(a) for n, a in above.columns.items() if n not in relation.columns}
            relation.columns = {**inherited, **relation.columns}
            continue
        how = "a partition of" if parent == relation.partition_of else "inherits from"
        yield (
            relation.qualified,
            f"{how} {parent}, a table {OUTSIDE}: its columns are not all known",
            relation.source,
        )
        if parent == relation.partition_of:
            relation.partition_of = None


def _foreign_key(catalog: Catalog, relation: Relation, key: ForeignKey) -> Iterator[Note]:
    parent = catalog.relations.get(key.parent)
    if parent is None:
        found = catalog.find(key.parent.rpartition(".")[2]) if key.bare else None
        if found is not None:
            parent, key.parent = found, found.qualified
    name = f"{relation.qualified}.{key.name}"
    columns = f" ({', '.join(key.parent_columns)})" if key.parent_columns else ""
    shown = f"foreign key ({', '.join(key.columns)}) REFERENCES {key.parent}{columns}"
    if parent is None:
        yield name, f"{shown}, a table {OUTSIDE}", key.source
    elif not parent.is_table:
        yield name, f"{shown}, which is a {parent.kind.value} and no table", key.source
    elif not key.parent_columns:
        key.parent_columns = parent.primary_key
        if len(key.parent_columns) != len(key.columns):
            key.parent_columns = ()
            yield name, f"{shown}: the primary key that it means is {OUTSIDE}", key.source


def _type(catalog: Catalog, relation: Relation, attribute: Attribute) -> Iterator[Note]:
    name = plain_type(attribute.type).removesuffix("[]").replace('"', "")
    bare = name.rpartition(".")[2]
    if not name or bare.split(" ")[0].split("(")[0] in BUILT_IN | EXTENSIONS:
        return
    known = {n.rpartition(".")[2] for n in catalog.types} | {r.name for r in catalog.relations.values()}
    if bare not in known:
        yield (
            f"type {attribute.type}",
            f"{relation.qualified}.{attribute.name} is of type {attribute.type}, which is {OUTSIDE}: an enum, a "
            "domain, or a type of an extension",
            relation.source,
        )
