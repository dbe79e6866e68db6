"""Checks the renaming of an index or a constraint, on both sides and on the temporary tables of the check."""

from __future__ import annotations

from dataclasses import replace

from migrator.catalog import details
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.check_alter import AlterChecks, Ground
from migrator.dataplane.change.inspect import index_of
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.renames import INDEXED, rename_constraint, rename_index
from migrator.model.table import split_qualified


class RenameChecks:
    """Checks renamings, one after the other; what the file makes before is in the ground and in *alter*."""

    def __init__(self, ground: Ground, alter: AlterChecks) -> None:
        self.ground, self.alter = ground, alter

    def check(self, request: RequestedChange) -> Change | None:
        """Return the change, or None where there is a problem, or IF EXISTS finds nothing."""
        return self._index(request) if request.condition == "i" else self._constraint(request)

    def _index(self, request: RequestedChange) -> Change | None:
        ground = self.ground
        schemas = [request.schema] if request.schema else sorted({t.schema for t in ground.tables.values()})
        found = {
            s: i[0]
            for s in schemas
            if (s, request.name) not in ground.dropped and (i := index_of(ground.classic, s, request.name)) is not None
        } | {s: table for (s, name), table in ground.made.items() if name == request.name and s in schemas}
        if len(found) != 1 or next(iter(found.values())) not in ground.tables:
            if not found and request.lenient:
                return None
            none = "no captured table has such an index: rename any other on classic directly"
            ground.problem(request, "name its schema" if len(found) > 1 else none, missing=not found)
            return None
        [(schema, table)] = found.items()
        sort = next((k.sort for n, k in details.constraints(ground.classic, table).items()
                     if n == request.name and k.sort in INDEXED), "i")  # fmt: skip
        return self._renamed(request, self._change(request, table, schema, sort))

    def _constraint(self, request: RequestedChange) -> Change | None:
        ground = self.ground
        there = details.constraints(ground.classic, request.table).get(request.name)
        added = self.alter.added.get((request.table, request.name))
        if (request.table, request.name) in self.alter.dropped and added is None:
            there = None
        if there is None and added is None:
            ground.problem(request, "there is no such constraint", missing=True)
            return None
        sort = there.sort if there is not None else added.condition if added is not None else ""
        if sort == "n":
            ground.problem(request, "Limitless keeps NOT NULL without a name: leave it out")
            return None
        return self._renamed(request, self._change(request, request.table, split_qualified(request.table)[0], sort))

    def _change(self, request: RequestedChange, table: str, schema: str, sort: str) -> Change:
        return Change(
            Kind.RENAME, table, schema, request.name, request.words, condition=sort, renamed=request.renamed,
            source=request.source,
        )  # fmt: skip

    def _renamed(self, request: RequestedChange, change: Change) -> Change | None:
        """Return *change* where its new name is free, and note it for what comes behind."""
        ground, alter = self.ground, self.alter
        relation, _ = details.is_taken(ground.classic, change.schema, change.renamed)
        new, old = (change.schema, change.renamed), (change.schema, change.name)
        taken = new in ground.made or (change.table, change.renamed) in alter.added
        if change.condition in INDEXED:
            taken = taken or (relation and new not in ground.dropped)
        else:
            other = change.renamed in details.constraints(ground.classic, change.table)
            taken = taken or (other and (change.table, change.renamed) not in alter.dropped)
        if taken:
            ground.problem(request, f"{change.renamed} is taken already")
            return None
        probe = ground.probe(change.table)
        if old in ground.made:
            ground.made[new] = ground.made.pop(old)
            ground.classic.execute(rename_index(change, "pg_temp"))
        elif change.condition != "i":
            if change.name in details.constraints(ground.classic, probe):  # others have names of their own there
                ground.classic.execute(rename_constraint(change, probe))
            added = alter.added.pop((change.table, change.name), None) or change
            alter.added[change.table, change.renamed] = replace(added, name=change.renamed)
            alter.dropped.add((change.table, change.name))
        if change.condition in INDEXED:
            ground.dropped.add(old)
            if change.condition == "i":
                ground.made.setdefault(new, change.table)
        return change
