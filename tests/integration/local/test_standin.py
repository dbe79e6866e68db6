"""The Limitless stand-in refuses what Limitless refuses, and shards what it is told to shard.

Refusals are checked against the documented lists; what only a router can refuse is tried in test_router.py and
tests/unit/local/test_refusals.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext

import psycopg
import pytest
from psycopg import errors

from migrator.db.connect import connect
from migrator.local import standin
from migrator.model.refused import COMMANDS, FORMS, FUNCTIONS

pytestmark = pytest.mark.pg

SHARD_BY_TENANT = (
    "SET LOCAL rds_aurora.limitless_create_table_mode = 'sharded';"
    "SET LOCAL rds_aurora.limitless_create_table_shard_key = '{\"tenant_id\"}';"
)


@pytest.fixture
def conn(limitless_dsn: str) -> Iterator[psycopg.Connection]:
    """The tool's own connection: an ordinary role, nothing but pg_catalog on the search path."""
    with connect(limitless_dsn, "test") as conn:
        yield conn


def create(conn: psycopg.Connection, statement: str, collocate_with: str = "") -> None:
    """Create a sharded table."""
    with conn.transaction():
        conn.execute(SHARD_BY_TENANT)
        if collocate_with:
            name = "rds_aurora.limitless_create_table_collocate_with"
            conn.execute("SELECT set_config(%s, %s, true)", [name, collocate_with])
        conn.execute(statement.encode())


def create_reference(conn: psycopg.Connection, statement: str) -> None:
    with conn.transaction():
        conn.execute("SET LOCAL rds_aurora.limitless_create_table_mode = 'reference'")
        conn.execute(statement.encode())


@pytest.fixture
def orders(conn: psycopg.Connection) -> None:
    """Two collocated sharded tables, a reference table and a standard one."""
    create(
        conn,
        "CREATE TABLE public.orders (tenant_id text NOT NULL, id bigint NOT NULL, total numeric(10, 2) DEFAULT 0,"
        " note text CHECK (length(note) < 100), doubled numeric GENERATED ALWAYS AS (total * 2) STORED,"
        " PRIMARY KEY (tenant_id, id))",
    )
    create(
        conn,
        "CREATE TABLE public.lines (tenant_id text NOT NULL, id bigserial, order_id bigint, product text,"
        " PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, order_id, product))",
        collocate_with="public.orders",
    )
    create_reference(conn, "CREATE TABLE public.products (id text PRIMARY KEY, name text)")
    conn.execute("CREATE TABLE public.plain (id int PRIMARY KEY, parent int)")


def test_the_server_is_recognised(conn: psycopg.Connection, classic_dsn: str) -> None:
    """The documented test for Limitless says yes here and no on classic."""
    with psycopg.connect(classic_dsn) as classic:
        assert (standin.is_limitless(conn), standin.is_limitless(classic)) == (True, False)


def test_settings_answer_before_they_are_set(conn: psycopg.Connection) -> None:
    """SHOW works in a fresh session, as on Limitless."""
    assert conn.execute("SHOW rds_aurora.limitless_create_table_mode").fetchone() == ("standard",)


def test_nodes_are_listed(conn: psycopg.Connection) -> None:
    """Four shards and two routers."""
    found = conn.execute(
        "SELECT subcluster_type, count(*) FROM rds_aurora.limitless_subclusters GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert found == [("router", 2), ("shard", 4)]


@pytest.mark.usefixtures("orders")
def test_the_catalog_says_what_was_created(conn: psycopg.Connection) -> None:
    """Types, keys and collocation groups are as asked for; slices are not tables of their own."""
    tables = conn.execute(
        "SELECT table_name, table_type, distribution_key FROM rds_aurora.limitless_tables ORDER BY 1"
    ).fetchall()
    groups = conn.execute(
        "SELECT array_agg(table_name ORDER BY table_name) FROM rds_aurora.limitless_table_collocations"
        " GROUP BY collocation_id"
    ).fetchall()
    shards = conn.execute(
        "SELECT count(*), min(lower_bound), max(upper_bound) FROM rds_aurora.limitless_table_collocation_distributions"
    ).fetchone()

    assert tables == [
        ("lines", "sharded", "HASH (tenant_id)"),
        ("orders", "sharded", "HASH (tenant_id)"),
        ("plain", "standard", None),
        ("products", "reference", None),
    ]
    assert groups == [(["lines", "orders"],)]
    assert shards == (4, -(2**63), 2**63 - 1)


@pytest.mark.usefixtures("orders")
def test_a_sharded_table_keeps_its_shape(conn: psycopg.Connection) -> None:
    """Keys, defaults, checks, generated columns, sequences and the owner survive the sharding."""
    conn.execute("INSERT INTO public.orders (tenant_id, id, total) VALUES ('a', 1, 2.5), ('b', 1, 3)")
    conn.execute("INSERT INTO public.lines (tenant_id, order_id, product) VALUES ('a', 1, 'p'), ('a', 1, 'q')")
    keys = conn.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'public.lines'::regclass AND contype IN ('p', 'u') ORDER BY 1"
    ).fetchall()

    assert keys == [
        ("lines_pkey", "PRIMARY KEY (tenant_id, id)"),
        ("lines_tenant_id_order_id_product_key", "UNIQUE (tenant_id, order_id, product)"),
    ]
    assert conn.execute("SELECT doubled FROM public.orders WHERE tenant_id = 'a'").fetchall() == [(5,)]
    assert conn.execute("SELECT array_agg(id ORDER BY id) FROM public.lines").fetchone() == ([1, 2],)
    assert conn.execute("SELECT pg_get_serial_sequence('public.lines', 'id')").fetchone() == ("public.lines_id_seq",)
    assert conn.execute(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '^(orders|lines)'"
    ).fetchall() == [(standin.DBA,)]
    with pytest.raises(errors.CheckViolation):
        conn.execute("INSERT INTO public.orders (tenant_id, id, note) VALUES ('a', 2, repeat('x', 100))")


@pytest.mark.usefixtures("orders")
def test_a_tenant_lives_on_one_shard(conn: psycopg.Connection) -> None:
    """A statement that binds the shard key touches one slice; one that does not touches all."""

    def slices(explain: str) -> int:
        plan = conn.execute(explain.encode()).fetchall()
        return len(set(re.findall(r"orders_fs\d{5}", str(plan))))

    conn.execute("INSERT INTO public.orders (tenant_id, id) SELECT 't' || n, n FROM generate_series(1, 200) n")
    spread = conn.execute(
        "SELECT count(DISTINCT s.subcluster_id) FROM public.orders o"
        " JOIN rds_aurora.standin_slices s ON s.slice_oid = o.tableoid"
    ).fetchone()
    collocated = conn.execute(
        "SELECT count(DISTINCT subcluster_id) FROM rds_aurora.standin_slices WHERE slice ~ '_fs00003$'"
    ).fetchone()

    assert spread == (4,)
    assert collocated == (1,)
    assert slices("EXPLAIN SELECT * FROM public.orders WHERE tenant_id = 't7'") == 1
    assert slices("EXPLAIN SELECT * FROM public.orders WHERE id = 7") == 8
    sizes = conn.execute("SELECT count(*) FROM rds_aurora.limitless_stat_relation_sizes('public', 'orders')").fetchone()
    assert sizes == (4,)


@pytest.mark.usefixtures("orders")
def test_ordinary_work_is_ordinary(conn: psycopg.Connection) -> None:
    """COPY, upsert, delete, truncate and foreign keys within the rules work on sharded tables."""
    with conn.cursor() as cur:
        with cur.copy("COPY public.orders (tenant_id, id, total) FROM STDIN") as copy:
            for n in range(50):
                copy.write_row((f"t{n % 5}", n, n))
        cur.execute(
            "INSERT INTO public.orders (tenant_id, id, total) VALUES ('t0', 0, 9), ('t9', 1, 1)"
            " ON CONFLICT (tenant_id, id) DO UPDATE SET total = EXCLUDED.total"
        )
        cur.execute("UPDATE public.orders SET total = total + 1 WHERE tenant_id = 't9'")
        cur.execute("DELETE FROM public.orders WHERE tenant_id = 't1'")
        assert cur.rowcount == 10
        assert cur.execute("SELECT count(*), max(total) FROM public.orders").fetchone() == (41, 49)
    conn.execute(
        "ALTER TABLE public.lines ADD CONSTRAINT lines_order FOREIGN KEY (tenant_id, order_id)"
        " REFERENCES public.orders (tenant_id, id) DEFERRABLE INITIALLY DEFERRED"
    )
    conn.execute("ALTER TABLE public.lines ADD FOREIGN KEY (product) REFERENCES public.products ON DELETE CASCADE")
    with pytest.raises(errors.ForeignKeyViolation):
        conn.execute("INSERT INTO public.lines (tenant_id, order_id) VALUES ('t9', 999)")
    conn.execute("CREATE INDEX lines_product ON public.lines (product)")
    conn.execute("ALTER TABLE public.lines ADD COLUMN note text DEFAULT ''")
    conn.execute("TRUNCATE public.lines, public.orders")
    conn.execute("DROP TABLE public.lines")
    assert conn.execute("SELECT count(*) FROM rds_aurora.limitless_table_collocations").fetchone() == (1,)


def test_standard_tables_can_be_converted(conn: psycopg.Connection) -> None:
    """Rows, indexes, grants and owned sequences come along."""
    conn.execute("CREATE TABLE public.a (tenant_id int NOT NULL, id serial, v text, PRIMARY KEY (tenant_id, id))")
    conn.execute("CREATE INDEX a_v ON public.a (v) WHERE v IS NOT NULL")
    conn.execute("GRANT SELECT ON public.a TO pg_monitor")
    conn.execute("INSERT INTO public.a (tenant_id, v) SELECT n % 7, n::text FROM generate_series(1, 100) n")
    conn.execute("CREATE TABLE public.b (tenant_id int PRIMARY KEY)")
    conn.execute("CREATE TABLE public.r (id int PRIMARY KEY)")

    conn.execute("CALL rds_aurora.limitless_alter_table_type_sharded('public.a', ARRAY['tenant_id'])")
    conn.execute("CALL rds_aurora.limitless_alter_table_type_sharded('public.b', ARRAY['tenant_id'], 'public.a')")
    conn.execute("CALL rds_aurora.limitless_alter_table_type_reference('public.r')")

    assert conn.execute("SELECT count(*), max(id) FROM public.a").fetchone() == (100, 100)
    assert conn.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'a_v'").fetchone() is not None
    assert conn.execute("SELECT has_table_privilege('pg_monitor', 'public.a', 'SELECT')").fetchone() == (True,)
    following = conn.execute("INSERT INTO public.a (tenant_id) VALUES (1) RETURNING id > 100").fetchone()
    assert following == (True,)  # which number is the chunk's business
    assert conn.execute("SELECT table_name, table_type FROM rds_aurora.limitless_tables ORDER BY 1").fetchall() == [
        ("a", "sharded"),
        ("b", "sharded"),
        ("r", "reference"),
    ]


REFUSED = [
    "CREATE TRIGGER t AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.f()",
    "CREATE RULE r AS ON INSERT TO public.plain DO NOTHING",
    "CREATE PUBLICATION p FOR TABLE public.plain",
    "CREATE SUBSCRIPTION s CONNECTION 'host=none' PUBLICATION p WITH (connect = false)",
    "CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS a",
    "CREATE DOMAIN public.d AS text",
    "CREATE TEMPORARY TABLE tmp (a int)",
    "CREATE TEMPORARY TABLE tmp AS SELECT 1 AS a",
    "CREATE TABLE public.x (a int) PARTITION BY LIST (a)",
    "CREATE TABLE public.x () INHERITS (public.plain)",
    "CREATE TABLE public.x (a int) WITH (fillfactor = 50)",
    "CREATE TABLE public.x (a int GENERATED ALWAYS AS IDENTITY)",
    "CREATE TABLE public.x (a int, EXCLUDE USING btree (a WITH =))",
    "CREATE SCHEMA s CREATE TABLE x (a int)",
    "CREATE SEQUENCE public.s CYCLE",
    "CREATE TEMPORARY SEQUENCE s",
    "CREATE SEQUENCE public.s CACHE 250000",
    "CREATE TABLE public.x (a smallserial)",
    "CREATE STATISTICS public.s ON id, parent FROM public.plain",
    "CREATE AGGREGATE public.a (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE TEXT SEARCH CONFIGURATION public.c (COPY = simple)",
    "CREATE EXTENSION seg",
    "CREATE EXTENSION tcn",
    "CREATE UNIQUE INDEX CONCURRENTLY u ON public.plain (parent)",
    "COMMENT ON TABLE public.plain IS 'x'",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "DROP OWNED BY dba",
    "ALTER TABLE ONLY public.plain ADD CHECK (id > 0)",
    "ALTER TABLE public.plain RENAME CONSTRAINT plain_pkey TO p",
    "ALTER TABLE public.plain ALTER COLUMN parent TYPE bigint USING parent + 1",
    "ALTER TABLE public.plain ALTER COLUMN parent SET STATISTICS 10",
    "ALTER TABLE public.plain ALTER COLUMN parent SET (n_distinct = 5)",
    "ALTER TABLE public.plain ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE public.plain SET (fillfactor = 50)",
    "ALTER TABLE public.other INHERIT public.plain",
    "ALTER TABLE public.products DROP COLUMN id",
    "ALTER TABLE public.orders DROP CONSTRAINT orders_pkey, ADD UNIQUE (id)",
    "CREATE UNIQUE INDEX u ON public.orders (id)",
    "ALTER TABLE public.plain ADD FOREIGN KEY (parent) REFERENCES public.products (k)",
    "ALTER TABLE public.products ADD FOREIGN KEY (k) REFERENCES public.plain",
    "ALTER TABLE public.lines ADD FOREIGN KEY (parent) REFERENCES public.plain",
    "ALTER TABLE public.lines ADD FOREIGN KEY (product) REFERENCES public.products ON DELETE SET NULL",
    "ALTER TABLE public.lines ADD FOREIGN KEY (product) REFERENCES public.products ON DELETE SET DEFAULT",
    "ALTER TABLE public.lines ADD FOREIGN KEY (product) REFERENCES public.products ON UPDATE CASCADE",
    "ALTER TABLE public.lines ADD FOREIGN KEY (tenant_id, order_id) REFERENCES public.orders NOT VALID",
    "ALTER TABLE public.lines ADD FOREIGN KEY (product, order_id) REFERENCES public.orders",
    "ALTER TABLE public.lines ADD FOREIGN KEY (tenant_id, order_id) REFERENCES public.elsewhere",
    "ALTER TABLE public.plain ADD FOREIGN KEY (parent) REFERENCES public.plain ON UPDATE SET DEFAULT",
    "ALTER FUNCTION public.g() IMMUTABLE",
    "CREATE OR REPLACE FUNCTION public.g() RETURNS int STABLE LANGUAGE sql AS 'SELECT 2'",
    "DO $$ BEGIN EXECUTE 'ALTER FUNCTION public.' || 'g() STABLE'; END $$",
    "UPDATE public.orders SET tenant_id = 'b'",
    "INSERT INTO public.orders (tenant_id, id) VALUES ('a', 1)"
    " ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = EXCLUDED.tenant_id",
    "ALTER TABLE public.orders ATTACH PARTITION public.plain FOR VALUES WITH (MODULUS 8, REMAINDER 0)",
    "ALTER TABLE public.orders DETACH PARTITION public.orders_fs00001",
]


def test_known_texts_are_those_of_limitless(conn: psycopg.Connection) -> None:
    """Whoever matches on a message finds the same one here."""
    create(conn, "CREATE TABLE public.t (tenant_id int PRIMARY KEY)")
    texts = {
        "UPDATE public.t SET tenant_id = 1": "Shard key column update is not supported",
        "CREATE TABLE public.x (a int) PARTITION BY LIST (a)": "PARTITION BY is not supported",
        "CREATE TABLE public.x (a int) WITH (fillfactor = 50)": "STORAGE PARAMETER is not supported",
        "CREATE SCHEMA s CREATE VIEW v AS SELECT 1": "CREATE SCHEMA with schema elements is not supported",
        "CREATE TABLE public.x (a smallserial)": "not enough values to create distributed sequence",
    }
    found = {}
    for statement in texts:
        with pytest.raises(errors.FeatureNotSupported) as refusal:
            conn.execute(statement.encode())
        found[statement] = refusal.value.diag.message_primary

    assert found == texts


def test_a_sharded_table_needs_a_key_that_its_unique_keys_contain(conn: psycopg.Connection) -> None:
    """Missing, unknown and uncovered shard keys are told apart; so are names too long for slices."""
    with pytest.raises(errors.UndefinedColumn):
        create(conn, "CREATE TABLE public.t (id int PRIMARY KEY)")
    with pytest.raises(errors.FeatureNotSupported, match="lacks a shard key column"):
        create(conn, "CREATE TABLE public.t (tenant_id int, id int PRIMARY KEY)")
    for long in ("t" * 55, "é" * 28):  # bytes count
        with pytest.raises(errors.FeatureNotSupported, match="54 bytes"):
            create(conn, f"CREATE TABLE public.{long} (tenant_id int)")
    with pytest.raises(errors.FeatureNotSupported, match="FOREIGN KEY in CREATE TABLE"):
        create(conn, "CREATE TABLE public.t (tenant_id int PRIMARY KEY REFERENCES public.t)")
    with pytest.raises(errors.FeatureNotSupported, match="no primary key"):
        create_reference(conn, "CREATE TABLE public.t (id int)")
    create(conn, "CREATE TABLE public.t (tenant_id int PRIMARY KEY)")
    with pytest.raises(errors.DatatypeMismatch):
        create(conn, "CREATE TABLE public.u (tenant_id bigint PRIMARY KEY)", collocate_with="public.t")
    create(conn, f"CREATE TABLE public.{'t' * 54} (tenant_id int PRIMARY KEY)", collocate_with="t")


@pytest.mark.usefixtures("orders")
def test_the_shard_key_cannot_be_dropped_or_retyped(conn: psycopg.Connection) -> None:
    """Its columns are as they were created, for good."""
    for change in ("DROP COLUMN tenant_id", "ALTER COLUMN tenant_id TYPE varchar(10)"):
        with pytest.raises(psycopg.errors.InvalidTableDefinition):
            conn.execute(("ALTER TABLE public.orders " + change).encode())


@pytest.mark.routers
def test_functions_that_do_not_exist_there_cannot_be_called(conn: psycopg.Connection) -> None:
    """setval, pg_notify and large objects: the router refuses the call, and one it cannot see has no right to them."""
    conn.execute("CREATE SEQUENCE public.s")
    for call in ("setval('public.s', 5)", "pg_notify('a', 'b')", "lo_create(0)", "lo_unlink(5)", "lo_get(5)"):
        with pytest.raises(errors.FeatureNotSupported, match=call.partition("(")[0]):
            conn.execute(("SELECT " + call).encode())
        hidden = "DO $do$ BEGIN EXECUTE concat('SELECT ', $$" + call + "$$); END $do$"
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute(hidden.encode())
    conn.execute("ALTER SEQUENCE public.s RESTART 100")
    assert conn.execute("SELECT nextval('public.s')").fetchone() == (100,)


# Commands of the whole server or cluster, and those that are no DDL: no event trigger sees them.
UNSEEN = frozenset(
    [
        *("MERGE", "LISTEN", "UNLISTEN", "NOTIFY", "SET CONSTRAINTS"),
        *("PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED"),
        *("CREATE EVENT TRIGGER", "ALTER EVENT TRIGGER", "DROP EVENT TRIGGER"),
        *("CREATE TABLESPACE", "ALTER TABLESPACE", "DROP TABLESPACE", "ALL IN TABLESPACE"),
        *("ALTER DATABASE", "ALTER SYSTEM", "REASSIGN OWNED"),
        "ALTER EXTENSION ADD or DROP",  # told by the text of the statement, which is EXECUTE's here
    ]
)


@pytest.mark.routers
def test_the_whole_table_is_refused(conn: psycopg.Connection) -> None:
    """Every example by the routers, in its words; every command hidden from them by the event triggers, in the same."""
    create(conn, "CREATE TABLE public.t (a int, b int, tenant_id int, PRIMARY KEY (tenant_id, a))")
    conn.execute("CREATE TABLE public.x (a int, b int)")
    through, hidden = {}, {}
    for entry in (*COMMANDS.values(), *FORMS.values(), *FUNCTIONS.values()):
        if entry.until is None and (said := answer(conn, entry.example)) != entry.words:
            through[entry.name] = said
    for entry in COMMANDS.values():
        made_up = f"DO $do$ BEGIN EXECUTE concat($${entry.example[:2]}$$, $${entry.example[2:]}$$); END $do$"
        if (said := answer(conn, made_up)) != entry.words:
            hidden[entry.name] = said

    assert through == {}
    assert hidden.keys() == UNSEEN, hidden


def answer(conn: psycopg.Connection, statement: str) -> str:
    """What the server says to *statement*, which leaves nothing behind."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement.encode())
    except psycopg.Error as exc:
        return exc.diag.message_primary or ""
    return "accepted"


@pytest.mark.usefixtures("orders")
def test_what_limitless_refuses_is_refused(conn: psycopg.Connection) -> None:
    """Each of these statements fails as a feature that is not supported, and says so."""
    conn.execute("CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    conn.execute("CREATE FUNCTION public.g() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    conn.execute("CREATE OR REPLACE FUNCTION public.g() RETURNS int LANGUAGE sql AS 'SELECT 2'")
    conn.execute("ALTER TABLE public.lines ADD COLUMN parent int")
    conn.execute("ALTER TABLE public.products ADD COLUMN k int UNIQUE")
    conn.execute("CREATE TABLE public.other (id int PRIMARY KEY, parent int)")
    create(conn, "CREATE TABLE public.elsewhere (tenant_id text, id bigint, PRIMARY KEY (tenant_id, id))")
    wrong = {}
    for statement in REFUSED:
        alone = "CONCURRENTLY" in statement or "SUBSCRIPTION" in statement  # not inside a transaction block
        try:
            with nullcontext() if alone else conn.transaction(force_rollback=True):
                conn.execute(statement.encode())
            wrong[statement] = "accepted"
        except errors.FeatureNotSupported:
            continue
        except errors.WrongObjectType as exc:
            # PostgreSQL itself refuses NOT VALID on a partitioned table, up to version 17.
            if "NOT VALID" not in statement:
                wrong[statement] = f"{exc.sqlstate} {exc}"
        except psycopg.Error as exc:
            wrong[statement] = f"{exc.sqlstate} {exc}"

    assert wrong == {}, wrong
