"""Where does one statement run on Limitless, and why?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from migrator.audit.shardkey import from_clause, touched
from migrator.audit.shardkey.graph import fewest
from migrator.audit.shardkey.query import begin, statement
from migrator.audit.shardkey.scope import Instance, Level
from migrator.audit.shardkey.shape import Shape
from migrator.audit.shardkey.walk import Analysis, Context
from migrator.grammar.parse import Body, Parsed
from migrator.model.refusing import command

ON_ROWS = frozenset(("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"))
"""Statements whose calls and subqueries are nodes with a type; that of CALL is not."""


class StatementVerdict(StrEnum):
    SINGLE_SHARD = "single_shard"
    MULTI_SHARD_KEYS = "multi_shard_keys"
    CROSS_SHARD = "cross_shard"
    REFERENCE_ONLY = "reference_only"
    NO_TABLE = "no_table"
    UNSUPPORTED = "unsupported"
    UNPARSABLE = "unparsable"


@dataclass(slots=True)
class Judged:
    """The verdict of one statement with what led to it."""

    verdict: StatementVerdict
    reasons: list[str]
    relations: dict[str, str]  # name → kind
    unbound: list[Instance]
    instances: list[Instance]
    analysis: Analysis | None = None
    rules: tuple[str, ...] = ()
    proposed: StatementVerdict | None = None  # when proposed derived keys are adopted
    keys: tuple[str, ...] = ()


def judge_parsed(context: Context, statement: Parsed) -> Judged:
    """Return where a statement runs that stands by itself, in no function: as `judge`, in less time."""
    if statement.tag not in ON_ROWS:
        return judge(context, statement.tag, statement.body)
    if (named := touched.without_shards(context, statement.body, statement.kinds)) is not None:
        return _unsharded(begin(context), named)
    if (found := touched.one_table(context, statement)) is not None:
        return _of_one_table(begin(context), *found)
    return judge(context, statement.tag, statement.body, flat=is_flat(statement))


def is_flat(statement: Parsed) -> bool:
    """Return whether a statement calls nothing and has no subquery in an expression."""
    return statement.tag in ON_ROWS and "FuncCall" not in statement.kinds and "SubLink" not in statement.kinds


def judge(
    context: Context,
    tag: str,
    body: Body,
    variables: Mapping[str, str] | None = None,
    *,
    flat: bool = False,
) -> Judged:
    """Return where a parsed statement runs. Pure; what is not understood is cross_shard.

    Args:
        flat: its own text calls nothing and has no subquery in an expression.
    """
    analysis = begin(context, variables)
    analysis.flat = flat
    try:
        statement(analysis, tag, body, Level(None))
    except RecursionError:
        return Judged(StatementVerdict.CROSS_SHARD, ["nested too deeply to be followed"], {}, [], [], analysis)
    relations = _relations(analysis.kinds)
    refused = _refused(tag, body, analysis)
    if refused is not None:
        rule, why = refused
        return Judged(StatementVerdict.UNSUPPORTED, [why], relations, [], analysis.instances, analysis, (rule,))
    analysis.graph.propagate()
    known = analysis.graph.values
    read = [i for i in analysis.instances if i.entry not in analysis.empty or known.get(i.node or 0)]
    sharded = [i for i in read if not i.proposed]
    verdict, reasons, unbound, keys = _decide(analysis, sharded)
    proposed = None
    if len(sharded) != len(read):
        proposed = _decide(analysis, read)[0]
        names = sorted({i.relation.qualified for i in read if i.proposed})
        reasons.append(
            f"{', '.join(names)} {'have' if len(names) > 1 else 'has'} no tenant key and counts as not "
            f"sharded until a plan decides"
        )
    return Judged(verdict, reasons, relations, unbound, analysis.instances, analysis, (), proposed, keys)


def _unsharded(analysis: Analysis, kinds: dict[str, Shape]) -> Judged:
    """Return the verdict of a statement on *kinds*, none of which is sharded."""
    analysis.kinds = kinds
    verdict, reasons, _, _ = _decide(analysis, [])
    return Judged(verdict, reasons, _relations(kinds), [], [], analysis)


def _of_one_table(analysis: Analysis, table: Body, key: str) -> Judged:
    """Return the verdict of a statement on *table* alone, whose rows all have the tenant *key*."""
    from_clause.relation_entry(analysis, table, Level(None))
    [instance] = analysis.instances
    analysis.graph.bind(instance.node or 0, frozenset((key,)))
    analysis.graph.propagate()
    verdict, reasons, unbound, keys = _decide(analysis, analysis.instances)
    return Judged(verdict, reasons, _relations(analysis.kinds), unbound, analysis.instances, analysis, (), None, keys)


def _relations(kinds: Mapping[str, Shape]) -> dict[str, str]:
    return {name: (shape.kind.value if shape.kind else "undecided") for name, shape in sorted(kinds.items())}


def _refused(tag: str, body: Body, analysis: Analysis) -> tuple[str, str] | None:
    lacking = command(tag, body)
    if lacking is not None:
        return lacking.rule, lacking.reason
    if tag == "UpdateStmt":
        target = analysis.instances[0] if analysis.instances else None
        for item in body.get("targetList", ()):
            if target is not None and not target.proposed and item.get("ResTarget", {}).get("name") == target.key:
                return "LIM-KEY-04", f"it updates {target.key}, the shard key of {target.relation.qualified}"
    where = body.get("whereClause") if isinstance(body, dict) else None
    if where and "CurrentOfExpr" in where:
        return "LIM-DML-04", "WHERE CURRENT OF does not exist on Limitless"
    return None


def _decide(
    analysis: Analysis, instances: list[Instance]
) -> tuple[StatementVerdict, list[str], list[Instance], tuple[str, ...]]:
    values = analysis.graph.values
    if analysis.unknown:
        names = ", ".join(sorted(set(analysis.unknown)))
        return StatementVerdict.CROSS_SHARD, [f"unknown to the schema: {names}, so nothing can be proved"], [], ()
    if analysis.opaque:
        return StatementVerdict.CROSS_SHARD, list(dict.fromkeys(analysis.opaque)), [], ()
    if not instances:
        if analysis.empty and analysis.instances:
            why = "no shard is read, since a condition on its tables is never true"
            return StatementVerdict.REFERENCE_ONLY, [why], [], ()
        if analysis.kinds:
            return StatementVerdict.REFERENCE_ONLY, ["no sharded table is involved"], [], ()
        what = "system catalogs only" if analysis.system else "no table is involved"
        return StatementVerdict.NO_TABLE, [what], [], ()
    unbound = [i for i in instances if i.why or i.node is None or not values.get(i.node)]
    if unbound:
        bound = len(instances) - len(unbound)
        reasons = [_why(analysis, i, bound) for i in unbound]
        return StatementVerdict.CROSS_SHARD, list(dict.fromkeys(reasons)), unbound, ()
    sets = [values[i.node] for i in instances if i.node is not None]
    single = [{next(iter(k)) for k in s if len(k) == 1} for s in sets]
    common = set.intersection(*single)
    planned = [i for i in instances if i.node is None or not analysis.graph.planned.get(i.node)]
    late = [i.relation.qualified for i in planned]
    looked_up: list[str] = []
    if analysis.arrays and common:
        looked_up = [i.relation.qualified for i in instances if i.node and not analysis.graph.certain.get(i.node)]
        looked_up = sorted(set(looked_up) - set(late))
    if common:
        analysis.late = sorted({*late, *looked_up})
    if common:
        key = min(common, key=lambda k: (not k.startswith("$"), k))
        reasons = [f"every sharded table is bound to one key, {show(key)}"]
        if key in analysis.unstable:
            reasons.append(f"the key comes from {', '.join(analysis.unstable[key])}, which is not immutable")
        if late:
            reasons.append(
                f"the key reaches {', '.join(sorted(set(late)))} at run time only: name it there again, so that "
                "the planner sees it"
            )
        if looked_up:
            reasons.append(
                f"the key of {', '.join(looked_up)} stands in an array, and every shard is read where it is NULL: "
                "write an equality"
            )
        if analysis.policed and not key.startswith("$"):
            reasons.append("row-level security binds it, for roles that it applies to")
        return StatementVerdict.SINGLE_SHARD, reasons, [], (key,)
    keys = sorted(frozenset().union(*(fewest(s) for s in sets)))
    shown = ", ".join(show(k) for k in keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
    why = f"bound to {len(keys)} known keys: {shown}"
    if all(k.startswith("$") for k in keys):
        why += "; one shard only where their values are equal"
    return StatementVerdict.MULTI_SHARD_KEYS, [why], [], tuple(keys)


def show(key: str) -> str:
    return key if len(key) <= 40 and not key.startswith("{") else "an expression"


def _why(analysis: Analysis, instance: Instance, bound: int) -> str:
    name = instance.relation.qualified
    seen = f"{name} (as {instance.alias})" if instance.alias not in (instance.relation.name, name) else name
    if instance.why:
        return f"{seen}: {instance.why}"
    note = analysis.graph.notes.get(instance.node or 0)
    if note:
        return f"{seen}.{instance.key} is not bound: {note}"
    shape = analysis.kinds.get(name)
    if shape is not None and shape.derived:
        return f"{name} gets {instance.key} on Limitless only, and the statement does not name it"
    if bound:
        return f"{seen}.{instance.key} is bound neither to a constant nor to the key of another table in the statement"
    return f"no equality on {seen}.{instance.key}"
