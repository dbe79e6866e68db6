"""Which columns are known to hold which keys?

A directed graph: an edge x → y says "where x holds key k, so does y". An equality in an inner join or in WHERE is an
edge both ways; one in ON of an outer join leads to the nullable side only; the output of a subquery that cannot
be filtered from outside leads outwards only. Keys enter at constants and parameters and flow along the edges.
"""

from __future__ import annotations

from collections.abc import Iterable

KeySet = frozenset[str]
"""Keys a column may hold: one text for one known key, several for several."""


def fewest(sets: Iterable[KeySet]) -> KeySet:
    """Return the set with the fewest keys, always the same one of several."""
    return min(sets, key=lambda keys: (len(keys), sorted(keys)))


class Graph:
    """Nodes are numbers; `notes` says why a node is not bound, as far as a predicate tried to."""

    __slots__ = ("assumptions", "edges", "joint", "notes", "planned", "size", "sources", "values", "weak")

    def __init__(self) -> None:
        self.size = 0
        self.edges: dict[int, list[int]] = {}
        self.sources: dict[int, list[KeySet]] = {}
        self.joint: list[tuple[int, tuple[int, ...]]] = []
        self.assumptions: list[tuple[int, int, int]] = []
        self.notes: dict[int, str] = {}
        self.weak: list[tuple[int, int]] = []
        self.values: dict[int, set[KeySet]] = {}
        self.planned: dict[int, set[KeySet]] = {}

    def node(self) -> int:
        self.size += 1
        return self.size

    def edge(self, x: int, y: int) -> None:
        self.edges.setdefault(x, []).append(y)

    def weak_edge(self, x: int, y: int) -> None:
        """Like `edge`, where the data obeys but a planner does not see it before it runs the statement."""
        self.weak.append((x, y))

    def bind(self, node: int, keys: KeySet) -> None:
        self.sources.setdefault(node, []).append(keys)

    def join(self, node: int, arms: tuple[int, ...]) -> None:
        """Node *node* holds a key when all of *arms* hold it (the output of a set operation)."""
        self.joint.append((node, arms))

    def assume(self, base: int, reference: int, result: int) -> None:
        """A recursive reference holds what the first arm holds, if the recursive arm keeps it (induction)."""
        self.assumptions.append((base, reference, result))

    def propagate(self) -> None:
        """Compute `values`: for every node the key sets it is known to hold; `planned`: without weak edges."""
        self.values = self._settle(self.weak)
        self.planned = self._settle([]) if self.weak else self.values

    def _settle(self, weak: list[tuple[int, int]]) -> dict[int, set[KeySet]]:
        assumed = list(self.assumptions)
        while True:
            values = self._flow([*weak, *((base, reference) for base, reference, _ in assumed)])
            kept = [
                (base, reference, result)
                for base, reference, result in assumed
                if any(len(k) == 1 and k in values.get(result, ()) for k in values.get(base, ()))
            ]
            if len(kept) == len(assumed):
                return values
            assumed = kept

    def _flow(self, extra: list[tuple[int, int]]) -> dict[int, set[KeySet]]:
        edges = self.edges
        if extra:
            edges = {x: list(ys) for x, ys in edges.items()}
            for x, y in extra:
                edges.setdefault(x, []).append(y)
        values: dict[int, set[KeySet]] = {n: set(keys) for n, keys in self.sources.items()}
        todo = list(values)
        while True:
            while todo:
                x = todo.pop()
                for y in edges.get(x, ()):
                    known = values.setdefault(y, set())
                    if not values[x] <= known:
                        known |= values[x]
                        todo.append(y)
            for node, arms in self.joint:
                found = self._joint([values.get(a, set()) for a in arms])
                known = values.setdefault(node, set())
                if not found <= known:
                    known |= found
                    todo.append(node)
            if not todo:
                return values

    @staticmethod
    def _joint(arms: list[set[KeySet]]) -> set[KeySet]:
        if not arms or not all(arms):
            return set()
        common = set.intersection(*arms)
        if common:
            return common
        return {frozenset().union(*(fewest(arm) for arm in arms))}
