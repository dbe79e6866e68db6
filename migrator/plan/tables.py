"""Which tables does a plan mean on this cluster?

The plan names exceptions; the catalog knows the rest. Every problem is reported at once.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import psycopg

from migrator.errors import PlanInvalid
from migrator.model.near import nearest, unknown
from migrator.model.table import Column, Hop, Table, TableKind, qualify, split_qualified
from migrator.plan.schema import TablePlan, Tables
from migrator.plan.via import problems as via_problems

_TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p'
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%s)
   AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 2, 3
"""

_SCHEMAS = """
SELECT nspname FROM pg_catalog.pg_namespace
 WHERE NOT starts_with(nspname, 'pg_') AND nspname NOT IN ('information_schema', 'migrator') ORDER BY 1
"""

# A type is binary-safe when its binary form holds no object id that another server numbers differently:
# composites, and arrays, ranges and domains over types made by users or extensions, do hold one.
_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '',
       CASE
           WHEN b.typsend = 0 OR b.typreceive = 0 THEN false
           WHEN EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = b.typelem AND b.typcategory = 'A'
                                                           AND (e.typsend = 0 OR e.typreceive = 0)) THEN false
           WHEN t.typtype = 'c' THEN false
           WHEN t.typtype = 'd' THEN t.typbasetype < 16384
           WHEN t.typtype IN ('r', 'm') THEN t.oid < 16384
           WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem < 16384
           WHEN t.oid >= 16384 AND t.typtype <> 'e' THEN false
           WHEN t.oid IN ('regclass'::regtype, 'regproc'::regtype, 'regtype'::regtype, 'regprocedure'::regtype,
                          'regoper'::regtype, 'regoperator'::regtype, 'regconfig'::regtype,
                          'regdictionary'::regtype, 'regrole'::regtype, 'regnamespace'::regtype,
                          'regcollation'::regtype) THEN false
           ELSE true
       END,
       CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(base.oid, base.typmod) ELSE '' END,
       (b.typtype = 'e' OR b.oid IN (
           'boolean'::regtype, 'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'oid'::regtype,
           'uuid'::regtype, 'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'time'::regtype,
           'timetz'::regtype, 'bytea'::regtype, 'text'::regtype, 'varchar'::regtype, 'name'::regtype,
           '"char"'::regtype, 'inet'::regtype, 'cidr'::regtype, 'macaddr'::regtype, 'macaddr8'::regtype,
           'money'::regtype, 'bit'::regtype, 'varbit'::regtype, 'pg_lsn'::regtype, 'xid8'::regtype)
        OR (b.oid = 'bpchar'::regtype AND base.typmod > 0))
       AND coalesce((SELECT c.collisdeterministic FROM pg_catalog.pg_collation c WHERE c.oid = a.attcollation), true),
       coalesce((
           SELECT CASE WHEN n.nspname = 'pg_catalog' THEN '='
                       ELSE pg_catalog.format('OPERATOR(%%I.%%s)', n.nspname, o.oprname) END
             FROM pg_catalog.pg_opclass c
             JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
             JOIN pg_catalog.pg_amop p ON p.amopfamily = c.opcfamily AND p.amoplefttype = c.opcintype
                                      AND p.amoprighttype = c.opcintype AND p.amopstrategy = 3
             JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr
             JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
            WHERE c.opcdefault AND c.opcintype = base.oid), '='),
       t.typcategory <> 'A' AND b.typtype <> 'c' AND t.typdelim = ',' AND t.typarray <> 0
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN LATERAL (
       WITH RECURSIVE up(oid, typmod, depth) AS (
           SELECT a.atttypid, a.atttypmod, 0
           UNION ALL
           SELECT d.typbasetype, d.typtypmod, up.depth + 1
             FROM up JOIN pg_catalog.pg_type d ON d.oid = up.oid AND d.typtype = 'd')
       SELECT up.oid, up.typmod FROM up ORDER BY up.depth DESC LIMIT 1) base ON true
  JOIN pg_catalog.pg_type b ON b.oid = base.oid
 WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""

_KEYS = """
SELECT i.indisprimary,
       ARRAY (SELECT a.attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
               WHERE k.o <= i.indnkeyatts ORDER BY k.o)::text[]
  FROM pg_catalog.pg_index i
 WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
 ORDER BY NOT i.indisprimary, i.indexrelid
"""

# Checked at once, by triggers that are enabled, also those that it has for each partition; of columns that are equal,
# not of periods that contain each other.
_ENFORCED = """
WITH RECURSIVE keys AS (
    SELECT c.oid
      FROM pg_catalog.pg_constraint c
     WHERE c.contype = 'f' AND c.conrelid = %(child)s AND c.confrelid = %(parent)s
       AND c.convalidated AND NOT c.condeferrable
       AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
       AND coalesce(to_jsonb(c) ->> 'conperiod', 'false') = 'false'
       AND (SELECT array_agg(a.attname::text || ' ' || b.attname::text ORDER BY 1)
              FROM unnest(c.conkey, c.confkey) k(child, parent)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child
              JOIN pg_catalog.pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.parent)
         = %(pairs)s::text[]),
parts AS (
    SELECT oid AS key, oid FROM keys
    UNION ALL
    SELECT p.key, c.oid FROM parts p JOIN pg_catalog.pg_constraint c ON c.conparentid = p.oid)
SELECT EXISTS (
    SELECT FROM keys k
     WHERE NOT EXISTS (SELECT FROM parts p JOIN pg_catalog.pg_trigger t ON t.tgconstraint = p.oid
                        WHERE p.key = k.oid AND t.tgenabled NOT IN ('O', 'A')))
"""

_TENANT_TYPES = re.compile(r"^(smallint|integer|bigint|uuid|text|character varying(\(\d+\))?|character(\(\d+\))?)$")
"""Types whose text form is the same in every session: the text form names the tenant everywhere."""

_VIA = re.compile(r"^\s*(?P<columns>[^>]+?)\s*->\s*(?P<target>.+?)\s*$")


class _Reader:
    def __init__(self, conn: psycopg.Connection[Any], tables: Tables) -> None:
        self.conn, self.tables = conn, tables
        self.problems: list[str] = []
        self.found: dict[str, tuple[int, str, str, bool]] = {}
        for oid, schema, name, partitioned in conn.execute(_TABLES, (list(tables.schemas),)):
            self.found[qualify(schema, name)] = (oid, schema, name, partitioned)

    def problem(self, table: str, text: str) -> None:
        self.problems.append(f'tables.table."{table}": {text}')

    def columns(self, qualified: str) -> tuple[Column, ...]:
        rows = self.conn.execute(_COLUMNS, (self.found[qualified][0],))
        return tuple(Column(*values) for values in rows)

    def hop(self, table: str, at: str, via: str) -> Hop | None:
        """Read 'a, b -> schema.parent.x, y', a step of *table*'s path that leaves from *at*."""
        match = _VIA.match(via)
        columns = tuple(c.strip() for c in match["columns"].split(",")) if match else ()
        target = match["target"] if match else ""
        first, *others = (part.strip() for part in target.split(","))
        parent, _, column = first.rpartition(".")
        if parent and "." not in parent:
            parent = next((q for q in self.found if split_qualified(q)[1] == parent), parent)
        if not parent or len(columns) != 1 + len(others):
            self.problem(table, f"via '{via}' → write 'column -> schema.parent.column'")
            return None
        if parent not in self.found:
            self.problem(table, f"via '{via}' → there is no table {parent} in {self.schemas()}")
            return None
        hop = Hop(columns, parent, (column, *others))
        for name, owner in [*((c, at) for c in hop.columns), *((c, parent) for c in hop.parent_columns)]:
            if name not in {c.name for c in self.columns(owner)}:
                self.problem(table, f"via '{via}' → {owner} has no column {name}")
                return None
        pairs = sorted(f"{a} {b}" for a, b in zip(hop.columns, hop.parent_columns, strict=True))
        row = self.conn.execute(
            _ENFORCED, {"child": self.found[at][0], "parent": self.found[parent][0], "pairs": pairs}
        ).fetchone()
        operators = {c.name: c.equality for c in self.columns(at)}
        hop = replace(hop, enforced=bool(row and row[0]), equality=tuple(operators[c] for c in hop.columns))
        if table == at:  # else it is the parent's own step, and reported there
            for why in via_problems(self.conn, at, hop):
                self.problem(table, f"via '{via}' → {why}")
        return hop

    def schemas(self) -> str:
        return f"schema {', '.join(self.tables.schemas)}"

    def path(self, qualified: str) -> tuple[tuple[Hop, ...], str] | None:
        """Return the hops to the ancestor with the tenant column, and that column's name."""
        hops: list[Hop] = []
        at = qualified
        while True:
            plan = self.tables.table.get(at, TablePlan(kind="sharded"))
            if plan.via is None:
                return tuple(hops), plan.tenant_column or self.tables.tenant_key
            hop = self.hop(qualified, at, plan.via)
            if hop is None:
                return None
            if hop.parent in {h.parent for h in hops} or hop.parent == qualified:
                self.problem(
                    qualified, f"via leads back to {hop.parent}: a path to the tenant may not turn in a circle"
                )
                return None
            hops.append(hop)
            at = hop.parent

    def table(self, qualified: str) -> Table | None:
        oid, schema, name, partitioned = self.found[qualified]
        plan = self.tables.table.get(qualified)
        columns = self.columns(qualified)
        names = {c.name for c in columns}
        if plan is None and self.tables.tenant_key not in names:
            self.problem(
                qualified,
                f'has no column {self.tables.tenant_key} → say what it is: kind = "reference" | "standard" | '
                '"excluded", or kind = "sharded" with via or tenant_column',
            )
            return None
        plan = plan or TablePlan(kind="sharded")
        kind = TableKind(plan.kind)
        if kind is TableKind.EXCLUDED:
            return None
        keys = [(primary, tuple(cols)) for primary, cols in self.conn.execute(_KEYS, (oid,))]
        key = self._key(qualified, plan, columns, keys)
        source: str | None = None
        hops: tuple[Hop, ...] = ()
        tenant_type = "text"
        if kind is TableKind.SHARDED:
            found = self.path(qualified)
            if found is None:
                return None
            hops, source = found
            owner = hops[-1].parent if hops else qualified
            source_column = next((c for c in self.columns(owner) if c.name == source), None)
            if source_column is None:
                self.problem(qualified, f"tenant column {source} → {owner} has no such column")
                return None
            tenant_type = source_column.type
            if not _TENANT_TYPES.match(tenant_type):
                self.problem(
                    qualified,
                    f"tenant column {source} is {tenant_type} → allowed: smallint, integer, bigint, uuid, text,"
                    " varchar",
                )
                return None
            if not source_column.exact:
                self.problem(
                    qualified,
                    f"tenant column {source} has a nondeterministic collation or no length → tenants that are equal"
                    " but look different cannot be told apart; give it a deterministic collation",
                )
                return None
            if hops and self.tables.tenant_key in names:
                self.problem(qualified, f"via → it already has a column {self.tables.tenant_key}; remove via")
                return None
        if key is None:
            return None
        return Table(
            schema=schema,
            name=name,
            kind=kind,
            columns=columns,
            key=key,
            tenant_column=(self.tables.tenant_key if hops else source) if kind is TableKind.SHARDED else None,
            tenant_source=source,
            tenant_type=tenant_type,
            path=hops,
            # Rows that differ in the key differ in every key that contains it: such a one can never be in the way.
            unique_keys=tuple(cols for _, cols in keys if not set(cols) >= set(key)),
            partitioned=partitioned,
        )

    def _key(
        self, qualified: str, plan: TablePlan, columns: tuple[Column, ...], keys: list[tuple[bool, tuple[str, ...]]]
    ) -> tuple[str, ...] | None:
        not_null = {c.name for c in columns if c.not_null}
        if plan.key is not None:
            wanted = set(plan.key)
            for _, cols in keys:
                if set(cols) == wanted and wanted <= not_null:
                    return cols
            self.problem(qualified, f"key {plan.key} → must be the columns of a unique index, all NOT NULL")
            return None
        for primary, cols in keys:
            if primary:
                return cols
        usable = [list(cols) for _, cols in keys if set(cols) <= not_null]
        advice = f"name one of {usable} as key" if usable else "add a primary key"
        self.problem(qualified, f"has no primary key → {advice}, or exclude the table")
        return None


def resolve_tables(classic: psycopg.Connection[Any], tables: Tables) -> tuple[Table, ...]:
    """Return every table the plan migrates, described from the catalog.

    Raises:
        PlanInvalid: with every problem: unknown or unnamed tables, missing keys, broken paths.
    """
    reader = _Reader(classic, tables)
    for named in tables.table:
        if named not in reader.found:
            close = [q for q in reader.found if split_qualified(q)[1] == named.rsplit(".", 1)[-1]]
            close = close or list(filter(None, [nearest(named, reader.found)]))
            advice = f"did you mean {close[0]}?" if close else f"tables there: {', '.join(reader.found) or 'none'}"
            reader.problem(named, f"no such table in {reader.schemas()} → {advice}")
    there = [str(name) for (name,) in classic.execute(_SCHEMAS)]
    for schema in tables.schemas:
        if schema not in there:
            reader.problems.append(f"tables.schemas: {unknown('schema', [schema], there)}")
    if not reader.found:
        reader.problems.append(f"tables.schemas: no tables in {reader.schemas()}")
    result = []
    for qualified in reader.found:
        table = reader.table(qualified)
        if table is not None:
            result.append(table)
    migrated = {t.qualified for t in result}
    for table in result:
        for hop in table.path:
            if hop.parent not in migrated and not reader.problems:
                reader.problem(table.qualified, f"via leads through {hop.parent}, which is not migrated")
    if reader.problems:
        raise PlanInvalid("the plan does not fit the classic cluster", reader.problems)
    return tuple(result)


def describe_table(classic: psycopg.Connection[Any], tables: Tables, qualified: str) -> Table:
    """Return one table of the plan as the catalog describes it now, also inside a transaction that changes it.

    Raises:
        PlanInvalid: it is not there, or cannot be migrated.
    """
    reader = _Reader(classic, tables)
    found = reader.table(qualified) if qualified in reader.found else None
    if found is None:
        raise PlanInvalid(
            "the plan does not fit the classic cluster", reader.problems or [f"there is no table {qualified}"]
        )
    return found
