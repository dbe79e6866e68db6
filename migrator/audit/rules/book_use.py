"""The rules about a database's use and about the audit's own evidence: functions, statements, sessions."""

from __future__ import annotations

from migrator.audit.rules.rule import Rule, Severity

B, R, W, N = Severity.BLOCKER, Severity.REWRITE, Severity.WARNING, Severity.INFO
DDL = "ddl-support"
DDLLIM = "ddl-limitations"
DML = "dml-support"
DMLLIM = "dml-limitations"
REQS = "reqs-limits"
SSO = "query.single-shard"
RN = "release notes"

USE: tuple[Rule, ...] = (
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
        N,
    ),
    Rule(
        "LIM-FN-09", R, "the volatility of a function is changed", "drop and create the function", DDLLIM, refuses=True
    ),
    # statements
    Rule("LIM-DML-01", R, "MERGE", "INSERT … ON CONFLICT, or UPDATE then INSERT", DML, refuses=True),
    Rule(
        "LIM-DML-02",
        R,
        "ON CONFLICT DO UPDATE with a subquery or a function that is not immutable",
        "pass the value as a parameter, or use EXCLUDED",
        DMLLIM,
        refuses=True,
    ),
    Rule(
        "LIM-DML-03",
        R,
        "ON CONFLICT target lacks the shard key",
        "use the composite key ({key}, …)",
        "inferred",
        refuses=True,
    ),
    Rule("LIM-DML-04", R, "WHERE CURRENT OF", "by primary key", DML, refuses=True),
    Rule("LIM-DML-05", B, "LISTEN, NOTIFY or pg_notify", "a queue service, or polling", DML, refuses=True),
    Rule(
        "LIM-DML-06",
        R,
        "COPY with a file or program of the server",
        "STDIN and STDOUT, or aws_s3",
        "load.copy",
        refuses=True,
    ),
    Rule("LIM-DML-07", W, "RETURNING of DELETE or INSERT", "engine 16.8.101 or later", RN, (16, 8, 101), None),
    Rule("LIM-DML-08", R, "ctid, xmin, tableoid or other system columns", "primary key", RN),
    Rule("LIM-TXN-01", B, "SERIALIZABLE", "REPEATABLE READ and explicit locks", REQS, refuses=True),
    Rule("LIM-TXN-02", B, "prepared transactions", "outbox or saga", DML, refuses=True),
    Rule(
        "LIM-TXN-03",
        W,
        "transaction writes several tenants",
        "one transaction per tenant: two-phase commit costs",
        "waits-reference",
    ),
    Rule(
        "LIM-TXN-04",
        N,
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
        refuses=True,
    ),
    Rule("LIM-TXN-06", R, "SET CONSTRAINTS", "INITIALLY DEFERRED, or reorder the writes", DDL, refuses=True),
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
        N,
        "report over all tenants",
        "run it on an analytics copy: it costs CPU on every shard",
        "performance-functions",
    ),
    Rule(
        "LIM-QRY-10",
        R,
        "GROUP BY a primary key that gains the shard key",
        "add {key} to GROUP BY; where the column exists on classic it may be done before the move",
        "inferred from " + DDLLIM,
        refuses=True,
    ),
    Rule(
        "LIM-QRY-11",
        R,
        "a name is ambiguous once a table gains the shard key",
        "write {key} with its table; that may be done before the move",
        "inferred from " + DDLLIM,
        refuses=True,
    ),
    Rule(
        "LIM-QRY-12",
        W,
        "a name in a subquery means another table once that table gains the shard key",
        "write {key} with the table that is meant; that may be done before the move",
        "inferred from " + DDLLIM,
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
    Rule("LIM-VER-02", N, "the target speaks PostgreSQL 16", "read the item", "PostgreSQL 16 release notes"),
    Rule(
        "LIM-VER-03",
        W,
        "the database is not encoded in UTF8",
        'compare sizes and orders of texts: length in bytes, convert_to, and comparisons in COLLATE "C" change',
        "inferred",
    ),
    Rule(
        "AUD-ACT-01",
        W,
        "transaction that stays open",
        "end it, or set idle_in_transaction_session_timeout for its role: the triggers of capture wait for its locks, "
        "and what wrote before it is kept from VACUUM and from the copy's snapshots",
        "audit",
    ),
    Rule(
        "AUD-ACT-02",
        W,
        "age of the oldest transaction ids (wraparound)",
        "VACUUM (FREEZE) the tables named before the copy begins: its snapshots hold VACUUM back",
        "audit",
    ),
    Rule(
        "AUD-ACT-03",
        W,
        "few connections are left",
        "raise max_connections, or the limit of the role, or let the application's pools hold fewer",
        "audit",
    ),
    Rule(
        "AUD-ACT-04",
        N,
        "timeout set for a role or the database",
        "it comes to Limitless with the role; a statement that asks several shards takes longer there. Timeouts of a "
        "database become those of its roles",
        "audit",
    ),
    Rule("AUD-EVD-01", W, "evidence is missing", "give the audit what it lacks and run it again", "audit"),
    Rule("AUD-EVD-02", W, "a statement cannot be parsed", "see the text at the position named", "audit"),
    Rule("AUD-EVD-03", W, "a statement names a relation that the schema does not have", "give its schema too", "audit"),
    Rule("AUD-EVD-04", W, "a piece of input cannot be read", "see the line named", "audit"),
    Rule(
        "AUD-EVD-05",
        B,
        "the evidence is not enough for a verdict",
        "give the input that is missing and run it again, or acknowledge this finding by its id",
        "audit",
    ),
    Rule(
        "AUD-EVD-06",
        W,
        "the schema names an object that it does not hold",
        "give its schema too; what depends on it cannot be judged",
        "audit",
    ),
    Rule(
        "AUD-EXP-01",
        W,
        "the cluster's plan costs more than the verdict says",
        "read the plan in the report: name the shard key for every sharded table, or count it as cross-shard",
        "query.single-shard",
    ),
    Rule(
        "AUD-TEN-01",
        B,
        "rows without a tenant",
        "give every row its tenant, or move the rows to a table without one",
        "audit",
    ),
    Rule("AUD-TEN-02", W, "tenant that the root table does not have", "add the tenant, or remove the rows", "audit"),
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
        "reads on replicas first, then a larger writer: the runway says how much of each",
        "audit",
    ),
    Rule(
        "AUD-CPY-01",
        N,
        "the copy reads the whole table for every unit",
        "CREATE INDEX CONCURRENTLY on classic, or accept a few large units, each with a long snapshot",
        "audit",
    ),
    Rule(
        "AUD-TRG-01",
        W,
        "table that a statement trigger cannot capture",
        "end the subscription before dual write begins, or have its rows written by an application",
        "audit",
    ),
)
