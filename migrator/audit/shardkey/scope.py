"""What does a column name mean at this place of a statement?"""

from __future__ import annotations

from dataclasses import dataclass, field

from migrator.audit.catalog import Relation
from migrator.audit.shardkey.shape import Shape


class Entry:
    """One item of a FROM clause: a table, view, subquery, CTE, function or VALUES list.

    Attributes:
        columns: known output columns in order, each with its node (None: nothing is known about its value).
        closed: all columns are known, so a name that is not there belongs elsewhere.
    """

    __slots__ = ("alias", "closed", "columns", "number", "relation", "shape")

    def __init__(self, number: int, alias: str, closed: bool) -> None:
        self.number = number
        self.alias = alias
        self.closed = closed
        self.columns: dict[str, int | None] = {}
        self.relation: Relation | None = None
        self.shape: Shape | None = None


class Level:
    """One query level.

    Attributes:
        allowed: numbers of the entries whose rows a predicate of this level's WHERE may restrict; entries of
            outer levels are among them only where this level is a semi-join or an inner lateral join.
        merged: columns that USING or NATURAL merged, with node and entry; None when it is neither side's.
        merges: the planner merges this level with the one outside, as far as it has one; it begins so.
        exists: it is what EXISTS asks for, which merges only if its FROM names nothing from outside.
        sets: it has grouping sets; PostgreSQL 18 then looks through no column of a subquery in its FROM.
        crossed: a name in it, or in a level inside of it, belongs to a level outside.
        full: nothing but a filter by merged columns is put upon the rows of its full joins, in it or from outside.
        shut: it is planned by itself, and no filter from outside reaches in.
        padded: an outer join above may leave its rows out.
        halves: columns that a full join's ON equates, left and right, and the column that COALESCE makes of them.
        passes: positions of the output columns through which a filter from outside reaches in.
    """

    __slots__ = (
        "allowed",
        "crossed",
        "ctes",
        "entries",
        "exists",
        "full",
        "halves",
        "merged",
        "merges",
        "padded",
        "parent",
        "passes",
        "sets",
        "shut",
    )

    def __init__(self, parent: Level | None, outer: frozenset[int] | set[int] = frozenset()) -> None:
        self.parent = parent
        self.entries: list[Entry] = []
        self.allowed: set[int] = set(outer)
        self.merged: dict[str, tuple[int, int] | None] = {}
        self.ctes: dict[str, Cte] = {}
        self.merges = True
        self.exists = False
        self.full = False
        self.shut = parent is None
        self.padded = False
        self.halves: dict[tuple[int, int], tuple[int, int]] = {}
        self.crossed = False
        self.sets = False
        self.passes: frozenset[int] = frozenset()

    def cte(self, name: str) -> Cte | None:
        level: Level | None = self
        while level is not None:
            if name in level.ctes:
                return level.ctes[name]
            level = level.parent
        return None


@dataclass(slots=True)
class Cte:
    """A common table expression: its level and outputs, and whether it becomes a subquery where it is named."""

    name: str
    level: Level
    inlined: bool = False
    outputs: list[tuple[str, int | None]] | None = None
    recursive_base: list[tuple[str, int | None]] | None = None
    referenced: list[dict[str, int | None]] = field(default_factory=list)


@dataclass(slots=True)
class Instance:
    """One occurrence of a sharded table in a statement; `node` is its shard key column."""

    relation: Relation
    alias: str
    node: int | None
    key: str
    entry: int
    level: Level
    proposed: bool = False
    why: str = ""  # why it cannot be bound, where that is known beforehand
    place: int = -1  # byte position of the table's name in the text; -1 when it stands in a view or function


Outputs = list[tuple[str, int | None]]
"""Output columns of a query in order, each with its node (None: nothing is known about its value)."""


def relabel(outputs: Outputs, names: list[str]) -> Outputs:
    """Return *outputs* under new names, as far as there are any."""
    if not names:
        return outputs
    return [(names[i] if i < len(names) else name, node) for i, (name, node) in enumerate(outputs)]
