"""What Limitless refuses: one table of it, for the audit's findings and the stand-in's answers alike.

Two parts are judged on a parse tree (refusing.py): whole commands, and forms inside commands it has. The third is what
only a catalog shows, and the stand-in's scripts judge there. What no document says is in none of them: that is asked of
the cluster at hand (capability.py), and neither the audit nor the stand-in refuses it by itself.

Source: Aurora User Guide, limitless DDL support, DDL limitations, DML support, DML limitations, requirements; the
release notes to September 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migrator.model.limits import Engine

PUSHDOWN = "Aurora Limitless Tables doesn't support pushdown-unsafe functions with DO UPDATE clauses."


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing that Limitless refuses.

    Attributes:
        name: the command as PostgreSQL tags it, or the form.
        rule: of the audit.
        example: a statement, for `t`, a table with the columns `a` and `b`.
        message: Limitless' own, where it is known and another than "<name> is not supported".
        inferred: from what is documented, rather than documented itself; "" when it is.
        until: engine version from which Limitless takes it; the stand-in plays one that does.
    """

    name: str
    rule: str
    example: str
    message: str = ""
    inferred: str = ""
    until: Engine | None = None

    @property
    def words(self) -> str:
        """What the server says."""
        return self.message or f"{self.name} is not supported"

    @property
    def reason(self) -> str:
        """What the audit says, for whole commands: the kind of object that is missing, else the command."""
        verb, _, noun = self.name.partition(" ")
        missing = None if verb == "DROP" else _MISSING.get(noun)
        text = f"{missing} on Limitless" if missing else f"{self.name} does not exist on Limitless"
        return f"{text} (not documented: {self.inferred})" if self.inferred else text


_MISSING = {
    "TRIGGER": "triggers do not exist",
    "EVENT TRIGGER": "event triggers do not exist",
    "RULE": "rules do not exist",
    "MATERIALIZED VIEW": "materialized views do not exist",
    "PUBLICATION": "publications do not exist",
    "SUBSCRIPTION": "subscriptions do not exist",
    "FOREIGN DATA WRAPPER": "foreign data wrappers cannot be used",
    "SERVER": "foreign servers cannot be used",
    "FOREIGN TABLE": "foreign tables cannot be used",
    "FOREIGN SCHEMA": "foreign tables cannot be used",
    "USER MAPPING": "user mappings cannot be used",
    "STATISTICS": "extended statistics do not exist",
    "TRANSFORM": "transforms do not exist",
    "ACCESS METHOD": "access methods do not exist",
    "DOMAIN": "domains do not exist",
    "TABLESPACE": "tablespaces do not exist",
    "TRANSACTION": "prepared transactions do not exist",
    "PREPARED": "prepared transactions do not exist",
}


def _by_name(*refused: Refused) -> Mapping[str, Refused]:
    by_name = {r.name: r for r in refused}
    assert len(by_name) == len(refused), "a name stands twice in the table"
    return by_name


COMMANDS = _by_name(
    # DML and utility commands
    Refused("MERGE", "LIM-DML-01", "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE"),
    Refused("LISTEN", "LIM-DML-05", "LISTEN jobs"),
    Refused("UNLISTEN", "LIM-DML-05", "UNLISTEN *"),
    Refused("NOTIFY", "LIM-DML-05", "NOTIFY jobs"),
    Refused("REINDEX", "LIM-IDX-03", "REINDEX TABLE t"),
    Refused("SET CONSTRAINTS", "LIM-TXN-06", "SET CONSTRAINTS ALL DEFERRED"),
    Refused("PREPARE TRANSACTION", "LIM-TXN-02", "PREPARE TRANSACTION 'x'"),
    Refused("COMMIT PREPARED", "LIM-TXN-02", "COMMIT PREPARED 'x'"),
    Refused("ROLLBACK PREPARED", "LIM-TXN-02", "ROLLBACK PREPARED 'x'"),
    Refused("REFRESH MATERIALIZED VIEW", "LIM-OBJ-04", "REFRESH MATERIALIZED VIEW m"),
    Refused("IMPORT FOREIGN SCHEMA", "LIM-OBJ-06", "IMPORT FOREIGN SCHEMA f FROM SERVER s INTO public"),
    # objects
    Refused("CREATE TRIGGER", "LIM-OBJ-01", "CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f()"),
    Refused("ALTER TRIGGER", "LIM-OBJ-01", "ALTER TRIGGER x ON t RENAME TO y"),
    Refused("DROP TRIGGER", "LIM-OBJ-01", "DROP TRIGGER x ON t"),
    Refused("CREATE EVENT TRIGGER", "LIM-OBJ-02", "CREATE EVENT TRIGGER x ON sql_drop EXECUTE FUNCTION f()"),
    Refused("ALTER EVENT TRIGGER", "LIM-OBJ-02", "ALTER EVENT TRIGGER x DISABLE"),
    Refused("DROP EVENT TRIGGER", "LIM-OBJ-02", "DROP EVENT TRIGGER x"),
    Refused("CREATE RULE", "LIM-OBJ-03", "CREATE RULE x AS ON INSERT TO t DO NOTHING"),
    Refused("ALTER RULE", "LIM-OBJ-03", "ALTER RULE x ON t RENAME TO y"),
    Refused("DROP RULE", "LIM-OBJ-03", "DROP RULE x ON t"),
    Refused("CREATE MATERIALIZED VIEW", "LIM-OBJ-04", "CREATE MATERIALIZED VIEW m AS SELECT 1"),
    Refused("ALTER MATERIALIZED VIEW", "LIM-OBJ-04", "ALTER MATERIALIZED VIEW m RENAME COLUMN a TO b"),
    Refused("DROP MATERIALIZED VIEW", "LIM-OBJ-04", "DROP MATERIALIZED VIEW m"),
    Refused("CREATE PUBLICATION", "LIM-OBJ-05", "CREATE PUBLICATION p FOR TABLE t"),
    Refused("ALTER PUBLICATION", "LIM-OBJ-05", "ALTER PUBLICATION p OWNER TO dba"),
    Refused("DROP PUBLICATION", "LIM-OBJ-05", "DROP PUBLICATION p"),
    Refused("CREATE SUBSCRIPTION", "LIM-OBJ-05", "CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p"),
    Refused("ALTER SUBSCRIPTION", "LIM-OBJ-05", "ALTER SUBSCRIPTION s DISABLE"),
    Refused("DROP SUBSCRIPTION", "LIM-OBJ-05", "DROP SUBSCRIPTION s"),
    Refused("CREATE FOREIGN DATA WRAPPER", "LIM-OBJ-06", "CREATE FOREIGN DATA WRAPPER w"),
    Refused("ALTER FOREIGN DATA WRAPPER", "LIM-OBJ-06", "ALTER FOREIGN DATA WRAPPER w OPTIONS (x '1')"),
    Refused("DROP FOREIGN DATA WRAPPER", "LIM-OBJ-06", "DROP FOREIGN DATA WRAPPER w"),
    Refused("CREATE SERVER", "LIM-OBJ-06", "CREATE SERVER s FOREIGN DATA WRAPPER w"),
    Refused("ALTER SERVER", "LIM-OBJ-06", "ALTER SERVER s OWNER TO dba"),
    Refused("DROP SERVER", "LIM-OBJ-06", "DROP SERVER s"),
    Refused("CREATE FOREIGN TABLE", "LIM-OBJ-06", "CREATE FOREIGN TABLE f (a int) SERVER s"),
    Refused("ALTER FOREIGN TABLE", "LIM-OBJ-06", "ALTER FOREIGN TABLE f RENAME COLUMN a TO b"),
    Refused("DROP FOREIGN TABLE", "LIM-OBJ-06", "DROP FOREIGN TABLE f"),
    Refused("CREATE USER MAPPING", "LIM-OBJ-06", "CREATE USER MAPPING FOR dba SERVER s"),
    Refused("ALTER USER MAPPING", "LIM-OBJ-06", "ALTER USER MAPPING FOR dba SERVER s OPTIONS (x '1')"),
    Refused("DROP USER MAPPING", "LIM-OBJ-06", "DROP USER MAPPING FOR dba SERVER s"),
    Refused("CREATE AGGREGATE", "LIM-OBJ-07", "CREATE AGGREGATE g (int) (SFUNC = int4pl, STYPE = int)"),
    Refused("ALTER AGGREGATE", "LIM-OBJ-07", "ALTER AGGREGATE g (int) RENAME TO h"),  # DROP AGGREGATE is taken
    Refused("CREATE STATISTICS", "LIM-OBJ-07", "CREATE STATISTICS s ON a, b FROM t"),
    Refused("ALTER STATISTICS", "LIM-OBJ-07", "ALTER STATISTICS s SET STATISTICS 5"),
    Refused("DROP STATISTICS", "LIM-OBJ-07", "DROP STATISTICS s"),
    Refused(
        "CREATE TRANSFORM", "LIM-OBJ-07", "CREATE TRANSFORM FOR int LANGUAGE l (FROM SQL WITH FUNCTION f(internal))"
    ),
    Refused("DROP TRANSFORM", "LIM-OBJ-07", "DROP TRANSFORM FOR int LANGUAGE l"),
    Refused("CREATE ACCESS METHOD", "LIM-OBJ-07", "CREATE ACCESS METHOD m TYPE INDEX HANDLER f"),
    Refused("DROP ACCESS METHOD", "LIM-OBJ-07", "DROP ACCESS METHOD m"),
    Refused("CREATE LANGUAGE", "LIM-OBJ-07", "CREATE LANGUAGE l HANDLER f"),
    Refused("ALTER LANGUAGE", "LIM-OBJ-07", "ALTER LANGUAGE l OWNER TO dba"),
    Refused("DROP LANGUAGE", "LIM-OBJ-07", "DROP LANGUAGE l"),
    Refused("CREATE TEXT SEARCH CONFIGURATION", "LIM-OBJ-07", "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)"),
    Refused("ALTER TEXT SEARCH CONFIGURATION", "LIM-OBJ-07", "ALTER TEXT SEARCH CONFIGURATION c DROP MAPPING FOR word"),
    Refused("DROP TEXT SEARCH CONFIGURATION", "LIM-OBJ-07", "DROP TEXT SEARCH CONFIGURATION c"),
    Refused("CREATE TEXT SEARCH DICTIONARY", "LIM-OBJ-07", "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple)"),
    Refused("ALTER TEXT SEARCH DICTIONARY", "LIM-OBJ-07", "ALTER TEXT SEARCH DICTIONARY d (stopwords = x)"),
    Refused("DROP TEXT SEARCH DICTIONARY", "LIM-OBJ-07", "DROP TEXT SEARCH DICTIONARY d"),
    Refused("CREATE TEXT SEARCH PARSER", "LIM-OBJ-07", "CREATE TEXT SEARCH PARSER p (START = f)"),
    Refused("ALTER TEXT SEARCH PARSER", "LIM-OBJ-07", "ALTER TEXT SEARCH PARSER p RENAME TO q"),
    Refused("DROP TEXT SEARCH PARSER", "LIM-OBJ-07", "DROP TEXT SEARCH PARSER p"),
    Refused("CREATE TEXT SEARCH TEMPLATE", "LIM-OBJ-07", "CREATE TEXT SEARCH TEMPLATE x (LEXIZE = f)"),
    Refused("ALTER TEXT SEARCH TEMPLATE", "LIM-OBJ-07", "ALTER TEXT SEARCH TEMPLATE x SET SCHEMA y"),
    Refused("DROP TEXT SEARCH TEMPLATE", "LIM-OBJ-07", "DROP TEXT SEARCH TEMPLATE x"),
    Refused("CREATE DOMAIN", "LIM-COL-04", "CREATE DOMAIN d AS int"),
    Refused("ALTER DOMAIN", "LIM-COL-04", "ALTER DOMAIN d RENAME CONSTRAINT x TO y"),
    Refused("DROP DOMAIN", "LIM-COL-04", "DROP DOMAIN d"),
    Refused("ALTER LARGE OBJECT", "LIM-COL-06", "ALTER LARGE OBJECT 5 OWNER TO dba"),
    Refused("ALTER ROUTINE", "LIM-OBJ-12", "ALTER ROUTINE f() RENAME TO g"),
    Refused("DROP ROUTINE", "LIM-OBJ-12", "DROP ROUTINE f()"),
    Refused("COMMENT", "LIM-OBJ-08", "COMMENT ON TABLE t IS 'x'"),
    Refused("SECURITY LABEL", "LIM-OBJ-08", "SECURITY LABEL ON TABLE t IS 'x'"),
    Refused("ALTER POLICY", "LIM-SEC-01", "ALTER POLICY p ON t RENAME TO q"),
    Refused(
        "DROP POLICY", "LIM-SEC-01", "DROP POLICY p ON t"
    ),  # the release notes list a fix of DROP POLICY IF EXISTS: try it there
    Refused("ALTER EXTENSION ADD or DROP", "LIM-EXT-02", "ALTER EXTENSION x ADD TABLE t"),
    # the whole database or server
    Refused("CREATE TABLESPACE", "LIM-TBL-06", "CREATE TABLESPACE x LOCATION '/x'"),
    Refused("ALTER TABLESPACE", "LIM-TBL-06", "ALTER TABLESPACE x SET (seq_page_cost = 2)"),
    Refused("DROP TABLESPACE", "LIM-TBL-06", "DROP TABLESPACE x"),
    Refused("ALL IN TABLESPACE", "LIM-TBL-13", "ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y"),
    Refused("ALTER DEFAULT PRIVILEGES", "LIM-OBJ-09", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO dba"),
    Refused("ALTER DATABASE", "LIM-OBJ-09", "ALTER DATABASE x REFRESH COLLATION VERSION"),
    Refused("ALTER SYSTEM", "LIM-OBJ-09", "ALTER SYSTEM SET work_mem = '1GB'"),
    Refused("DROP OWNED", "LIM-OBJ-09", "DROP OWNED BY dba"),
    Refused("REASSIGN OWNED", "LIM-OBJ-09", "REASSIGN OWNED BY dba TO x"),
)
"""Commands that Limitless does not have, by PostgreSQL's command tag."""

_NO_STORAGE = "Limitless has no storage parameters and no tablespaces"
_OLDER = "the engine is PostgreSQL 16, which lacks it"

FORMS = _by_name(
    Refused("WHERE CURRENT OF", "LIM-DML-04", "UPDATE t SET a = 1 WHERE CURRENT OF c"),
    Refused("subquery in ON CONFLICT DO UPDATE", "LIM-DML-02",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = (SELECT 1)"),
    Refused("volatile ON CONFLICT DO UPDATE", "LIM-DML-02",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = current_timestamp", PUSHDOWN),
    Refused("COPY from or to a file or program of the server", "LIM-DML-06", "COPY t FROM PROGRAM 'x'"),
    Refused("ISOLATION LEVEL SERIALIZABLE", "LIM-TXN-01", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
    # CREATE
    Refused("TEMPORARY TABLE", "LIM-TBL-04", "CREATE TEMPORARY TABLE x AS SELECT 1"),
    Refused("PARTITION BY", "LIM-TBL-01", "CREATE TABLE x (a int) PARTITION BY LIST (a)"),
    Refused("PARTITION OF", "LIM-TBL-01", "CREATE TABLE x PARTITION OF t DEFAULT",
            inferred="no table is partitioned by others"),
    Refused("INHERITS", "LIM-TBL-02", "CREATE TABLE x () INHERITS (t)", inferred="children of tables are partitions"),
    Refused("STORAGE PARAMETER", "LIM-TBL-03", "CREATE TABLE x (a int) WITH (fillfactor = 50)"),
    Refused("TABLESPACE", "LIM-TBL-06", "CREATE TABLE x (a int) TABLESPACE y", inferred=_NO_STORAGE),
    Refused("EXCLUSION CONSTRAINT", "LIM-KEY-11", "CREATE TABLE x (a int, EXCLUDE USING btree (a WITH =))"),
    Refused("IDENTITY COLUMN", "LIM-COL-01", "CREATE TABLE x (a int GENERATED ALWAYS AS IDENTITY)"),
    Refused("CREATE UNIQUE INDEX CONCURRENTLY", "LIM-IDX-01", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"),
    Refused("CREATE INDEX IF NOT EXISTS", "LIM-IDX-06", "CREATE INDEX IF NOT EXISTS i ON t (a)", until=(16, 9, 100)),
    Refused("CREATE SCHEMA with schema elements", "LIM-TBL-12", "CREATE SCHEMA x CREATE TABLE y (a int)"),
    Refused("CREATE DATABASE with TEMPLATE", "LIM-OBJ-10", "CREATE DATABASE x TEMPLATE y"),
    Refused("CREATE DATABASE with TABLESPACE", "LIM-OBJ-10", "CREATE DATABASE x TABLESPACE y"),
    Refused("CYCLE", "LIM-SEQ-01", "CREATE SEQUENCE x CYCLE"),
    Refused("TEMPORARY or UNLOGGED SEQUENCE", "LIM-SEQ-01", "CREATE TEMPORARY SEQUENCE x"),
    # ALTER TABLE
    Refused("ALTER TABLE ONLY", "LIM-TBL-13", "ALTER TABLE ONLY t ADD CHECK (a > 0)"),
    Refused("ALTER TABLE RENAME CONSTRAINT", "LIM-TBL-13", "ALTER TABLE t RENAME CONSTRAINT x TO y"),
    Refused("USING in ALTER COLUMN TYPE", "LIM-COL-03", "ALTER TABLE t ALTER a TYPE text USING a::text"),
    Refused("ALTER TABLE ATTACH or DETACH PARTITION", "LIM-TBL-13", "ALTER TABLE t ATTACH PARTITION x DEFAULT"),
    Refused("ALTER TABLE INHERIT", "LIM-TBL-02", "ALTER TABLE t INHERIT x",
            inferred="children of tables are partitions"),
    Refused("ALTER TABLE SET STORAGE PARAMETER", "LIM-TBL-03", "ALTER TABLE t SET (fillfactor = 50)",
            "STORAGE PARAMETER is not supported", inferred=_NO_STORAGE),
    Refused("SET TABLESPACE", "LIM-TBL-06", "ALTER TABLE t SET TABLESPACE x", "TABLESPACE is not supported",
            inferred=_NO_STORAGE),
    Refused("ALTER COLUMN SET STATISTICS or COMPRESSION", "LIM-TBL-13", "ALTER TABLE t ALTER a SET STATISTICS 10"),
    Refused("ALTER COLUMN SET or RESET options", "LIM-TBL-13", "ALTER TABLE t ALTER a SET (n_distinct = 5)"),
    Refused("ALTER COLUMN DROP EXPRESSION", "LIM-TBL-13", "ALTER TABLE t ALTER a DROP EXPRESSION"),
    Refused("ALTER COLUMN SET EXPRESSION", "LIM-TBL-13", "ALTER TABLE t ALTER a SET EXPRESSION AS (b + 1)",
            inferred=_OLDER),
    Refused("ALTER COLUMN ADD GENERATED", "LIM-TBL-13", "ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY"),
    Refused("ALTER COLUMN RESTART or SET of an identity column", "LIM-TBL-13", "ALTER TABLE t ALTER a RESTART"),
    Refused("ALTER COLUMN DROP IDENTITY", "LIM-TBL-13", "ALTER TABLE t ALTER a DROP IDENTITY"),
)  # fmt: skip
"""Forms of commands that Limitless has, told by the statement alone."""

ALTER_TABLE: Mapping[str, str] = {
    "AT_AttachPartition": "ALTER TABLE ATTACH or DETACH PARTITION",
    "AT_DetachPartition": "ALTER TABLE ATTACH or DETACH PARTITION",
    "AT_DetachPartitionFinalize": "ALTER TABLE ATTACH or DETACH PARTITION",
    "AT_AddInherit": "ALTER TABLE INHERIT",
    "AT_SetRelOptions": "ALTER TABLE SET STORAGE PARAMETER",
    "AT_ResetRelOptions": "ALTER TABLE SET STORAGE PARAMETER",
    "AT_SetTableSpace": "SET TABLESPACE",
    "AT_SetStatistics": "ALTER COLUMN SET STATISTICS or COMPRESSION",
    "AT_SetCompression": "ALTER COLUMN SET STATISTICS or COMPRESSION",
    "AT_SetOptions": "ALTER COLUMN SET or RESET options",
    "AT_ResetOptions": "ALTER COLUMN SET or RESET options",
    "AT_DropExpression": "ALTER COLUMN DROP EXPRESSION",
    "AT_SetExpression": "ALTER COLUMN SET EXPRESSION",
    "AT_AddIdentity": "ALTER COLUMN ADD GENERATED",
    "AT_SetIdentity": "ALTER COLUMN RESTART or SET of an identity column",
    "AT_DropIdentity": "ALTER COLUMN DROP IDENTITY",
}
"""Kind of AlterTableCmd → form."""

FUNCTIONS = _by_name(
    Refused("setval", "LIM-SEQ-02", "SELECT setval('s', 5)"),
    Refused("pg_notify", "LIM-DML-05", "SELECT pg_notify('a', 'b')"),
    *(
        Refused(name, "LIM-COL-06", f"SELECT {name}({arguments})", inferred="large objects cannot be altered")
        for name, arguments in {
            "lo_import": "'/x'", "lo_export": "5, '/x'", "lo_create": "0", "lo_creat": "-1", "lo_open": "5, 0",
            "lo_unlink": "5", "lo_put": "5, 0, 'x'", "lo_get": "5", "lo_from_bytea": "0, 'x'",
        }.items()
    ),
)  # fmt: skip
"""Functions of PostgreSQL that may not be called."""

STATES: Mapping[str, str] = {
    "Shard key column update is not supported": "LIM-KEY-04",
    "unique index %s of sharded table %s lacks a shard key column": "LIM-KEY-02",
    "name of sharded table %s is longer than @max_sharded_name@ bytes": "LIM-TBL-07",
    "reference table %s has no primary key": "LIM-TBL-08",
    "dropping the primary key of reference table %s is not supported": "LIM-TBL-08",
    " of a reference table is not supported": "LIM-TBL-11",  # CREATE TABLE AS, SELECT INTO
    "FOREIGN KEY in CREATE TABLE of a %s table is not supported": "LIM-FK-01",
    "foreign key %I from %s table %s to %s table %s is not supported": "LIM-FK-02",
    "foreign key %I between sharded tables that are not collocated is not supported": "LIM-FK-02",
    "foreign key %I does not include the whole shard key": "LIM-FK-03",
    "foreign key %I: ON DELETE %s is not supported": "LIM-FK-04",  # SET DEFAULT: LIM-FK-05
    "foreign key %I: ON UPDATE %s is not supported": "LIM-FK-06",  # SET NULL: LIM-FK-07, SET DEFAULT: LIM-FK-05
    "foreign key %I: NOT VALID is not supported": "LIM-FK-08",
    "table %s has foreign key %I and cannot be converted": "LIM-FK-10",
    "CACHE of sequence %s must be smaller than the chunk size %s": "LIM-SEQ-05",
    "not enough values to create distributed sequence": "LIM-SEQ-04",
    "changing the volatility of a function is not supported": "LIM-FN-09",
    "extension %s is not supported": "LIM-EXT-01",
}
"""What only the catalog shows, with other tables and the session's settings: the words, and the rule of the audit.

The stand-in's scripts judge it. A table that is no standard table when it is converted, or no sharded one when a
function is distributed over it, is a mistake in a call rather than a limit, and is not here.
"""
