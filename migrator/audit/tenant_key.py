"""Which column names the tenant? Candidates from foreign keys and names, with what each would reach. Pure.

A key may be spelled in several ways ("orgId", organization_id). Columns are one key when they refer to the same table,
or when their names mean the same word and their types agree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migrator.audit.catalog import Catalog, Relation
from migrator.audit.shardkey.shape import Shape, Shapes, propose
from migrator.grammar.types import plain_type
from migrator.model.table import TableKind
from migrator.plan.tables import TENANT_TYPES

SAME_WORD = {
    "org": "organization", "organisation": "organization", "orga": "organization", "ws": "workspace",
    "acct": "account", "acc": "account", "cust": "customer", "tenancy": "tenant", "network": "nid", "ns": "namespace",
}  # fmt: skip
TENANT_WORDS = {
    "tenant": 1.5, "organization": 1.2, "account": 1.2, "workspace": 1.2, "company": 1.2, "team": 1.0, "customer": 1.0,
    "client": 1.0, "project": 1.0, "merchant": 1.2, "shop": 1.2, "store": 1.2, "site": 1.0, "nid": 1.2, "realm": 1.2,
    "school": 1.2, "clinic": 1.2, "agency": 1.2, "business": 1.2, "subscriber": 1.0, "instance": 1.0,
}  # fmt: skip
"""Words that name a tenant, with their weight; a word that names something else counts `OTHER_WORD`."""

OTHER_WORD = 0.5
INTERCHANGEABLE = {"tenant", "organization"}
_ENDS = re.compile(r"(?:u?u?id|key|code|no|ref)$")
_AN_ID = re.compile(r".*[^_]_?(?:id|Id|ID)")
CLEAR = 0.8
"""A second candidate with more than this part of the first one's weight makes the choice a person's."""
SHARE_BY_NAME = 0.25
"""Part of the tables that must have a column which nothing but its name makes a candidate."""
_TRIED = 12


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tenant key: its columns, and what it would reach.

    Attributes:
        key: the spelling that most tables have.
        columns: table → its column, in whichever spelling.
        root: the table of tenants, which the columns refer to; not among `columns` unless its own key is spelled `key`.
        derived: tables that lead to it through foreign keys on NOT NULL columns.
        tables: all tables there are.
        doubtful: tables whose column only seems to be the tenant, and why.
    """

    key: str
    columns: Mapping[str, str]
    root: str | None
    derived: int
    tables: int
    weight: float
    doubtful: Mapping[str, str] = field(default_factory=dict)

    @property
    def spellings(self) -> list[str]:
        return [name for name, _ in Counter(self.columns.values()).most_common()]

    def __str__(self) -> str:
        others = [s for s in self.spellings if s != self.key]
        also = f", also spelled {', '.join(others)}" if others else ""
        root = f", the key of {self.root}" if self.root else ""
        return f"{self.key}{also}{root}: in {len(self.columns)} of {self.tables} tables, {self.derived} more lead to it"


def word(column: str) -> str:
    """Return what a column's name means, whatever its spelling: `organization` of "orgId"."""
    plain = re.sub(r"[^\w]|_", "", column).lower()
    stem = plain if plain in TENANT_WORDS or plain in SAME_WORD else _ENDS.sub("", plain) or plain
    return SAME_WORD.get(stem, stem)


def candidates(catalog: Catalog, schemas: Collection[str] | None = None) -> list[Candidate]:
    """Return every candidate, the likeliest first."""
    tables = [r for r in catalog.tables() if schemas is None or r.schema in schemas]
    roots = Counter(root for relation in tables for root, _ in _referred(catalog, relation))
    names = Counter(word(c) for r in tables for c, a in r.columns.items() if _may_be_key(a.type) and _names(c))
    found = [_of_root(catalog, tables, root) for root, _ in roots.most_common(_TRIED)]
    reached = {column for one in found if one is not None for column in one.columns.items()}
    for name, _ in names.most_common(_TRIED):
        rest = _of_word(catalog, tables, name)
        if rest is not None and not set(rest.columns.items()) <= reached:
            found.append(rest)
    return sorted((c for c in found if c is not None and _tells_apart(catalog, c)), key=lambda c: (-c.weight, c.key))


def with_key(
    catalog: Catalog, key: str, found: Sequence[Candidate], schemas: Collection[str] | None = None
) -> Candidate | None:
    """Return the candidate that has the spelling *key*, with that as its first; None when no table has the column."""
    tables = [r for r in catalog.tables() if schemas is None or r.schema in schemas]
    having = {r.qualified for r in tables if key in r.columns and _may_be_key(r.columns[key].type)}
    if not having:
        return None
    known = [c for c in found if key in c.columns.values()]
    best = max(known, key=lambda c: sum(v == key for v in c.columns.values()), default=None)
    columns = {**(best.columns if best else {}), **dict.fromkeys(having, key)}
    root = best.root if best else None
    relation = catalog.relations.get(root or "")
    if relation is not None and relation.primary_key != (key,):
        columns.pop(relation.qualified, None)  # a tenant's reference to another tenant is not its own key
    return _weighed(catalog, tables, key, columns, root, best.doubtful if best else {})


def is_clear(found: Sequence[Candidate]) -> bool:
    """Return whether the first candidate needs no person to choose it."""
    return len(found) == 1 or (len(found) > 1 and found[1].weight < CLEAR * found[0].weight)


def _tells_apart(catalog: Catalog, found: Candidate) -> bool:
    """Return whether it is a common key: in a part of the tables, and with many rows to a value in most of them."""
    others = [catalog.relations[t] for t in found.columns if t != found.root]
    unique = sum(any(i.unique and i.columns == (found.columns[r.qualified],) for i in r.indexes) for r in others)
    return 2 * unique < len(others) and (found.root is not None or len(others) >= SHARE_BY_NAME * found.tables)


def _names(column: str) -> bool:
    """Return whether a column's name, without a foreign key, may be that of a key in another table."""
    return word(column) in TENANT_WORDS or _AN_ID.fullmatch(column) is not None


def _may_be_key(kind: str) -> bool:
    return TENANT_TYPES.match(kind) is not None


def _referred(catalog: Catalog, relation: Relation) -> list[tuple[str, str]]:
    """Return (table, own column) for every table whose one-column key *relation* refers to."""
    found = []
    for key in relation.foreign_keys:
        parent = catalog.relations.get(key.parent)
        if parent is None or parent is relation or len(key.columns) != 1 or key.parent_columns != parent.primary_key:
            continue
        attribute = relation.columns.get(key.columns[0])
        if attribute is not None and _may_be_key(attribute.type):
            found.append((parent.qualified, key.columns[0]))
    return found


def _of_root(catalog: Catalog, tables: Sequence[Relation], root: str) -> Candidate | None:
    """Return the candidate whose columns refer to *root*."""
    [own] = catalog.relations[root].primary_key
    kind = plain_type(catalog.relations[root].columns[own].type)
    referring = {r.qualified: [c for parent, c in _referred(catalog, r) if parent == root] for r in tables}
    words = Counter(word(c) for columns in referring.values() for c in columns)
    named = word(f"{_singular(catalog.relations[root].name)}_id")
    usual = named if named in words else words.most_common(1)[0][0]
    columns, doubtful = {}, {}
    for relation in tables:
        mine = referring[relation.qualified]
        alike = [c for c in _spelled(relation, usual, kind) if c in mine or not _refers_elsewhere(relation, c, root)]
        if relation.qualified == root:
            if word(own) == usual:
                columns[root] = own
        elif chosen := _first(relation, [c for c in alike if c in mine] or alike):
            columns[relation.qualified] = chosen
        elif len(mine) == 1 and relation.columns[mine[0]].not_null:
            columns[relation.qualified] = mine[0]  # the straight way, under another name
            if word(mine[0]) != usual:
                doubtful[relation.qualified] = f"{mine[0]} refers to {root}, under another name than elsewhere"
    if not set(columns) - {root}:
        return None
    doubtful.update(_add_other_word(tables, columns, usual, kind, root))
    return _weighed(catalog, tables, _usual(catalog, columns, root), columns, root, doubtful)


def _of_word(catalog: Catalog, tables: Sequence[Relation], name: str) -> Candidate | None:
    """Return the candidate that columns without a foreign key make, by their names."""
    kinds = Counter(plain_type(r.columns[c].type) for r in tables for c in r.columns if word(c) == name and _names(c))
    kind = kinds.most_common(1)[0][0]
    columns = {r.qualified: c for r in tables if (c := _first(r, _spelled(r, name, kind)))}
    root = next((r for r in tables if _is_root(r, name, kind)), None)
    if root is not None and root.primary_key != (columns.get(root.qualified),):
        columns.pop(root.qualified, None)
    if not columns:
        return None
    doubtful = _add_other_word(tables, columns, name, kind)
    return _weighed(
        catalog, tables, _usual(catalog, columns, None), columns, root.qualified if root is not None else None, doubtful
    )


def _add_other_word(
    tables: Sequence[Relation], columns: dict[str, str], name: str, kind: str, root: str | None = None
) -> dict[str, str]:
    """Add columns that mean the tenant in `INTERCHANGEABLE` words, where no table has both; return these tables."""
    doubtful: dict[str, str] = {}
    others = INTERCHANGEABLE - {name}
    if name not in INTERCHANGEABLE or any({name, *others} <= set(map(word, r.columns)) for r in tables):
        return doubtful
    for relation in tables:
        free = [c for o in others for c in _spelled(relation, o, kind) if not _refers_elsewhere(relation, c, "")]
        if relation.qualified not in {*columns, root} and (chosen := _first(relation, free)):
            columns[relation.qualified] = chosen
            doubtful[relation.qualified] = f"{chosen} seems to be the tenant: no table has both, and the types agree"
    return doubtful


def _is_root(relation: Relation, name: str, kind: str) -> bool:
    key = relation.primary_key
    return (
        word(_singular(relation.name)) == name and len(key) == 1 and plain_type(relation.columns[key[0]].type) == kind
    )


def _singular(table: str) -> str:
    return re.sub(r"ies$", "y", table) if table.endswith("ies") else re.sub(r"(?<=[^s])s$", "", table)


def _spelled(relation: Relation, name: str, kind: str) -> list[str]:
    """Return the columns of *relation* that mean *name* and have the type."""
    return [
        c
        for c, a in relation.columns.items()
        if word(c) == name and plain_type(a.type) == kind and _may_be_key(a.type) and a.generated == ""
    ]


def _first(relation: Relation, columns: Iterable[str]) -> str | None:
    """Return the likeliest of several columns: NOT NULL before NULL, short before long."""
    return min(columns, key=lambda c: (not relation.columns[c].not_null, len(c), c), default=None)


def _refers_elsewhere(relation: Relation, column: str, root: str) -> bool:
    return any(key.columns == (column,) and key.parent != root for key in relation.foreign_keys)


def _usual(catalog: Catalog, columns: Mapping[str, str], root: str | None) -> str:
    """Return the spelling that keeps the most foreign keys: tables are collocated when their keys have one name."""
    spelled = Counter(c for t, c in columns.items() if t != root or len(columns) == 1)
    if len(spelled) == 1:
        return next(iter(spelled))
    return max(spelled, key=lambda key: (_kept(catalog, Candidate(key, columns, root, 0, 0, 0.0)), spelled[key], key))


def _kept(catalog: Catalog, candidate: Candidate) -> int:
    """Count the foreign keys between tables whose shard keys have one name."""
    shapes = shapes_of(catalog, candidate)
    keys = {name: shape.key for name, shape in shapes.by_table.items()}
    return sum(
        key.parent in keys and keys.get(r.qualified) == keys[key.parent]
        for r in catalog.tables()
        for key in r.foreign_keys
    )


def _weighed(
    catalog: Catalog,
    tables: Sequence[Relation],
    key: str,
    columns: Mapping[str, str],
    root: str | None,
    doubtful: Mapping[str, str],
) -> Candidate:
    shapes = shapes_of(catalog, Candidate(key, columns, root, 0, len(tables), 0.0))
    derived = sum(shapes.of(r).proposed for r in tables)
    direct = sum(1.0 if catalog.relations[t].columns[c].not_null else 0.5 for t, c in columns.items())
    named = TENANT_WORDS.get(word(key), OTHER_WORD)
    return Candidate(key, columns, root, derived, len(tables), round((direct + 0.7 * derived) * named, 2), doubtful)


def shapes_of(
    catalog: Catalog,
    candidate: Candidate,
    aliases: Mapping[str, str] | None = None,
    barred: Collection[tuple[str, str]] = (),
) -> Shapes:
    """Return the shapes that *candidate* implies; *aliases* (table → column) win.

    Args:
        barred: (table, column) of columns that leave rows without a tenant: neither keys nor steps of a path.
    """
    schemas = tuple(sorted({r.schema for r in catalog.tables()}))
    shapes = Shapes(candidate.key, schemas=schemas, root=candidate.root, barred=frozenset(barred))
    for table, column in {**candidate.columns, **(aliases or {})}.items():
        if (table, column) not in barred:
            shapes.by_table[table] = Shape(TableKind.SHARDED, column)
    if candidate.root in shapes.by_table:
        shapes.root = None  # sharded by its own key like the others
    shapes.doubts.update({t: why for t, why in candidate.doubtful.items() if t not in (aliases or {})})
    propose(catalog, shapes, candidate.key, None)
    return shapes


def adopt(shapes: Shapes) -> None:
    """Take every proposed path as decided, as the plan that is written will."""
    for name, shape in shapes.by_table.items():
        if shape.proposed:
            shapes.by_table[name] = replace(shape, kind=TableKind.SHARDED, proposed=False)
