"""Commands that would change captured tables, or what their values mean, are refused; the others pass."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control.install import install
from migrator.dataplane.capture import install as capture
from migrator.dataplane.capture import watch
from migrator.db.connect import connect
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables

pytestmark = [pytest.mark.pg]

SCHEMA = """
CREATE SCHEMA g; CREATE SCHEMA types;
CREATE TYPE types.mood AS ENUM ('new', 'paid');
CREATE TYPE types.inner AS (mood types.mood, n int);
CREATE TYPE types.outer AS (i types.inner, moods types.mood[]);
CREATE DOMAIN types.moody AS types.mood CHECK (value <> 'paid');
CREATE DOMAIN types.email AS text CHECK (value LIKE '%@%');
CREATE TYPE types.span AS RANGE (subtype = float8);
CREATE COLLATION types.c (provider = libc, locale = 'C');
CREATE FUNCTION types.twice(x int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT x * 2';
CREATE FUNCTION types.positive(x int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x > 0';
CREATE FUNCTION types.proposed() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE g.side (a int, b text);
CREATE TABLE g.parent (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);
CREATE TABLE g.t (
    tenant_id bigint NOT NULL, id bigint PRIMARY KEY, mood types.mood, moods types.mood[], o types.outer, d types.moody,
    e types.email, r types.span, n int DEFAULT types.proposed() CHECK (types.positive(n)), s g.side,
    doubled int GENERATED ALWAYS AS (types.twice(n)) STORED, v varchar(10) COLLATE types.c, note text,
    p bigint REFERENCES g.parent, UNIQUE (tenant_id, v));
CREATE UNIQUE INDEX t_note ON g.t (note);
CREATE INDEX t_plain ON g.t (e);
CREATE TABLE g.ev (tenant_id bigint NOT NULL, at date NOT NULL, id bigint, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE g.ev_1 PARTITION OF g.ev FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE g.ev_2 PARTITION OF g.ev FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY RANGE (id);
CREATE TABLE g.ev_2a PARTITION OF g.ev_2 DEFAULT;
CREATE TABLE g.ev_3 (LIKE g.ev INCLUDING ALL);
INSERT INTO g.ev VALUES (1, '2020-02-02', 1), (2, '2021-02-02', 2);
INSERT INTO g.ev_3 VALUES (1, '2023-02-02', 3);
CREATE FUNCTION g.app() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER app BEFORE INSERT ON g.t FOR EACH ROW EXECUTE FUNCTION g.app();
CREATE FUNCTION g.unseen() RETURNS void LANGUAGE sql AS 'DROP TABLE g.ev_1';
"""

REFUSED = """
ALTER TABLE g.t RENAME TO u
ALTER TABLE g.t SET SCHEMA types
ALTER SCHEMA g RENAME TO h
ALTER SCHEMA types RENAME TO kinds
ALTER TABLE g.t RENAME COLUMN v TO w
ALTER TABLE g.t ALTER v TYPE text
ALTER TABLE g.t ALTER v SET DEFAULT 'q'
ALTER TABLE g.t ALTER v SET NOT NULL
ALTER TABLE g.t DROP note
ALTER TABLE g.t DROP CONSTRAINT t_p_fkey
ALTER TABLE g.t RENAME CONSTRAINT t_pkey TO q
ALTER TABLE g.t ADD CHECK (n < 100000)
ALTER TABLE g.t DISABLE TRIGGER app
ALTER TABLE g.t DISABLE TRIGGER USER
ALTER TABLE g.t ENABLE TRIGGER migrator_capture_insert
ALTER TABLE g.t ENABLE ROW LEVEL SECURITY
ALTER TABLE g.t SET UNLOGGED
ALTER TABLE g.t REPLICA IDENTITY FULL
ALTER TABLE g.ev_1 RENAME TO ev_old
ALTER TABLE g.ev_1 ADD CHECK (id > 0)
CREATE TABLE g.heir () INHERITS (g.t)
CREATE RULE r AS ON UPDATE TO g.t DO INSTEAD NOTHING
DO $$ BEGIN ALTER TABLE g.t RENAME TO u; END $$
ALTER TYPE types.mood RENAME VALUE 'new' TO 'open'
ALTER TYPE types.mood ADD VALUE 'late'
ALTER TYPE types.mood RENAME TO humour
ALTER TYPE types.mood SET SCHEMA g
ALTER TYPE types.inner ADD ATTRIBUTE z int
ALTER TYPE types.inner DROP ATTRIBUTE n
ALTER TYPE types.inner RENAME ATTRIBUTE n TO m
ALTER TABLE g.side ADD c int
ALTER TABLE g.side RENAME a TO aa
ALTER TYPE types.span RENAME TO stretch
ALTER DOMAIN types.email ADD CHECK (value <> 'a@b')
ALTER DOMAIN types.email DROP CONSTRAINT email_check
ALTER DOMAIN types.email SET DEFAULT 'a@b'
ALTER DOMAIN types.moody SET NOT NULL
ALTER COLLATION types.c RENAME TO d
CREATE OR REPLACE FUNCTION types.twice(x int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT x * 3'
CREATE OR REPLACE FUNCTION types.positive(x int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x > 1'
ALTER FUNCTION types.twice(int) SET search_path = g
DROP TYPE types.mood CASCADE
DROP TYPE types.inner CASCADE
DROP DOMAIN types.email CASCADE
DROP COLLATION types.c CASCADE
DROP FUNCTION types.twice CASCADE
DROP FUNCTION types.positive CASCADE
DROP FUNCTION types.proposed CASCADE
DROP SCHEMA types CASCADE
DROP TABLE g.side CASCADE
DROP TABLE g.parent CASCADE
DROP INDEX g.t_note
CREATE OR REPLACE FUNCTION migrator.capture_1_insert() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
ALTER FUNCTION migrator.capture_1_insert() SECURITY INVOKER
DROP FUNCTION migrator.shape_now
SELECT g.unseen()
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; DROP TABLE g.ev_1; COMMIT
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; ALTER TABLE g.ev DETACH PARTITION g.ev_1; COMMIT
BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; ALTER TABLE g.ev ATTACH PARTITION g.ev_3 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01'); COMMIT
"""

PASSED = """
ALTER TABLE g.t SET (fillfactor = 50)
ALTER TABLE g.t ALTER v SET STATISTICS 100
ALTER TABLE g.t ALTER note SET STORAGE EXTERNAL
ALTER TABLE g.t OWNER TO CURRENT_USER
COMMENT ON TABLE g.t IS 'x'
GRANT SELECT ON g.t TO PUBLIC
ANALYZE g.t
VACUUM FULL g.t
CLUSTER g.t USING t_plain
CREATE INDEX CONCURRENTLY more ON g.t (p)
CREATE UNIQUE INDEX one ON g.t (tenant_id, n)
DROP INDEX g.one
REINDEX TABLE CONCURRENTLY g.t
CREATE POLICY p ON g.t USING (true)
CREATE STATISTICS g.st ON tenant_id, n FROM g.t
CREATE VIEW g.seen AS SELECT * FROM g.t
DROP VIEW g.seen
CREATE TRIGGER more BEFORE UPDATE ON g.t FOR EACH ROW EXECUTE FUNCTION g.app()
DROP TRIGGER more ON g.t
CREATE OR REPLACE FUNCTION g.app() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END '
CREATE OR REPLACE FUNCTION types.proposed() RETURNS int LANGUAGE sql AS 'SELECT 2'
CREATE TYPE types.other AS ENUM ('a')
ALTER TYPE types.other ADD VALUE 'b'
DROP TYPE types.other
CREATE TEMP TABLE mine (LIKE g.t); ALTER TABLE mine RENAME TO yours; DROP TABLE yours
CREATE TABLE g.elsewhere (a types.mood); ALTER TABLE g.elsewhere ADD b int; DROP TABLE g.elsewhere
CREATE SCHEMA h; ALTER SCHEMA h RENAME TO i; DROP SCHEMA i
CREATE TABLE g.ev_9 PARTITION OF g.ev FOR VALUES FROM ('2029-01-01') TO ('2030-01-01')
ALTER TABLE g.ev ATTACH PARTITION g.ev_3 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')
ALTER TABLE g.ev DETACH PARTITION g.ev_9
DROP TABLE g.ev_9, g.ev_3
DO $$ BEGIN DROP TABLE g.ev_1; END $$
"""


PLAN = Plan.model_validate(
    {
        "name": "g",
        "classic": {"writer": "local:classic"},
        "limitless": {"dsn": "local:limitless"},
        "tables": {"schemas": ["g"], "table": {"g.side": {"kind": "excluded"}, "g.ev_3": {"kind": "excluded"}}},
    }
)


@pytest.fixture
def guarded(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn, psycopg.connect(classic_dsn, autocommit=True) as dba:
        conn.execute(SCHEMA)
        install(conn, PLAN.name, "digest", {}, {})
        for _ in range(2):
            capture.install(conn, resolve_tables(conn, PLAN.tables), 2, 3)
        yield dba


def test_what_changes_captured_tables_is_refused_with_advice(guarded: psycopg.Connection[Any]) -> None:
    """Whatever the command is called; and nothing of it happened."""
    before = guarded.execute("SELECT * FROM migrator.shape_now() ORDER BY 1, 2").fetchall()
    for statement in REFUSED.strip().split("\n"):
        with pytest.raises(psycopg.Error) as refused:
            guarded.execute(statement.encode())
        guarded.execute("ROLLBACK")
        told = refused.value
        assert (told.sqlstate, bool(told.diag.message_hint)) == ("MG003", True), f"{statement}: {told}"

    assert guarded.execute("SELECT * FROM migrator.shape_now() ORDER BY 1, 2").fetchall() == before
    assert watch.problems(guarded) == []


def test_what_changes_neither_rows_nor_their_meaning_passes(guarded: psycopg.Connection[Any]) -> None:
    """And the watch sees nothing wrong after any of it."""
    for statement in PASSED.strip().split("\n"):
        guarded.execute(statement.encode())
        assert watch.problems(guarded) == [], statement

    assert guarded.execute("SELECT count(*) FROM migrator.dropped_leaf").fetchone() == (0,)


@pytest.mark.parametrize("step", ["make_functions", "capture_member", "_note", "make_guards"])
def test_an_installation_that_was_killed_goes_on(classic_dsn: str, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """It is not taken for capture that was broken later; until it is finished the watch says so."""
    with connect(classic_dsn, "test") as conn:
        conn.execute(SCHEMA)
        install(conn, PLAN.name, "digest", {}, {})
        tables = resolve_tables(conn, PLAN.tables)
        with monkeypatch.context() as killed:
            killed.setattr(capture, step, _killed)
            with pytest.raises(ZeroDivisionError):
                capture.install(conn, tables, 2, 3)
        unfinished = watch.problems(conn)
        capture.install(conn, tables, 2, 3)

        assert unfinished
        assert watch.problems(conn) == []


def _killed(*_: object) -> None:
    raise ZeroDivisionError


def test_a_setting_alone_opens_nothing(guarded: psycopg.Connection[Any]) -> None:
    """Every session can set it; only who is the tool's own role is believed."""
    guarded.execute(
        "CREATE ROLE guarded_owner; GRANT ALL ON SCHEMA g TO guarded_owner; ALTER TABLE g.t OWNER TO guarded_owner"
    )
    try:
        guarded.execute("SET migrator.ddl = 'allowed'; SET SESSION AUTHORIZATION guarded_owner")
        with pytest.raises(psycopg.Error) as refused:
            guarded.execute("ALTER TABLE g.t RENAME COLUMN v TO w")
    finally:
        guarded.execute("RESET SESSION AUTHORIZATION; RESET migrator.ddl")
        guarded.execute(
            "ALTER TABLE g.t OWNER TO CURRENT_USER; REVOKE ALL ON SCHEMA g FROM guarded_owner; DROP ROLE guarded_owner"
        )

    assert refused.value.sqlstate == "MG003"


def test_a_leaf_that_is_not_ones_own_is_not_locked(guarded: psycopg.Connection[Any]) -> None:
    """Looking for rows to journal must not let anybody hold up the table."""
    guarded.execute("CREATE ROLE guarded_stranger; GRANT USAGE ON SCHEMA g TO guarded_stranger")
    try:
        with guarded.transaction():
            guarded.execute("SET LOCAL SESSION AUTHORIZATION guarded_stranger")
            guarded.execute("SAVEPOINT a")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                guarded.execute("DROP TABLE g.ev_1")
            guarded.execute("ROLLBACK TO a")
    finally:
        guarded.execute("DROP OWNED BY guarded_stranger; DROP ROLE guarded_stranger")


async def test_a_database_made_from_a_dump_is_nobodys_to_guard(guarded: psycopg.Connection[Any]) -> None:
    """Its tables have other oids, and commands there are nobody's business; the watch says that nothing is captured."""
    guarded.execute("UPDATE migrator.captured_table SET relid = relid::bigint + 100000")
    guarded.execute("ALTER TABLE g.side ADD c int")
    guarded.execute("ALTER TYPE types.mood ADD VALUE 'late'")

    assert sum("is missing" in p for p in watch.problems(guarded)) >= 3
