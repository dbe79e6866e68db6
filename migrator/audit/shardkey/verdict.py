"""Where does one statement run on Limitless, and why?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from migrator.audit.grammar import Body
from migrator.audit.shardkey.query import begin, statement
from migrator.audit.shardkey.scope import Instance, Level
from migrator.audit.shardkey.walk import Analysis, Context


class StatementVerdict(StrEnum):
    SINGLE_SHARD = "single_shard"
    MULTI_SHARD_KEYS = "multi_shard_keys"
    CROSS_SHARD = "cross_shard"
    REFERENCE_ONLY = "reference_only"
    NO_TABLE = "no_table"
    UNSUPPORTED = "unsupported"
    UNPARSABLE = "unparsable"


UNSUPPORTED: Mapping[str, tuple[str, str]] = {
    "MergeStmt": ("LIM-DML-01", "MERGE does not exist on Limitless"),
    "ListenStmt": ("LIM-DML-05", "LISTEN does not exist on Limitless"),
    "UnlistenStmt": ("LIM-DML-05", "UNLISTEN does not exist on Limitless"),
    "NotifyStmt": ("LIM-DML-05", "NOTIFY does not exist on Limitless"),
    "RefreshMatViewStmt": ("LIM-OBJ-04", "materialized views do not exist on Limitless"),
    "ReindexStmt": ("LIM-IDX-03", "REINDEX does not exist on Limitless"),
    "ConstraintsSetStmt": ("LIM-TXN-06", "SET CONSTRAINTS does not exist on Limitless"),
    "CommentStmt": ("LIM-OBJ-08", "COMMENT does not exist on Limitless"),
    "SecLabelStmt": ("LIM-OBJ-08", "SECURITY LABEL does not exist on Limitless"),
    "CreateTrigStmt": ("LIM-OBJ-01", "triggers do not exist on Limitless"),
    "CreateEventTrigStmt": ("LIM-OBJ-02", "event triggers do not exist on Limitless"),
    "AlterEventTrigStmt": ("LIM-OBJ-02", "event triggers do not exist on Limitless"),
    "RuleStmt": ("LIM-OBJ-03", "rules do not exist on Limitless"),
    "CreatePublicationStmt": ("LIM-OBJ-05", "publications do not exist on Limitless"),
    "AlterPublicationStmt": ("LIM-OBJ-05", "publications do not exist on Limitless"),
    "CreateSubscriptionStmt": ("LIM-OBJ-05", "subscriptions do not exist on Limitless"),
    "AlterSubscriptionStmt": ("LIM-OBJ-05", "subscriptions do not exist on Limitless"),
    "DropSubscriptionStmt": ("LIM-OBJ-05", "subscriptions do not exist on Limitless"),
    "CreateFdwStmt": ("LIM-OBJ-06", "foreign data wrappers cannot be used on Limitless"),
    "CreateForeignServerStmt": ("LIM-OBJ-06", "foreign servers cannot be used on Limitless"),
    "CreateForeignTableStmt": ("LIM-OBJ-06", "foreign tables cannot be used on Limitless"),
    "CreateUserMappingStmt": ("LIM-OBJ-06", "user mappings cannot be used on Limitless"),
    "ImportForeignSchemaStmt": ("LIM-OBJ-06", "foreign tables cannot be used on Limitless"),
    "CreateStatsStmt": ("LIM-OBJ-07", "extended statistics do not exist on Limitless"),
    "CreateTransformStmt": ("LIM-OBJ-07", "transforms do not exist on Limitless"),
    "CreateAmStmt": ("LIM-OBJ-07", "access methods do not exist on Limitless"),
    "CreatePLangStmt": ("LIM-OBJ-07", "CREATE LANGUAGE does not exist on Limitless"),
    "CreateDomainStmt": ("LIM-COL-04", "domains do not exist on Limitless"),
    "AlterDomainStmt": ("LIM-COL-04", "domains do not exist on Limitless"),
    "CreateTableSpaceStmt": ("LIM-TBL-06", "tablespaces do not exist on Limitless"),
    "AlterDefaultPrivilegesStmt": ("LIM-OBJ-09", "ALTER DEFAULT PRIVILEGES does not exist on Limitless"),
    "AlterDatabaseSetStmt": ("LIM-OBJ-09", "ALTER DATABASE does not exist on Limitless"),
    "AlterDatabaseStmt": ("LIM-OBJ-09", "ALTER DATABASE does not exist on Limitless"),
    "AlterSystemStmt": ("LIM-OBJ-09", "ALTER SYSTEM does not exist on Limitless"),
    "DropOwnedStmt": ("LIM-OBJ-09", "DROP OWNED does not exist on Limitless"),
    "ReassignOwnedStmt": ("LIM-OBJ-09", "REASSIGN OWNED does not exist on Limitless"),
    "AlterPolicyStmt": ("LIM-SEC-01", "ALTER POLICY does not exist on Limitless"),
    "AlterExtensionContentsStmt": ("LIM-EXT-02", "ALTER EXTENSION ADD or DROP does not exist on Limitless"),
}
"""Statement types that Limitless does not have at all (facts, sections 4.1 and 4.2), with rule and reason."""

UNSUPPORTED_DROPS = {
    "OBJECT_TRIGGER": "LIM-OBJ-01",
    "OBJECT_EVENT_TRIGGER": "LIM-OBJ-02",
    "OBJECT_RULE": "LIM-OBJ-03",
    "OBJECT_MATVIEW": "LIM-OBJ-04",
    "OBJECT_PUBLICATION": "LIM-OBJ-05",
    "OBJECT_FDW": "LIM-OBJ-06",
    "OBJECT_FOREIGN_SERVER": "LIM-OBJ-06",
    "OBJECT_FOREIGN_TABLE": "LIM-OBJ-06",
    "OBJECT_STATISTIC_EXT": "LIM-OBJ-07",
    "OBJECT_TSCONFIGURATION": "LIM-OBJ-07",
    "OBJECT_TSDICTIONARY": "LIM-OBJ-07",
    "OBJECT_TRANSFORM": "LIM-OBJ-07",
    "OBJECT_ACCESS_METHOD": "LIM-OBJ-07",
    "OBJECT_LANGUAGE": "LIM-OBJ-07",
    "OBJECT_DOMAIN": "LIM-COL-04",
    "OBJECT_POLICY": "LIM-SEC-01",
    "OBJECT_TABLESPACE": "LIM-TBL-06",
}


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


def judge(context: Context, tag: str, body: Body, variables: Mapping[str, str] | None = None) -> Judged:
    """Return where a parsed statement runs. Pure; what is not understood is cross_shard."""
    analysis = begin(context, variables)
    try:
        statement(analysis, tag, body, Level(None))
    except RecursionError:
        return Judged(StatementVerdict.CROSS_SHARD, ["nested too deeply to be followed"], {}, [], [], analysis)
    relations = {
        name: (shape.kind.value if shape.kind else "undecided") for name, shape in sorted(analysis.kinds.items())
    }
    refused = _refused(tag, body, analysis)
    if refused is not None:
        rule, why = refused
        return Judged(StatementVerdict.UNSUPPORTED, [why], relations, [], analysis.instances, analysis, (rule,))
    analysis.graph.propagate()
    sharded = [i for i in analysis.instances if not i.proposed]
    verdict, reasons, unbound, keys = _decide(analysis, sharded)
    proposed = None
    if len(sharded) != len(analysis.instances):
        proposed = _decide(analysis, analysis.instances)[0]
        names = sorted({i.relation.qualified for i in analysis.instances if i.proposed})
        reasons.append(
            f"{', '.join(names)} {'have' if len(names) > 1 else 'has'} no tenant key and counts as not "
            f"sharded until a plan decides"
        )
    return Judged(verdict, reasons, relations, unbound, analysis.instances, analysis, (), proposed, keys)


def _refused(tag: str, body: Body, analysis: Analysis) -> tuple[str, str] | None:
    if tag in UNSUPPORTED:
        return UNSUPPORTED[tag]
    if tag == "TransactionStmt" and "PREPARE" in body.get("kind", ""):
        return "LIM-TXN-02", "prepared transactions do not exist on Limitless"
    if tag == "CreateTableAsStmt" and body.get("objtype") == "OBJECT_MATVIEW":
        return "LIM-OBJ-04", "materialized views do not exist on Limitless"
    if tag == "DropStmt" and body.get("removeType") in UNSUPPORTED_DROPS:
        what = body["removeType"].removeprefix("OBJECT_").replace("_", " ")
        return UNSUPPORTED_DROPS[body["removeType"]], f"DROP {what} does not exist on Limitless"
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
    if late and common:
        analysis.late = sorted(set(late))
    if common:
        key = min(common, key=lambda k: (not k.startswith("$"), k))
        reasons = [f"every sharded table is bound to one key, {show(key)}"]
        if key in analysis.unstable:
            reasons.append(f"the key comes from {', '.join(analysis.unstable[key])}, which is not immutable")
        if analysis.late:
            reasons.append(
                f"the key reaches {', '.join(analysis.late)} at run time only: name it there again, so that "
                "the planner sees it"
            )
        if analysis.policed and not key.startswith("$"):
            reasons.append("row-level security binds it, for roles that it applies to")
        return StatementVerdict.SINGLE_SHARD, reasons, [], (key,)
    keys = sorted(frozenset().union(*(min(s, key=len) for s in sets)))
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
