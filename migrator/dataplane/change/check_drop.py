"""Checks what a file drops: columns with what goes with them, and indexes.

PostgreSQL drops a column's indexes and constraints with it; here each becomes a change of its own before it, so that
both sides lose the same, in the order that is safe for each. What only CASCADE would drop is refused.
"""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from migrator.catalog import details
from migrator.catalog.read import indexes
from migrator.catalog.values import Index
from migrator.dataplane.change import change_sql
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.check_alter import AlterChecks, Ground
from migrator.dataplane.change.check_whole import WholeChecks
from migrator.dataplane.change.inspect import columns_of, has_column, index_of
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.needed import needed_by_mirror
from migrator.dataplane.change.whole import drops
from migrator.grammar.parse import parse
from migrator.grammar.tree import Tree
from migrator.model.table import Table, qualify

_VIEWS = ("OBJECT_VIEW", "OBJECT_MATVIEW")
_ROUTINES = ("OBJECT_FUNCTION", "OBJECT_PROCEDURE")


class DropChecks:
    """Checks drops, one after the other; what the file makes and drops before is in the ground and in *alter*."""

    def __init__(self, ground: Ground, alter: AlterChecks, whole: WholeChecks) -> None:
        self.ground, self.alter, self.whole = ground, alter, whole

    def column(self, request: RequestedChange) -> list[Change]:
        """Return the drops of what goes with a column, and its own behind them; none where there is a problem."""
        ground = self.ground
        probe = ground.probe(request.table)
        here = columns_of(ground.classic, request.table)
        if request.name not in here and not has_column(ground.classic, probe, request.name):
            if not request.lenient and not ground.done_before(request):
                ground.problem(request, f"there is no such column; there are {', '.join(here)}", missing=True)
            return []
        needed = needed_by_mirror(ground.tables, request.table, request.name)
        if needed:
            ground.problem(request, f"it is {needed}: it cannot be dropped while the table is being migrated")
            return []
        found = self._with_it(request, probe)
        if found is None or not ground.tried(request, change_sql.drop_column(request.name, probe)):
            return []
        return [*found, Change(Kind.DROP_COLUMN, request.table, "", request.name, request.words)]

    def _with_it(self, request: RequestedChange, probe: sql.Identifier) -> list[Change] | None:
        """Return the drops of indexes and constraints that go with a column; None where something else needs it."""
        ground = self.ground
        relation, tried = (details.oid_of(ground.classic, name) for name in (request.table, probe))
        here = [] if relation is None else details.dependents(ground.classic, relation, request.name)
        made = [] if tried is None else details.dependents(ground.classic, tried, request.name)
        schema = ground.tables[request.table].schema
        going = {d.name[1]: d.sort for d in here if d.sort and d.sort != "v"} | {
            d.name[1]: d.sort
            for d in made
            if (d.sort == "i" and (schema, d.name[1]) in ground.made)
            or (d.sort and (request.table, d.name[1]) in self.alter.added)
        }
        needing = [d for d in here if d.name[1] not in going and d.name not in ground.dropped]
        for dependent in needing:
            ground.problem(request, f"{dependent.description} needs it: drop that first")
        changes: list[Change] = []
        for name, sort in sorted(going.items()):
            if (schema, name) in ground.dropped or (request.table, name) in self.alter.dropped:
                continue
            kind = Kind.DROP_INDEX if sort == "i" else Kind.DROP_CONSTRAINT
            own = replace(request, kind=kind, table="" if sort == "i" else request.table, schema=schema, name=name)
            change = self.index(own) if sort == "i" else self.alter.check(own)
            if change is not None:
                words = f"{change.words} (goes with column {request.name})"
                changes.append(replace(change, column=request.name, table=request.table, words=words))
        return None if needing else changes

    def statement(self, request: RequestedChange) -> None:
        """Note views and routines that a whole statement drops: what they needed may go, and they may come again."""
        if not drops(request.statement):
            return
        [parsed] = parse(request.statement)
        node = Tree(parsed.tag, parsed.body)
        for parts in node.objects if node.removeType in _VIEWS else ():
            *schema, name = (part.sval for part in parts)
            self.ground.dropped |= {(s, name) for s in (schema[-1:] or request.path)}
        if node.removeType in _ROUTINES:
            self.whole.routines |= {found.objname[-1].sval for found in node.objects}

    def index(self, request: RequestedChange) -> Change | None:
        """Return the drop of an index, or None: it is gone, or there is a problem."""
        ground = self.ground
        schemas = [request.schema] if request.schema else sorted({t.schema for t in ground.tables.values()})
        found = [(s, i) for s in schemas if (i := index_of(ground.classic, s, request.name)) is not None]
        there = [(s, i) for s in schemas if (i := index_of(ground.limitless, s, request.name)) is not None]
        if len(found) > 1:
            ground.problem(request, "it may be any of " + ", ".join(qualify(s, request.name) for s, _ in found))
            return None
        there += [(s, (t, True)) for (s, name), t in ground.made.items() if name == request.name and s in schemas]
        if not found and not there:
            if not request.lenient and not ground.done_before(request):
                ground.problem(request, "there is no such index", missing=True)
            return None
        schema, (table, _) = (found or there)[0]
        if table not in ground.tables:
            ground.problem(request, f"{table} is not captured: drop it directly")
            return None
        here = details.index_of(ground.classic, sql.Identifier(schema, request.name))
        backed = details.backed_by(ground.classic, here.oid) if here is not None else []
        for definition, name, on in backed:
            ground.problem(request, f"constraint {name} of {on} ({definition}) needs it")
        if here is not None and self._is_the_key(ground.tables[table], here):
            ground.problem(request, f"it is the key that {table} is migrated by")
        if not backed:
            ground.dropped.add((schema, request.name))
            if ground.made.pop((schema, request.name), ""):
                tried = change_sql.temporary(request.name)
                ground.classic.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(tried))
        return Change(Kind.DROP_INDEX, table, schema, request.name, request.words)

    def _is_the_key(self, table: Table, index: Index) -> bool:
        """Whether no other index remains that is a key over the key's columns, as the plan looks for one."""
        relation = details.oid_of(self.ground.classic, table.qualified)
        found = indexes(self.ground.classic, relation=relation)
        return {i.oid for i in found if i.is_key and set(i.columns) == set(table.key)} == {index.oid}
