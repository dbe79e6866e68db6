"""Which rules does the audit know, how bad is each, and what does one do about it?

Every rule of the Limitless DDL, DML, key, session and query-shape limits, with its severity, which may depend on
the engine version of the target. Sources are page names of the Aurora User Guide ("ddl-limitations" stands for
limitless-reference.DDL-limitations.html), read in April 2026 and again later that year, and the Limitless release
notes up to September 2026 ("release notes"). "inferred" marks our own deduction, "third party" a published test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """blocker: refused or silently lost, no mechanical fix. rewrite: a mechanical fix exists. warning: works, at a
    risk or a cost, or is not confirmed. info: good to know."""

    BLOCKER = "blocker"
    REWRITE = "rewrite"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        return ("blocker", "rewrite", "warning", "info").index(self.value)


Engine = tuple[int, int, int]
"""A Limitless engine version: 16.11.102 is (16, 11, 102)."""

RECOMMENDED: Engine = (16, 11, 102)


def parse_engine(text: str) -> Engine:
    """Return the version in *text*, for example "16.13-limitless". Without a patch number the newest is meant.

    Raises:
        ValueError: if *text* holds no version.
    """
    found = re.match(r"\s*(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise ValueError(f"not an engine version: {text!r} (for example 16.13-limitless)")
    return int(found[1]), int(found[2]), int(found[3]) if found[3] else 999


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit.

    Attributes:
        eased_from: engine version from which *eased* is the severity (None there: the rule no longer applies).
    """

    id: str
    severity: Severity
    title: str
    fix: str
    source: str
    eased_from: Engine | None = None
    eased: Severity | None = None

    def at(self, engine: Engine) -> Severity | None:
        """Return the severity on *engine*; None when the rule does not apply there."""
        if self.eased_from is not None and engine >= self.eased_from:
            return self.eased
        return self.severity


B, R, W, I = Severity.BLOCKER, Severity.REWRITE, Severity.WARNING, Severity.INFO  # noqa: E741 - four columns of a table
DDL, DDLLIM, DML, DMLLIM = "ddl-support", "ddl-limitations", "dml-support", "dml-limitations"
REQS, SSO, RN, CONVERT, LOADER = (
    "reqs-limits",
    "query.single-shard",
    "release notes",
    "converting-standard",
    "load.utility",
)

_ALL: tuple[Rule, ...] = (
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
    Rule("LIM-KEY-04", B, "a statement updates the shard key", "DELETE and INSERT in one transaction", DMLLIM),
    Rule(
        "LIM-KEY-05",
        B,
        "a migration drops or retypes the shard key column",
        "choose the final type before creation",
        DDLLIM,
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
    Rule("LIM-KEY-11", B, "exclusion constraint", "check in the application, or serialise on a locked row", DDLLIM),
    Rule("LIM-KEY-12", W, "table without a primary key", "add one: loader and row comparison need it", LOADER),
    # tables
    Rule(
        "LIM-TBL-01",
        R,
        "declarative partitioning",
        "flatten; replace dropping partitions by batched DELETE",
        "third party; " + DDLLIM,
    ),
    Rule("LIM-TBL-02", B, "table inheritance", "flatten", "inferred"),
    Rule("LIM-TBL-03", R, "storage parameters", "remove WITH (…)", DDLLIM),
    Rule("LIM-TBL-04", R, "temporary table", "a CTE, an array parameter, or a work table keyed by tenant and run", DDL),
    Rule("LIM-TBL-05", W, "unlogged table", "make it logged", "unverified"),
    Rule("LIM-TBL-06", R, "tablespace", "remove it", DDL),
    Rule("LIM-TBL-07", R, "name longer than 54 bytes", "rename, on both sides", REQS),
    Rule("LIM-TBL-08", R, "reference table without a primary key", "add one", CONVERT),
    Rule(
        "LIM-TBL-09", W, "reference table is written often", "shard it: each write goes to every shard", "architecture"
    ),
    Rule("LIM-TBL-10", W, "big or hot standard table", "shard it: all standard tables share one shard", "architecture"),
    Rule("LIM-TBL-11", R, "CREATE TABLE AS or SELECT INTO", "CREATE TABLE with a key, then INSERT … SELECT", DDLLIM),
    Rule("LIM-TBL-12", R, "CREATE SCHEMA with elements", "separate statements", DDLLIM),
    Rule("LIM-TBL-13", R, "ALTER TABLE form that Limitless lacks", "drop and add instead of rename; no ONLY", DDLLIM),
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
        "LIM-FK-08", R, "foreign key NOT VALID on a sharded table", "add it fully validated in a quiet window", DDLLIM
    ),
    Rule(
        "LIM-FK-09",
        R,
        "deferrable foreign key used with SET CONSTRAINTS",
        "INITIALLY DEFERRED, or reorder the writes",
        DDL,
    ),
    Rule("LIM-FK-10", I, "foreign keys must wait until the data is there", "add them last", DDLLIM),
    Rule("LIM-FK-11", R, "self-reference of a sharded table", "refer to ({key}, parent)", "inferred"),
    # columns, checks, sequences, indexes
    Rule("LIM-COL-01", R, "identity column", "a sequence with DEFAULT nextval, or uuid", DDLLIM),
    Rule("LIM-COL-02", W, "generated column", "compute it in the application", "unverified"),
    Rule("LIM-COL-03", R, "ALTER COLUMN TYPE … USING", "new column, backfill, swap", DDLLIM),
    Rule("LIM-COL-04", R, "domain type", "base type with a CHECK", DDL),
    Rule("LIM-COL-05", R, "column options, statistics target or compression", "remove", DDLLIM),
    Rule("LIM-COL-06", B, "large objects", "bytea or S3", DDL),
    Rule(
        "LIM-COL-07",
        W,
        "volatile default",
        "allowed; adding such a NOT NULL column failed before 16.6",
        DDLLIM + "; " + RN,
        (16, 6, 100),
        I,
    ),
    Rule(
        "LIM-COL-08",
        I,
        "type that the AWS loading utility refuses",
        "this tool copies it with COPY; nothing to do unless you use that utility",
        LOADER,
    ),
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
    Rule("LIM-SEQ-01", R, "cycling, temporary or unlogged sequence", "redesign", DDLLIM),
    Rule("LIM-SEQ-02", R, "setval", "ALTER SEQUENCE … RESTART", DDLLIM),
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
        I,
        "sequence without an owner: numbers may be expected without gaps",
        "a counter row per tenant where gaps matter; carry its value over by hand",
        "inferred",
    ),
    Rule("LIM-IDX-01", R, "CREATE UNIQUE INDEX CONCURRENTLY", "plain unique index", DDLLIM),
    Rule(
        "LIM-IDX-02",
        W,
        "CREATE INDEX CONCURRENTLY on a table that is not sharded",
        "documented for sharded tables only",
        DDLLIM,
    ),
    Rule("LIM-IDX-03", R, "REINDEX", "create new, drop old", DML),
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
    Rule("LIM-IDX-06", R, "CREATE INDEX IF NOT EXISTS", "engine 16.9.100 or later", RN, (16, 9, 100), None),
    # objects
    Rule("LIM-OBJ-01", B, "trigger", "move what it does into the application or into the statement", DDL),
    Rule("LIM-OBJ-02", B, "event trigger", "do it outside of the database", DDL),
    Rule("LIM-OBJ-03", B, "rewrite rule", "a view and the application", DDL),
    Rule("LIM-OBJ-04", R, "materialized view", "a summary table filled by a job", DDL),
    Rule(
        "LIM-OBJ-05",
        B,
        "publication, subscription or replication slot",
        "feed consumers from classic, or from an outbox table",
        DDL,
    ),
    Rule("LIM-OBJ-06", B, "foreign data", "join in the application; aws_s3 for files", DDL),
    Rule(
        "LIM-OBJ-07",
        B,
        "aggregate, text search configuration, extended statistics, transform, access method or language",
        "use built-ins; drop statistics",
        DDL,
    ),
    Rule("LIM-OBJ-08", R, "COMMENT or SECURITY LABEL", "strip from the schema", DDL),
    Rule(
        "LIM-OBJ-09",
        R,
        "default privileges or database-wide settings",
        "explicit GRANT; ALTER ROLE SET; parameter group",
        DDL,
    ),
    Rule("LIM-OBJ-10", R, "CREATE DATABASE with TEMPLATE or TABLESPACE", "remove", DDLLIM),
    Rule(
        "LIM-OBJ-11", W, "security_barrier view, or views of several owners", "it loses single-shard optimisation", SSO
    ),
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
    Rule("LIM-EXT-01", B, "extension that Limitless lacks", "replace it", DDLLIM + "; " + RN),
    Rule("LIM-EXT-02", R, "ALTER EXTENSION ADD or DROP", "none", DDLLIM),
    # functions
    Rule("LIM-FN-01", B, "trigger function", "goes with its trigger", DDL),
    Rule("LIM-FN-02", B, "function body holds what Limitless refuses", "rewrite the statement named", DDL + "; " + DML),
    Rule("LIM-FN-03", W, "dynamic SQL", "read it by hand: its statements are not known", "inferred"),
    Rule(
        "LIM-FN-04",
        W,
        "function runs on the router, one round trip per statement",
        "limitless_distribute_function with the tenant as argument",
        "performance-functions",
    ),
    Rule(
        "LIM-FN-05",
        W,
        "function may not be distributed: it touches other tenants or standard tables",
        "keep it on the router: a distributed function sees one shard only",
        DDLLIM,
    ),
    Rule("LIM-FN-06", R, "IMMUTABLE function that reads tables", "declare it STABLE before creation", DDLLIM),
    Rule(
        "LIM-FN-07",
        W,
        "SECURITY DEFINER function in a filter",
        "it runs on the router and pulls rows up",
        "published paper",
    ),
    Rule(
        "LIM-FN-08",
        W,
        "DDL inside a function or procedure",
        "engine 16.9.101 or later; run DDL from outside",
        RN,
        (16, 9, 101),
        I,
    ),
    # statements
    Rule("LIM-DML-01", R, "MERGE", "INSERT … ON CONFLICT, or UPDATE then INSERT", DML),
    Rule(
        "LIM-DML-02",
        R,
        "ON CONFLICT DO UPDATE with a subquery or a function that is not immutable",
        "pass the value as a parameter, or use EXCLUDED",
        DMLLIM,
    ),
    Rule("LIM-DML-03", R, "ON CONFLICT target lacks the shard key", "use the composite key ({key}, …)", "inferred"),
    Rule("LIM-DML-04", R, "WHERE CURRENT OF", "by primary key", DML),
    Rule("LIM-DML-05", B, "LISTEN, NOTIFY or pg_notify", "a queue service, or polling", DML),
    Rule("LIM-DML-06", R, "COPY with a file or program of the server", "STDIN and STDOUT, or aws_s3", "load.copy"),
    Rule("LIM-DML-07", W, "RETURNING of DELETE or INSERT", "engine 16.8.101 or later", RN, (16, 8, 101), None),
    Rule("LIM-DML-08", R, "ctid, xmin, tableoid or other system columns", "primary key", RN),
    Rule("LIM-TXN-01", B, "SERIALIZABLE", "REPEATABLE READ and explicit locks", REQS),
    Rule("LIM-TXN-02", B, "prepared transactions", "outbox or saga", DML),
    Rule(
        "LIM-TXN-03",
        W,
        "transaction writes several tenants",
        "one transaction per tenant: two-phase commit costs",
        "waits-reference",
    ),
    Rule(
        "LIM-TXN-04",
        I,
        "retries on deadlock and serialization failures",
        "retry class 40 and the message of a distributed deadlock",
        "query.deadlocks",
    ),
    Rule(
        "LIM-TXN-05",
        B,
        "advisory locks",
        "row lock, or engine 16.10.100 and later (scope not documented)",
        RN,
        (16, 10, 100),
        W,
    ),
    Rule("LIM-TXN-06", R, "SET CONSTRAINTS", "INITIALLY DEFERRED, or reorder the writes", DDL),
    # query shape
    Rule("LIM-QRY-01", W, "no equality on the whole shard key", "add the tenant predicate", SSO),
    Rule(
        "LIM-QRY-02",
        W,
        "join in which a sharded table has neither a constant nor a join condition on its shard key",
        "add the tenant equality for every sharded table",
        SSO,
    ),
    Rule(
        "LIM-QRY-03",
        W,
        "function that is not immutable in a single-shard statement",
        "pass its value as a parameter",
        SSO,
    ),
    Rule("LIM-QRY-04", W, "SQL in PL/pgSQL with variables", "distribute the function by its tenant argument", SSO),
    Rule("LIM-QRY-05", W, "generic plans forced", "plan_cache_mode = force_custom_plan", SSO),
    Rule(
        "LIM-QRY-06",
        W,
        "outer join that null-pads a sharded table against a reference table",
        "it runs on the router",
        "published paper",
    ),
    Rule(
        "LIM-QRY-07",
        W,
        "standard table joined with a sharded or reference table",
        "it runs on the router",
        "published paper",
    ),
    Rule("LIM-QRY-08", W, "shard key given as range, list, OR or inside an expression", "one equality", "inferred"),
    Rule(
        "LIM-QRY-09",
        I,
        "report over all tenants",
        "run it on an analytics copy: it costs CPU on every shard",
        "performance-functions",
    ),
    # sessions and services
    Rule(
        "LIM-SES-01",
        B,
        "RDS Proxy in front of Limitless",
        (
            "PgBouncer of your own, or the AWS driver with its Limitless plugin (articles that put RDS Proxy "
            "there are wrong)"
        ),
        REQS,
    ),
    Rule(
        "LIM-SES-02",
        W,
        "connections stick to one router",
        "spread them and give them a maximum lifetime",
        "shard-group connection",
    ),
    Rule("LIM-SES-03", B, "service that does not work with Limitless", "an alternative per service", REQS),
    Rule("LIM-SES-04", W, "session SET", "SET LOCAL inside the transaction", "inferred"),
    Rule(
        "LIM-SES-05",
        W,
        "named prepared statement",
        "protocol-level statements per transaction, or a pooler that tracks them",
        "inferred",
    ),
    # versions and evidence
    Rule("LIM-VER-01", W, "target engine below the recommended floor", "16.11.102 or 16.13.102", RN),
    Rule("LIM-VER-02", I, "the target speaks PostgreSQL 16", "read the item", "PostgreSQL 16 release notes"),
    Rule("AUD-EVD-01", W, "evidence is missing", "give the audit what it lacks and run it again", "audit"),
    Rule("AUD-EVD-02", W, "a statement cannot be parsed", "look at the text at the position named", "audit"),
    Rule("AUD-EVD-03", W, "a statement names a relation that the schema does not have", "give its schema too", "audit"),
    Rule("AUD-EVD-04", W, "a piece of input cannot be read", "look at the line named", "audit"),
    Rule(
        "AUD-TEN-01",
        B,
        "rows without a tenant",
        "give every row its tenant, or move the rows to a table without one",
        "audit",
    ),
    Rule("AUD-TEN-02", W, "tenant that the root table does not know", "add the tenant, or remove the rows", "audit"),
    Rule(
        "AUD-TEN-03",
        W,
        "rows whose parent is missing, so their tenant cannot be derived",
        "repair the foreign key",
        "audit",
    ),
    Rule(
        "AUD-RUN-01",
        W,
        "the writer has no headroom for the plan's calendar",
        "a larger writer first, or capture from the WAL",
        "audit",
    ),
    Rule(
        "AUD-CPY-01",
        I,
        "the copy reads the whole table for every unit",
        "CREATE INDEX CONCURRENTLY on classic, or accept a few large units, each with a long snapshot",
        "audit",
    ),
    Rule(
        "AUD-TRG-01",
        W,
        "table that a statement trigger cannot capture",
        "row-level capture, or the WAL source",
        "audit",
    ),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in _ALL}
