"""Which relations does a statement touch, and which of their shard keys does it bind?

`Analysis` walks one statement and fills a graph of equalities (graph.py). Names are resolved against the catalog,
views are expanded, policies of row-level security are applied, calls of user functions are followed through their
summaries. What is not understood binds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrator.audit.catalog import SYSTEM_SCHEMAS, Catalog
from migrator.audit.grammar import Body, Node, function_name, names, walk
from migrator.audit.shardkey import from_clause, operand, predicate, select
from migrator.audit.shardkey.graph import Graph
from migrator.audit.shardkey.scope import Cte, Entry, Instance, Level, Outputs, relabel
from migrator.audit.shardkey.shape import Shape, Shapes


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
        self.unstable: dict[str, list[str]] = {}  # key text → stable functions in it
        self.policed: list[str] = []  # tables with row-level security
        self.late: list[str] = []  # sharded tables whose key a planner does not see beforehand
        self.opaque: list[str] = []  # calls whose effect is not known
        self._numbers = 0
        self._depth = 0

    # ---------------------------------------------------------------- statements

    def statement(self, tag: str, body: Body, level: Level | None = None) -> Outputs:
        """Analyse one statement (or the body of a CTE); return its output columns."""
        outer = level or Level(None)
        if tag == "SelectStmt":
            return select.select(self, body, outer)
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
        entry = from_clause.relation_entry(self, target, Level(None))
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
            known.outputs = relabel(outputs, renamed)
            level.ctes[name] = known

    def recursive(self, query: Body, cte: Cte, level: Level, renamed: list[str]) -> Outputs:
        """A recursive CTE: what the first arm binds holds for all rows if the recursive arm passes it on."""
        inner = Level(level)
        self.with_clause(query, inner)
        base = select.select(self, query["larg"], Level(inner))
        cte.recursive_base = relabel(base, renamed)
        inner.ctes[cte.name] = cte
        result = select.select(self, query["rarg"], Level(inner))
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

    # ---------------------------------------------------------------- relations

    # ---------------------------------------------------------------- INSERT, UPDATE, DELETE

    def insert(self, body: Body, level: Level) -> Outputs:
        self.with_clause(body, level)
        target = Level(level)
        entry = from_clause.relation_entry(self, body["relation"], target)
        target.allowed.update(e.number for e in target.entries)
        instance = next((i for i in self.instances if i.entry == entry.number), None)
        columns = [c["ResTarget"]["name"] for c in body.get("cols", ())]
        if not columns and entry.relation is not None:
            columns = list(entry.relation.columns)
        query = body.get("selectStmt", {}).get("SelectStmt")
        outputs: Outputs = []
        if query is not None and "valuesLists" in query and not query.get("withClause"):
            outputs = select.values(self, query["valuesLists"], Level(level), inserted=True)
        elif query is not None:
            outputs = select.select(self, query, Level(level))
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
        return select.targets(
            self, body.get("returningList") or body.get("returningClause", {}).get("exprs", ()), target
        )

    def change(self, tag: str, body: Body, level: Level) -> Outputs:
        self.with_clause(body, level)
        target = Level(level)
        from_clause.relation_entry(self, body["relation"], target)
        strict = predicate.strict_names(body.get("whereClause"))
        pending: from_clause.Pending = []
        for item in body.get("fromClause" if tag == "UpdateStmt" else "usingClause", ()):
            from_clause.from_item(self, item, target, pending, strict, inner=True)
        target.allowed.update(e.number for e in target.entries)
        for condition, allowed in pending:
            predicate.conjunct(self, condition, target, allowed)
        if "whereClause" in body:
            predicate.conjunct(self, body["whereClause"], target, target.allowed)
        if tag == "UpdateStmt":
            self.visit(body.get("targetList", ()), target)
        return select.targets(
            self, body.get("returningList") or body.get("returningClause", {}).get("exprs", ()), target
        )

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

    def subquery(
        self, node: Node, level: Level, outer: frozenset[int] | set[int] = frozenset(), merges: bool = False
    ) -> Outputs:
        """Analyse a subquery of an expression. *merges*: EXISTS and IN, which become joins."""
        [(tag, body)] = node.items()
        inner = Level(level, outer)
        inner.merges = merges
        return self.statement(tag, body, inner)

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
                terms = [operand.term(self, args[i], level) for i in summary.bound_to if i < len(args)]
                node = self.graph.node()
                for found in terms:
                    if isinstance(found, frozenset):
                        self.graph.bind(node, found)
                    elif isinstance(found, int):
                        self.graph.edge(found, node)
                instance.node = node
            self.instances.append(instance)
