"""What the data plane takes from PostgreSQL for granted, asked of PostgreSQL itself: of the run's, and of another one here.

Each of these carries a proof elsewhere in the code. A version that answers otherwise must be known before it is used.
"""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.fixtures.postgres import Cluster, Machines, fresh_name
from tests.integration.dataplane.conftest import full_build

pytestmark = [pytest.mark.pg]

Conn = psycopg.Connection[Any]

SCHEMA = """
CREATE TABLE p (id int PRIMARY KEY, t int);
CREATE TABLE c (id int PRIMARY KEY, p int);
CREATE TABLE seen (n int GENERATED ALWAYS AS IDENTITY, what text, rows bigint, children bigint, parents bigint);
INSERT INTO p SELECT g, 1 FROM generate_series(1, 5) g;
INSERT INTO c SELECT g, g FROM generate_series(1, 5) g;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen (what, rows, children, parents)
    SELECT TG_OP || ' ' || TG_TABLE_NAME, (SELECT count(*) FROM r), (SELECT count(*) FROM c), (SELECT count(*) FROM p);
    RETURN NULL;
END $$;
CREATE TRIGGER note_d AFTER DELETE ON p REFERENCING OLD TABLE AS r FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER note_i AFTER INSERT ON p REFERENCING NEW TABLE AS r FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER note_d AFTER DELETE ON c REFERENCING OLD TABLE AS r FOR EACH STATEMENT EXECUTE FUNCTION note();
"""


@pytest.fixture(scope="module", params=["the run's", "another"])
def engine(request: pytest.FixtureRequest) -> Iterator[Machines]:
    """The run's servers, and those of the distribution if they are of another version."""
    of_the_run: Machines = request.getfixturevalue("machines")
    if request.param == "the run's":
        yield of_the_run
        return
    path = full_build()
    if path is None:
        pytest.skip("no other PostgreSQL is on this machine: apt-get install postgresql, or set MIGRATOR_TEST_PG_BINS")
    cluster = Cluster(path)
    try:
        with cluster.pair() as found:
            yield found
    finally:
        cluster.remove()


@pytest.fixture
def dsn(engine: Machines) -> Iterator[str]:
    name = fresh_name("engine")
    yield engine.new_classic(name)
    engine.drop(classic=name)


@pytest.fixture
def conn(dsn: str) -> Iterator[Conn]:
    with psycopg.connect(dsn, autocommit=True) as found:
        found.execute(SCHEMA)
        yield found


def key(conn: Conn, action: str = "") -> None:
    conn.execute(f"ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p {action}".encode())


def value(conn: Conn, query: str) -> Any:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


PUT_BACK = "WITH d AS (DELETE FROM p WHERE id = 1 RETURNING *) INSERT INTO p SELECT id, 2 FROM d"


@pytest.mark.parametrize(
    ("action", "children"),
    [
        ("ON DELETE NO ACTION", 5),
        ("DEFERRABLE INITIALLY DEFERRED", 5),
        ("ON DELETE RESTRICT", None),
        ("ON DELETE CASCADE", 4),
        ("ON DELETE SET NULL", 4),
    ],
)
def test_which_actions_let_a_parent_be_put_back_with_its_children(
    conn: Conn, action: str, children: int | None
) -> None:
    """Only RESTRICT keeps it in place; NO ACTION is checked at the end of the statement."""
    key(conn, action)
    if children is None:
        with pytest.raises(psycopg.errors.IntegrityError):
            conn.execute(PUT_BACK)
        return
    conn.execute(PUT_BACK)

    assert value(conn, "SELECT count(*) FROM c JOIN p ON p.id = c.p") == children
    assert value(conn, "SELECT t FROM p WHERE id = 1") == 2


def test_the_checks_of_a_key_come_before_the_triggers_of_its_statement(conn: Conn) -> None:
    """So a statement trigger sees what a cascade left, and who was put back."""
    key(conn, "ON DELETE CASCADE")
    conn.execute("DELETE FROM p WHERE id IN (1, 2)")
    assert conn.execute("SELECT what, rows, children FROM seen ORDER BY n").fetchall()[0] == ("DELETE p", 2, 3)
    conn.execute("TRUNCATE seen")
    conn.execute("WITH d AS (DELETE FROM p WHERE id = 3 RETURNING *) INSERT INTO p SELECT id, 2 FROM d")
    found = conn.execute("SELECT what, rows, parents FROM seen WHERE what LIKE '%% p'").fetchall()

    assert sorted(found) == [("DELETE p", 1, 3), ("INSERT p", 1, 3)], "both, after both parts of the statement"


def test_a_trigger_may_prevent_a_cascade(conn: Conn) -> None:
    """Then a valid foreign key has rows that refer to nothing."""
    key(conn, "ON DELETE CASCADE")
    conn.execute("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    conn.execute("CREATE TRIGGER keep BEFORE DELETE ON c FOR EACH ROW EXECUTE FUNCTION keep()")
    conn.execute("DELETE FROM p WHERE id = 1")

    assert value(conn, "SELECT count(*) FROM c") == 5
    assert value(conn, "SELECT convalidated FROM pg_constraint WHERE contype = 'f'")


def test_a_trigger_may_put_a_parent_back_before_the_key_is_checked(conn: Conn) -> None:
    """By its name, which sorts before the key's own triggers."""
    key(conn)
    conn.execute(
        "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO p VALUES (OLD.id, 9); RETURN NULL; END'"
    )
    conn.execute('CREATE TRIGGER "AAA" AFTER DELETE ON p FOR EACH ROW EXECUTE FUNCTION again()')
    conn.execute("DELETE FROM p WHERE id = 1")

    assert value(conn, "SELECT t FROM p WHERE id = 1") == 9
    assert [what for (what,) in conn.execute("SELECT what FROM seen ORDER BY n")] == ["INSERT p", "DELETE p"]


def test_a_deferrable_key_is_checked_later(conn: Conn) -> None:
    key(conn, "DEFERRABLE")
    with conn.transaction():
        conn.execute("SET CONSTRAINTS ALL DEFERRED")
        conn.execute("DELETE FROM p WHERE id = 1")
        conn.execute("INSERT INTO p VALUES (1, 2)")
    with pytest.raises(psycopg.errors.ForeignKeyViolation), conn.transaction():
        conn.execute("DELETE FROM p WHERE id = 1")


@pytest.mark.parametrize("clause", ["NOT VALID", "NOT ENFORCED"])
def test_a_key_that_is_not_enforced_is_not_validated(conn: Conn, clause: str) -> None:
    if clause == "NOT ENFORCED" and conn.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 has them")
    conn.execute("INSERT INTO c VALUES (6, 66)")
    key(conn, clause)

    assert value(conn, "SELECT convalidated FROM pg_constraint WHERE contype = 'f'") is False


def test_replica_sessions_fire_triggers_that_are_enabled_always_and_check_no_key(conn: Conn) -> None:
    key(conn)
    conn.execute("ALTER TABLE p ENABLE ALWAYS TRIGGER note_d")
    conn.execute("SET session_replication_role = replica")
    conn.execute("DELETE FROM p WHERE id = 1")

    assert value(conn, "SELECT count(*) FROM c WHERE p = 1") == 1
    assert conn.execute("SELECT what FROM seen").fetchall() == [("DELETE p",)]


def test_a_trigger_of_some_columns_fires_for_those_the_statement_names(conn: Conn) -> None:
    """Also where it is computed from one that is named; not where a trigger before changed it."""
    conn.execute("CREATE TABLE u (id int PRIMARY KEY, a int, b int, g int GENERATED ALWAYS AS (a * 2) STORED)")
    conn.execute("INSERT INTO u VALUES (1, 1, 1)")
    conn.execute(
        "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen (what) VALUES (TG_NAME); RETURN NULL; END $$"
    )
    conn.execute("CREATE TRIGGER of_g AFTER UPDATE OF g ON u FOR EACH ROW EXECUTE FUNCTION say()")
    conn.execute("CREATE TRIGGER of_b AFTER UPDATE OF b ON u FOR EACH ROW EXECUTE FUNCTION say()")
    conn.execute("CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.b := 7; RETURN NEW; END $$")
    conn.execute("CREATE TRIGGER first BEFORE UPDATE ON u FOR EACH ROW EXECUTE FUNCTION change()")
    conn.execute("UPDATE u SET a = 2")

    assert conn.execute("SELECT what FROM seen").fetchall() == [("of_g",)]
    assert value(conn, "SELECT b FROM u") == 7


def test_a_savepoint_has_the_xid_of_its_transaction(conn: Conn) -> None:
    with conn.transaction():
        outer = value(conn, "SELECT pg_current_xact_id()::text")
        with conn.transaction():
            conn.execute("INSERT INTO p VALUES (77, 1)")
            assert value(conn, "SELECT pg_current_xact_id()::text") == outer


def test_what_a_snapshot_does_not_see(conn: Conn, dsn: str) -> None:
    """Transactions at or above xmax, and those in its list; nothing else that commits later."""
    with psycopg.connect(dsn) as running, psycopg.connect(dsn, autocommit=True) as other:
        before = int(value(running, "SELECT pg_current_xact_id()::text"))
        done = int(value(other, "SELECT pg_current_xact_id()::text"))
        lowest, end, listed = value(conn, "SELECT pg_current_snapshot()::text").split(":")
        after = int(value(other, "SELECT pg_current_xact_id()::text"))

    assert str(before) in listed.split(",") and int(lowest) <= before
    assert before < done < int(end) <= after


def test_a_lock_takes_no_snapshot(conn: Conn, dsn: str) -> None:
    """So what is committed before the first query of a REPEATABLE READ transaction is seen."""
    with psycopg.connect(dsn, autocommit=True) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("LOCK TABLE c IN ACCESS SHARE MODE")
        conn.execute("INSERT INTO p VALUES (6, 1)")
        assert value(reader, "SELECT count(*) FROM p") == 6
        conn.execute("INSERT INTO p VALUES (7, 1)")
        assert value(reader, "SELECT count(*) FROM p") == 6


def test_a_truncated_table_is_empty_to_older_snapshots(conn: Conn, dsn: str) -> None:
    """Which is why readers of the ring lock it before they have one."""
    with psycopg.connect(dsn, autocommit=True) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert value(reader, "SELECT count(*) FROM p") == 5
        conn.execute("TRUNCATE c")
        assert value(reader, "SELECT count(*) FROM c") == 0


def test_a_sequence_is_one_for_all_at_once(conn: Conn, dsn: str) -> None:
    """Whatever their snapshots are; and it is not taken back."""
    conn.execute("CREATE SEQUENCE s; SELECT setval('s', 1)")
    with psycopg.connect(dsn, autocommit=True) as reader, psycopg.connect(dsn) as writer:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert value(reader, "SELECT pg_sequence_last_value('s')") == 1
        writer.execute("SELECT nextval('s')")
        assert value(reader, "SELECT pg_sequence_last_value('s')") == 2
        writer.rollback()
        assert value(reader, "SELECT pg_sequence_last_value('s')") == 2


def test_an_exported_snapshot_ends_with_its_transaction(conn: Conn, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as lender:
        lender.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        name = value(lender, "SELECT pg_export_snapshot()")
        conn.execute("INSERT INTO p VALUES (6, 1)")
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        conn.execute(f"SET TRANSACTION SNAPSHOT '{name}'".encode())
        assert value(conn, "SELECT count(*) FROM p") == 5
        conn.execute("COMMIT")
        lender.execute("COMMIT")
    conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    with pytest.raises(
        (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject, psycopg.errors.UndefinedFile)
    ):
        conn.execute(f"SET TRANSACTION SNAPSHOT '{name}'".encode())


def test_a_trigger_waits_for_the_writers_of_its_table(conn: Conn, dsn: str) -> None:
    """So whoever wrote before it was there has ended when it is; prepared transactions hold their locks as well."""
    with psycopg.connect(dsn) as writer:
        writer.execute("INSERT INTO p VALUES (6, 1)")
        conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute("CREATE TRIGGER late AFTER UPDATE ON p FOR EACH STATEMENT EXECUTE FUNCTION note()")
        writer.rollback()


def test_statement_triggers_of_a_leaf_fire_for_statements_aimed_at_it(conn: Conn) -> None:
    """And those of the root for statements aimed at the root: never both."""
    conn.execute("CREATE TABLE r (id int) PARTITION BY LIST (id); CREATE TABLE r1 PARTITION OF r FOR VALUES IN (1, 2)")
    for table in ("r", "r1"):
        conn.execute(
            f"CREATE TRIGGER note_i AFTER INSERT ON {table} REFERENCING NEW TABLE AS r FOR EACH STATEMENT EXECUTE FUNCTION note()".encode()
        )
    conn.execute("INSERT INTO r VALUES (1)")
    conn.execute("INSERT INTO r1 VALUES (2)")

    assert [what for (what,) in conn.execute("SELECT what FROM seen ORDER BY n")] == ["INSERT r", "INSERT r1"]
