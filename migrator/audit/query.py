"""Which relations does a statement touch, and which of their shard keys does it bind?

`Analysis` walks one statement and fills a graph of equalities (graph.py). Names are resolved against the catalog,
views are expanded, policies of row-level security are applied, calls of user functions are followed through their
summaries. What is not understood binds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrator.audit import predicate
from migrator.audit.catalog import SYSTEM_SCHEMAS, Catalog, Relation, RelationKind
from migrator.audit.grammar import Body, Node, Unparsable, expression, function_name, names, parse, walk
from migrator.audit.graph import Graph
from migrator.audit.scope import Cte, Entry, Instance, Level
from migrator.audit.shape import Shape, Shapes

Outputs = list[tuple[str, int | None]]
DEEPEST = 24
"""Levels of views inside views that are followed; more means a cycle."""


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


class Analysis:
    """The walk over one statement. Afterwards: `instances`, `kinds`, `unknown`, `calls`, `graph`."""

    def __init__(self, context: Context, variables: Mapping[str, str] | None = None) -> None:
        self.context = context
        self.variables = variables or {}  # names of PL/pgSQL variables and parameters → key text
        self.graph = Graph()
        self.instances: list[Instance] = []
        self.kinds: dict[str, Shape] = {}  # relation → shape, as touched
        self.unknown: list[str] = []
        self.system: list[str] = []
        self.calls: list[str] = []
        self.unstable: set[str] = set()  # stable functions whose value is a key
        self.policed: list[str] = []  # tables with row-level security
        self.opaque: list[str] = []  # calls whose effect is not known
        self._numbers = 0
        self._depth = 0

    # ---------------------------------------------------------------- statements

    def statement(self, tag: str, body: Body, level: Level | None = None) -> Outputs:
        """Analyse one statement (or the body of a CTE); return its output columns."""
        outer = level or Level(None)
        if tag == "SelectStmt":
            return self.select(body, outer)
        if tag == "InsertStmt":
            return self.insert(body, outer)
        if tag in ("UpdateStmt", "DeleteStmt"):
            return self.change(tag, body, outer)
        if tag in ("ExplainStmt", "DeclareCursorStmt", "PrepareStmt", "CreateTableAsStmt", "CopyStmt", "ViewStmt"):
            inner = body.get("query")
            if isinstance(inner, dict) and inner:
                [(inner_tag, inner_body)] = inner.items()
                return self.statement(inner_tag, inner_body, outer)
        if tag == "CopyStmt" and "relation" in body:
            self.whole_table(body["relation"], "COPY of the whole table names no tenant")
        elif tag in ("TruncateStmt", "LockStmt", "VacuumStmt"):
            for item in body.get("relations") or body.get("rels") or ():
                target = item.get("RangeVar") or item.get("VacuumRelation", {}).get("relation")
                if target:
                    self.whole_table(target, "the command works on the whole table")
        elif tag == "CallStmt" and "funccall" in body:
            self.visit({"FuncCall": body["funccall"]}, outer)
        return []

    def whole_table(self, target: Body, why: str) -> None:
        entry = self.relation_entry(target, Level(None))
        for instance in self.instances:
            if instance.entry == entry.number:
                instance.why = why

    def with_clause(self, body: Body, level: Level) -> None:
        clause = body.get("withClause")
        if not clause:
            return
        recursive = bool(clause.get("recursive"))
        counted: dict[str, int] = {}
        for tag, found in walk(body):
            if tag == "RangeVar" and "schemaname" not in found:
                counted[found["relname"]] = counted.get(found["relname"], 0) + 1
        for item in clause["ctes"]:
            cte = item["CommonTableExpr"]
            [(tag, query)] = cte["ctequery"].items()
            name = cte["ctename"]
            known = Cte(
                name,
                cte["ctequery"],
                counted.get(name, 0),
                cte.get("ctematerialized") == "CTEMaterializeAlways" or tag != "SelectStmt",
            )
            renamed = names(cte.get("aliascolnames"))
            if recursive and tag == "SelectStmt" and query.get("op", "SETOP_NONE") != "SETOP_NONE":
                outputs = self.recursive(query, known, level, renamed)
            else:
                outputs = self.statement(tag, query, Level(level))
            known.outputs = _rename(outputs, renamed)
            level.ctes[name] = known

    def recursive(self, query: Body, cte: Cte, level: Level, renamed: list[str]) -> Outputs:
        """A recursive CTE: what the first arm binds holds for all rows if the recursive arm passes it on."""
        inner = Level(level)
        self.with_clause(query, inner)
        base = self.select(query["larg"], Level(inner))
        cte.recursive_base = _rename(base, renamed)
        inner.ctes[cte.name] = cte
        result = self.select(query["rarg"], Level(inner))
        outputs: Outputs = []
        for position, (name, node) in enumerate(base):
            again = result[position][1] if position < len(result) else None
            if node is None or again is None:
                outputs.append((name, None))
                continue
            for columns in cte.referenced:
                reference = list(columns.values())[position] if position < len(columns) else None
                if reference is not None:
                    self.graph.assume(node, reference, again)
            out = self.graph.node()
            self.graph.join(out, (node, again))
            outputs.append((name, out))
        return outputs

    # ---------------------------------------------------------------- SELECT

    def select(self, body: Body, level: Level) -> Outputs:
        """Analyse a SELECT inside *level* (a fresh level of its own); return its output columns."""
        self.with_clause(body, level)
        if body.get("op", "SETOP_NONE") != "SETOP_NONE":
            return self.set_operation(body, level)
        if "valuesLists" in body:
            return self.values(body["valuesLists"], level)
        where = body.get("whereClause")
        strict = predicate.strict_names(where)
        pending: list[tuple[Node, frozenset[int]]] = []
        for item in body.get("fromClause", ()):
            self.from_item(item, level, pending, strict, inner=True)
        level.allowed.update(e.number for e in level.entries)
        for condition, allowed in pending:
            predicate.conjunct(self, condition, level, allowed)
        if where:
            predicate.conjunct(self, where, level, level.allowed)
        having = body.get("havingClause")
        if having:
            plain = "groupClause" in body and not any(t == "GroupingSet" for t, _ in walk(body["groupClause"]))
            if plain:
                predicate.conjunct(self, having, level, level.allowed)
            else:
                self.visit(having, level)
        outputs = self.targets(body.get("targetList", ()), level)
        for field_name in ("groupClause", "sortClause", "limitCount", "limitOffset", "distinctClause", "windowClause"):
            if field_name in body:
                self.visit(body[field_name], level)
        return self.shielded(body, outputs, level)

    def shielded(self, body: Body, outputs: Outputs, level: Level) -> Outputs:
        """Cut the way inwards for outputs that a filter from outside cannot pass (LIMIT, aggregates, windows)."""
        if level.parent is None:
            return outputs
        closed = "limitCount" in body or "limitOffset" in body
        grouped: set[int] | None = None
        if "groupClause" in body:
            grouped = {n for n in (self.grouping(g, outputs, level) for g in body["groupClause"]) if n is not None}
            if any("GroupingSet" in g for g in body["groupClause"]):
                grouped = set()
        elif any(predicate.is_aggregate(self, t) for t in body.get("targetList", ())):
            closed = True
        distinct = body.get("distinctClause")
        if distinct and distinct != [{}]:
            on = {n for n in (self.grouping(d, outputs, level) for d in distinct) if n is not None}
            grouped = on if grouped is None else grouped & on
        for window in predicate.window_partitions(body):
            parts = {n for n in (predicate.column_node(self, p, level) for p in window) if n is not None}
            grouped = parts if grouped is None else grouped & parts
        if not closed and grouped is None:
            return outputs
        found: Outputs = []
        for name, node in outputs:
            if node is not None and (closed or (grouped is not None and node not in grouped)):
                outside = self.graph.node()
                self.graph.edge(node, outside)
                node = outside
            found.append((name, node))
        return found

    def grouping(self, item: Node, outputs: Outputs, level: Level) -> int | None:
        """Return the node of a GROUP BY or DISTINCT ON item: a column, a position, or the name of an output."""
        position = item.get("A_Const", {}).get("ival", {}).get("ival")
        if isinstance(position, int):
            return outputs[position - 1][1] if 0 < position <= len(outputs) else None
        node = predicate.column_node(self, item, level)
        if node is None and "ColumnRef" in item:
            label = names(item["ColumnRef"].get("fields"))
            node = next((n for name, n in outputs if label == [name]), None)
        return node

    def set_operation(self, body: Body, level: Level) -> Outputs:
        # No outer rows may be restricted by one arm: the other arm may still let them through.
        left = self.select(body["larg"], Level(level))
        right = self.select(body["rarg"], Level(level))
        for field_name in ("sortClause", "limitCount", "limitOffset"):
            if field_name in body:
                self.visit(body[field_name], level)
        closed = "limitCount" in body or "limitOffset" in body
        outputs: Outputs = []
        for position, (name, node) in enumerate(left):
            other = right[position][1] if position < len(right) else None
            out = self.graph.node()
            if body["op"] == "SETOP_EXCEPT":
                if node is not None:
                    self.graph.edge(node, out)
            elif body["op"] == "SETOP_INTERSECT":
                for arm in (node, other):
                    if arm is not None:
                        self.graph.edge(arm, out)
            elif node is not None and other is not None:
                self.graph.join(out, (node, other))
            if not closed:
                for arm in (node, other):
                    if arm is not None:
                        self.graph.edge(out, arm)
            outputs.append((name, out))
        return outputs

    def values(self, rows: list[Node], level: Level) -> Outputs:
        columns: list[list[frozenset[str] | None]] = []
        for row in rows:
            for position, item in enumerate(row["List"].get("items", ())):
                while len(columns) <= position:
                    columns.append([])
                term = predicate.term(self, item, level)
                columns[position].append(term if isinstance(term, frozenset) else None)
        outputs: Outputs = []
        for position, keys in enumerate(columns):
            node = None
            if keys and all(k is not None for k in keys):
                node = self.graph.node()
                self.graph.bind(node, frozenset().union(*(k for k in keys if k is not None)))
            outputs.append((f"column{position + 1}", node))
        return outputs

    def targets(self, items: Any, level: Level) -> Outputs:
        outputs: Outputs = []
        for item in items:
            target = item.get("ResTarget", {})
            value = target.get("val")
            if value is None:
                continue
            if "ColumnRef" in value:
                fields = names(value["ColumnRef"].get("fields"))
                if fields and fields[-1] == "*":
                    outputs += self.star(fields[:-1], level)
                    continue
                node = predicate.column_node(self, value, level)
                outputs.append((target.get("name") or fields[-1], node))
                continue
            found = predicate.term(self, value, level)
            node = None
            if isinstance(found, frozenset):
                node = self.graph.node()
                self.graph.bind(node, found)
            elif isinstance(found, int):
                node = found
            outputs.append((target.get("name") or _label(value), node))
        return outputs

    def star(self, qualifier: list[str], level: Level) -> Outputs:
        outputs: Outputs = []
        for entry in level.entries:
            if qualifier and entry.alias != qualifier[-1]:
                continue
            if entry.relation is not None:
                outputs += [(c, self.column(entry, c)) for c in entry.relation.columns]
            else:
                outputs += list(entry.columns.items())
        return outputs

    def column(self, entry: Entry, name: str) -> int | None:
        """Return the node of a column of *entry*, made on first use for base tables."""
        if name in entry.columns:
            return entry.columns[name]
        if entry.relation is not None or not entry.closed:
            node = self.graph.node()
            entry.columns[name] = node
            return node
        return None

    # ---------------------------------------------------------------- FROM

    def entry(self, level: Level, alias: str, closed: bool) -> Entry:
        self._numbers += 1
        found = Entry(self._numbers, alias, closed)
        level.entries.append(found)
        return found

    def from_item(
        self, item: Node, level: Level, pending: list[tuple[Node, frozenset[int]]], strict: frozenset[str], inner: bool
    ) -> list[Entry]:
        """Add one FROM item to *level*; return its entries. Join conditions wait in *pending*."""
        [(tag, body)] = item.items()
        if tag == "RangeVar":
            return [self.relation_entry(body, level)]
        if tag == "JoinExpr":
            return self.join(body, level, pending, strict, inner)
        alias = body.get("alias", {})
        if tag == "RangeSubselect":
            [(sub_tag, sub)] = body["subquery"].items()
            outer: set[int] = set()
            if body.get("lateral") and inner:
                outer = {e.number for e in level.entries} | level.allowed
            # Without LATERAL the siblings are out of sight; CTEs of this level stay visible.
            parent = level if body.get("lateral") else _without_entries(level)
            outputs = self.statement(sub_tag, sub, Level(parent, outer))
            entry = self.entry(level, alias.get("aliasname", ""), closed=True)
            entry.columns = dict(_rename(outputs, names(alias.get("colnames"))))
            return [entry]
        entry = self.entry(level, alias.get("aliasname", ""), closed=False)
        if tag == "RangeFunction":
            for function in body.get("functions", ()):
                self.visit(function, level)
            entry.closed = True
            columns = names(alias.get("colnames")) or [
                d["ColumnDef"].get("colname", "") for d in body.get("coldeflist", ())
            ]
            entry.columns = dict.fromkeys(columns)
            if not columns and alias.get("aliasname"):
                entry.columns = {alias["aliasname"]: None}
            entry.closed = bool(columns)
        elif tag == "RangeTableSample":
            level.entries.remove(entry)
            return self.from_item(body["relation"], level, pending, strict, inner)
        else:
            self.visit(body, level)
        return [entry]

    def join(
        self, body: Body, level: Level, pending: list[tuple[Node, frozenset[int]]], strict: frozenset[str], inner: bool
    ) -> list[Entry]:
        kind = body.get("jointype", "JOIN_INNER")
        left = self.from_item(body["larg"], level, pending, strict, inner and kind in ("JOIN_INNER", "JOIN_LEFT"))
        right = self.from_item(body["rarg"], level, pending, strict, inner and kind in ("JOIN_INNER", "JOIN_RIGHT"))
        # A strict predicate in WHERE on the null-padded side makes the join an inner one, as the planner does.
        shared = names(body.get("usingClause"))
        if body.get("isNatural"):
            known = {c for e in left for c in _known(e)}
            shared = [c for e in right for c in _known(e) if c in known]
        left_strict = any(_mentions(e, strict, shared) for e in left)
        right_strict = any(_mentions(e, strict, shared) for e in right)
        if kind == "JOIN_FULL" and (left_strict or right_strict):
            kind = "JOIN_INNER" if left_strict and right_strict else "JOIN_LEFT" if left_strict else "JOIN_RIGHT"
        if (kind == "JOIN_LEFT" and right_strict) or (kind == "JOIN_RIGHT" and left_strict):
            kind = "JOIN_INNER"
        allowed = frozenset(
            [e.number for e in left if kind in ("JOIN_INNER", "JOIN_RIGHT")]
            + [e.number for e in right if kind in ("JOIN_INNER", "JOIN_LEFT")]
        )
        for name in shared:
            x, y = self.first(left, name), self.first(right, name)
            if x is not None and y is not None:
                if y[1] in allowed:
                    self.graph.edge(x[0], y[0])
                if x[1] in allowed:
                    self.graph.edge(y[0], x[0])
            # The merged column of a full join is COALESCE(left, right), which binds neither.
            level.merged[name] = y if kind == "JOIN_RIGHT" else x if kind != "JOIN_FULL" else None
        if "quals" in body:
            pending.append((body["quals"], allowed))
        if "alias" in body:  # (a JOIN b) AS j: the joined columns get a new name
            entry = self.entry(level, body["alias"]["aliasname"], closed=False)
            for part in reversed(left + right):
                for column in _known(part):
                    entry.columns[column] = self.column(part, column)
                if part in level.entries:
                    level.entries.remove(part)
            level.allowed.update(e.number for e in left + right)
        return left + right

    def first(self, entries: list[Entry], name: str) -> tuple[int, int] | None:
        for entry in entries:
            if name in _known(entry):
                node = self.column(entry, name)
                return None if node is None else (node, entry.number)
        return None

    # ---------------------------------------------------------------- relations

    def relation_entry(self, body: Body, level: Level) -> Entry:
        """Add a table, view or CTE to *level*."""
        name, schema = body["relname"], body.get("schemaname")
        alias = body.get("alias", {})
        known = level.cte(name) if schema is None else None
        if known is not None:
            return self.cte_entry(known, alias, level)
        entry = self.entry(level, alias.get("aliasname", name), closed=False)
        if schema in SYSTEM_SCHEMAS or (schema is None and name.startswith("pg_")):
            self.system.append(name)
            return entry
        relation = self.context.catalog.find(name, schema)
        if relation is None:
            if schema is None and name.startswith("pg_"):
                self.system.append(name)
            else:
                self.unknown.append(f"{schema}.{name}" if schema else name)
            return entry
        if relation.kind is RelationKind.VIEW:
            return self.view_entry(relation, entry, alias)
        shape = self.context.shapes.of(relation)
        entry.closed = True
        entry.relation = relation
        entry.shape = shape
        self.kinds[relation.qualified] = shape
        if shape.key and (shape.sharded or shape.proposed):
            node = self.graph.node()
            entry.columns[shape.key] = node
            self.instances.append(
                Instance(
                    relation,
                    entry.alias,
                    node,
                    shape.key,
                    entry.number,
                    level,
                    proposed=shape.proposed,
                    place=body.get("location", -1) if self._depth == 0 else -1,
                )
            )
        if relation.row_security and shape.sharded:
            self.apply_policies(relation, entry)
            self.policed.append(relation.qualified)
        renamed = names(alias.get("colnames"))
        if renamed:  # all nodes first: the new names may be the old ones in another order
            nodes = [self.column(entry, old) for old in relation.columns]
            entry.columns = dict(zip((*renamed, *list(relation.columns)[len(renamed) :]), nodes, strict=True))
            entry.relation, entry.closed = None, True
        return entry

    def cte_entry(self, cte: Cte, alias: Body, level: Level) -> Entry:
        entry = self.entry(level, alias.get("aliasname", cte.name), closed=True)
        if cte.outputs is None and cte.recursive_base is not None:
            entry.columns = {c: self.graph.node() for c, _ in cte.recursive_base}
            cte.referenced.append(dict(entry.columns))
            return entry
        outputs = _rename(cte.outputs or [], names(alias.get("colnames")))
        if cte.references == 1 and not cte.materialized:
            entry.columns = dict(outputs)
            return entry
        for name, node in outputs:  # computed once for all its readers: a filter of one cannot reach in
            if node is not None:
                outside = self.graph.node()
                self.graph.edge(node, outside)
                node = outside
            entry.columns[name] = node
        return entry

    def view_entry(self, relation: Relation, entry: Entry, alias: Body) -> Entry:
        query: Any = self.context.views.get(relation.qualified)  # a Parsed, or False for one that cannot be read
        if query is None:
            try:
                query = parse(relation.view_sql or "")[0]
            except (Unparsable, IndexError):
                query = False
            self.context.views[relation.qualified] = query
        self.kinds.setdefault(relation.qualified, Shape(None))
        if query is False or self._depth >= DEEPEST:
            self.unknown.append(f"{relation.qualified} (a view whose definition cannot be read)")
            return entry
        self._depth += 1
        outputs = self.statement(query.tag, query.body, Level(Level(None)))
        self._depth -= 1
        columns = list(relation.columns)
        entry.closed = True
        entry.columns = dict(_rename(_rename(outputs, columns), names(alias.get("colnames"))))
        return entry

    def apply_policies(self, relation: Relation, entry: Entry) -> None:
        """Add what the table's policies say about every row, for a role they apply to."""
        parsed = self.context.policies.get(relation.qualified)
        if parsed is None:
            wanted = [p for p in relation.policies if p.everybody and p.command in ("*", "r") and p.using]
            permissive = [e for p in wanted if p.permissive and (e := expression(p.using or ""))]
            parsed = [e for p in wanted if not p.permissive and (e := expression(p.using or ""))]
            if len(permissive) == 1:
                parsed.append(permissive[0])
            elif permissive:
                parsed.append({"BoolExpr": {"boolop": "OR_EXPR", "args": permissive}})
            self.context.policies[relation.qualified] = parsed
        level = Level(None)
        level.entries.append(entry)
        level.allowed.add(entry.number)
        self._depth += 1
        for condition in parsed:
            predicate.conjunct(self, condition, level, level.allowed)
        self._depth -= 1

    # ---------------------------------------------------------------- INSERT, UPDATE, DELETE

    def insert(self, body: Body, level: Level) -> Outputs:
        self.with_clause(body, level)
        target = Level(level)
        entry = self.relation_entry(body["relation"], target)
        target.allowed.update(e.number for e in target.entries)
        instance = next((i for i in self.instances if i.entry == entry.number), None)
        columns = [c["ResTarget"]["name"] for c in body.get("cols", ())]
        if not columns and entry.relation is not None:
            columns = list(entry.relation.columns)
        query = body.get("selectStmt", {}).get("SelectStmt")
        outputs: Outputs = []
        if query is not None and "valuesLists" in query and not query.get("withClause"):
            outputs = self.values(query["valuesLists"], Level(level))
        elif query is not None:
            outputs = self.select(query, Level(level))
        if instance is not None and instance.node is not None:
            position = columns.index(instance.key) if instance.key in columns else -1
            node = outputs[position][1] if 0 <= position < len(outputs) else None
            if node is not None:
                self.graph.edge(node, instance.node)
            elif position < 0 or query is None:
                instance.why = f"it gives no {instance.key}, so a default or a trigger decides where the row goes"
            else:
                instance.why = f"the value of {instance.key} is not a constant or a parameter in every row"
        conflict = body.get("onConflictClause")
        if conflict:
            excluded = self.entry(target, "excluded", closed=False)
            if entry.relation is not None:
                excluded.columns = dict.fromkeys(entry.relation.columns)
            self.visit(conflict, target)
        return self.targets(body.get("returningList") or body.get("returningClause", {}).get("exprs", ()), target)

    def change(self, tag: str, body: Body, level: Level) -> Outputs:
        self.with_clause(body, level)
        target = Level(level)
        self.relation_entry(body["relation"], target)
        strict = predicate.strict_names(body.get("whereClause"))
        pending: list[tuple[Node, frozenset[int]]] = []
        for item in body.get("fromClause" if tag == "UpdateStmt" else "usingClause", ()):
            self.from_item(item, target, pending, strict, inner=True)
        target.allowed.update(e.number for e in target.entries)
        for condition, allowed in pending:
            predicate.conjunct(self, condition, target, allowed)
        if "whereClause" in body:
            predicate.conjunct(self, body["whereClause"], target, target.allowed)
        if tag == "UpdateStmt":
            self.visit(body.get("targetList", ()), target)
        return self.targets(body.get("returningList") or body.get("returningClause", {}).get("exprs", ()), target)

    # ---------------------------------------------------------------- expressions

    def visit(self, node: Any, level: Level) -> None:
        """Find subqueries and calls in an expression whose value restricts nothing."""
        stack = [node]
        while stack:
            current = stack.pop()
            if isinstance(current, list):
                stack.extend(current)
            elif isinstance(current, dict):
                if "SubLink" in current:
                    sublink = current["SubLink"]
                    self.subquery(sublink["subselect"], level)
                    if "testexpr" in sublink:
                        stack.append(sublink["testexpr"])
                    continue
                if "FuncCall" in current:
                    self.call(current["FuncCall"], level)
                stack.extend(v for v in current.values() if isinstance(v, (dict, list)))

    def subquery(self, node: Node, level: Level, outer: frozenset[int] | set[int] = frozenset()) -> Outputs:
        [(tag, body)] = node.items()
        return self.statement(tag, body, Level(level, outer))

    def call(self, body: Body, level: Level) -> None:
        """A call of a user function touches what its body touches."""
        schema, name = function_name(body)
        self.calls.append(name)
        summary = self.context.summaries.get(name)
        if summary is None or (schema in SYSTEM_SCHEMAS):
            return
        if summary.bound_to is None and not summary.touches:
            self.opaque.append(summary.why)
        for table in summary.touches:
            relation = self.context.catalog.relations.get(table)
            if relation is None:
                continue
            shape = self.context.shapes.of(relation)
            self.kinds.setdefault(table, shape)
            if not shape.sharded or shape.key is None:
                continue
            instance = Instance(relation, f"{name}()", None, shape.key, -1, level)
            if summary.bound_to is None:
                instance.why = summary.why or f"the body of {name} does not bind its key"
            else:
                args = body.get("args", ())
                terms = [predicate.term(self, args[i], level) for i in summary.bound_to if i < len(args)]
                node = self.graph.node()
                for found in terms:
                    if isinstance(found, frozenset):
                        self.graph.bind(node, found)
                    elif isinstance(found, int):
                        self.graph.edge(found, node)
                instance.node = node
            self.instances.append(instance)


def _rename(outputs: Outputs, renamed: list[str]) -> Outputs:
    if not renamed:
        return outputs
    return [(renamed[i] if i < len(renamed) else name, node) for i, (name, node) in enumerate(outputs)]


def _known(entry: Entry) -> list[str]:
    return list(entry.relation.columns) if entry.relation is not None else list(entry.columns)


def _mentions(entry: Entry, strict: frozenset[str], shared: list[str]) -> bool:
    if f"{entry.alias}." in strict:
        return True
    return bool(strict) and any(c in strict and c not in shared for c in _known(entry))


def _without_entries(level: Level) -> Level:
    found = Level(level.parent)
    found.ctes = level.ctes
    return found


def _label(value: Node) -> str:
    if "FuncCall" in value:
        return function_name(value["FuncCall"])[1]
    if "TypeCast" in value:
        return _label(value["TypeCast"].get("arg", {})) if value["TypeCast"].get("arg") else "?column?"
    if "ColumnRef" in value:
        return (names(value["ColumnRef"].get("fields")) or ["?column?"])[-1]
    if "CoalesceExpr" in value:
        return "coalesce"
    return "?column?"
