"""The stand-in answers through routers: refusals keep protocol and transaction in order, and no two routers agree on
what is a router's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, pq

from migrator.db.error_text import server_message, violated_name
from migrator.local.process import free_port
from migrator.local.routers import Routers
from tests.fixtures.postgres import Machines, Servers
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = [pytest.mark.pg, pytest.mark.routers]

WRAPPED = "failed to execute remote query"


@pytest.fixture
def pair(limitless_dsn: str) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """Two connections through two routers, to a database with one table of each type."""
    with psycopg.connect(limitless_dsn, autocommit=True) as one, psycopg.connect(limitless_dsn, autocommit=True) as two:
        with one.transaction():
            one.execute("SET LOCAL rds_aurora.limitless_create_table_mode = 'sharded'")
            one.execute("SET LOCAL rds_aurora.limitless_create_table_shard_key = '{\"tenant_id\"}'")
            one.execute("CREATE TABLE public.orders (tenant_id int, id bigserial, v text, PRIMARY KEY (tenant_id, id))")
        one.execute("CREATE TABLE public.plain (id serial PRIMARY KEY, v text)")
        with one.transaction():
            one.execute("SET LOCAL rds_aurora.limitless_create_table_mode = 'reference'")
            one.execute("CREATE TABLE public.colours (id int PRIMARY KEY, v text)")
        yield one, two


Pair = tuple[psycopg.Connection, psycopg.Connection]


def one_value(conn: psycopg.Connection, statement: str) -> object:
    row = conn.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_refused_statement_aborts_its_transaction_like_any_other(pair: Pair) -> None:
    """Simple and extended protocol, with and without parameters: SQLSTATE, text and state are the server's."""
    conn, _ = pair
    merge = "MERGE INTO public.plain USING (SELECT %s::int AS n, %s::text AS t) s ON id = n WHEN MATCHED THEN DELETE"
    for values in (None, (1, "x")):
        conn.execute("BEGIN")
        with pytest.raises(errors.FeatureNotSupported, match=r"^(MERGE|NOTIFY) is not supported"):
            conn.execute("NOTIFY jobs" if values is None else merge, values)
        assert conn.info.transaction_status is pq.TransactionStatus.INERROR
        with pytest.raises(errors.InFailedSqlTransaction):
            conn.execute("LISTEN jobs")
        conn.execute("ROLLBACK")
    with pytest.raises(errors.FeatureNotSupported):
        conn.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    assert conn.info.transaction_status is pq.TransactionStatus.IDLE


def test_statements_of_one_text_are_done_up_to_the_refused_one(pair: Pair) -> None:
    """A text without BEGIN is one transaction; with COMMIT in it, what was committed stays."""
    conn, _ = pair
    for text, left in (
        ("INSERT INTO public.plain (v) VALUES ('a'); LISTEN x", 0),
        ("BEGIN; INSERT INTO public.plain (v) VALUES ('b'); COMMIT; SET CONSTRAINTS ALL DEFERRED; SELECT 1", 1),
    ):
        with pytest.raises(errors.FeatureNotSupported):
            conn.execute(text.encode())
        assert one_value(conn, "SELECT count(*) FROM public.plain") == left


def test_a_pipeline_goes_on_after_the_next_sync(pair: Pair) -> None:
    """What was queued behind the refused statement is skipped, what follows the synchronisation is done."""
    conn, _ = pair
    with conn.pipeline() as pipeline:
        first = conn.execute("INSERT INTO public.plain (v) VALUES ('a') RETURNING v")
        pipeline.sync()
        raised: list[type[psycopg.Error]] = []
        for step in (
            lambda: conn.execute("LISTEN x"),
            lambda: conn.execute("INSERT INTO public.plain (v) VALUES ('skipped')"),
            pipeline.sync,
            pipeline.sync,
        ):
            try:  # what is refused is raised by whichever call receives the answer
                step()
            except (errors.FeatureNotSupported, errors.PipelineAborted) as error:
                raised.append(type(error))
        assert errors.FeatureNotSupported in raised
        second = conn.execute("INSERT INTO public.plain (v) VALUES ('c') RETURNING v")
        pipeline.sync()
        assert (first.fetchone(), second.fetchone()) == (("a",), ("c",))
    assert conn.execute("SELECT v FROM public.plain ORDER BY v").fetchall() == [("a",), ("c",)]


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ("now()::text", False),
        ("lower(pg_catalog.clock_timestamp()::text)", False),
        ("upper(coalesce(random()::text, %s))", False),
        ("current_user", False),
        ("public.unsafe(EXCLUDED.v)", False),
        ('"unsafe"(EXCLUDED.v)', False),
        ("nextval('public.plain_id_seq')::text", False),
        ("(SELECT 'x')", False),
        ("upper(EXCLUDED.v) || lower(o.v)", True),
        ("public.safe(EXCLUDED.v || ')' || $$)$$ /* ) */ || \"upper\"(%s))", True),
    ],
)
def test_do_update_takes_immutable_functions_only(pair: Pair, expression: str, taken: bool) -> None:
    """Refused whether or not a row is in conflict; the volatility is the one in the catalog."""
    conn, _ = pair
    conn.execute("CREATE FUNCTION public.unsafe(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1'")
    conn.execute("CREATE FUNCTION public.safe(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1'")
    conn.execute("INSERT INTO public.orders VALUES (1, 1, 'a')")
    values = ["p"] if "%s" in expression else None
    upsert = (
        "INSERT INTO public.orders AS o VALUES (1, {}, 'b') ON CONFLICT (tenant_id, id)"
        " DO UPDATE SET v = {} WHERE o.v <> 'z'"
    )
    for key in (1, 2):
        with (
            contextlib.nullcontext()
            if taken
            else pytest.raises(errors.FeatureNotSupported, match=r"pushdown-unsafe|subquery")
        ):
            conn.execute(upsert.format(key, expression).encode(), values)
    assert (one_value(conn, "SELECT v FROM public.orders WHERE id = 1") != "a") is taken


def test_every_router_numbers_its_objects_by_itself(pair: Pair) -> None:
    """As a column of any format, as text, as a hash, and in the description of a result; names are the same."""
    own = (
        "SELECT 'public.orders'::regclass::oid",
        "SELECT oid FROM pg_class WHERE relname = 'orders'",
        "SELECT md5(concat_ws('|', c.oid, c.relfilenode)) FROM pg_class c WHERE relname = 'plain'",
        "SELECT c.oid::text || '' FROM pg_class c WHERE relname = 'plain'",
        "SELECT attrelid::int8 FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relname = 'plain' LIMIT 1",
        "SELECT local_oid FROM rds_aurora.limitless_tables WHERE table_name = 'orders'",
    )
    same = (
        "SELECT 'public.orders'::regclass",
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relname = 'orders'",
        "SELECT 'int4'::regtype::oid",
        "SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE conname = 'orders_pkey'",
        "SELECT string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relname = 'orders' AND attnum > 0",
    )
    for statement in own:
        assert one_value(pair[0], statement) != one_value(pair[1], statement), statement
    for statement in same:
        assert len({one_value(conn, statement) for conn in pair for _ in range(2)}) == 1, statement
    binary = [conn.cursor(binary=True).execute(own[1].encode()).fetchone() for conn in pair]
    assert binary[0] != binary[1]
    described = [conn.execute("SELECT v FROM public.orders").pgresult for conn in pair]
    assert described[0] is not None and described[1] is not None
    assert described[0].ftable(0) != described[1].ftable(0)


def test_sequences_hand_out_chunks(pair: Pair) -> None:
    """Two connections get numbers that do not follow each other; each goes up, none comes twice."""
    taken = [[one_value(conn, "SELECT nextval('public.orders_id_seq')") for _ in range(3)] for conn in pair]
    assert taken == [[1, 2, 3], [250001, 250002, 250003]]
    assert one_value(pair[0], "SELECT nextval('public.orders_id_seq')") == 4
    declared = (
        "SELECT cache, inc, start FROM rds_aurora.limitless_distributed_sequence WHERE sequence_name = 'orders_id_seq'"
    )
    assert pair[0].execute(declared).fetchone() == (1, 1, 1)
    pair[0].execute("ALTER SEQUENCE public.orders_id_seq RESTART 900000")
    chunks = (
        "SELECT DISTINCT active_minvalue FROM rds_aurora.limitless_sequence_metadata WHERE sequence_name ~ '^orders'"
    )
    assert pair[1].execute(chunks).fetchall() == [(900000,)]
    with pytest.raises(errors.FeatureNotSupported, match="CACHE"):
        pair[0].execute("ALTER SEQUENCE public.orders_id_seq CACHE 250001")


def test_a_router_holds_no_rows(pair: Pair) -> None:
    """Its sizes are those of its catalogs, its tables are foreign or partitioned; the cluster's views know."""
    conn, _ = pair
    conn.execute("INSERT INTO public.plain (v) SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
    conn.execute("INSERT INTO public.orders (tenant_id, v) SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) n")
    kinds = "SELECT string_agg(DISTINCT relkind::text, '' ORDER BY relkind::text) FROM pg_class WHERE relname ~ %s"
    found = {
        name: conn.execute(kinds, [f"^{name}$"]).fetchone() for name in ("orders", "orders_fs.....", "plain", "colours")
    }
    assert found == {"orders": ("p",), "orders_fs.....": ("f",), "plain": ("f",), "colours": ("f",)}
    assert (
        one_value(conn, "SELECT pg_total_relation_size('public.plain') + pg_relation_size('public.plain', 'main')") == 0
    )
    assert int(str(one_value(conn, "SELECT pg_relation_size('pg_class')"))) > 0
    own = int(str(one_value(conn, "SELECT pg_database_size(current_database())")))
    whole = int(
        str(one_value(conn, "SELECT sum(db_size) FROM rds_aurora.limitless_stat_database_size(current_database())"))
    )
    assert whole > own + 4_000_000
    placed = "SELECT count(*), sum(total_size) > 1000000 FROM rds_aurora.limitless_stat_relation_sizes('public', %s)"
    assert [conn.execute(placed, [name]).fetchone() for name in ("orders", "plain", "colours")] == [
        (4, True),
        (1, True),
        (4, False),
    ]


def test_explain_says_when_one_shard_is_enough(pair: Pair) -> None:
    """The marker follows a plan of one shard, in text only."""

    def plan(statement: str) -> list[str]:
        return [str(line) for (line,) in pair[0].execute(statement.encode()).fetchall()]

    assert plan("EXPLAIN SELECT * FROM public.orders WHERE tenant_id = 7")[-1] == "Single Shard Optimized"
    assert plan("EXPLAIN DELETE FROM public.orders WHERE tenant_id = 7 AND id > 3")[-1] == "Single Shard Optimized"
    one_row = "INSERT INTO public.orders VALUES (7, 1, 'a') ON CONFLICT (tenant_id, id) DO UPDATE SET v = 'b'"
    assert plan(f"EXPLAIN (COSTS OFF) {one_row}")[-1] == "Single Shard Optimized"
    for several in (
        "SELECT * FROM public.orders WHERE id = 7",
        "INSERT INTO public.orders VALUES (7, 1, 'a'), (8, 1, 'a')",
        "INSERT INTO public.orders VALUES ((SELECT max(tenant_id) FROM public.orders), 1, 'a')",
        "INSERT INTO public.orders SELECT n, 1, 'a' FROM generate_series(1, 9) n",
    ):
        assert "Single Shard Optimized" not in plan(f"EXPLAIN {several}")
    assert len(plan("EXPLAIN (FORMAT json) SELECT * FROM public.orders WHERE tenant_id = 7")) == 1


def test_large_data_passes_whole_in_both_directions(limitless_dsn: str) -> None:
    """COPY, wide rows, long statements, and several connections at once."""

    def work(number: int) -> tuple[object, ...]:
        with psycopg.connect(limitless_dsn, autocommit=True) as conn:
            conn.execute(f"CREATE TABLE public.t{number} (id int, v text)".encode())
            with conn.cursor() as cur, cur.copy(f"COPY public.t{number} FROM STDIN".encode()) as copy:
                for n in range(20_000):
                    copy.write_row((n, "x" * (n % 300)))
            with conn.cursor() as cur, cur.copy(f"COPY public.t{number} TO STDOUT".encode()) as copy:
                rows = sum(1 for _ in copy.rows())
            wide = one_value(conn, f"SELECT '{'y' * 3_000_000}'")
            oids = conn.execute("SELECT oid, relname FROM pg_class, generate_series(1, 20)").fetchall()
            return rows, len(str(wide)), len(oids) > 8000

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [(20_000, 3_000_000, True)] * 4


def test_a_statement_is_cancelled_through_the_router(pair: Pair) -> None:
    """A request to cancel reaches the server."""
    conn, _ = pair
    with ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(conn.execute, "SELECT pg_sleep(600)")
        while one_value(pair[1], "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'") == 0:
            pass
        conn.cancel_safe()
        with pytest.raises(errors.QueryCanceled):
            sleeping.result(TIMEOUT_S)


def test_clients_notice_that_the_server_or_the_routers_are_gone(servers: Servers, tmp_path: Path) -> None:
    """Connections break with either, and work again after a start on the same port."""
    conn = psycopg.connect(servers.limitless_dsn, autocommit=True)
    servers.limitless.kill()
    with pytest.raises(psycopg.OperationalError):
        conn.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(servers.limitless_dsn, connect_timeout=5)
    servers.limitless.start()
    port = int(str(psycopg.conninfo.conninfo_to_dict(servers.limitless.dsn())["port"]))
    routers = Routers(tmp_path, free_port(), port)
    routers.start()
    routers.start()  # nothing to do
    try:
        with psycopg.connect(routers.dsn(servers.limitless.dsn()), autocommit=True) as through:
            assert one_value(through, "SELECT 1") == 1
            routers.stop()
            with pytest.raises(psycopg.OperationalError):
                through.execute("SELECT 1")
        routers.start()
        with psycopg.connect(routers.dsn(servers.limitless.dsn()), autocommit=True) as through:
            assert one_value(through, "SELECT 2") == 2
    finally:
        routers.stop()


def test_what_is_local_to_a_router_is_written_down(machines: Machines, pair: Pair) -> None:
    """The journal names statements whose answer holds a router's own identifiers, and their columns."""
    assert machines.routers is not None
    one_value(pair[0], "SELECT c.oid AS its_number FROM pg_class c WHERE relname = 'plain'")
    told = [e for e in machines.routers.entries() if e["what"] == "local answer" and e["columns"] == ["its_number"]]
    assert told


def test_errors_of_rows_come_from_a_shard(pair: Pair) -> None:
    """A router's message, the shard's words as details, no name of a constraint; the router's own words are plain."""
    conn, _ = pair
    conn.execute("ALTER TABLE public.orders ADD CONSTRAINT short CHECK (length(v) < 5)")
    broken_by = {
        "INSERT INTO public.orders VALUES (1, 1, 'a'), (1, 1, 'b')": (errors.UniqueViolation, "orders_fs"),
        "INSERT INTO public.orders VALUES (1, 1, 'abcde')": (errors.CheckViolation, "short"),
        "INSERT INTO public.orders VALUES (1, NULL, 'a')": (errors.NotNullViolation, "id"),
    }
    for statement, (kind, name) in broken_by.items():
        with pytest.raises(kind) as refused:
            conn.execute(statement.encode())
        diag = refused.value.diag
        assert (diag.message_primary, diag.constraint_name, diag.table_name) == (WRAPPED, None, None)
        assert diag.context == f"remote SQL command: {statement}"
        assert server_message(refused.value) == (diag.message_detail or "").splitlines()[0] != WRAPPED
        assert violated_name(refused.value).startswith(name)
    with pytest.raises(errors.UndefinedTable, match=r"^relation"):
        conn.execute("SELECT 1 FROM public.nowhere")
    assert server_message(errors.UndefinedTable("x")) == "undefined table"
