"""What an error of a server says: side, what happened, objects, statement and place; never a value of a row."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.cli.exits import ending_of
from migrator.control.route import switch
from migrator.db.connect import connect, connect_async
from migrator.db.error_text import described, next_step, server_message
from migrator.errors import ClusterUnavailable
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.roles import Roles
from workflows.failures import failure

pytestmark = pytest.mark.pg

SECRET = "s3cret"

DDL = f"""
CREATE TYPE public.mood AS ENUM ('fine');
CREATE DOMAIN public.short AS text CHECK (length(VALUE) < 3);
CREATE TABLE public.parents (id text PRIMARY KEY);
CREATE TABLE public.orders (
    id text PRIMARY KEY, parent text REFERENCES public.parents, qty int CHECK (qty > 0), mood public.mood,
    note public.short, label varchar(3), at date, needed text NOT NULL DEFAULT '',
    EXCLUDE USING btree (label WITH =)
);
CREATE TABLE public.parts (id text) PARTITION BY LIST (id);
INSERT INTO public.orders (id, label) VALUES ('{SECRET}', 'x');
CREATE FUNCTION public.told() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''% is taken'', NEW.id; END';
CREATE FUNCTION public.disguised() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''% is taken'', NEW.id USING ERRCODE = ''unique_violation''; END';
CREATE FUNCTION public.coded() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''% is taken'', NEW.id USING ERRCODE = ''AB123''; END';
CREATE TABLE public.told (id text);
CREATE TRIGGER told BEFORE INSERT ON public.told FOR EACH ROW EXECUTE FUNCTION public.told();
CREATE TABLE public.disguised (id text);
CREATE TRIGGER told BEFORE INSERT ON public.disguised FOR EACH ROW EXECUTE FUNCTION public.disguised();
CREATE TABLE public.coded (id text);
CREATE TRIGGER told BEFORE INSERT ON public.coded FOR EACH ROW EXECUTE FUNCTION public.coded();
"""

SAID: dict[str, tuple[str, tuple[str, ...]]] = {
    # statement, and what is said of it
    "unique": (f"INSERT INTO public.orders VALUES ('{SECRET}')", ("23505", "table public.orders", "orders_pkey")),
    "check": (f"INSERT INTO public.orders (id, qty) VALUES ('{SECRET}', -1)", ("23514", "orders_qty_check")),
    "foreign key": (
        f"INSERT INTO public.orders (id, parent) VALUES ('a', '{SECRET}')",
        ("23503", "table public.orders", "orders_parent_fkey"),
    ),
    "not null": (
        f"INSERT INTO public.orders (id, needed) VALUES ('{SECRET}', NULL)",
        ("23502", '"needed"', "table public.orders"),
    ),
    "exclusion": ("INSERT INTO public.orders (id, label) VALUES ('other', 'x')", ("23P01", "orders_label_excl")),
    "domain": (f"INSERT INTO public.orders (id, note) VALUES ('a', '{SECRET}')", ("23514", "short")),
    "no partition": (f"INSERT INTO public.parts VALUES ('{SECRET}')", ("23514", "table public.parts")),
    "number": (f"SELECT '{SECRET}'::int", ("22P02", "invalid input syntax for type integer: …")),
    "quoted number": ("SELECT 's3cret\" is'::int", ("22P02", "integer")),
    "large": ("SELECT '999999'::smallint", ("22003", "numeric value out of range")),
    "length": (f"INSERT INTO public.orders (id, label) VALUES ('a', '{SECRET}')", ("22001", "character varying(3)")),
    "date": (f"SELECT '{SECRET}'::date", ("22007",)),
    "day": ("SELECT '2020-13-45'::date", ("22008",)),
    "enum": (f"SELECT '{SECRET}'::public.mood", ("22P02", "enum")),
    "json": (f"SELECT '{SECRET}'::json", ("22P02", "json")),
    "array": (f"SELECT '{SECRET}'::int[]", ("22P02",)),
    "uuid": (f"SELECT '{SECRET}'::uuid", ("22P02", "uuid")),
    "expression": (f"SELECT 'a' ~ '{SECRET}('", ("2201B",)),
    "bytes": ("SELECT convert_from('\\x733363726574ff'::bytea, 'UTF8')", ("22021",)),
    "raised": (f"INSERT INTO public.told VALUES ('{SECRET}')", ("P0001", "function or trigger")),
    "raised in disguise": (f"INSERT INTO public.disguised VALUES ('{SECRET}')", ("23505", "function or trigger")),
    "raised with a code": (f"INSERT INTO public.coded VALUES ('{SECRET}')", ("AB123", "function or trigger")),
    "undefined": ("SELECT 1 FROM public.nowhere", ("42P01", '"public.nowhere" does not exist')),
    "read-only": ("BEGIN READ ONLY; CREATE TABLE public.t ()", ("25006", "read-only transaction")),
    "unsupported": ("ALTER TABLE public.orders ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY", ("22023",)),
    "timeout": ("SET statement_timeout = '20ms'; SELECT pg_sleep(5)", ("57014", "statement timeout")),
}


@pytest.fixture(scope="module")
def dsn(machines: Machines) -> Iterator[str]:
    """One database for all; every statement fails, so that none sees another."""
    name = fresh_name("errors")
    made = machines.new_classic(name)
    with psycopg.connect(made, autocommit=True) as conn:
        conn.execute(DDL.encode())
    yield made
    machines.drop(classic=name)


@pytest.mark.parametrize("case", SAID)
def test_objects_are_named_and_values_are_not(dsn: str, case: str) -> None:
    """On a terminal and in Temporal alike."""
    statement, said = SAID[case]
    with connect(dsn, "test", side="Limitless") as conn, pytest.raises(psycopg.Error) as raised:
        conn.execute(statement.encode())

    error = raised.value
    ending, sent = ending_of(error), failure(error, "copy_unit")
    for text in (described(error), ending.message, sent.message):
        assert "Limitless: " in text
        assert all(part in text for part in said), text
        assert "\n" not in text
    everything = f"{ending} {sent.message} {sent.details} {server_message(error)} {next_step(error)}"
    assert SECRET not in everything and "999999" not in everything and "2020-13" not in everything
    assert sent.message.endswith(", step copy_unit")


def test_a_copied_row_names_the_column_and_not_the_value(dsn: str) -> None:
    with connect(dsn, "test", side="Limitless") as conn, pytest.raises(psycopg.DataError) as raised:
        with conn.cursor() as cursor, cursor.copy("COPY public.orders (id, qty) FROM STDIN") as copy:
            copy.write(f"a\t{SECRET}\n")

    assert "COPY into orders, column qty" in described(raised.value)
    assert SECRET not in described(raised.value)


def test_the_statement_and_the_function_are_named(dsn: str) -> None:
    """Nothing of the tool is installed there, so that its statements fail."""
    with connect(dsn, "test", side="classic") as conn, pytest.raises(psycopg.Error) as raised:
        switch(conn)

    text = described(raised.value)
    assert text.startswith('classic: relation "migrator.switch" does not exist (42P01), ')
    assert "statement control/route.sql:" in text and "in control.route." in text


async def test_asynchronous_sessions_know_as_much(dsn: str) -> None:
    async with await connect_async(dsn, "test", side="classic") as conn:
        with pytest.raises(psycopg.Error) as raised:
            async with conn.cursor("rows") as cursor:
                await cursor.execute("SELECT 1 FROM public.nowhere")

    assert described(raised.value).startswith('classic: relation "public.nowhere" does not exist (42P01)')


def test_a_session_that_was_ended_says_so(dsn: str) -> None:
    with connect(dsn, "test", side="classic") as conn:
        with pytest.raises(psycopg.Error) as raised:
            conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        with pytest.raises(psycopg.Error) as again:
            conn.execute("SELECT 1")

    assert described(raised.value).startswith("classic: terminating connection due to administrator command (57P01)")
    assert described(again.value) == "the connection was lost: the connection is closed"
    assert failure(again.value).non_retryable is False


def test_a_lock_names_the_step(dsn: str) -> None:
    with connect(dsn, "test") as holder, connect(dsn, "test", lock_timeout_s=0.05, side="classic") as conn:
        with holder.transaction():
            holder.execute("LOCK TABLE public.orders")
            with pytest.raises(psycopg.Error) as raised:
                conn.execute("SELECT 1 FROM public.orders")

    assert "classic: canceling statement due to lock timeout (55P03)" in described(raised.value)
    assert "pg_blocking_pids" in next_step(raised.value)


def test_a_missing_right_says_what_to_do(classic_dsn: str, roles: Roles) -> None:
    roles.on_classic("nobody")
    with psycopg.connect(classic_dsn, autocommit=True) as owner:
        owner.execute("CREATE TABLE public.closed ()")
    with connect(roles.dsn(classic_dsn, "nobody"), "test", side="classic") as conn:
        with pytest.raises(psycopg.Error) as raised:
            conn.execute("SELECT 1 FROM public.closed")

    ending = ending_of(raised.value)
    assert ending.message.startswith("classic: permission denied for table closed (42501)")
    assert "docs/privileges.md" in ending.hint and ending.code == 3


@pytest.mark.parametrize(
    ("parts", "why", "hint"),
    [
        ({"port": "1"}, "Connection refused", "server runs"),
        ({"host": "nowhere.invalid"}, "nowhere.invalid", "DNS"),
        ({"dbname": "nowhere"}, "the database does not exist", "database name"),
        ({"sslmode": "verify-full", "sslrootcert": "/nowhere/root.crt"}, "SSL", "sslrootcert"),
        ({"user": "nobody_of_this_name", "password": SECRET}, "refused the user or password", "secret"),
    ],
)
def test_a_refused_connection_names_side_address_and_reason(
    dsn: str, parts: dict[str, str], why: str, hint: str
) -> None:
    with pytest.raises(ClusterUnavailable) as raised:
        connect(conninfo.make_conninfo(dsn, **parts), "test", side="Limitless")

    text = str(raised.value)
    assert text.startswith("Limitless (") and "is unavailable: " in text and why in text
    assert hint in raised.value.hint
    assert SECRET not in f"{text} {raised.value.hint}"


def test_a_role_without_free_connections_is_told_so(classic_dsn: str, roles: Roles) -> None:
    role = roles.on_classic("full")
    with psycopg.connect(roles.classic_admin, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} NOSUPERUSER CONNECTION LIMIT 0").format(sql.Identifier(role)))

    with pytest.raises(ClusterUnavailable, match="too many connections") as raised:
        connect(roles.dsn(classic_dsn, "full"), "test", side="classic")

    assert "max_connections or the role's limit" in raised.value.hint
