"""Classifies tables as sharded, reference, standard or undecided, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from migrator.audit.catalog import Catalog, Relation
from migrator.audit.report.values import TableReport
from migrator.audit.shardkey.shape import Shape, Shapes, row_key
from migrator.audit.sizing.rate import Rate, rate
from migrator.model.table import TableKind

SMALL_ROWS = 100_000
SMALL_BYTES = 256 * 2**20
"""A reference table has a full copy on every shard, and every write goes to all of them: keep it small."""


@dataclass(slots=True)
class Joins:
    """What the statements show: with which sharded tables a table is joined, and how often it is written."""

    with_sharded: dict[str, float] = field(default_factory=dict)  # table → calls of statements joining it
    written: dict[str, float] = field(default_factory=dict)  # table → calls of statements writing it
    seen: bool = False  # at least one statement was judged

    def add(self, other: Joins) -> None:
        """Count what *other* shows too."""
        add_calls(self.with_sharded, other.with_sharded)
        add_calls(self.written, other.written)
        self.seen = self.seen or other.seen


def add_calls(counted: dict[str, float], more: dict[str, float]) -> None:
    """Add what *more* counts by name to *counted*."""
    for name, calls in more.items():
        counted[name] = counted.get(name, 0) + calls


def classify(catalog: Catalog, shapes: Shapes, joins: Joins, seconds: float | None = None) -> list[TableReport]:
    """Return every table with its kind, the decider (plan or audit), and the reasons.

    Args:
        seconds: age of the write counters; None when not known.
    """
    root = shapes.root or root_table(catalog, shapes)
    found = []
    for relation in sorted(catalog.tables(), key=lambda r: r.qualified):
        if shapes.schemas and relation.schema not in shapes.schemas:
            continue
        shape = shapes.of(relation)
        choice = _decide(relation, catalog, shapes, joins, seconds)
        sharded = choice.kind == "sharded"
        via = None
        if shape.via and sharded:
            step = shape.via[0]
            known = catalog.relations.get(step.parent)
            via = step.written(known.planned_name if known is not None else step.parent)
        found.append(
            TableReport(
                name=relation.planned_name,
                kind=choice.kind,
                decided_by=choice.by,
                key=shape.key if sharded else None,
                derived=shape.derived and sharded,
                via=via,
                collocated_with=root if sharded and root and root not in (relation.qualified, shapes.root) else None,
                reasons=tuple(choice.reasons),
                rows=_sum(relation, catalog, "rows"),
                bytes=_sum(relation, catalog, "bytes"),
                writes=_sum(relation, catalog, "writes") or 0,
                reads=_sum(relation, catalog, "reads") or 0,
                row_key=() if relation.primary_key else row_key(relation) or (),
                decide=choice.decide,
            )
        )
    return found


def write_rate(relation: Relation, catalog: Catalog, seconds: float | None) -> Rate:
    """Return how often *relation* is written, its partitions included."""
    inserts, updates, deletes = (_sum(relation, catalog, what) or 0 for what in ("inserts", "updates", "deletes"))
    rows = _sum(relation, catalog, "rows")
    return rate(inserts=inserts, updates=updates, deletes=deletes, rows=rows, seconds=seconds)


def root_table(catalog: Catalog, shapes: Shapes) -> str | None:
    """Return the table of the tenants themselves: sharded, and its primary key is the shard key alone."""
    own = [
        r
        for r in catalog.tables()
        if shapes.of(r).sharded and not shapes.of(r).derived and r.primary_key == (shapes.of(r).key,)
    ]
    if not own:
        return None
    referenced = {r.qualified: 0 for r in own}
    for relation in catalog.tables():
        for key in relation.foreign_keys:
            if key.parent in referenced:
                referenced[key.parent] += 1
    return max(sorted(referenced), key=lambda n: referenced[n])


def _sum(relation: Relation, catalog: Catalog, what: str) -> int | None:
    values = [getattr(relation, what)]
    values += [getattr(r, what) for r in catalog.relations.values() if r.partition_of == relation.qualified]
    known = [v for v in values if v is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class _Choice:
    """A kind, who chose it, why; and what to propose where a person must choose."""

    kind: str
    by: str
    reasons: list[str]
    decide: str | None = None


def _decide(relation: Relation, catalog: Catalog, shapes: Shapes, joins: Joins, seconds: float | None) -> _Choice:
    shape = shapes.of(relation)
    rows, size = _sum(relation, catalog, "rows"), _sum(relation, catalog, "bytes")
    writes = write_rate(relation, catalog, seconds)
    figures = _figures(rows, size, writes, joins.with_sharded.get(relation.qualified, 0.0))
    doubts = [shapes.doubts[relation.qualified]] if relation.qualified in shapes.doubts else []
    if shape.kind is not None:
        decided = "plan" if shapes.planned else "audit" if shape.derived else "key"
        reasons = [f"it has the tenant key {shape.key}"] if shape.sharded and not shape.derived else []
        if shape.derived:
            reasons = [f"its tenant comes through {' → '.join(step.parent for step in shape.via)}"]
        if shape.kind is not TableKind.SHARDED:
            reasons = ["the plan says so"]
        apart = [] if shapes.planned else _apart(relation, shape, catalog, shapes)
        decide = "sharded" if doubts or apart else None
        return _immovable(
            relation, catalog, _Choice(shape.kind.value, decided, [*reasons, *doubts, *apart, *figures], decide)
        )
    if shape.proposed:
        path = " → ".join(step.parent for step in shape.via)
        why = f"no tenant key, but foreign keys lead to it through {path}"
        return _immovable(relation, catalog, _Choice("sharded", "audit", [why, *figures]))
    choice = _without_tenant(relation, shapes, joins, rows, size, writes, [*doubts, *figures])
    if doubts and choice.decide is None:
        choice = replace(choice, kind="undecided", decide=choice.kind)
    return _immovable(relation, catalog, choice)


def _without_tenant(
    relation: Relation,
    shapes: Shapes,
    joins: Joins,
    rows: int | None,
    size: int | None,
    writes: Rate,
    figures: list[str],
) -> _Choice:
    """Choose for a table that no tenant owns: reference only when it is known to be small and rarely written."""
    is_root = relation.qualified == shapes.root
    what = "the table of tenants" if is_root else "no tenant key and no path to it"
    small = rows is not None and rows <= SMALL_ROWS and (size or 0) <= SMALL_BYTES
    if small and writes.rare:
        kept = "; as a reference table it keeps the foreign keys of sharded tables" if is_root else ""
        return _Choice("reference", "audit", [f"{what}, small and rarely written{kept}", *figures])
    if rows is None and joins.seen and not joins.written.get(relation.qualified):
        return _Choice(
            "reference", "audit", [f"{what}, and no statement writes to it; check that it is small", *figures]
        )
    if rows is None:
        hint = "its statements write to it" if joins.written.get(relation.qualified) else "no statement was seen"
        why = f"{what}; size and write rate are not known; {hint}"
        return _Choice("undecided", "audit", [why, *figures], "reference" if is_root else "standard")
    if small:
        often = "written often" if writes.per_s is not None else "how often it is written is not known"
        why = f"{what}, small but {often}: each write to a reference table goes to all shards"
        return _Choice("undecided", "audit", [why, *figures], "reference" if is_root else "standard")
    why = f"{what}, and too big for a copy on every shard: shard it by another column, or leave it standard"
    return _Choice("undecided", "audit", [why, *figures], "standard")


def _apart(relation: Relation, shape: Shape, catalog: Catalog, shapes: Shapes) -> list[str]:
    """Return which foreign keys are lost where two sharded tables' keys have other names or types.

    Tables are collocated when their shard keys have one name and one type; others can have no foreign key.
    """
    lost = []
    for other, own, key in _links(relation, catalog):
        group, theirs = _group(relation, shape, shapes, catalog), _group(other, shapes.of(other), shapes, catalog)
        if shapes.of(other).sharded and theirs != group and group[0] != shapes.tenant_key:
            lost.append(f"{key} {'to' if own else 'of'} {other.qualified} ({theirs[0]} {theirs[1]})")
    if not lost:
        return []
    return [
        f"its key is {' '.join(_group(relation, shape, shapes, catalog))}, so it is not collocated with the others and"
        f" loses the foreign key {'; '.join(lost)}: give both columns one name and type on classic to keep it"
    ]


def _links(relation: Relation, catalog: Catalog) -> Iterator[tuple[Relation, bool, str]]:
    """Yield (other table, whether the key is *relation*'s own, name) for each foreign key between two tables."""
    for key in relation.foreign_keys:
        parent = catalog.relations.get(key.parent)
        if parent is not None and parent is not relation:
            yield parent, True, key.name
    for other in catalog.tables():
        for key in other.foreign_keys if other is not relation else ():
            if key.parent == relation.qualified:
                yield other, False, key.name


def _group(relation: Relation, shape: Shape, shapes: Shapes, catalog: Catalog) -> tuple[str, str]:
    """Return name and type of the shard key, on Limitless."""
    if shape.derived and shape.via:
        parent = catalog.relations.get(shape.via[-1].parent)
        return shapes.tenant_key, _group(parent, shapes.of(parent), shapes, catalog)[1] if parent is not None else ""
    column = relation.columns.get(shape.key or "")
    return shape.key or "", column.type if column is not None else ""


def _immovable(relation: Relation, catalog: Catalog, choice: _Choice) -> _Choice:
    """Propose to exclude a table whose rows cannot be followed, unless a plan has decided."""
    why = None
    if row_key(relation) is None:
        why = "it has no primary key, and no unique key on NOT NULL columns: add one, or leave the table behind"
    elif relation.inherits or any(relation.qualified in r.inherits for r in catalog.relations.values()):
        why = "it is linked by INHERITS, which Limitless lacks: ALTER TABLE … NO INHERIT, or leave both tables behind"
    if why is None or choice.by == "plan" or choice.kind == "excluded":
        return choice
    return replace(choice, reasons=[why, *choice.reasons], decide="excluded")


def _figures(rows: int | None, size: int | None, writes: Rate, joined: float) -> list[str]:
    found = []
    if rows is not None:
        found.append(f"{rows:,} rows, {(size or 0) / 2**20:,.1f} MiB, {writes}")
    if joined:
        found.append(f"joined with sharded tables in {joined:,.0f} calls")
    return found
