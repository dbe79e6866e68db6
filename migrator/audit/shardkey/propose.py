"""How would a cross-shard statement read if it named its tenant?

Adds the missing equality where it changes nothing but that: behind WHERE, or in ON for a table that an outer join may
leave out. A row that is inserted gets the tenant as a value. The new text is parsed and judged by the same classifier;
a proposal that is not on one shard is not made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrator.audit.shardkey.parameters import Placed
from migrator.audit.shardkey.scope import Instance
from migrator.audit.shardkey.verdict import Judged, StatementVerdict, judge_parsed
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Body, Kinds, Node, Parsed, Unparsable, names, parse, walk
from migrator.grammar.written import Edit, Token, Written, edited, first_token, leftmost, stop_words, stops

LONGEST = 8_000
PREPARABLE = frozenset(("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"))
"""Statements that take parameters."""

_NUMBERED = re.compile(r"\$(\d+)")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_BEHIND = frozenset(
    [
        "GROUP",
        "HAVING",
        "WINDOW",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "FOR",
        "UNION",
        "INTERSECT",
        "EXCEPT",
        "RETURNING",
        ";",
        ")",
    ]
)
"""What ends the WHERE of a query level; ON CONFLICT does too."""
_WORDS = stop_words(*(word for word in _BEHIND if word.isalpha()), "WHERE", "OR", "ON", "CONFLICT")


def propose(judged: Judged, statement: Parsed, placed: Placed, context: Context) -> str | None:
    """Return the rewritten statement, None when there is no simple one."""
    if statement.tag not in PREPARABLE or len(statement.text) > LONGEST or statement.offset or not judged.unbound:
        return None
    inserts = _inserts(statement)
    if any(i.place < 0 or (i.why and i.place not in inserts) for i in judged.unbound):
        return None
    given = _NUMBERED.findall(statement.text) if "$" in statement.text else ()
    number = max(placed.count, *map(int, given), 0) + 1
    for text in _readings(judged, statement, inserts, f"${number}"):
        try:
            [again] = parse(text)
        except (Unparsable, ValueError):
            continue
        if _is_single(statement, again, context):
            return _restore(text, placed, number)
    return None


def _is_single(statement: Parsed, again: Parsed, context: Context) -> bool:
    """Return whether *again*, the statement as it would read, runs on one shard."""
    again.take_nodes(statement)  # what is added calls nothing and brings no table
    return judge_parsed(context, again).verdict is StatementVerdict.SINGLE_SHARD


def _inserts(statement: Parsed) -> dict[int, Body]:
    """Return every INSERT of the statement, by the place of its table's name."""
    found = statement.kinds.get("InsertStmt", ())
    return {body["relation"]["location"]: body for body in found if "relation" in body}


def _readings(judged: Judged, statement: Parsed, inserts: Mapping[int, Body], parameter: str) -> Iterator[str]:
    """Yield texts with the tenant named: by the key of another table at hand, else by a parameter of its own."""
    written = Written(statement.text)
    bound = [i for i in judged.instances if i not in judged.unbound and not i.proposed and i.place >= 0]
    wanted: dict[_Anchor, list[str]] = {}
    for instance in judged.unbound:
        if instance.place not in inserts:
            found = _condition(written, statement.kinds, instance, bound, parameter)
            if found is None:
                return
            wanted.setdefault(found[0], []).append(found[1])
    edits = [edit for anchor, conditions in wanted.items() for edit in anchor.edits(" AND ".join(conditions))]
    targets = [(i, inserts[i.place]) for i in judged.unbound if i.place in inserts]
    if not targets:
        yield edited(written.data, edits)
        return
    if edits:  # what is selected may bring the tenant already
        yield edited(written.data, edits)
    if len(targets) == 1:
        [(target, body)] = targets
        sources = [f"{_quoted(i.alias)}.{_quoted(i.key)}" for i in judged.instances if i.place > target.place]
        for value in (*sources[:2], parameter):
            added = _value(written, body, target.key, value)
            if added is not None:
                yield edited(written.data, [*edits, *added])


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Where conditions go: at byte *at* with words around them; a bracket that opens there closes at *last*."""

    at: int
    before: str = " "
    after: str = " AND"
    last: int | None = None

    def edits(self, conditions: str) -> list[Edit]:
        opening: Edit = (self.at, self.at, f"{self.before}{conditions}{self.after}")
        return [opening] if self.last is None else [opening, (self.last, self.last, ")")]


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _condition(
    written: Written, kinds: Kinds, instance: Instance, bound: Sequence[Instance], parameter: str
) -> tuple[_Anchor, str] | None:
    """Return the condition that binds *instance* and where it goes, None where none keeps the statement's meaning."""
    outer = _outer_join(kinds, instance.place)
    if isinstance(outer, str):
        return None
    peer = next((b for b in bound if b.level is instance.level and _serves(kinds, b, outer)), None)
    value = f"{_quoted(peer.alias)}.{_quoted(peer.key)}" if peer is not None else parameter
    name = _seen_as(kinds, instance)
    if name is None:
        return None
    condition = f"{_quoted(instance.alias)}.{_quoted(name)} = {value}"
    if outer is not None:
        quals = outer.get("quals")
        if not quals or quals.get("BoolExpr", {}).get("boolop") == "OR_EXPR":
            return None
        at = written.tokens[written.before(leftmost(quals) + 1, "ON")].end
        return _Anchor(at), condition
    return _behind_where(written, instance.place), condition


def _serves(kinds: Kinds, peer: Instance, outer: Body | None) -> bool:
    """Return whether *peer* can be named in the condition, and has a row wherever the condition is asked."""
    if outer is not None and peer.place not in {b["location"] for t, b in walk(outer) if t == "RangeVar"}:
        return False
    return _outer_join(kinds, peer.place) in (None, outer) and _seen_as(kinds, peer) == peer.key


def _seen_as(kinds: Kinds, instance: Instance) -> str | None:
    """Return the key's name where *instance* stands; None where a join's alias hides the table."""
    for join in kinds.get("JoinExpr", ()):
        if "alias" in join and _holds({"JoinExpr": join}, instance.place):
            return None
    for found in kinds.get("RangeVar", ()):
        if found.get("location", -1) == instance.place and "alias" in found:
            renamed = names(found["alias"].get("colnames"))
            seen = [*renamed, *list(instance.relation.columns)[len(renamed) :]]
            return dict(zip(instance.relation.columns, seen, strict=False)).get(instance.key, instance.key)
    return instance.key


def _outer_join(kinds: Kinds, place: int) -> Body | str | None:
    """Return the innermost outer join that may leave out the table at *place*; "full" for a full one, None without.

    A condition on such a table in WHERE would drop the rows that the join keeps.
    """
    found: list[Body] = []
    for join in kinds.get("JoinExpr", ()):
        if (kind := join.get("jointype", "JOIN_INNER")) == "JOIN_INNER":
            continue
        left, right = (_holds(join[side], place) for side in ("larg", "rarg"))
        if kind == "JOIN_FULL" and (left or right):
            return "full"
        if (kind == "JOIN_LEFT" and right) or (kind == "JOIN_RIGHT" and left):
            found.append(join)
    return min(found, key=lambda join: sum(tag == "RangeVar" for tag, _ in walk(join)), default=None)


def _holds(item: Node, place: int) -> bool:
    """Return whether a FROM item holds the table at *place* in its own query level."""
    for tag, body in item.items():
        if tag == "RangeVar" and body.get("location", -1) == place:
            return True
        if tag == "JoinExpr" and (_holds(body["larg"], place) or _holds(body["rarg"], place)):
            return True
        if tag == "RangeTableSample" and _holds(body["relation"], place):
            return True
    return False


def _behind_where(written: Written, place: int) -> _Anchor:
    """Return where a condition goes in the WHERE of the query level in whose FROM the table at *place* stands."""
    where, end, either = None, len(written.data), False
    on: Token | None = None  # the word before, where it may begin ON CONFLICT
    for token in stops(written.data, place, _WORDS):
        if token.depth < 0 or (token.depth == 0 and token.word in _BEHIND):
            end = token.begin
            break
        if on is not None and token.word == "CONFLICT" and written.data[on.end : token.begin].isspace():
            end = on.begin
            break
        on = token if token.depth == 0 and token.word == "ON" else None
        if token.depth == 0 and token.word == "WHERE" and where is None:
            where = token.end
        either = either or (token.word == "OR" and token.depth == 0 and where is not None)
    if where is None:
        return _Anchor(written.last_end(place, end), " WHERE ", "")
    if not either:
        return _Anchor(where)
    return _Anchor(first_token(written.data, where), "", " AND (", written.last_end(place, end))


def _value(written: Written, body: Body, key: str, value: str) -> list[Edit] | None:
    """Return the insertions that give every row of an INSERT its tenant; None where it is not that simple."""
    columns, query = body.get("cols"), body.get("selectStmt", {}).get("SelectStmt")
    if not columns or query is None or key in [c["ResTarget"]["name"] for c in columns]:
        return None
    at = columns[0]["ResTarget"]["location"]
    edits: list[Edit] = [(at, at, f"{_quoted(key)}, ")]
    if "valuesLists" in query:
        if value[0] != "$":
            return None
        number = written.before(leftmost(query["valuesLists"][0]) + 1, "VALUES")
        depth = written.tokens[number].depth
        for _ in query["valuesLists"]:
            number = next(n for n, t in enumerate(written.tokens) if n > number and t.word == "(" and t.depth == depth)
            edits.append((written.tokens[number].end,) * 2 + (f"{value}, ",))
    elif query.get("op", "SETOP_NONE") != "SETOP_NONE" or not query.get("targetList") or "distinctClause" in query:
        return None
    else:
        first = leftmost(query["targetList"][0])
        edits.append((first, first, f"{value}, "))
    inferred = body.get("onConflictClause", {}).get("infer", {}).get("indexElems", ())
    if inferred and key not in [e["IndexElem"].get("name") for e in inferred]:
        number = written.before(len(written.data), "CONFLICT")
        opening = written.tokens[number + 1].end
        edits.append((opening, opening, f"{_quoted(key)}, "))
    return edits


def _restore(text: str, placed: Placed, number: int) -> str:
    """Write the parameters the way the application does."""
    if placed.style == "$":
        return text
    names = {v: k for k, v in placed.names.items()}
    names[number] = "tenant_id"
    forms = {":name": ":{}", "@name": "@{}", "%(name)s": "%({})s", "sqlc": "sqlc.arg({})"}
    form = forms.get(placed.style)

    def one(match: re.Match[str]) -> str:
        name = names.get(int(match[1]))
        if form and name:
            return form.format(name)
        return "?" if placed.style == "?" else "%s"

    return _NUMBERED.sub(one, text)
