"""Finds names that mean something else once a table has gained the shard key's column. (LIM-QRY-11, -12)

A derived table has no tenant column on classic and gets one on Limitless. A column of that name, written without its
table, may then belong to two tables (SQLSTATE 42702), or to the derived table of a subquery where it meant a table
outside of it: that is not refused, and another question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrator.audit.rules.rule import Hit
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Body, Kinds, Node, Parsed, Unparsable, names, parse

AMBIGUOUS, ANOTHER = "LIM-QRY-11", "LIM-QRY-12"
_QUERIES = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt")
_Columns = frozenset[str]
_NO_TABLE: Body = {}


@dataclass(frozen=True, slots=True)
class _Item:
    """One item of a FROM clause: its name, its columns on classic, and those that it gains."""

    alias: str
    columns: _Columns = frozenset()
    gains: _Columns = frozenset()


@dataclass(slots=True)
class _Scope:
    """What names mean at one place of a statement: the items of its level, then those of the levels outside."""

    items: list[_Item] = field(default_factory=list)
    outer: _Scope | None = None
    ctes: dict[str, _Item] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)  # by USING

    def inside(self) -> _Scope:
        return _Scope(outer=self, ctes=dict(self.ctes))


def gained(context: Context) -> Mapping[str, str]:
    """Return the tables that gain a column on Limitless, with its name."""
    relations = context.catalog.relations
    return {
        name: shape.key
        for name, shape in context.shapes.sharded().items()
        if shape.derived and shape.key is not None and name in relations and shape.key not in relations[name].columns
    }


def hits(statement: Parsed, context: Context) -> Iterator[Hit]:
    """Yield a hit for every name in a statement that Limitless takes for ambiguous, or for another column."""
    if context.gains is None:
        context.gains = gained(context)
    gains = context.gains
    tag, body = statement.tag, statement.body
    if tag not in _QUERIES or not gains:
        return
    if not statement.may_name(*{key.lower() for key in gains.values()}):
        return
    tables = {context.catalog.relations[name].name for name in gains}
    kinds = statement.kinds if statement.may_name(*{name.lower() for name in tables}) else {}
    if not tables.isdisjoint(_tables(kinds)):
        keys = {(key,) for key in gains.values()}
        if any(tuple(names(b.get("fields"))) in keys for b in kinds.get("ColumnRef", ())):
            found: list[Hit] = []
            _Reader(context, gains, found).query(tag, body, _Scope())
            yield from found


def _tables(kinds: Kinds) -> Iterator[str | None]:
    """Yield the tables that a statement names, in FROM or as the target of a statement in it."""
    for body in kinds.get("RangeVar", ()):
        yield body.get("relname")
    for tag in _QUERIES:
        for body in kinds.get(tag, ()):
            yield body.get("relation", _NO_TABLE).get("relname")


class _Reader:
    def __init__(self, context: Context, gains: Mapping[str, str], found: list[Hit]) -> None:
        self.context, self.gains, self.found = context, gains, found

    def query(self, tag: str, body: Body, outer: _Scope) -> _Item:
        """Read one query; return what it gives to the outside."""
        scope = outer.inside()
        for item in (body.get("withClause") or {}).get("ctes", ()):
            cte = item["CommonTableExpr"]
            [(kind, inner)] = cte["ctequery"].items()
            scope.ctes[cte["ctename"]] = _Item(cte["ctename"])  # a recursive one names itself
            made = self.query(kind, inner, _Scope(outer=outer, ctes=scope.ctes))
            listed = names(cte.get("aliascolnames"))
            scope.ctes[cte["ctename"]] = _Item(
                cte["ctename"], frozenset(listed) or made.columns, frozenset() if listed else made.gains
            )
        if "larg" in body:  # the arms of a set operation are bodies without their type
            left = self.query("SelectStmt", body["larg"], scope)
            self.query("SelectStmt", body["rarg"], scope)
            return left
        if "relation" in body:
            self._from({"RangeVar": body["relation"]}, scope)
        for source in (*body.get("fromClause", ()), *body.get("usingClause", ())):
            self._from(source, scope)
        targets = [t["ResTarget"] for t in body.get("targetList", ()) if "ResTarget" in t]
        outputs = self._outputs(targets, scope) if tag == "SelectStmt" else _Item("")
        for clause, value in body.items():
            if clause in ("withClause", "fromClause", "usingClause", "relation", "cols"):
                continue
            sorts = clause in ("sortClause", "distinctClause")
            self._names(value, scope, outputs if sorts else _Item(""))
        if tag == "SelectStmt":
            return outputs
        return self._outputs([t["ResTarget"] for t in _returned(body) if "ResTarget" in t], scope)

    def _from(self, node: Node, scope: _Scope) -> list[_Item]:
        """Add an item of FROM to *scope*; return what it adds, which is all that its own ON may name."""
        [(tag, body)] = node.items()
        alias = body.get("alias", {}).get("aliasname") if isinstance(body.get("alias"), dict) else None
        listed = frozenset(names((body.get("alias") or {}).get("colnames")))
        if tag == "JoinExpr":
            added = [*self._from(body["larg"], scope), *self._from(body["rarg"], scope)]
            scope.merged |= set(names(body.get("usingClause")))
            if "quals" in body:
                self._names(body["quals"], _Scope(added, scope.outer, scope.ctes), _Item(""))
            return added
        if tag == "RangeVar":
            item = self._relation(body, alias or body.get("relname", ""), scope)
        elif tag == "RangeSubselect":
            [(kind, inner)] = body["subquery"].items()
            around = scope if body.get("lateral") else _Scope(outer=scope.outer, ctes=scope.ctes)
            made = self.query(kind, inner, around)
            item = _Item(alias or "", listed or made.columns, frozenset() if listed else made.gains)
        else:
            self._names(body, scope, _Item(""))
            item = _Item(alias or "", listed)
        scope.items.append(item)
        return [item]

    def _relation(self, body: Body, alias: str, scope: _Scope) -> _Item:
        name, schema = body.get("relname", ""), body.get("schemaname")
        if not schema and name in scope.ctes:
            return _Item(alias, scope.ctes[name].columns, scope.ctes[name].gains)
        named = self.context.named(name, schema)
        if named is None:
            return _Item(alias)
        relation = named.relation
        key = self.gains.get(named.qualified)
        columns = frozenset(relation.columns) or self._of_view(relation.view_sql or "")
        return _Item(alias, columns, frozenset((key,) if key else ()))

    def _of_view(self, text: str) -> _Columns:
        """Return the columns of a view that is known from its text alone."""
        try:
            [statement] = parse(text)
        except (Unparsable, ValueError):
            return frozenset()
        body = statement.body
        [(tag, query)] = body["query"].items() if "query" in body else [(statement.tag, body)]
        return _Reader(self.context, self.gains, []).query(tag, query, _Scope()).columns

    def _outputs(self, targets: list[Body], scope: _Scope) -> _Item:
        """Return the output columns of a query, and those that a star in it gains."""
        columns: set[str] = set()
        gains: set[str] = set()
        for target in targets:
            value = target.get("val", {})
            fields = names(value["ColumnRef"].get("fields")) if "ColumnRef" in value else []
            if fields and fields[-1] == "*":
                for item in scope.items:
                    if len(fields) == 1 or item.alias == fields[-2]:
                        columns |= item.columns
                        gains |= item.gains
            elif name := target.get("name") or (fields[-1] if fields else None):
                columns.add(name)
        return _Item("the select list", frozenset(columns), frozenset(gains))

    def _names(self, node: Any, scope: _Scope, outputs: _Item) -> None:
        """Judge the names in an expression; a name of *outputs* means the output column."""
        stack = [node]
        while stack:
            current = stack.pop()
            if isinstance(current, list):
                stack += current
                continue
            if not isinstance(current, dict):
                continue
            for tag, value in current.items():
                if tag in _QUERIES:
                    self.query(tag, value, scope)
                elif tag == "ColumnRef":
                    fields = names(value.get("fields"))
                    if len(fields) == 1 and fields[0] in outputs.columns:
                        self._judge(fields[0], _Scope([outputs]))
                    elif len(fields) == 1:
                        self._judge(fields[0], scope)
                elif isinstance(value, (dict, list)):
                    stack.append(value)

    def _judge(self, name: str, scope: _Scope) -> None:
        here: _Scope | None = scope
        while here is not None:
            owners = [i.alias for i in here.items if name in i.columns]
            gaining = [i.alias for i in here.items if name in i.gains]
            if name in here.merged:
                owners = owners[:1]
            if owners and gaining:
                self.found.append(
                    Hit(
                        AMBIGUOUS,
                        f"{name} of {owners[0]} is ambiguous: {gaining[0]} gains that column (SQLSTATE 42702)",
                    )
                )
            elif gaining and self._outside(name, here.outer):
                self.found.append(
                    Hit(
                        ANOTHER,
                        f"{name} means a table outside of the subquery, and {gaining[0]} in it gains that column",
                    )
                )
            if owners or gaining:
                return
            here = here.outer

    @staticmethod
    def _outside(name: str, scope: _Scope | None) -> bool:
        while scope is not None:
            if any(name in i.columns for i in scope.items):
                return True
            scope = scope.outer
        return False


def _returned(body: Body) -> list[Node]:
    found: list[Node] = body.get("returningList") or body.get("returningClause", {}).get("exprs", [])
    return found
