"""Which columns are known to hold which keys, before the statement runs and while it does?

A directed graph: an edge x → y says "where x holds key k, so does y". An equality in an inner join or in WHERE is an
edge both ways; one in ON of an outer join leads to the nullable side only. A filter on the output of a subquery is
pushed inwards and proves nothing outside; what comes out of one is known only when the statement runs, and then
reaches what is equal to it, but is pushed nowhere. Keys enter at constants and parameters and flow along the edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

KeySet = frozenset[str]
"""Keys a column may hold: one text for one known key, several for several."""

Edges = dict[int, list[int]]
Known = dict[int, set[KeySet]]
"""What is known of each node: every key set that holds."""


def fewest(sets: Iterable[KeySet]) -> KeySet:
    """Return the set with the fewest keys, always the same one of several."""
    return min(sets, key=lambda keys: (len(keys), sorted(keys)))


class Graph:
    """Nodes are numbers; `notes` says why a node is not bound, as far as a predicate tried to."""

    __slots__ = (
        "assumptions",
        "certain",
        "edges",
        "halves",
        "joint",
        "notes",
        "pinned",
        "planned",
        "pushes",
        "size",
        "sources",
        "values",
        "weak",
    )

    def __init__(self) -> None:
        self.size = 0
        self.edges: Edges = {}
        self.pushes: Edges = {}
        self.halves: Edges = {}
        self.sources: Known = {}
        self.pinned: Known = {}
        self.joint: list[tuple[int, tuple[int, ...]]] = []
        self.assumptions: list[tuple[int, int, int]] = []
        self.notes: dict[int, str] = {}
        self.weak: Edges = {}
        self.values: Known = {}
        self.planned: Known = {}
        self.certain: Known = {}

    def node(self) -> int:
        self.size += 1
        return self.size

    def edge(self, x: int, y: int) -> None:
        self.edges.setdefault(x, []).append(y)

    def push(self, outside: int, inside: int) -> None:
        """A filter on *outside* is a filter on *inside*."""
        self.pushes.setdefault(outside, []).append(inside)

    def merge(self, merged: int, half: int) -> None:
        """One key known of *merged*, the column that USING makes of a full join's two, is known of this half of it."""
        self.halves.setdefault(merged, []).append(half)

    def weak_edge(self, x: int, y: int) -> None:
        """Like `edge`, where a planner does not see it before it runs the statement."""
        self.weak.setdefault(x, []).append(y)

    def bind(self, node: int, keys: KeySet) -> None:
        self.sources.setdefault(node, set()).add(keys)

    def pin(self, node: int, keys: KeySet) -> None:
        """Like `bind`, by a condition that a planner applies to this column alone: a list, an OR of several keys."""
        self.pinned.setdefault(node, set()).add(keys)

    def join(self, node: int, arms: tuple[int, ...]) -> None:
        """Node *node* holds a key when all of *arms* hold it (the output of a set operation), at run time."""
        self.joint.append((node, arms))

    def assume(self, base: int, reference: int, result: int) -> None:
        """A recursive reference holds what the first arm holds, if the recursive arm keeps it (induction)."""
        self.assumptions.append((base, reference, result))

    def propagate(self) -> None:
        """Compute the key sets that every node is known to hold: `planned` beforehand, `certain` of those by an
        equality, `values` at run time too."""
        planned = self._flow(self.sources, (self.edges, self.pushes, self.halves))
        self.certain = planned
        if self.pinned:
            planned = {node: set(keys) for node, keys in planned.items()}
            for node, keys in self._flow(self.pinned, (self.pushes,)).items():
                planned.setdefault(node, set()).update(keys)
        self.planned = self.values = planned
        if self.weak or self.pinned or self.joint or self.assumptions:
            self.values = self._settle()

    def _settle(self) -> Known:
        assumed = list(self.assumptions)
        while True:
            induction: Edges = {}
            for base, reference, _ in assumed:
                induction.setdefault(base, []).append(reference)
            values = self._flow(self.planned, (self.edges, self.weak, induction), self.joint)
            kept = [
                (base, reference, result)
                for base, reference, result in assumed
                if any(len(k) == 1 and k in values.get(result, ()) for k in values.get(base, ()))
            ]
            if len(kept) == len(assumed):
                return values
            assumed = kept

    @staticmethod
    def _flow(seeds: Known, ways: tuple[Edges, ...], joint: Sequence[tuple[int, tuple[int, ...]]] = ()) -> Known:
        """Return what is known when *seeds* have flowed along *ways*; *seeds* itself where there are none."""
        if not joint and not any(ways):
            return seeds
        values: Known = {n: set(keys) for n, keys in seeds.items()}
        todo = list(values)
        while True:
            while todo:
                x = todo.pop()
                for edges in ways:
                    for y in edges.get(x, ()):
                        known = values.setdefault(y, set())
                        if not values[x] <= known:
                            known |= values[x]
                            todo.append(y)
            for node, arms in joint:
                found = _joint([values.get(a, set()) for a in arms])
                known = values.setdefault(node, set())
                if not found <= known:
                    known |= found
                    todo.append(node)
            if not todo:
                return values


def _joint(arms: list[set[KeySet]]) -> set[KeySet]:
    if not arms or not all(arms):
        return set()
    common = set.intersection(*arms)
    if common:
        return common
    return {frozenset().union(*(fewest(arm) for arm in arms))}
