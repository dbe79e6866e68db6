"""What does a walk over one statement remember? The state that all who read parts of the statement share.

The grammar is recursive: a statement holds queries, whose conditions hold queries again. Code that reads a part meets a
whole statement in it and hands it to `descend`; so the imports lead one way (query, select, from_clause, predicate,
operand, this), and only the calls go round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from migrator.audit.catalog import Catalog, Function, Relation
from migrator.audit.shardkey.graph import Graph
from migrator.audit.shardkey.scope import Entry, Instance, Level, Outputs
from migrator.audit.shardkey.shape import Shape, Shapes
from migrator.grammar.parse import Body, Node


@dataclass(slots=True)
class FunctionSummary:
    """What calling a function does: the sharded tables of its body, bound to which of its arguments.

    `bound_to` holds argument positions; None when some statement of the body does not bind its key.
    """

    touches: tuple[str, ...]
    bound_to: frozenset[int] | None
    why: str = ""


class Named(NamedTuple):
    """What a name in FROM means: a relation of the catalog, its qualified name, and what it will be."""

    relation: Relation
    qualified: str
    shape: Shape


@dataclass(slots=True)
class Context:
    """What all statements of one audit share. The catalog and the shapes do not change any more."""

    catalog: Catalog
    shapes: Shapes
    volatility: Callable[[str | None, str], str]
    summaries: Mapping[str, FunctionSummary] = field(default_factory=dict)
    views: dict[str, Any] = field(default_factory=dict)  # parsed view definitions, by qualified name
    policies: dict[str, list[Node]] = field(default_factory=dict)
    gains: Mapping[str, str] | None = None  # tables that gain a column on Limitless, with its name
    _named: dict[tuple[str, str | None], Named | None] = field(default_factory=dict)
    _functions: dict[str, list[Function]] | None = None
    _sequenced: dict[str, dict[str, str]] = field(default_factory=dict)

    def named(self, name: str, schema: str | None) -> Named | None:
        """Return what *name* means, as `Catalog.find` does; looked up once."""
        try:
            return self._named[name, schema]
        except KeyError:
            relation = self.catalog.find(name, schema)
            found = None if relation is None else Named(relation, relation.qualified, self.shapes.of(relation))
            self._named[name, schema] = found
            return found

    def sequenced(self, name: str) -> dict[str, str]:
        """Return the columns of a sharded table that a sequence fills, each with its qualified name; looked up once."""
        found = self._sequenced.get(name)
        if found is None:
            relation = self.catalog.relations.get(name)
            sharded = relation is not None and self.shapes.of(relation).sharded
            attributes = relation.columns.values() if relation is not None and sharded else ()
            found = {a.name: f"{name}.{a.name}" for a in attributes if a.sequence or a.identity}
            self._sequenced[name] = found
        return found

    def functions_named(self, name: str, schema: str | None = None) -> list[Function]:
        """Return the user's functions of that name, of *schema* where it is given."""
        if self._functions is None:
            self._functions = {}
            for function in self.catalog.functions:
                self._functions.setdefault(function.name, []).append(function)
        found = self._functions.get(name, [])
        return found if schema is None else [f for f in found if f.schema == schema]


Descend = Callable[["Analysis", str, Body, Level], Outputs]
"""Reads a statement inside another one: its tag, its body, and the level it gets; returns its output columns."""


class Analysis:
    """What is known of one statement so far.

    Attributes:
        depth: views and policies that the part being read stands in; 0 is the statement's own text.
        flat: the statement's own text calls nothing and has no subquery in an expression.
    """

    def __init__(self, context: Context, variables: Mapping[str, str] | None, descend: Descend) -> None:
        self.context = context
        self.variables = variables or {}  # names of PL/pgSQL variables and parameters → key text
        self.descend = descend
        self.graph = Graph()
        self.instances: list[Instance] = []
        self.kinds: dict[str, Shape] = {}  # relation → shape, as touched
        self.unknown: list[str] = []
        self.system: list[str] = []
        self.calls: list[str] = []
        self.unstable: dict[str, list[str]] = {}  # key text → stable functions in it
        self.policed: list[str] = []  # tables with row-level security
        self.late: list[str] = []  # sharded tables whose key a planner does not see beforehand
        self.opaque: list[str] = []  # calls whose effect is not known
        self.constants: set[int] = set()  # nodes of output columns that are constants and no columns
        self.wrapped: set[int] = set()  # those of them that missing rows of an outer join may make NULL
        self.types: dict[int, str] = {}  # node → type, where it is known
        self.coalesced: set[int] = set()  # nodes of columns that USING merged in a full join
        self.empty: set[int] = set()  # entries of which no row passes: a condition on them is never true
        self.arrays = False  # a key is looked up in an array with a value that may be NULL
        self.depth = 0
        self.flat = False
        self._numbers = 0

    def column(self, entry: Entry, name: str) -> int | None:
        """Return the node of a column of *entry*, made on first use for base tables."""
        if name in entry.columns:
            return entry.columns[name]
        if entry.relation is not None or not entry.closed:
            node = self.graph.node()
            entry.columns[name] = node
            if entry.relation is not None and name in entry.relation.columns:
                self.types[node] = entry.relation.columns[name].type
            return node
        return None

    def entry(self, level: Level, alias: str, closed: bool) -> Entry:
        """Add an item to the FROM clause of *level*."""
        self._numbers += 1
        found = Entry(self._numbers, alias, closed)
        level.entries.append(found)
        return found
