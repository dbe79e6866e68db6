"""Rules on tables, columns, checks, sequences and indexes. (TBL, COL, CHK, SEQ, IDX rules)"""

from __future__ import annotations

from migrator.audit.catalog import Attribute, Catalog, Relation, RelationKind, Sequence, Source
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import MADE_OTHERWISE, Severity
from migrator.audit.shardkey.shape import Shapes
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import expression, function_name, walk
from migrator.grammar.types import plain_type
from migrator.model.limits import SEQUENCE_CHUNK, name_fits, sequence_needs, sequence_refused
from migrator.model.table import TableKind

LOADER_REFUSES = {
    "box",
    "circle",
    "line",
    "lseg",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "polygon",
    "tsquery",
    "tsvector",
    "txid_snapshot",
}

TIME_FUNCTIONS = {"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "age"}


def check_tables(catalog: Catalog, shapes: Shapes, context: Context, out: Collector) -> None:
    """Report tables with their columns, checks and indexes."""
    for relation in catalog.relations.values():
        shape = shapes.of(relation)
        if shape.kind is TableKind.EXCLUDED:
            continue
        if relation.is_table:
            _table(relation, catalog, shapes, out)
            for attribute in relation.columns.values():
                _column(relation, attribute, context, out)
            _checks(relation, out)
            _indexes(relation, out)


def _table(relation: Relation, catalog: Catalog, shapes: Shapes, out: Collector) -> None:
    name = relation.qualified
    shape = shapes.of(relation)
    if relation.kind is RelationKind.PARTITIONED and relation.partition_of is None:
        leaves = [r.name for r in catalog.relations.values() if r.partition_of == name]
        out.add(
            "LIM-TBL-01",
            name,
            f"partitioned, {len(leaves)} partitions",
            source=relation.source,
            fix="this tool merges the leaves into one table; replace dropping partitions by batched DELETE",
        )
    if relation.inherits and relation.partition_of is None:
        out.add("LIM-TBL-02", name, f"inherits from {', '.join(relation.inherits)}", source=relation.source)
    if relation.options and relation.partition_of is None:
        _moot("LIM-TBL-03", name, f"WITH ({', '.join(relation.options)})", relation.source, out)
    if relation.unlogged:
        table = ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in (relation.schema, relation.name))
        sql = f"ALTER TABLE {table} SET LOGGED"
        out.add("LIM-TBL-05", name, "unlogged", sql=sql, source=relation.source)
    if relation.tablespace:
        _moot("LIM-TBL-06", name, f"tablespace {relation.tablespace}", relation.source, out)
    if not name_fits(relation.name) and (shape.sharded or shape.kind is None):
        out.add("LIM-TBL-07", name, f"the name has {len(relation.name.encode())} bytes", source=relation.source)
    if relation.public_all:
        out.add("LIM-SEC-02", name, "GRANT ALL to PUBLIC", source=relation.source)


def _moot(rule: str, name: str, evidence: str, source: Source, out: Collector) -> None:
    out.add(rule, name, evidence, severity=Severity.INFO, fix=MADE_OTHERWISE, source=source)


def _unmade(attribute: Attribute, context: Context) -> str:
    """Return why the type of a column is not made on Limitless, "" when it exists or is provisioned."""
    name = plain_type(attribute.type).removesuffix("[]")
    known = context.catalog.types
    name = name if name in known else next((n for n in known if n.rpartition(".")[2] == name), name)  # in a dump
    kind = known.get(name)
    if kind == "b":
        return f"{name} is a base type: it needs code in C"
    if kind == "d":
        return f"{attribute.type} is an array of a domain" if attribute.type_kind == "a" else ""
    if kind and context.shapes.planned and name.rpartition(".")[0] not in context.shapes.schemas:
        return f"{name} is in a schema that the plan does not migrate"
    return ""


def _column(relation: Relation, attribute: Attribute, context: Context, out: Collector) -> None:
    name = f"{relation.qualified}.{attribute.name}"
    if attribute.identity:
        kind = "ALWAYS" if attribute.identity == "a" else "BY DEFAULT"
        out.add("LIM-COL-01", name, f"GENERATED {kind} AS IDENTITY", source=relation.source)
    if attribute.generated:
        out.add("LIM-COL-02", name, f"generated: {attribute.default or ''}".rstrip(": "), source=relation.source)
    if attribute.type_kind == "d":
        out.add("LIM-COL-04", name, f"domain {attribute.type}", source=relation.source)
    unmade = _unmade(attribute, context)
    if unmade:
        out.add("LIM-COL-09", name, unmade, source=relation.source)
    if attribute.settings:
        _moot("LIM-COL-05", name, attribute.settings, relation.source, out)
    if plain_type(attribute.type) in ("oid", "lo"):
        out.add("LIM-COL-06", name, f"type {attribute.type}: it may point to large objects", source=relation.source)
    refused = plain_type(attribute.type) in LOADER_REFUSES or attribute.type_kind in ("e", "a")
    if refused:
        out.add("LIM-COL-08", relation.qualified, f"{attribute.name} {attribute.type}", source=relation.source)
    if attribute.default and not attribute.generated and not attribute.sequence:
        tree = expression(attribute.default)
        for tag, body in walk(tree):
            if (
                tag == "FuncCall"
                and context.volatility(*function_name(body)) == "v"
                and function_name(body)[1] != "nextval"
            ):
                out.add("LIM-COL-07", name, f"DEFAULT {attribute.default}", source=relation.source)
    if attribute.default and _depth(expression(attribute.default)) > 1:
        out.add("LIM-CHK-03", name, f"DEFAULT {attribute.default}", source=relation.source)


def _depth(node: object) -> int:
    """Return how deep operators stand inside operators: what the server prints with nested parentheses."""
    if isinstance(node, list):
        return max((_depth(n) for n in node), default=0)
    if not isinstance(node, dict):
        return 0
    return max((_depth(v) + (k in ("BoolExpr", "A_Expr")) for k, v in node.items()), default=0)


def _checks(relation: Relation, out: Collector) -> None:
    for check in relation.checks:
        name = f"{relation.qualified}.{check.name}"
        body = check.definition.strip()
        if body.upper().startswith("CHECK"):
            body = body[5:].strip().removesuffix("NOT VALID").removesuffix("NO INHERIT").strip()
        tree = expression(body)
        if tree is None:
            out.add("LIM-CHK-01", name, f"it cannot be read: {check.definition}", source=check.source)
            continue
        tags = set()
        timed = False
        for tag, node in walk(tree):
            if tag == "FuncCall":
                tags.add("a function")
                timed = timed or function_name(node)[1] in TIME_FUNCTIONS
            elif tag == "SQLValueFunction":
                timed = timed or ("USER" not in str(node.get("op")) and "ROLE" not in str(node.get("op")))
                tags.add("a function")
            elif tag in ("CaseExpr", "CoalesceExpr", "MinMaxExpr", "A_Indirection", "SubLink", "XmlExpr"):
                tags.add({"CaseExpr": "CASE", "A_Indirection": "a subscript"}.get(tag, tag.removesuffix("Expr")))
        if timed:
            out.add("LIM-CHK-02", name, check.definition, source=check.source)
        elif tags:
            out.add("LIM-CHK-01", name, f"{', '.join(sorted(tags))} in {check.definition}", source=check.source)
        if _depth(tree) > 2:
            out.add("LIM-CHK-03", name, check.definition, source=check.source)


def _indexes(relation: Relation, out: Collector) -> None:
    for index in relation.indexes:
        name = f"{relation.qualified}.{index.name}"
        if index.unique and index.include:
            out.add("LIM-IDX-04", name, f"INCLUDE ({', '.join(index.include)})", source=index.source)
        if index.unique and index.custom_opclass:
            out.add("LIM-IDX-05", name, index.definition, source=index.source)


def check_sequences(catalog: Catalog, routers: int, out: Collector) -> None:
    """Report sequences whose range, cache or kind does not fit the chunks that routers draw."""
    for sequence in catalog.sequences.values():
        name = sequence.qualified
        if sequence.cycle:
            out.add("LIM-SEQ-01", name, "CYCLE", severity=Severity.BLOCKER, source=sequence.source)
        elif sequence.unlogged:
            out.add("LIM-SEQ-01", name, "UNLOGGED", source=sequence.source)
        if sequence.cache >= SEQUENCE_CHUNK:
            evidence = f"CACHE {sequence.cache}, chunks have {SEQUENCE_CHUNK}"
            out.add("LIM-SEQ-05", name, evidence, source=sequence.source)
        refused = sequence_refused(
            cycle=False,
            minimum=sequence.minimum,
            maximum=sequence.maximum,
            increment=sequence.increment,
            routers=routers,
        )
        if refused:
            out.add("LIM-SEQ-04", name, refused, severity=Severity.BLOCKER, source=sequence.source)
        needed = sequence_needs(routers, sequence.increment)
        left = remaining(sequence)
        if left is not None and left < needed and not refused:
            out.add(
                "LIM-SEQ-04",
                name,
                f"{left:,} values left of a {sequence.type}; {routers} routers take {needed:,} when it is created",
                source=sequence.source,
            )
        if sequence.owned_by is None and not _is_default(catalog, sequence):
            out.add("LIM-SEQ-06", name, "no column owns it, so the application draws from it", source=sequence.source)


def remaining(sequence: Sequence) -> int | None:
    if sequence.increment < 0:
        return None
    return sequence.maximum - (sequence.last_value or 0)


def _is_default(catalog: Catalog, sequence: Sequence) -> bool:
    return any(a.sequence == sequence.qualified for r in catalog.relations.values() for a in r.columns.values())


def check_views(catalog: Catalog, out: Collector) -> None:
    """Report materialized views, foreign tables, and views that lose single-shard optimisation."""
    owners = {r.owner for r in catalog.relations.values() if r.owner and r.is_table}
    for relation in catalog.relations.values():
        if relation.kind is RelationKind.MATVIEW:
            out.add("LIM-OBJ-04", relation.qualified, "materialized view", source=relation.source)
        elif relation.kind is RelationKind.FOREIGN:
            out.add("LIM-OBJ-06", relation.qualified, "foreign table", source=relation.source)
        elif relation.kind is RelationKind.VIEW:
            if any(o.startswith("security_barrier") and not o.endswith("false") for o in relation.options):
                out.add("LIM-OBJ-11", relation.qualified, "security_barrier", source=relation.source)
            if relation.owner and owners and relation.owner not in owners:
                out.add(
                    "LIM-OBJ-11",
                    relation.qualified,
                    f"owned by {relation.owner}, tables by {', '.join(sorted(owners))}",
                    source=relation.source,
                )
