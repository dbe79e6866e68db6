"""Which statements a router refuses, judged by their trees: in any spelling, and wherever in a statement."""

from __future__ import annotations

import subprocess
import sys

import pgparse
import pytest

from migrator.local.refusals import refusal
from migrator.local.statement import read
from migrator.model.refused import PUSHDOWN

SERIALIZABLE = "ISOLATION LEVEL SERIALIZABLE is not supported"


def upsert(value: str, before: str = "", after: str = "") -> str:
    return before + "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET v = ?".replace("?", value) + after


REFUSED = {
    "listen jobs": "LISTEN is not supported",
    "UNLISTEN *": "UNLISTEN is not supported",
    "/* quietly */ NoTiFy jobs, 'x'": "NOTIFY is not supported",
    "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE": "MERGE is not supported",
    "EXPLAIN (COSTS off) MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE": "MERGE is not supported",
    "PREPARE p AS MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE": "MERGE is not supported",
    "WITH m AS (MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE RETURNING 1) TABLE m":
        "MERGE is not supported",
    "SET CONSTRAINTS ALL DEFERRED": "SET CONSTRAINTS is not supported",
    "UPDATE t SET a = 1 WHERE CURRENT OF c": "WHERE CURRENT OF is not supported",
    "WITH d AS (DELETE FROM t WHERE CURRENT OF c RETURNING 1) SELECT 1": "WHERE CURRENT OF is not supported",
    "BEGIN ISOLATION LEVEL SERIALIZABLE": SERIALIZABLE,
    "START TRANSACTION READ ONLY, ISOLATION LEVEL /* so */ SERIALIZABLE": SERIALIZABLE,
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE": SERIALIZABLE,
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE": SERIALIZABLE,
    "SET LOCAL transaction_isolation TO 'Serializable'": SERIALIZABLE,
    "SET default_transaction_isolation = serializable": SERIALIZABLE,
    "ALTER ROLE app SET default_transaction_isolation = 'serializable'": SERIALIZABLE,
    "SELECT set_config('DEFAULT_transaction_isolation', 'serializable', false)": SERIALIZABLE,
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET transaction_isolation = serializable AS 'SELECT 1'": SERIALIZABLE,
    "PREPARE TRANSACTION 'x'": "PREPARE TRANSACTION is not supported",
    "COMMIT PREPARED 'x'": "COMMIT PREPARED is not supported",
    "ROLLBACK PREPARED 'x'": "ROLLBACK PREPARED is not supported",
    upsert("(SELECT 1)"): "subquery in ON CONFLICT DO UPDATE is not supported",
    upsert("1 WHERE t.v < (SELECT max(v) FROM s)"): "subquery in ON CONFLICT DO UPDATE is not supported",
    upsert("current_timestamp"): PUSHDOWN,
    upsert("localtime::text", "WITH i AS (", " RETURNING 1) SELECT 1"): PUSHDOWN,
    "CREATE TABLE t (id int PRIMARY KEY WITH (fillfactor = 50))": "STORAGE PARAMETER is not supported",
    "ALTER TABLE t ADD UNIQUE (id) WITH (fillfactor = 50)": "STORAGE PARAMETER is not supported",
    "CREATE TABLE t (id int, UNIQUE (id) USING INDEX TABLESPACE fast)": "TABLESPACE is not supported",
    "CREATE INDEX i ON t (a) TABLESPACE fast": "TABLESPACE is not supported",
    "ALTER TABLE t SET TABLESPACE fast": "TABLESPACE is not supported",
    "ALTER INDEX ALL IN TABLESPACE slow SET TABLESPACE fast": "ALL IN TABLESPACE is not supported",
    "ALTER TABLESPACE fast RENAME TO slow": "ALTER TABLESPACE is not supported",
    "ALTER TABLE/**/ONLY t ADD CHECK (a > 0)": "ALTER TABLE ONLY is not supported",
    "ALTER TABLE ONLY t RENAME COLUMN a TO b": "ALTER TABLE ONLY is not supported",
    "alter table t rename /* it */ constraint a to b": "ALTER TABLE RENAME CONSTRAINT is not supported",
    "ALTER TABLE t ATTACH /**/ PARTITION p DEFAULT": "ALTER TABLE ATTACH or DETACH PARTITION is not supported",
    "ALTER TABLE t ALTER a TYPE int /**/ USING a::int": "USING in ALTER COLUMN TYPE is not supported",
    "ALTER TABLE t ALTER a DROP /**/ EXPRESSION": "ALTER COLUMN DROP EXPRESSION is not supported",
    "CREATE UNIQUE /**/ INDEX CONCURRENTLY i ON t (a)": "CREATE UNIQUE INDEX CONCURRENTLY is not supported",
    "ALTER EXTENSION x /**/ ADD TABLE t": "ALTER EXTENSION ADD or DROP is not supported",
    "REINDEX (VERBOSE) TABLE t": "REINDEX is not supported",
    "REASSIGN OWNED BY a TO b": "REASSIGN OWNED is not supported",
    "COMMENT ON DATABASE app IS 'x'": "COMMENT is not supported",
    "ALTER SYSTEM SET work_mem = '1GB'": "ALTER SYSTEM is not supported",
    "ALTER DATABASE app SET work_mem = '1GB'": "ALTER DATABASE is not supported",
    "ALTER DATABASE app OWNER TO b": "ALTER DATABASE is not supported",
    "CREATE DATABASE b TEMPLATE a": "CREATE DATABASE with TEMPLATE is not supported",
    "CREATE TABLESPACE fast LOCATION '/x'": "CREATE TABLESPACE is not supported",
    "CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f()": "CREATE EVENT TRIGGER is not supported",
    "DROP EVENT TRIGGER e": "DROP EVENT TRIGGER is not supported",
    "COPY t FROM PROGRAM 'cat'": "COPY from or to a file or program of the server is not supported",
    "DO $$ BEGIN PERFORM 1; NOTIFY jobs; END $$": "NOTIFY is not supported",
    "DO $$ BEGIN EXECUTE 'LISTEN jobs'; END $$": "LISTEN is not supported",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'NOTIFY jobs'": "NOTIFY is not supported",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC DELETE FROM t WHERE CURRENT OF c RETURNING 1; END":
        "WHERE CURRENT OF is not supported",
    "CREATE FUNCTION f(a int, OUT b int) LANGUAGE plpgsql AS $f$ BEGIN b := 1; IF a > 1 THEN"
    " MERGE INTO t USING s ON t.id = a WHEN MATCHED THEN DELETE; END IF; END $f$": "MERGE is not supported",
    "CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN COMMIT; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; END'":
        SERIALIZABLE,
}  # fmt: skip

TAKEN = [
    "SELECT 'LISTEN jobs', \"notify\" FROM merge",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "SET search_path = serializable",
    "SELECT set_config('application_name', 'serializable', false)",
    "SELECT * FROM ONLY t",
    upsert("EXCLUDED.v"),
    "INSERT INTO t SELECT now() ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES (now(), (SELECT 1)) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v",
    "ALTER TABLE t ADD CHECK (a > 0), ADD COLUMN b int DEFAULT 0",
    "ALTER TABLE t RENAME TO u",
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "CREATE DATABASE b",
    "COPY t FROM STDIN",
    "DECLARE c CURSOR FOR SELECT 1",
    "DO $$ BEGIN RAISE NOTICE 'NOTIFY jobs'; END $$",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''LISTEN x'''",
    "LOCK TABLE t IN SHARE MODE",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_what_a_plain_server_takes_and_limitless_refuses(statement: str) -> None:
    """Comments, case and nesting change nothing, and the words are Limitless' where they are known."""
    assert refusal(pgparse.parse(statement), statement) == REFUSED[statement]
    assert read(statement.encode()).text != statement.encode(), "the quick look passes it by"


@pytest.mark.parametrize("statement", TAKEN)
def test_what_only_looks_like_it_is_taken(statement: str) -> None:
    """Words in strings, names and elsewhere are not forms of SQL."""
    assert refusal(pgparse.parse(statement), statement) is None


def test_only_the_refused_statement_of_a_text_is_replaced() -> None:
    """What stands before it is done, and a failing statement takes as many parameters as the refused one."""
    assert read(b"SELECT 1; LISTEN x; SELECT 2").text == (
        b"SELECT 1; SELECT rds_aurora.standin_refuse('LISTEN is not supported') WHERE true; SELECT 2"
    )
    merge = read(b"MERGE INTO t USING s ON t.id = $2 WHEN MATCHED THEN UPDATE SET v = $1").text
    assert merge.count(b"$1::") == merge.count(b"$2::") == 1


def test_a_text_that_is_not_understood_goes_on_as_it_is() -> None:
    """The server says what is wrong with it."""
    for text in (b"LISTEN 1", b"listen \xff", b"", b"NOTIFY 'unfinished"):
        assert read(text).text == text


def test_what_is_of_one_router_only_is_asked_of_the_router() -> None:
    """Sizes, kinds of relations, and identifiers that are made text, a number or a hash; joins by them stay."""
    text = (
        "SELECT md5(concat_ws('|', c.oid, c.relname)), c.oid::regclass::text, c.oid::int8,"
        " pg_total_relation_size(c.oid), pg_get_constraintdef(k.oid) FROM pg_class c"
        " JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid"
    )
    assert read(text.encode()).text.decode() == (
        "SELECT md5(concat_ws('|', rds_aurora.standin_oid(c.oid), c.relname)), c.oid::regclass::text,"
        " rds_aurora.standin_oid(c.oid)::int8, rds_aurora.router_pg_total_relation_size(c.oid),"
        " pg_get_constraintdef(k.oid) FROM rds_aurora.router_pg_class c"
        " JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid"
    )
    assert (
        read(b"SELECT oid::text, note || oid FROM app.documents").text
        == b"SELECT oid::text, note || oid FROM app.documents"
    )


DEEP = {
    "operators": "SELECT 1" + " + 1" * 200_000,
    "set operations": "SELECT 1" + " UNION SELECT 1" * 100_000,
    "parentheses": "SELECT " + "(" * 200_000 + "1" + ")" * 200_000,
    "CASE": "SELECT " + "CASE WHEN true THEN " * 20_000 + "1" + " END" * 20_000,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 20_000 + "t" + ") x" * 20_000,
    "conditions": "SELECT 1 WHERE " + " AND ".join(["true"] * 50_000),
    "body of a function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1" + " + 1" * 200_000 + "'",
    "body of DO": "DO $$ BEGIN PERFORM 1" + " + 1" * 200_000 + "; END $$",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_statement_of_any_depth_leaves_the_router_standing(text: str) -> None:
    """The server answers to it, as to any other. In a process of its own: a parser that overflows its stack ends it."""
    code = (
        "import sys; from migrator.local.statement import read; t = sys.stdin.buffer.read(); print(read(t).text == t)"
    )
    found = subprocess.run([sys.executable, "-c", code], input=f"{text} -- current".encode(), capture_output=True)

    assert (found.returncode, found.stdout) == (0, b"True\n")


def test_what_is_refused_is_found_deep_inside() -> None:
    clause = upsert("1" + " + 1" * 150 + " + nextval('s')")

    assert b"standin_pushdown_safe" in read(clause.encode()).text
