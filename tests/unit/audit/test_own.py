"""Which statements are the tool's own, and which only look like it?"""

from __future__ import annotations

import pytest

from migrator.audit.own import is_marked, is_own, may_be_own
from migrator.grammar.parse import parse

OWN = [
    "SELECT * FROM migrator.tenant",
    'DELETE FROM "migrator"."journal_1" WHERE part = $1',
    "SELECT migrator.note_own()",
    "SELECT 1 FROM orders WHERE id IN (SELECT k0 FROM migrator.journal_2)",
    "CREATE SCHEMA migrator",
    "DROP SCHEMA IF EXISTS migrator CASCADE",
    "GRANT USAGE ON SCHEMA migrator TO app",
    "CREATE OR REPLACE FUNCTION migrator.guard() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
    'DROP FUNCTION IF EXISTS "migrator"."capture_1_leaf"(regclass)',
    'CREATE TRIGGER "migrator_capture_insert" AFTER INSERT ON app.orders EXECUTE FUNCTION migrator.capture_1_insert()',
    "CREATE TRIGGER renamed AFTER INSERT ON app.orders EXECUTE FUNCTION migrator.capture_1_insert()",
    'DROP TRIGGER IF EXISTS "migrator_guard" ON "Größen"."Log Lines"',
    'ALTER TABLE app.orders ENABLE ALWAYS TRIGGER "migrator_guard"',
    "DROP EVENT TRIGGER IF EXISTS migrator_guard_ddl",
    "COMMENT ON TABLE migrator.tenant IS 'x'",
    "LISTEN migrator",
    'UNLISTEN "migrator_done_3"',
    "SELECT pg_notify('migrator', 'route')",
    "SELECT migrator_said FROM pg_notify($1, $2) AS migrator_said",
    "SELECT set_config('migrator.ddl', 'allowed', true)",
    "SET migrator.ddl = 'allowed'",
    'CREATE TEMPORARY TABLE "migrator_probe_0" (LIKE app.orders)',
    'ALTER TABLE "pg_temp"."migrator_probe_0" ADD COLUMN later int',
    'FETCH FORWARD 1000 FROM "migrator_rows"',
    "CREATE SEQUENCE migrator.ring",
    "CREATE TYPE migrator.state AS ENUM ('a')",
    "LOCK TABLE migrator.control IN SHARE MODE",
    "LISTEN MIGRATOR_DONE_3",
    r"SELECT pg_notify(E'\x6digrator', '')",
    "SELECT pg_notify('migra'\n'tor', '')",
    r"""SELECT * FROM U&"\006digrator".tenant""",
    """SELECT * FROM u&"!006digrator" UESCAPE '!' . tenant""",
]

NOT_OWN = [
    "SELECT migrator.id FROM people AS migrator",
    "SELECT * FROM app.migrator",
    "CREATE TABLE migrator_jobs (id int)",
    "SELECT * FROM migrator_jobs",
    "CREATE TRIGGER touch BEFORE UPDATE ON orders EXECUTE FUNCTION app.touch()",
    "DROP TRIGGER touch ON migrator_jobs",
    "LISTEN jobs",
    "SELECT pg_notify('jobs', 'migrator')",
    "SELECT pg_notify($1, $2)",
    "SELECT 'migrator.tenant'",
    "SELECT set_config($1, $2, $3)",
    "INSERT INTO app.names VALUES ('migrator', 'migrator_x')",
    "CREATE TEMPORARY TABLE work AS SELECT 1",
    "DROP SCHEMA migrator_old",
    "ALTER TABLE orders ADD migrator_id int",
]


@pytest.mark.parametrize("text", OWN)
def test_the_tools_own(text: str) -> None:
    [statement] = parse(text)

    assert is_own(statement.tag, statement.body)
    assert may_be_own(text)


@pytest.mark.parametrize("text", NOT_OWN)
def test_not_the_tools(text: str) -> None:
    [statement] = parse(text)

    assert not is_own(statement.tag, statement.body)


def test_most_statements_need_no_look_at_their_tree() -> None:
    assert not may_be_own("SELECT * FROM orders WHERE note = 'it''s' AND id = $1 -- a comment")


def test_the_mark() -> None:
    assert is_marked("COPY (SELECT 1 FROM orders AS t /* migrator */) TO STDOUT")
    assert is_marked("SELECT 1 /* migrator:audit */")
    assert not is_marked("SELECT 1 /* migrators */")
    assert not is_marked("SELECT '/* migrator'")
