"""Random statements over four sharded tables: everything that keeps a filter out, or lets it through, inside anything.

Every column is an integer, so that whatever is put together has a good chance to be valid. A key is named more often
than not, as applications do; whether that is enough is the question.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

SHARDED = ("a", "b", "c", "d")
COLUMNS = ("t", "id", "x", "y")
KEY = "t"

SCHEMA = (
    "".join(f"CREATE TABLE {n} (t int NOT NULL, id int NOT NULL, x int, y int, PRIMARY KEY (t, id));" for n in SHARDED)
    + "CREATE TABLE r (id int PRIMARY KEY, x int);"
    "CREATE VIEW va AS SELECT t, id, x FROM a;"
    "CREATE VIEW vg AS SELECT t, count(*)::int AS id, max(x) AS x FROM b GROUP BY t;"
    "CREATE VIEW vu AS SELECT t, id, x FROM a UNION ALL SELECT t, id, y FROM c;"
    "CREATE VIEW vj AS SELECT a.t, b.id, b.x FROM a JOIN b ON b.t = a.t AND b.id = a.x;"
    "CREATE VIEW vd AS SELECT DISTINCT ON (id) t, id, x FROM d ORDER BY id, x;"
)
VIEWS = {"va": ("t", "id", "x"), "vg": ("t", "id", "x"), "vu": ("t", "id", "x"), "vj": ("t", "id", "x"),
         "vd": ("t", "id", "x")}  # fmt: skip


def partitioned(parts: int) -> str:
    """Return the schema with every sharded table split by hash of its key."""
    text = SCHEMA
    for name in SHARDED:
        leaves = "".join(
            f"CREATE TABLE {name}_p{n} PARTITION OF {name} FOR VALUES WITH (MODULUS {parts}, REMAINDER {n});"
            for n in range(parts)
        )
        text = text.replace("CREATE TABLE r (", f"{leaves}CREATE TABLE r (")
        head, tail = f"CREATE TABLE {name} (", "PRIMARY KEY (t, id));"
        begin = text.index(head)
        end = text.index(tail, begin) + len(tail) - 1
        text = f"{text[:end]} PARTITION BY HASH (t){text[end:]}"
    return text


@dataclass
class Scope:
    """What names mean at a place: aliases with their columns, and CTEs."""

    entries: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    ctes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    outer: Scope | None = None

    def inside(self) -> Scope:
        return Scope(ctes=dict(self.ctes), outer=self)


class Writer:
    """Writes statements from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = 0
        self.locks = False

    def statement(self) -> str:
        made: str = self.pick((10, self._select_statement), (1, self._update), (1, self._delete), (1, self._insert))()
        return made

    # -- chance ----------------------------------------------------------------------------------

    def pick(self, *weighted: tuple[int, T]) -> T:
        [(_, chosen)] = self.random.choices(weighted, [weight for weight, _ in weighted])
        return chosen

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def name(self, letter: str = "s") -> str:
        self.names += 1
        return f"{letter}{self.names}"

    # -- statements --------------------------------------------------------------------------------

    def _select_statement(self) -> str:
        text, columns = self.query(3, Scope())
        if self.chance(0.4):
            alias = self.name()
            scope = Scope([(alias, columns)])
            return f"SELECT * FROM ({text}) AS {alias} WHERE {self._where(1, scope)}"
        return text

    def _update(self) -> str:
        table = self.random.choice(SHARDED)
        scope = Scope([("u", COLUMNS)])
        ctes = self._ctes(1, scope) if self.chance(0.3) else ""
        source = ""
        if self.chance(0.5):
            item, scope.entries[1:] = self._item(1, scope)
            source = f" FROM {item}"
        value = self._value(1, scope)
        return f"{ctes}UPDATE {table} AS u SET y = {value}{source} WHERE {self._where(2, scope)}"

    def _delete(self) -> str:
        scope = Scope([("u", COLUMNS)])
        ctes = self._ctes(1, scope) if self.chance(0.3) else ""
        source = ""
        if self.chance(0.4):
            item, scope.entries[1:] = self._item(1, scope)
            source = f" USING {item}"
        return f"{ctes}DELETE FROM {self.random.choice(SHARDED)} AS u{source} WHERE {self._where(2, scope)}"

    def _insert(self) -> str:
        table = self.random.choice(SHARDED)
        if self.chance(0.3):
            scope = Scope()
            rows = ", ".join(
                f"({self._key(1, scope)}, {self._value(1, scope)})" for _ in range(self.pick((3, 1), (1, 2)))
            )
            return f"INSERT INTO {table} (t, id) VALUES {rows}"
        text, _ = self.query(2, Scope(), wanted=("t", "id"))
        return f"INSERT INTO {table} (t, id) {text}"

    # -- queries -----------------------------------------------------------------------------------

    def query(self, depth: int, scope: Scope, wanted: tuple[str, ...] | None = None) -> tuple[str, tuple[str, ...]]:
        """Return a SELECT and the names of its columns; *scope* is what it sees outside."""
        inner = scope.inside()
        ctes = self._ctes(depth - 1, inner) if depth > 0 and self.chance(0.2) else ""
        columns = wanted or self.pick(
            (4, ("t", "id")), (2, ("t", "x")), (1, ("t",)), (2, ("t", "id", "x")), (1, ("x", "t"))
        )
        if depth > 0 and self.chance(0.18):
            left, right = (self._arm(depth - 1, inner, columns) for _ in range(2))
            word = self.pick((3, "UNION ALL"), (2, "UNION"), (2, "INTERSECT"), (2, "EXCEPT"), (1, "EXCEPT ALL"))
            text = f"{left} {word} {right}"
            if self.chance(0.15):
                text += f" ORDER BY 1 LIMIT {self.random.randint(1, 9)}"
        else:
            text = self._plain(depth, inner, columns)
        return ctes + text, columns

    def _arm(self, depth: int, scope: Scope, columns: tuple[str, ...]) -> str:
        text = self._plain(depth, scope.inside(), columns) if self.chance(0.8) else self.query(depth, scope, columns)[0]
        return f"({text})"

    def _plain(self, depth: int, scope: Scope, columns: tuple[str, ...]) -> str:
        items = [self._from(depth, scope) for _ in range(self.pick((8, 1), (3, 2)))]
        where = f" WHERE {self._where(depth, scope)}" if self.chance(0.8) else ""
        grouped = depth > 0 and self.chance(0.2)
        if grouped:
            return self._grouped(depth, scope, columns, items, where)
        targets, tail, distinct = [], "", ""
        for column in columns:
            targets.append(f"{self._target(depth, scope, column)} AS {column}")
        if self.chance(0.12):
            distinct = self.pick((2, "DISTINCT "), (2, f"DISTINCT ON ({self._column(scope, KEY)}) "),
                                 (1, f"DISTINCT ON ({self._column(scope, 'id')}) "))  # fmt: skip
        if self.chance(0.1):
            tail += f" ORDER BY {self.random.randint(1, len(columns))}"
        if self.chance(0.12):
            tail += f" LIMIT {self.random.randint(1, 9)}"
        elif self.chance(0.05):
            tail += " OFFSET 0"
        if not distinct and self.chance(0.08):
            tail += self.pick((3, " FOR UPDATE"), (1, " FOR SHARE"), (1, " FOR NO KEY UPDATE SKIP LOCKED"))
        return f"SELECT {distinct}{', '.join(targets)} FROM {', '.join(items)}{where}{tail}"

    def _grouped(self, depth: int, scope: Scope, columns: tuple[str, ...], items: list[str], where: str) -> str:
        key, other = self._column(scope, KEY), self._column(scope, "id")
        groups = self.pick((5, [key]), (2, [key, other]), (2, [other]), (1, []))
        targets = [
            f"{key if c == KEY and key in groups else other if c == 'id' and other in groups else made} AS {c}"
            for c, made in ((c, self._aggregate(scope, c)) for c in columns)
        ]
        text = f"SELECT {', '.join(targets)} FROM {', '.join(items)}{where}"
        if groups:
            form = self.pick((6, "{}"), (1, "ROLLUP ({})"), (1, "GROUPING SETS (({}), ())"))
            text += f" GROUP BY {form.format(', '.join(groups))}"
        if groups and self.chance(0.3):
            conditions = [f"count(*) > {self.random.randint(0, 3)}"]
            if key in groups:
                conditions.append(f"{key} = {self._parameter()}")
            text += f" HAVING {self.random.choice(conditions)}"
        return text

    def _aggregate(self, scope: Scope, column: str) -> str:
        inside = self._column(scope, column)
        return self.pick((3, f"max({inside})"), (1, f"min({inside})"), (1, "count(*)::int"))

    def _target(self, depth: int, scope: Scope, column: str) -> str:
        if column == KEY and self.chance(0.85):
            return self._column(scope, KEY)
        make: Callable[[], str] = self.pick(
            (12, lambda: self._column(scope, column)),
            (2, self._parameter),
            (1, lambda: f"{self._column(scope, column)} + 1"),
            (1, lambda: "unnest(ARRAY[1, $1::int])"),
            (1, lambda: f"generate_series(1, {self._column(scope, 'x')})"),
            (1, lambda: "(random() * 9)::int"),
            (1, lambda: f"(row_number() OVER (PARTITION BY {self._column(scope, KEY)} ORDER BY 1))::int"),
            (1, lambda: f"max({self._column(scope, 'x')}) OVER (PARTITION BY {self._column(scope, 'id')})"),
            (1, lambda: f"lag({self._column(scope, column)}) OVER (ORDER BY {self._column(scope, 'id')})"),
            (1, lambda: f"coalesce({self._column(scope, column)}, 0)"),
            (1, lambda: self._scalar(depth - 1, scope)),
        )
        return make()

    # -- FROM ----------------------------------------------------------------------------------------

    def _from(self, depth: int, scope: Scope) -> str:
        text, entries = self._item(depth, scope)
        scope.entries += entries
        for _ in range(self.pick((5, 0), (4, 1), (1, 2)) if depth > 0 else self.pick((3, 0), (1, 1))):
            other, more = self._item(depth - 1, scope)
            kind = self.pick((6, "JOIN"), (3, "LEFT JOIN"), (1, "RIGHT JOIN"), (1, "FULL JOIN"), (1, "CROSS JOIN"))
            if "LATERAL" in other and kind in ("RIGHT JOIN", "FULL JOIN"):
                kind = "JOIN"
            both = Scope([*entries, *more], scope.ctes, scope.outer)
            on = ""
            if kind == "FULL JOIN":
                on = f" ON {self._keyed(entries)} = {self._keyed(more)}"
            elif kind != "CROSS JOIN":
                on = (
                    f" ON {self._keyed(entries)} = {self._keyed(more)}"
                    if self.chance(0.7)
                    else f" ON {self._where(0, both)}"
                )
                if self.chance(0.3):
                    on += f" AND {self._condition(0, both)}"
            text = f"{text} {kind} {other}{on}"
            entries = [*entries, *more]
            scope.entries += more
        return text

    def _keyed(self, entries: list[tuple[str, tuple[str, ...]]]) -> str:
        having = [(alias, columns) for alias, columns in entries if KEY in columns] or entries
        alias, columns = self.random.choice(having)
        return f"{alias}.{KEY if KEY in columns else columns[0]}"

    def _item(self, depth: int, scope: Scope) -> tuple[str, list[tuple[str, tuple[str, ...]]]]:
        alias = self.name("f")
        makers: list[tuple[int, Callable[[], tuple[str, tuple[str, ...]]]]] = [
            (10, lambda: (self.random.choice(SHARDED), COLUMNS)),
            (1, lambda: ("r", ("id", "x"))),
            (2, lambda: self.random.choice(list(VIEWS.items()))),
            (1, lambda: (f"(VALUES ({self._parameter()}, 1))", ("t", "id"))),
        ]
        if scope.ctes:
            makers.append((6, lambda: self.random.choice(list(scope.ctes.items()))))
        if depth > 0:
            makers.append((6, lambda: self._subselect(depth - 1, scope, "")))
            makers.append((1, lambda: ("(VALUES ($1::int, 1), ($1::int, 2))", ("t", "id"))))
            if scope.entries:
                makers.append((3, lambda: self._subselect(depth - 1, scope, "LATERAL ")))
                makers.append((1, lambda: (f"LATERAL generate_series(1, {self._column(scope, 'x')})", ("t",))))
            makers.append((1, lambda: ("unnest(ARRAY[$1::int])", ("t",))))
        source, columns = self.pick(*makers)()
        listed = f" ({', '.join(columns)})" if "VALUES" in source or "(1, " in source or "unnest" in source else ""
        return f"{source} AS {alias}{listed}", [(alias, columns)]

    def _subselect(self, depth: int, scope: Scope, word: str) -> tuple[str, tuple[str, ...]]:
        outside = scope if word else Scope(ctes=scope.ctes, outer=scope.outer)
        text, columns = self.query(depth, outside)
        return f"{word}({text})", columns

    def _ctes(self, depth: int, scope: Scope) -> str:
        """Write WITH, and make its names known in *scope*."""
        parts, recursive = [], False
        for _ in range(self.pick((4, 1), (1, 2))):
            name = self.name("w")
            word = self.pick((6, ""), (2, "MATERIALIZED "), (2, "NOT MATERIALIZED "))
            outside = Scope(ctes=dict(scope.ctes), outer=scope.outer)
            if self.chance(0.2):
                recursive = True
                text, columns = self._recursive(name, outside)
                word = ""
            elif self.chance(0.15) and scope.outer is not None and scope.outer.outer is None:
                text, columns = self._changing(outside), ("t", "id")
                word = ""
            else:
                text, columns = self.query(depth, outside)
            parts.append(f"{name} ({', '.join(columns)}) AS {word}({text})")
            scope.ctes[name] = columns
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} "

    def _recursive(self, name: str, scope: Scope) -> tuple[str, tuple[str, ...]]:
        table, other = self.random.choice(SHARDED), self.random.choice(SHARDED)
        first = f"SELECT t, id FROM {table} WHERE {self._where(0, Scope([(table, COLUMNS)]))}"
        key = self.pick((6, "n.t"), (2, "p.t"), (1, "n.x"))
        on = self.pick(
            (5, "n.t = p.t AND n.x = p.id"), (2, "n.x = p.id"), (1, "n.t = p.t + 1"), (1, "n.t = $1 AND n.x = p.id")
        )
        word = self.pick((1, "UNION"), (1, "UNION ALL"))
        return f"{first} {word} SELECT {key}, n.id FROM {name} p JOIN {other} n ON {on}", ("t", "id")

    def _changing(self, scope: Scope) -> str:
        table = self.random.choice(SHARDED)
        where = self._where(0, Scope([(table, COLUMNS)]))
        return self.pick(
            (1, f"UPDATE {table} SET y = 1 WHERE {where} RETURNING t, id"),
            (1, f"DELETE FROM {table} WHERE {where} RETURNING t, id"),
            (1, f"INSERT INTO {table} (t, id) VALUES ({self._parameter()}, 1) RETURNING t, id"),
        )

    # -- conditions ------------------------------------------------------------------------------------

    def _where(self, depth: int, scope: Scope) -> str:
        parts = [self._condition(depth, scope) for _ in range(self.pick((3, 1), (2, 2), (1, 3)))]
        if self.chance(0.6):
            parts.insert(0, f"{self._column(scope, KEY)} = {self._key(depth, scope)}")
        return " AND ".join(parts)

    def _condition(self, depth: int, scope: Scope) -> str:
        key, other = self._column(scope, KEY), self._column(scope, "id")
        makers: list[tuple[int, Callable[[], str]]] = [
            (8, lambda: f"{key} = {self._key(depth, scope)}"),
            (3, lambda: f"{other} = {self._value(depth, scope)}"),
            (2, lambda: f"{key} = {self._column(scope, KEY)}"),
            (1, lambda: f"{key} IN ({self._parameter()})"),
            (1, lambda: f"{key} = ANY (ARRAY[{self._parameter()}])"),
            (1, lambda: f"{other} IS NOT NULL"),
            (1, lambda: f"NOT ({key} <> {self._parameter()})"),
            (1, lambda: f"({key}, {other}) = ({self._parameter()}, {self._column(scope, 'x')})"),
            (1, lambda: f"({key} = {self._parameter()}) IS TRUE"),
        ]
        if depth > 0:
            makers += [
                (2, lambda: f"({self._condition(depth - 1, scope)} OR {self._condition(depth - 1, scope)})"),
                (3, lambda: f"EXISTS ({self._correlated(depth - 1, scope)})"),
                (1, lambda: f"NOT EXISTS ({self._correlated(depth - 1, scope)})"),
                (3, lambda: f"{key} IN ({self._correlated(depth - 1, scope, ('t',))})"),
                (1, lambda: f"{other} IN ({self._correlated(depth - 1, scope, ('x',))})"),
                (1, lambda: f"({key}, {other}) IN ({self._correlated(depth - 1, scope, ('t', 'id'))})"),
                (1, lambda: f"{other} NOT IN ({self._correlated(depth - 1, scope, ('x',))})"),
                (1, lambda: f"{key} = ANY (ARRAY({self._correlated(depth - 1, scope, ('t',))}))"),
                (1, lambda: f"NOT {self._condition(depth - 1, scope)}"),
            ]
        return self.pick(*makers)()

    def _correlated(self, depth: int, scope: Scope, wanted: tuple[str, ...] | None = None) -> str:
        text, _ = self.query(depth, scope, wanted)
        return text

    def _scalar(self, depth: int, scope: Scope) -> str:
        text, _ = self.query(max(depth, 0), scope, ("t",))
        return f"(SELECT t FROM ({text}) AS {self.name('q')} LIMIT 1)" if self.chance(0.5) else f"({text} LIMIT 1)"

    def _key(self, depth: int, scope: Scope) -> str:
        if scope.outer is not None and scope.outer.entries and self.chance(0.4):
            return self._column(scope.outer, KEY)
        if depth > 0 and self.chance(0.06):
            return self._scalar(depth - 1, scope)
        return self._parameter()

    def _value(self, depth: int, scope: Scope) -> str:
        return self.pick((3, "$2::int"), (2, self._column(scope, "x")), (1, "7"))

    def _parameter(self) -> str:
        return self.pick((12, "$1::int"), (1, "$1"))

    def _column(self, scope: Scope, name: str) -> str:
        """Return a column of this name, of another one where there is none."""
        here: Scope | None = scope
        while here is not None and not here.entries:
            here = here.outer
        if here is None:
            return "$1::int" if name == KEY else "$2::int"
        having = [(alias, columns) for alias, columns in here.entries if name in columns]
        alias, columns = self.random.choice(having or here.entries)
        return f"{alias}.{name if name in columns else self.random.choice(columns)}"
