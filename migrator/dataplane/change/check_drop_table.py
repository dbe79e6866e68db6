"""Checks which tables a file drops: nothing that stays may need them, on either side.

Classic's catalog is asked, as DROP would follow it, so that no table is locked. Limitless drops it on trial, with
whatever else the file makes and drops there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import groupby

from psycopg import sql

from migrator.catalog import details
from migrator.catalog.read import foreign_keys, indexes
from migrator.control import provisioned
from migrator.dataplane.change.change import Change, Made
from migrator.dataplane.change.change_sql import table_name
from migrator.dataplane.change.check_alter import AlterChecks, Ground
from migrator.dataplane.change.check_whole import WholeChecks
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.progress import Connection
from migrator.model.table import qualify


def children_first(conn: Connection, requests: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Return *requests*, those of one DROP TABLE with what refers to others before these. In a circle they stay."""
    found: list[RequestedChange] = []
    for (dropping, _), group in groupby(requests, lambda r: (r.kind is Kind.DROP_TABLE, r.place)):
        same = list(group)
        found += _sorted(conn, same) if dropping and len(same) > 1 else same
    return found


def _sorted(conn: Connection, requests: list[RequestedChange]) -> list[RequestedChange]:
    by_name = {r.table: r for r in requests}
    parents: dict[str, set[str]] = {}
    for name in by_name:
        relation = details.oid_of(conn, name)
        keys = [] if relation is None else foreign_keys(conn, relation=relation)
        parents[name] = {qualify(*k.parent) for k in keys} & by_name.keys() - {name}
    try:
        return [by_name[name] for name in reversed(list(TopologicalSorter(parents).static_order()))]
    except CycleError:
        return requests


class DropTableChecks:
    """Checks drops of tables, one after the other; knows those that the file drops before."""

    def __init__(self, ground: Ground, alter: AlterChecks, whole: WholeChecks) -> None:
        self.ground, self.alter, self.whole = ground, alter, whole
        self.going: list[int] = []

    def check(self, request: RequestedChange) -> Change | None:
        """Return the change, or None: it is gone, or there is a problem."""
        ground = self.ground
        relation = details.oid_of(ground.classic, request.table)
        if relation is None:
            if not request.lenient and not ground.done_before(request):
                ground.problem(request, "there is no such table", missing=True)
            return None
        if request.table not in ground.tables:
            return self._not_captured(request, relation)
        problems = [*self._needed(request.table), *self._needing(relation)]
        for text in problems:
            ground.problem(request, text)
        if problems:
            return None
        made = self._there(request, relation)
        self.going.append(relation)
        del ground.tables[request.table]
        return Change(
            request.kind, request.table, request.schema, request.name, request.words, there=tuple(made),
            source=request.source,
        )  # fmt: skip

    def _not_captured(self, request: RequestedChange, relation: int) -> Change | None:
        """A partition is dropped on classic, where the guard journals its rows; other tables are not ours to drop."""
        ground = self.ground
        root = details.partition_root(ground.classic, relation)
        if root is not None and qualify(*root) in ground.tables:
            text = sql.SQL("DROP TABLE {}").format(table_name(request.table)).as_string(None)
            own = replace(
                request, kind=Kind.CLASSIC_ONLY, table="", schema="", name="", statement=text,
                note=f"a partition of {qualify(*root)}; the journal carries to Limitless that its rows are gone",
            )  # fmt: skip
            return self.whole.check(own, first=False)
        ground.problem(
            request,
            "it is not captured, so Limitless does not have it: drop it directly, or put '-- migrator: side = classic'"
            " before the statement",
        )
        return None

    def _needed(self, table: str) -> Iterator[str]:
        """Yield why the migration needs a table."""
        others = [t for t in self.ground.tables.values() if t.qualified != table]
        for other in others:
            if any(hop.parent == table for hop in other.path):
                yield f"{other.qualified} gets its tenant through it: drop that first"
        if not any(t.sharded for t in others):
            yield "no table with tenants would be left: undo the dual write first (migrator undo dual-write)"

    def _needing(self, relation: int) -> Iterator[str]:
        """Yield what on classic would break, but for what the file drops before."""
        for needing in details.needing(self.ground.classic, [*self.going, relation]):
            gone = self.alter.dropped if needing.constraint else self.ground.dropped
            if needing.name not in gone and not (not needing.name[0] and needing.name[1] in self.whole.routines):
                yield f"{needing.description} needs it: drop that first, in this file"

    def _there(self, request: RequestedChange, relation: int) -> list[Made]:
        """Return what goes on Limitless: the table, then its sequences, then records of what goes with them."""
        ground = self.ground
        records = [("table", request.schema, request.name, "")]
        records += [("sequence", *name, "") for name in details.owned_sequences(ground.classic, relation)]
        there = details.oid_of(ground.limitless, request.table)
        sides = [(ground.classic, relation), *([(ground.limitless, there)] if there is not None else [])]
        inner = {i.name for conn, oid in sides for i in indexes(conn, relation=oid)}
        records += [
            (m.kind, m.schema, m.name, m.detail)
            for m in provisioned.made(ground.limitless)
            if m.schema == request.schema
            and ((m.kind == "index" and m.name in inner) or (m.kind == "constraint" and m.detail == request.name))
        ]
        return [Made(request.words, record, (), {}) for record in records]
