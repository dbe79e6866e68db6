"""Classifies tables as sharded, reference, standard or undecided, with reasons. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from migrator.audit.catalog import Catalog, Relation
from migrator.audit.report.values import TableReport
from migrator.audit.shardkey.shape import Shapes
from migrator.model.table import TableKind

SMALL_ROWS = 100_000
SMALL_BYTES = 256 * 2**20
"""A reference table has a full copy on every shard, and every write goes to all of them: keep it small."""

OFTEN = 0.10
"""Writes per row over the life of the statistics from which a table counts as written often."""


@dataclass(slots=True)
class Joins:
    """What the statements show: with which sharded tables a table is joined, and how often it is written."""

    with_sharded: dict[str, float] = field(default_factory=dict)  # table → calls of statements joining it
    written: dict[str, float] = field(default_factory=dict)  # table → calls of statements writing it
    seen: bool = False  # at least one statement was judged


def classify(catalog: Catalog, shapes: Shapes, joins: Joins) -> list[TableReport]:
    """Return every table with its kind, the decider (plan or audit), and the reasons."""
    root = root_table(catalog, shapes)
    found = []
    for relation in sorted(catalog.tables(), key=lambda r: r.qualified):
        if shapes.schemas and relation.schema not in shapes.schemas:
            continue
        shape = shapes.of(relation)
        kind, decided, reasons = _decide(relation, catalog, shapes, joins)
        via = f"{shape.via[0][0]} -> {shape.via[0][1]}.{shape.via[0][2]}" if shape.via and kind == "sharded" else None
        found.append(
            TableReport(
                name=relation.qualified,
                kind=kind,
                decided_by=decided,
                key=shape.key if kind == "sharded" else None,
                derived=shape.derived and kind == "sharded",
                via=via,
                collocated_with=root if kind == "sharded" and root and root != relation.qualified else None,
                reasons=tuple(reasons),
                rows=_sum(relation, catalog, "rows"),
                bytes=_sum(relation, catalog, "bytes"),
                writes=_sum(relation, catalog, "writes") or 0,
                reads=_sum(relation, catalog, "reads") or 0,
            )
        )
    return found


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


def _decide(relation: Relation, catalog: Catalog, shapes: Shapes, joins: Joins) -> tuple[str, str, list[str]]:
    shape = shapes.of(relation)
    rows, size = _sum(relation, catalog, "rows"), _sum(relation, catalog, "bytes")
    writes = _sum(relation, catalog, "writes") or 0
    figures = _figures(rows, size, writes, joins.with_sharded.get(relation.qualified, 0.0))
    if shape.kind is not None:
        decided = "plan" if shapes.planned else "key"
        reasons = [f"it has the tenant key {shape.key}"] if shape.sharded and not shape.derived else []
        if shape.derived:
            reasons = [f"its tenant comes through {' → '.join(p for _, p, _ in shape.via)}"]
        if shape.kind is not TableKind.SHARDED:
            reasons = ["the plan says so"]
        return shape.kind.value, decided, reasons + figures
    small = rows is not None and rows <= SMALL_ROWS and (size or 0) <= SMALL_BYTES
    often = rows is not None and writes > max(1000, OFTEN * rows) + (rows or 0)
    statement_writes = joins.written.get(relation.qualified, 0.0)
    if shape.proposed:
        path = " → ".join(p for _, p, _ in shape.via)
        return "sharded", "audit", [f"no tenant key, but foreign keys lead to it through {path}", *figures]
    if rows is None and joins.seen and not statement_writes:
        return "reference", "audit", ["no tenant key, and no statement writes to it; check that it is small", *figures]
    if rows is None:
        hint = "its statements write to it" if statement_writes else "no statement was seen"
        return "undecided", "audit", [f"no tenant key and no path to it; size and write rate are not known; {hint}"]
    if small and not often:
        return "reference", "audit", ["no tenant key, small and rarely written", *figures]
    if small:
        return (
            "undecided",
            "audit",
            ["no tenant key, small but written often: as a reference table each write goes to all shards", *figures],
        )
    return (
        "undecided",
        "audit",
        [
            "no tenant key, and too big for a copy on every shard: shard it by another column, or leave it standard",
            *figures,
        ],
    )


def _figures(rows: int | None, size: int | None, writes: int, joined: float) -> list[str]:
    found = []
    if rows is not None:
        found.append(f"{rows:,} rows, {(size or 0) / 2**20:,.1f} MiB, {writes:,} row writes since the statistics began")
    if joined:
        found.append(f"joined with sharded tables in {joined:,.0f} calls")
    return found
