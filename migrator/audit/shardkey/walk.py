"""What does a walk over one statement remember? The state that all who read parts of the statement share.

The grammar is recursive: a statement holds queries, whose conditions hold queries again. Code that reads a part meets a
whole statement in it and hands it to `descend`; so the imports lead one way (query, select, from_clause, predicate,
operand, this), and only the calls go round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrator.audit.catalog import Catalog
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


@dataclass(slots=True)
class Context:
    """What all statements of one audit share."""

    catalog: Catalog
    shapes: Shapes
    volatility: Callable[[str | None, str], str]
    summaries: Mapping[str, FunctionSummary] = field(default_factory=dict)
    views: dict[str, Any] = field(default_factory=dict)  # parsed view definitions, by qualified name
    policies: dict[str, list[Node]] = field(default_factory=dict)


Descend = Callable[["Analysis", str, Body, Level], Outputs]
"""Reads a statement inside another one: its tag, its body, and the level it gets; returns its output columns."""


class Analysis:
    """What is known of one statement so far.

    Attributes:
        depth: views and policies that the part being read stands in; 0 is the statement's own text.
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
        self.depth = 0
        self._numbers = 0

    def column(self, entry: Entry, name: str) -> int | None:
        """Return the node of a column of *entry*, made on first use for base tables."""
        if name in entry.columns:
            return entry.columns[name]
        if entry.relation is not None or not entry.closed:
            node = self.graph.node()
            entry.columns[name] = node
            return node
        return None

    def entry(self, level: Level, alias: str, closed: bool) -> Entry:
        """Add an item to the FROM clause of *level*."""
        self._numbers += 1
        found = Entry(self._numbers, alias, closed)
        level.entries.append(found)
        return found
