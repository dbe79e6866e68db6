"""Parses the commands of ALTER TABLE that change a constraint, a default, NOT NULL or a type. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from migrator.dataplane.change import recipe
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.grammar.tree import Tree
from migrator.grammar.types import type_text
from migrator.grammar.written import Written, quoted
from migrator.model.table import Table

Found = RequestedChange | str
"""A request, or what is wrong."""

STORAGE = frozenset(
    {
        "AT_SetRelOptions", "AT_ResetRelOptions", "AT_SetStatistics", "AT_SetOptions", "AT_ResetOptions",
        "AT_SetStorage", "AT_SetCompression", "AT_ClusterOn", "AT_DropCluster", "AT_SetTableSpace",
    }
)  # fmt: skip
"""Commands that decide how classic stores a table, and nothing else."""

CONSTRAINTS = frozenset({"CONSTR_CHECK", "CONSTR_FOREIGN", "CONSTR_UNIQUE"})

_TRIGGERS = "a trigger that is disabled or enabled changes what is written and journalled: DROP TRIGGER, or leave it"
_HIDDEN = "capture's functions read the table, and its policies would hide rows from them: after dual write"
_SEEN = "it decides which rows the tool sees: after dual write"
_ANEW = "it writes the table anew, which hides its rows from older snapshots: after dual write"
_NUMBERS = "Limitless has no identity columns (LIM-TBL-13): CREATE SEQUENCE, then ALTER COLUMN … SET DEFAULT nextval(…)"
_KEPT = "to Limitless it is a plain column whose numbers classic gives (LIM-TBL-13): leave it until dual write is over"
_COMPUTED = "add a plain column, fill it in batches, release the application so that it uses that, drop this one"
_PARTITIONS = "say it on classic directly: partitions are followed there, and Limitless has their rows in one table"
_INHERITS = "Limitless has no table inheritance (LIM-TBL-02): keep the tables apart, or use partitions"

_ADVICE = {
    "AT_AlterConstraint": ("ALTER CONSTRAINT", "drop the constraint and add it as it is to be, in this file"),
    "AT_ReplicaIdentity": ("REPLICA IDENTITY", "a subscriber of classic would see other rows: after dual write"),
    "AT_SetLogged": ("SET LOGGED", _ANEW),
    "AT_SetUnLogged": ("SET UNLOGGED", _ANEW),
    "AT_SetAccessMethod": ("SET ACCESS METHOD", _ANEW),
    "AT_EnableRowSecurity": ("ENABLE ROW LEVEL SECURITY", _HIDDEN),
    "AT_DisableRowSecurity": ("DISABLE ROW LEVEL SECURITY", _SEEN),
    "AT_ForceRowSecurity": ("FORCE ROW LEVEL SECURITY", _HIDDEN),
    "AT_NoForceRowSecurity": ("NO FORCE ROW LEVEL SECURITY", _SEEN),
    "AT_AddIdentity": ("ALTER COLUMN … ADD GENERATED AS IDENTITY", _NUMBERS),
    "AT_SetIdentity": ("ALTER COLUMN … SET GENERATED or RESTART", _KEPT),
    "AT_DropIdentity": ("ALTER COLUMN … DROP IDENTITY", _KEPT),
    "AT_SetExpression": ("ALTER COLUMN … SET EXPRESSION", _COMPUTED),
    "AT_DropExpression": ("ALTER COLUMN … DROP EXPRESSION", _COMPUTED),
    "AT_AttachPartition": ("ATTACH PARTITION", _PARTITIONS),
    "AT_DetachPartition": ("DETACH PARTITION", _PARTITIONS),
    "AT_DetachPartitionFinalize": ("DETACH PARTITION … FINALIZE", _PARTITIONS),
    "AT_AddInherit": ("INHERIT", _INHERITS),
    "AT_DropInherit": ("NO INHERIT", _INHERITS),
    "AT_AddOf": ("OF", "write the columns as they are to be, one by one"),
    "AT_DropOf": ("NOT OF", "write the columns as they are to be, one by one"),
    **{
        f"AT_{verb}{kind}": (f"{verb.upper()} {words}", _TRIGGERS)
        for verb in ("Enable", "Disable", "EnableAlways", "EnableReplica")
        for kind, words in (
            ("Trig", "TRIGGER"), ("TrigAll", "TRIGGER ALL"), ("TrigUser", "TRIGGER USER"), ("Rule", "RULE"),
        )
    },
}  # fmt: skip
"""What cannot be, in the words of SQL, and what can be instead."""


@dataclass(frozen=True, slots=True)
class Altered:
    """The table that a statement alters, and how a relation named without a schema is found.

    Attributes:
        resolve: returns the qualified name of the captured table a relation means; None, and says so, if there is none.
    """

    where: str
    table: str
    known: Table | None
    written: Written
    resolve: Callable[[Tree], str | None]

    def parse(self, command: Tree) -> Iterator[Found]:
        """Yield what one command of ALTER TABLE asks for."""
        name = command.name
        match command.subtype:
            case "AT_AddConstraint":
                yield from self.constraint(command.def_)
            case "AT_ValidateConstraint":
                yield self._request(Kind.VALIDATE_CONSTRAINT, name)
            case "AT_DropConstraint" if command.behavior == "DROP_CASCADE":
                yield f"leave CASCADE out: drop what depends on constraint {name} by name"
            case "AT_DropConstraint":
                yield self._request(Kind.DROP_CONSTRAINT, name, lenient=bool(command.missing_ok))
            case "AT_SetNotNull":
                yield self._request(Kind.SET_NOT_NULL, name)
            case "AT_DropNotNull":
                yield self._request(Kind.DROP_NOT_NULL, name)
            case "AT_ColumnDefault":
                value = self.written.expression(command.def_.node, "DEFAULT") if command.def_ is not None else ""
                yield self._request(Kind.SET_DEFAULT, name, default=value)
            case "AT_AlterColumnType":
                yield self._type(name, command.def_)
            case other:
                yield _refusal(other)

    def constraint(self, node: Tree, column: str = "") -> Iterator[Found]:
        """Yield what a constraint, written behind a column or by itself, asks for."""
        match node.contype:
            case "CONSTR_CHECK":
                text = self._text(node)
                yield self._request(
                    Kind.ADD_CONSTRAINT, node.conname or "", statement=text, condition="c",
                    late=bool(node.skip_validation),
                )  # fmt: skip
            case "CONSTR_FOREIGN":
                yield from self._foreign_key(node, column)
            case "CONSTR_UNIQUE" if node.indexname:
                yield "say ADD CONSTRAINT … UNIQUE (columns) instead of USING INDEX: Limitless has no such form"
            case "CONSTR_UNIQUE":
                yield self._unique(node, column)
            case "CONSTR_PRIMARY":
                yield recipe.new_key(self.known, "the primary key") if self.known else "it has a key already"
            case "CONSTR_EXCLUSION":
                yield "an EXCLUDE constraint cannot be kept across shards (LIM-KEY-11): check it in the application"
            case other:
                yield _refusal(other)

    def _request(self, kind: Kind, name: str, **more: Any) -> RequestedChange:
        return RequestedChange(self.where, kind, self.table, "", name, **more)

    def _text(self, node: Tree) -> str:
        """Return a constraint as it is written, without its name and NOT VALID."""
        written = self.written
        first = self._first(node)
        depth = written.tokens[first].depth
        closing = next(t for t in written.tokens[first:] if t.word == ")" and t.depth == depth)
        return written.text(written.tokens[first].begin, closing.end)

    def _first(self, node: Tree) -> int:
        """Return the number of a constraint's first token behind CONSTRAINT and its name."""
        number = self.written.at(node.location)
        return number + 2 if self.written.tokens[number].word == "CONSTRAINT" else number

    def _foreign_key(self, node: Tree, column: str) -> Iterator[Found]:
        parent = self.resolve(node.pktable)
        if parent is None:
            return
        written = self.written
        references = written.after(node.location, "REFERENCES")
        begin, end = written.tokens[self._first(node)].begin, written.tokens[references].begin
        head = f"FOREIGN KEY ({quoted(column)})" if column else written.text(begin, end)
        if node.fk_del_set_cols:
            yield "Limitless has no ON DELETE SET NULL or SET DEFAULT of single columns: leave the list out"
            return
        tail = " ".join((*_columns(node.pk_attrs), *_behaviour(node)))
        yield self._request(
            Kind.ADD_CONSTRAINT, node.conname or "", statement=head, parent=parent, tail=tail, condition="f",
            late=bool(node.skip_validation),
        )  # fmt: skip

    def _unique(self, node: Tree, column: str) -> RequestedChange:
        keys = [column] if column else [key.sval for key in node.keys]
        text = f"({', '.join(map(quoted, keys))})"
        if node.including:
            text += f" INCLUDE ({', '.join(quoted(c.sval) for c in node.including)})"
        if node.nulls_not_distinct:
            text += " NULLS NOT DISTINCT"
        late = " DEFERRABLE" if node.deferrable else ""
        late += " INITIALLY DEFERRED" if node.initdeferred else ""
        return self._request(Kind.ADD_UNIQUE, node.conname or "", unique=True, tail=text, statement=late, condition="u")

    def _type(self, name: str, column: Tree) -> Found:
        wanted = type_text(column.typeName.body)
        if column.raw_default is not None and not _only_a_cast(column.raw_default, name):
            return f"column {name}: Limitless has no USING in ALTER COLUMN TYPE (LIM-COL-03); " + recipe.other_type(
                self.table, name, wanted
            )
        collation = ".".join(quoted(part.sval) for part in column.collClause.collname) if column.collClause else ""
        return self._request(Kind.CHANGE_TYPE, name, type=wanted, collation=collation)


def _columns(names: tuple[Tree, ...] | None) -> Iterator[str]:
    if names:
        yield f"({', '.join(quoted(name.sval) for name in names)})"


_ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def _behaviour(node: Tree) -> Iterator[str]:
    if node.fk_matchtype == "f":
        yield "MATCH FULL"
    for when, action in (("DELETE", node.fk_del_action), ("UPDATE", node.fk_upd_action)):
        if action in _ACTIONS:
            yield f"ON {when} {_ACTIONS[action]}"
    if node.deferrable:
        yield "DEFERRABLE INITIALLY DEFERRED" if node.initdeferred else "DEFERRABLE"


def _only_a_cast(expression: Tree, column: str) -> bool:
    """Whether USING says no more than the type itself: column::type."""
    while expression.tag == "TypeCast":
        expression = expression.arg
    return expression.tag == "ColumnRef" and [f.text for f in expression.fields][-1:] == [column]


def _refusal(subtype: str) -> str:
    plain = subtype.removeprefix("AT_").removeprefix("CONSTR_"), "before dual write begins, or after it ends"
    name, advice = _ADVICE.get(subtype, plain)
    return f"ALTER TABLE … {name} is not possible while it is being migrated: {advice}"
