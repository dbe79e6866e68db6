"""The rules about a schema: keys, tables, columns, sequences, indexes, other objects, extensions."""

from __future__ import annotations

from migrator.audit.rules.rule import Rule, Severity
from migrator.model.limits import MAX_SHARDED_NAME

B, R, W, N = Severity.BLOCKER, Severity.REWRITE, Severity.WARNING, Severity.INFO
DDL = "ddl-support"
DDLLIM = "ddl-limitations"
DML = "dml-support"
DMLLIM = "dml-limitations"
REQS = "reqs-limits"
SSO = "query.single-shard"
RN = "release notes"
CONVERT = "converting-standard"
LOADER = "load.utility"

SCHEMA: tuple[Rule, ...] = (
    # keys and placement
    Rule(
        "LIM-KEY-01",
        R,
        "primary key lacks the shard key",
        "make the key ({key}, …); change foreign keys that point to it",
        DDLLIM,
    ),
    Rule(
        "LIM-KEY-02",
        R,
        "unique key lacks the shard key",
        "add {key} (unique per tenant), or keep the global value in a reference table, or check in the application",
        DDLLIM,
    ),
    Rule(
        "LIM-KEY-03",
        W,
        "unique index on an expression, or partial",
        "it must still contain the plain shard key column; test it live",
        "inferred",
    ),
    Rule(
        "LIM-KEY-04",
        B,
        "a statement updates the shard key",
        "DELETE and INSERT in one transaction",
        DMLLIM,
        refuses=True,
    ),
    Rule(
        "LIM-KEY-05",
        B,
        "a migration drops or retypes the shard key column",
        "choose the final type before creation",
        DDLLIM,
        refuses=True,
    ),
    Rule(
        "LIM-KEY-06",
        R,
        "the shard key has different types in collocated tables",
        "same name and type everywhere",
        CONVERT,
    ),
    Rule("LIM-KEY-07", B, "type not allowed as shard key", "another type; an enum is allowed from 16.10", RN),
    Rule("LIM-KEY-08", W, "shard key column may be NULL", "set NOT NULL after giving every row its tenant", "inferred"),
    Rule(
        "LIM-KEY-09",
        R,
        "table lacks the tenant key",
        "derive the key through its parent, or make the table reference or standard",
        "FAQ",
    ),
    Rule(
        "LIM-KEY-10",
        W,
        "one tenant holds a large share",
        "size a shard for it: no split divides one key; migrate it alone and last",
        "instance-monitoring",
    ),
    Rule(
        "LIM-KEY-11",
        B,
        "exclusion constraint",
        "check in the application, or serialise on a locked row",
        DDLLIM,
        refuses=True,
    ),
    Rule("LIM-KEY-12", W, "table without a primary key", "add one: loader and row comparison need it", LOADER),
    # tables
    Rule(
        "LIM-TBL-01",
        R,
        "declarative partitioning",
        "flatten; replace dropping partitions by batched DELETE",
        "third party; " + DDLLIM,
        refuses=True,
    ),
    Rule(
        "LIM-TBL-02",
        B,
        "table inheritance: a statement on the parent changes rows of the child, which capture does not see",
        "ALTER TABLE … NO INHERIT on classic, or exclude parent and child in the plan",
        "inferred",
        refuses=True,
    ),
    Rule("LIM-TBL-03", R, "storage parameters", "remove WITH (…)", DDLLIM, refuses=True),
    Rule(
        "LIM-TBL-04",
        R,
        "temporary table",
        "a CTE, an array parameter, or a work table keyed by tenant and run",
        DDL,
        refuses=True,
    ),
    Rule(
        "LIM-TBL-05",
        R,
        "unlogged table: a crash of classic empties it, and no trigger sees that, so Limitless keeps the rows",
        "ALTER TABLE … SET LOGGED on classic before dual write; on Limitless it is logged",
        "inferred",
    ),
    Rule("LIM-TBL-06", R, "tablespace", "remove it", DDL, refuses=True),
    Rule("LIM-TBL-07", B, f"name longer than {MAX_SHARDED_NAME} bytes", "rename it on classic", REQS),
    Rule("LIM-TBL-08", R, "reference table without a primary key", "add one", CONVERT, refuses=True),
    Rule(
        "LIM-TBL-09", W, "reference table is written often", "shard it: each write goes to every shard", "architecture"
    ),
    Rule("LIM-TBL-10", W, "big or hot standard table", "shard it: all standard tables share one shard", "architecture"),
    Rule("LIM-TBL-11", R, "CREATE TABLE AS or SELECT INTO", "CREATE TABLE with a key, then INSERT … SELECT", DDLLIM),
    Rule("LIM-TBL-12", R, "CREATE SCHEMA with elements", "separate statements", DDLLIM, refuses=True),
    Rule(
        "LIM-TBL-13",
        R,
        "ALTER TABLE form that Limitless lacks",
        "drop and add instead of rename; no ONLY",
        DDLLIM,
        refuses=True,
    ),
    # foreign keys
    Rule("LIM-FK-01", R, "foreign key inside CREATE TABLE", "ALTER TABLE … ADD CONSTRAINT after creation", DDLLIM),
    Rule(
        "LIM-FK-02",
        B,
        "foreign key between kinds of table that may not refer to each other",
        "change the kind of one table, or drop the key and check in the application",
        DDLLIM,
    ),
    Rule(
        "LIM-FK-03",
        R,
        "foreign key does not include the shard key",
        "make it ({key}, …); the parent's key must match",
        DDLLIM,
    ),
    Rule("LIM-FK-04", R, "ON DELETE SET NULL from a sharded table", "NO ACTION and an explicit UPDATE", DDLLIM),
    Rule("LIM-FK-05", R, "ON DELETE or ON UPDATE SET DEFAULT", "NO ACTION and an explicit UPDATE", DDLLIM),
    Rule("LIM-FK-06", R, "ON UPDATE CASCADE", "keep keys immutable; NO ACTION", DDLLIM),
    Rule("LIM-FK-07", R, "ON UPDATE SET NULL from a sharded table", "NO ACTION", DDLLIM),
    Rule(
        "LIM-FK-08",
        R,
        "foreign key NOT VALID on a sharded table",
        "add it fully validated in a quiet window",
        DDLLIM,
        refuses=True,
    ),
    Rule(
        "LIM-FK-09",
        R,
        "deferrable foreign key used with SET CONSTRAINTS",
        "INITIALLY DEFERRED, or reorder the writes",
        DDL,
    ),
    Rule("LIM-FK-10", N, "foreign keys must wait until the data is there", "add them last", DDLLIM),
    Rule("LIM-FK-11", R, "self-reference of a sharded table", "refer to ({key}, parent)", "inferred"),
    # columns, checks, sequences, indexes
    Rule("LIM-COL-01", R, "identity column", "a sequence with DEFAULT nextval, or uuid", DDLLIM, refuses=True),
    Rule("LIM-COL-02", W, "generated column", "compute it in the application", "unverified"),
    Rule("LIM-COL-03", R, "ALTER COLUMN TYPE … USING", "new column, backfill, swap", DDLLIM, refuses=True),
    Rule("LIM-COL-04", R, "domain type", "base type with a CHECK", DDL, refuses=True),
    Rule("LIM-COL-05", R, "column options, statistics target or compression", "remove", DDLLIM),
    Rule("LIM-COL-06", B, "large objects", "bytea or S3", DDL, refuses=True),
    Rule(
        "LIM-COL-07",
        W,
        "volatile default",
        "allowed; adding such a NOT NULL column failed before 16.6",
        DDLLIM + "; " + RN,
        (16, 6, 100),
        N,
    ),
    Rule(
        "LIM-COL-08",
        N,
        "type that the AWS loading utility refuses",
        "this tool copies it with COPY; nothing to do unless you use that utility",
        LOADER,
    ),
    Rule("LIM-COL-09", B, "type that is not made on Limitless", "another type, or add its schema to the plan", DDL),
    Rule(
        "LIM-CHK-01",
        R,
        "CHECK is more than comparisons with literals",
        "literal comparisons, or check in the application",
        DDLLIM + "; " + RN,
        (16, 10, 100),
        W,
    ),
    Rule("LIM-CHK-02", R, "CHECK depends on the current time", "check in the application", DDLLIM),
    Rule("LIM-CHK-03", W, "nested parentheses in CHECK or DEFAULT", "engine 16.9.100 or later", RN, (16, 9, 100), None),
    Rule("LIM-SEQ-01", R, "cycling, temporary or unlogged sequence", "redesign", DDLLIM, refuses=True),
    Rule("LIM-SEQ-02", R, "setval", "ALTER SEQUENCE … RESTART", DDLLIM, refuses=True),
    Rule(
        "LIM-SEQ-03",
        R,
        "order or paging by a sequence value",
        "order by a timestamp and the id, per tenant: routers hand out ids from different chunks",
        DDLLIM,
    ),
    Rule("LIM-SEQ-04", R, "sequence range too narrow for the chunks of all routers", "bigint", DDLLIM + "; " + RN),
    Rule("LIM-SEQ-05", R, "CACHE not below the chunk size", "lower it", DDLLIM),
    Rule(
        "LIM-SEQ-06",
        N,
        "sequence without an owner: numbers may be expected without gaps",
        "a counter row per tenant where gaps matter; carry its value over by hand",
        "inferred",
    ),
    Rule("LIM-IDX-01", R, "CREATE UNIQUE INDEX CONCURRENTLY", "plain unique index", DDLLIM, refuses=True),
    Rule(
        "LIM-IDX-02",
        W,
        "CREATE INDEX CONCURRENTLY on a table that is not sharded",
        "documented for sharded tables only",
        DDLLIM,
    ),
    Rule("LIM-IDX-03", R, "REINDEX", "create new, drop old", DML, refuses=True),
    Rule("LIM-IDX-04", W, "unique index with INCLUDE", "engine 16.11.100 or later", RN, (16, 11, 100), None),
    Rule(
        "LIM-IDX-05",
        W,
        "unique index with its own operator class",
        "engine 16.11.101 or later",
        RN,
        (16, 11, 101),
        None,
    ),
    Rule(
        "LIM-IDX-06", R, "CREATE INDEX IF NOT EXISTS", "engine 16.9.100 or later", RN, (16, 9, 100), None, refuses=True
    ),
    # objects
    Rule("LIM-OBJ-01", B, "trigger", "move what it does into the application or into the statement", DDL, refuses=True),
    Rule("LIM-OBJ-02", B, "event trigger", "do it outside of the database", DDL, refuses=True),
    Rule("LIM-OBJ-03", B, "rewrite rule", "a view and the application", DDL, refuses=True),
    Rule("LIM-OBJ-04", R, "materialized view", "a summary table filled by a job", DDL, refuses=True),
    Rule(
        "LIM-OBJ-05",
        B,
        "publication, subscription or replication slot",
        "feed consumers from classic, or from an outbox table",
        DDL,
        refuses=True,
    ),
    Rule("LIM-OBJ-06", B, "foreign data", "join in the application; aws_s3 for files", DDL, refuses=True),
    Rule(
        "LIM-OBJ-07",
        B,
        "aggregate, text search configuration, extended statistics, transform, access method or language",
        "use built-ins; drop statistics",
        DDL,
        refuses=True,
    ),
    Rule("LIM-OBJ-08", R, "COMMENT or SECURITY LABEL", "strip from the schema", DDL, refuses=True),
    Rule(
        "LIM-OBJ-09",
        R,
        "default privileges or database-wide settings",
        "explicit GRANT; ALTER ROLE SET; parameter group",
        DDL,
        refuses=True,
    ),
    Rule("LIM-OBJ-10", R, "CREATE DATABASE with TEMPLATE or TABLESPACE", "remove", DDLLIM, refuses=True),
    Rule(
        "LIM-OBJ-11", W, "security_barrier view, or views of several owners", "it loses single-shard optimisation", SSO
    ),
    Rule("LIM-OBJ-12", R, "ALTER or DROP ROUTINE", "ALTER or DROP FUNCTION or PROCEDURE", DDL, refuses=True),
    Rule(
        "LIM-SEC-01",
        W,
        "row-level security",
        (
            "require 16.10.100 (data leak fixed); ALTER and DROP POLICY are listed as unsupported; recreate "
            "policies after upgrades"
        ),
        DDL + "; " + RN,
    ),
    Rule("LIM-SEC-02", W, "all privileges granted to PUBLIC", "engine 16.10.100 or later", RN, (16, 10, 100), None),
    Rule("LIM-EXT-01", B, "extension that Limitless lacks", "replace it", DDLLIM + "; " + RN, refuses=True),
    Rule("LIM-EXT-02", R, "ALTER EXTENSION ADD or DROP", "none", DDLLIM, refuses=True),
)
