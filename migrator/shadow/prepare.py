"""Which calls of a trace are repeated, and of which tenant are they? Pure, on the catalog of classic and the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrator.audit.catalog import Catalog
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.shape import shapes_of_plan
from migrator.audit.shardkey.verdict import StatementVerdict, judge_parsed
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Parsed, Unparsable, parse
from migrator.model.table import TableKind
from migrator.model.tenant import REFERENCE_PART
from migrator.model.trace import Call
from migrator.plan.schema import Tables
from migrator.shadow.functions import Functions
from migrator.shadow.guard import Sort, Use, judge
from migrator.shadow.sampling import Fingerprint, fingerprint

ELSEWHERE = "its tenant is not among those that are repeated"
NO_TENANT = "its tenant is not known, and not every tenant is on Limitless"
NO_REFERENCE = "it reads reference tables, which are not on Limitless"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are on Limitless.

    Attributes:
        parts: the tenants that are repeated, each with its mirror partition.
        reference: reference and standard tables are there.
        whole: every tenant is, so that a statement may read all of them.
    """

    parts: Mapping[str, int]
    reference: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One text of a statement: what may be done with it.

    Attributes:
        keys: of its tenants: $n for a parameter, else the constant.
        sharded, reference: it reads tables of that kind.
    """

    fingerprint: Fingerprint
    parsed: Parsed
    use: Use
    keys: tuple[str, ...]
    sharded: bool
    reference: bool
    refused_there: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """A call that is repeated.

    Attributes:
        tenants: whose rows it reads or writes; empty where it may be those of every tenant, or of none.
        part: the mirror partition of them all; None where it is more than one, or not known.
    """

    statement: Statement
    call: Call
    tenants: tuple[str, ...]
    part: int | None


@dataclass
class Preparer:
    """Decides for one call after the other; remembers texts."""

    catalog: Catalog
    tables: Tables
    _known: dict[str, Statement | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = shapes_of_plan(self.catalog, self.tables)
        self._kinds = {name: shape.kind for name, shape in shapes.by_table.items()}
        self._context = Context(self.catalog, shapes, volatility.known(self.catalog))
        self._functions = Functions(self.catalog)

    def prepare(self, call: Call, scope: Scope) -> Repeated | str:
        """Return the call as it is repeated, or why it is not."""
        statement = self.statement(call.sql)
        return statement if isinstance(statement, str) else _placed(statement, call, scope)

    def statement(self, sql: str) -> Statement | str:
        """Return what may be done with a text, or why nothing is."""
        if sql not in self._known:
            if len(self._known) > 50_000:  # texts with their constants in them: as many as there are calls
                self._known.clear()
            self._known[sql] = self._judged(sql)
        return self._known[sql]

    def _judged(self, sql: str) -> Statement | str:
        try:
            found = parse(sql)
        except Unparsable:
            return "PostgreSQL's grammar refuses it"
        shape = fingerprint(sql)
        if len(found) != 1 or shape is None:
            return "it is not one statement"
        use = judge(found[0], self._functions)
        if use.refused:
            return use.refused
        kinds = {relation.qualified: self._kinds.get(relation.qualified) for relation in use.relations
                 if relation.is_table}  # fmt: skip
        left = sorted(name for name, kind in kinds.items() if kind in (None, TableKind.EXCLUDED))
        if left:
            return f"it reads {left[0]}, which is not migrated"
        verdict = judge_parsed(self._context, found[0])
        return Statement(
            fingerprint=shape,
            parsed=found[0],
            use=use,
            keys=verdict.keys,
            sharded=TableKind.SHARDED in kinds.values(),
            reference=bool({TableKind.REFERENCE, TableKind.STANDARD} & set(kinds.values())),
            refused_there=verdict.verdict is StatementVerdict.UNSUPPORTED,
        )


def _placed(statement: Statement, call: Call, scope: Scope) -> Repeated | str:
    if statement.reference and not scope.reference:
        return NO_REFERENCE
    if not statement.sharded:
        return Repeated(statement, call, (), REFERENCE_PART)
    tenants = (call.tenant,) if call.tenant is not None else _tenants(statement, call)
    if tenants is None or not tenants:
        if scope.whole or statement.refused_there:
            return Repeated(statement, call, (), None)
        return NO_TENANT
    if not all(tenant in scope.parts for tenant in tenants):
        return ELSEWHERE
    parts = {scope.parts[tenant] for tenant in tenants}
    return Repeated(statement, call, tenants, parts.pop() if len(parts) == 1 else None)


def _tenants(statement: Statement, call: Call) -> tuple[str, ...] | None:
    """Return the tenants that a call names; None when one of them is not known."""
    found = []
    for key in statement.keys:
        if key.startswith("$") and key[1:].isdecimal():
            number = int(key[1:])
            value = call.values[number - 1] if number <= len(call.values) else None
            if not isinstance(value, str):
                return None
            found.append(value)
        else:
            found.append(key)
    return tuple(dict.fromkeys(found))


def reads(repeated: Repeated) -> bool:
    """Return whether a call only reads."""
    return repeated.statement.use.sort is Sort.READ
