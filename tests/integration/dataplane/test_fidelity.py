"""Any row of any supported type, written on classic in any session, is the same row on Limitless.

One table per type, the type as value and, where it can be, as key. Compared by SQL of this file: the text of each value
under fixed settings, and its size.
"""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg import sql

from migrator.dataplane.capture.install import mark_dirty
from tests.fixtures.shop import ACTIONS, CHECKED
from tests.fixtures.world import PARTS, World, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


@dataclass(frozen=True)
class Case:
    """A type, values as SQL, and whether it can be a key (its values must then differ)."""

    type: str
    values: list[str]
    key: bool = True
    same_key: list[tuple[str, str]] = field(default_factory=list)  # equal as keys, and look different


PLANES = "'a\u00e9\u4e2d\U0001f600\U000e0001\U0010fffd'"
CASES = [
    Case("json", ["""'{"a" :  1,  "a":2 , "b":"\\u00e9"}'""", "' null '", "'[1.0, 1.00]'"], key=False),
    Case("jsonb", ["""'{"a": 1.00, "b": null}'""", "'1.0'", "'\"\"'"], same_key=[("'7.0'", "'7.000'")]),
    Case(
        "numeric",
        ["'NaN'", "'Infinity'", "'-Infinity'", "1.10", "0.000", "12345678901234567890.123456789"],
        same_key=[("1.0", "1.00")],
    ),
    Case("numeric(12,2)", ["'NaN'", "1.5", "-0.01"]),
    Case("double precision", ["'NaN'", "'-Infinity'", "0.1::float8 + 0.2", "5e-324"], same_key=[("0.0", "'-0'")]),
    Case("real", ["'NaN'", "1e-45", "3.4028235e38", "0.1"]),
    Case("bytea", [r"'\x'", r"'\x00ff5c27'", "decode('00010a0d22', 'hex')"]),
    Case("text", ["''", PLANES, r"E'a\\b\tc\nd\r\x01\"''{}, NULL'", "'NULL'", "'null'", "'{}'", r"'\N'", r"E'\\.'"]),
    Case("varchar(20)", ["''", "' x '"]),
    Case("character(5)", ["''", "'ab'", "'ab c'"]),
    Case("bpchar", ["'x'", "'y  '"], same_key=[("'q'", "'q  '")]),
    Case('"char"', ["''", "'a'", "'\"'"]),
    Case("name", ["'we ird'", "''"]),
    Case("text[]", ["'{}'", "ARRAY[NULL, '', 'NULL', 'a,\"b\\c', ' x ']", "ARRAY[['a', NULL], ['{', '}']]"]),
    Case("int[]", ["ARRAY[1, NULL]", "'[3:4]={7,8}'", "'{{1,2},{3,4}}'"]),
    Case("fid.mood", ["'so so'", "'it''s'", "'{\"x\",}'"]),
    Case("fid.mood[]", ["ARRAY['so so', NULL, '{\"x\",}']::fid.mood[]"]),
    Case("fid.short", ["'abc'", "''"]),
    Case("fid.bag", ["'{1,2}'", "'{}'"]),
    Case("fid.pair", ["ROW(1, 'a \"b\" (,)')::fid.pair", "ROW(NULL, '')::fid.pair", "ROW(2, NULL)::fid.pair"]),
    Case("fid.pair[]", ["ARRAY[ROW(1, 'x,')::fid.pair, NULL, ROW(NULL, NULL)::fid.pair]"]),
    Case("int4range", ["'[1,5)'", "'empty'", "'(,3)'"]),
    Case("numrange", ["'[1.0,2.50]'", "'(,)'"], same_key=[("'[1.0,2.0]'", "'[1.00,2.0]'")]),
    Case("tstzrange", ["'[2020-01-01 00:00+03,infinity]'"]),
    Case("int4multirange", ["'{[1,2),[5,7)}'", "'{}'"]),
    Case("ext.hstore", ['\'a=>1, "b c"=>NULL, ""=>"\\""\'', "''"]),
    Case("ext.citext", ["'AbC'", "''"], same_key=[("'Key'", "'kEY'")]),
    Case("ext.ltree", ["'a.b.c'", "''"]),
    Case("tsvector", ["'''a b'':1A,3 c:2'", "''"]),
    Case("tsquery", ["'fat & (rat | !cat:AB*)'"]),
    Case("inet", ["'10.0.0.1/24'", "'::1'", "'10.1.2.3'"]),
    Case("cidr", ["'10.0.0.0/8'", "'2001:db8::/32'"]),
    Case("macaddr", ["'08:00:2b:01:02:03'"]),
    Case("macaddr8", ["'08:00:2b:01:02:03:04:05'"]),
    Case("bit(5)", ["B'10101'"]),
    Case("bit varying", ["B''", "B'0011'"]),
    Case("money", ["'12.34'", "'-92233720368547758.08'"]),
    Case("uuid", ["'00000000-0000-0000-0000-000000000001'"]),
    Case("interval", ["'1 year -3 days 04:05:06.789'", "'-00:00:01'"], same_key=[("'1 day'", "'24 hours'")]),
    Case("interval day to second(3)", ["'1 02:03:04.567'"]),
    Case(
        "timestamp with time zone",
        ["'infinity'", "'-infinity'", "'0044-03-15 12:00 BC'", "'294276-12-31 23:59:59.5+00'"],
    ),
    Case("timestamp(3) without time zone", ["'2024-02-29 23:59:59.9996'", "'infinity'"]),
    Case("date", ["'0044-03-15 BC'", "'infinity'", "'5874897-12-31'"]),
    Case("time without time zone", ["'24:00:00'", "'00:00:00.000001'"]),
    Case("time with time zone", ["'12:00:00+05:30'", "'12:00:00.5-15:59:59'"]),
    Case("point", ["'(1.1,-0)'", "'(NaN,Infinity)'"], key=False),
    Case("box", ["'(3,4),(1,2)'"], key=False),
    Case("box[]", ["'{(3,4),(1,2);(1,1),(0,0)}'"], key=False),
    Case("polygon", ["'((0,0),(1,1),(2,0.1))'"], key=False),
    Case("path", ["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"], key=False),
    Case("circle", ["'<(1,2),3>'"], key=False),
    Case("lseg", ["'[(0,0),(1,1)]'"], key=False),
    Case("line", ["'{1,2,3}'"], key=False),
    Case("regclass", ["'pg_catalog.pg_class'", "'pg_type'"]),
    Case("regtype", ["'integer'", "'timestamp with time zone'"]),
    Case("regproc", ["'pg_catalog.now'"]),
    Case("oid", ["4294967295", "0"]),
    Case("pg_lsn", ["'FFFFFFFF/0'", "'0/0'"]),
    Case("xid8", ["'18446744073709551615'"]),
    Case("tid", ["'(42,7)'"]),
    Case("jsonpath", ["'$.\"a b\"[*] ? (@ > 1.0)'"], key=False),
    Case("aclitem", ["makeaclitem(10, 10, 'SELECT', true)"], key=False),
    Case("int2vector", ["'1 2 3'"], key=False),
    Case("boolean", ["true", "false"]),
    Case("smallint", ["-32768"]),
    Case("bigint", ["9223372036854775807"]),
]

PREPARE = """
CREATE SCHEMA fid; CREATE SCHEMA ext; CREATE SCHEMA "we.ird%s";
CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION ltree SCHEMA ext;
CREATE TYPE fid.mood AS ENUM ('so so', 'it''s', '{"x",}');
CREATE DOMAIN fid.short AS varchar(3) CHECK (VALUE <> 'bad');
CREATE DOMAIN fid.bag AS int[];
CREATE TYPE fid.pair AS (a int, b text);
CREATE TABLE "we.ird%s"."ta""b.le %b{}" (
    tenant_id bigint NOT NULL, "k%s" int, gone text, "a.b ""c"" %(x)s" text, "{}" text DEFAULT 'd', "Select" int,
    twice int GENERATED ALWAYS AS ("Select" * 2) STORED, number bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (tenant_id, "k%s"));
ALTER TABLE "we.ird%s"."ta""b.le %b{}" DROP COLUMN gone;
CREATE TABLE fid.wide (tenant_id bigint NOT NULL, id int, plain text, packed bytea, PRIMARY KEY (tenant_id, id));
ALTER TABLE fid.wide ALTER plain SET STORAGE EXTERNAL;
"""

HOSTILE = [
    "SET DateStyle = 'SQL, DMY'",
    "SET TimeZone = 'Asia/Kathmandu'",
    "SET IntervalStyle = 'sql_standard'",
    "SET extra_float_digits = -15",
    "SET bytea_output = 'escape'",
    "SET lc_monetary = 'C'",
    "SET array_nulls = off",
    "SET transform_null_equals = on",
    "SET quote_all_identifiers = on",
    "SET backslash_quote = on",
    "SET search_path = fid",
    "SET plan_cache_mode = force_generic_plan",
    "SET xmloption = document",
]
"""Settings of a writer's session that change how values look or are read."""

FIXED = [
    "SET DateStyle = 'ISO, MDY'",
    "SET TimeZone = 'UTC'",
    "SET IntervalStyle = 'iso_8601'",
    "SET extra_float_digits = 3",
    "SET search_path = ''",
]


REFERRED = dict(
    zip(
        sorted((n for n, case in enumerate(CASES) if case.key), key=lambda n: (not CASES[n].same_key, n)),
        (f"ON DELETE {a} ON UPDATE {a}{late}" for a in ACTIONS for late in CHECKED),
        strict=False,
    )
)
"""Keys that other rows refer to, by the number of their type, and what becomes of those: every action, checked at once
or later. First the types in which equal keys may look different."""


def name_of(number: int, *, key: bool) -> str:
    return f"{'k' if key else 'v'}{number}"


def ddl() -> str:
    statements = [PREPARE]
    for number, case in enumerate(CASES):
        statements.append(
            f"CREATE TABLE fid.v{number} (tenant_id bigint NOT NULL, id int, v {case.type}, PRIMARY KEY (tenant_id, id));"
        )
        if case.key:
            statements.append(
                f"CREATE TABLE fid.k{number} (tenant_id bigint NOT NULL, k {case.type} PRIMARY KEY, n int);"
            )
    for number, action in REFERRED.items():
        statements.append(
            f"CREATE TABLE fid.r{number} (tenant_id bigint NOT NULL, id int, k {CASES[number].type} REFERENCES fid.k{number} {action},"
            " PRIMARY KEY (tenant_id, id));"
        )
    return "\n".join(statements)


@contextlib.contextmanager
def tables_of_every_type(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    """Both sides, tables still empty."""
    plan = plan_of("fid", schemas=("fid", "we.ird%s"))
    in_public = f"SET search_path = public; {ddl()} SET search_path = pg_catalog"
    with World.made(classic_dsn, limitless_dsn, plan, in_public) as made:
        yield made


def write(conn: psycopg.Connection, tenant: int, *, update: bool = False) -> None:
    """Every value of every type, for one tenant."""
    for number, case in enumerate(CASES):
        for at, value in enumerate([*case.values, "NULL"]):
            if update:
                conn.execute(f"UPDATE fid.v{number} SET v = {value} WHERE tenant_id = {tenant} AND id = {at}")
            else:
                conn.execute(f"INSERT INTO fid.v{number} VALUES ({tenant}, {at}, {value})")
    odd = sql.SQL("INSERT INTO {} VALUES ({}, 1, '', NULL, 7) ON CONFLICT (tenant_id, {}) DO UPDATE SET {} = 8").format(
        sql.Identifier("we.ird%s", 'ta"b.le %b{}'), tenant, sql.Identifier("k%s"), sql.Identifier("Select")
    )
    conn.execute(odd)


def write_keys(conn: psycopg.Connection, tenant: int) -> None:
    """Every value of every type as a key: inserted, changed to one that is equal and looks different, deleted."""
    for number, case in enumerate(CASES):
        if not case.key:
            continue
        for at, value in enumerate(case.values):
            conn.execute(f"INSERT INTO fid.k{number} VALUES ({tenant}, {value}, {at})")
        for before, after in case.same_key:
            conn.execute(f"INSERT INTO fid.k{number} VALUES ({tenant}, {before}, 100)")
            conn.execute(f"UPDATE fid.k{number} SET k = {after} WHERE n = 100")


def refer(conn: psycopg.Connection, tenant: int) -> int:
    """Rows that refer to every key of `REFERRED`; then keys change and go, as far as their foreign key lets them.

    Returns how often it did.
    """
    done = 0
    for number in REFERRED:
        case = CASES[number]
        for at, value in enumerate(case.values):
            conn.execute(f"INSERT INTO fid.r{number} VALUES ({tenant}, {at}, {value})")
        for at, (_, after) in enumerate(case.same_key, 100):
            conn.execute(f"INSERT INTO fid.r{number} VALUES ({tenant}, {at}, {after})")
        looks = [f"UPDATE fid.k{number} SET k = {before} WHERE n = 100" for before, _ in case.same_key]
        for statement in (
            *looks,
            f"DELETE FROM fid.k{number} WHERE n = 0",
            f"UPDATE fid.k{number} SET k = {case.values[0]} WHERE n = 1",
        ):
            with contextlib.suppress(psycopg.errors.IntegrityError), conn.transaction():
                done += conn.execute(statement).rowcount
    return done


def sides(fid: World) -> dict[str, tuple[list[str], list[str]]]:
    """Rows that differ, by table: text and size of every value."""
    found = {}
    with psycopg.connect(fid.classic_dsn) as here, psycopg.connect(fid.limitless_dsn) as there:
        for conn in (here, there):
            for setting in FIXED:
                conn.execute(setting)
        for table in fid.tables:
            columns = sorted(c.name for c in table.columns)
            query = sql.SQL("SELECT ROW({})::text FROM {}").format(
                sql.SQL(", ").join(
                    sql.SQL("{c}::text, pg_column_size({c}::text)").format(c=sql.Identifier(c)) for c in columns
                ),
                sql.Identifier(table.schema, table.name),
            )
            texts = [sorted(str(t) for (t,) in conn.execute(query)) for conn in (here, there)]
            if texts[0] != texts[1]:
                found[table.qualified] = (
                    [t[:200] for t in texts[0] if t not in texts[1]],
                    [t[:200] for t in texts[1] if t not in texts[0]],
                )
    return found


@contextlib.contextmanager
def hostile(fid: World) -> Iterator[psycopg.Connection]:
    """A session of an application with every setting that could do harm."""
    with psycopg.connect(fid.classic_dsn, autocommit=True) as conn:
        for setting in HOSTILE:
            conn.execute(setting)
        yield conn


def forget_on_limitless(fid: World) -> None:
    """Behind the mirror's back: what a repair has to bring back."""
    for table in fid.tables:
        fid.limitless.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.schema, table.name)))


@pytest.fixture
def fid(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    """On the servers of the run."""
    with tables_of_every_type(classic_dsn, limitless_dsn) as made:
        yield made


async def test_every_type_as_value_and_key(fid: World) -> None:
    """Through the copy, through the mirror in hostile sessions, and through a repair."""
    await every_way(fid)


@pytest.mark.slow
async def test_every_type_on_the_distributions_servers(full_dsns: tuple[str, str]) -> None:
    """The same on an older PostgreSQL, as classic runs: whatever the embedded one does differently shows here."""
    with tables_of_every_type(*full_dsns) as fid:
        await every_way(fid)


async def every_way(fid: World) -> None:
    """Copy, mirror, mirror changes, repair; both sides are compared after each."""
    write(fid.classic, 1)
    write_keys(fid.classic, 1)
    await fid.start()
    async with fid.mirrors():
        await fid.copy_all()
        assert sides(fid) == {}, "copied"
        with hostile(fid) as conn:
            write(conn, 2)
            conn.execute("UPDATE fid.v0 SET v = v")
            conn.execute("SET session_replication_role = replica")
            write(conn, 3)
            for number, case in enumerate(CASES):
                if case.key:
                    conn.execute(f"DELETE FROM fid.k{number}")
            write_keys(conn, 1)
        await fid.copy_all()
        await fid.caught_up()
        assert sides(fid) == {}, "mirrored"
        with hostile(fid) as conn:
            write(conn, 1, update=True)
            for number, case in enumerate(CASES):
                if case.key:
                    conn.execute(f"UPDATE fid.k{number} SET n = n + 1")
                for before, _ in case.same_key:
                    conn.execute(f"UPDATE fid.k{number} SET k = {before} WHERE n = 101")
        await fid.caught_up()
        assert sides(fid) == {}, "mirrored after an update"
        with hostile(fid) as conn:
            for number, case in enumerate(CASES):
                if case.key:
                    conn.execute(f"DELETE FROM fid.k{number}")
            write_keys(conn, 1)
            assert refer(conn, 1) > len(REFERRED)
        await fid.caught_up()
        assert sides(fid) == {}, "mirrored what foreign keys did"
        forget_on_limitless(fid)
        for table in fid.tables:
            keys = sql.SQL("SELECT tenant_id::text, {} FROM {}").format(
                sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in table.key),
                sql.Identifier(table.schema, table.name),
            )
            mark_dirty(fid.classic, table, fid.classic.execute(keys).fetchall(), PARTS)
        await fid.caught_up()
        assert sides(fid) == {}, "repaired"


@pytest.mark.parametrize("megabytes", [1, 20])
async def test_wide_rows(fid: World, megabytes: int) -> None:
    """Values far larger than a page, compressed or not, copied and mirrored."""
    wide = "INSERT INTO fid.wide SELECT %s, g, repeat(md5(g::text), %s), convert_to(repeat('ab', %s), 'UTF8') FROM generate_series(1, 2) g"
    size = megabytes * 2**20 // 32
    fid.classic.execute(wide, (1, size, size))
    await fid.start()
    async with fid.mirrors():
        await fid.copy_all()
        fid.classic.execute("UPDATE fid.wide SET plain = plain || 'x'")
        await fid.caught_up()
    query = "SELECT id, length(plain), md5(plain), length(packed), md5(packed) FROM fid.wide ORDER BY 1"

    assert fid.classic.execute(query).fetchall() == fid.limitless.execute(query).fetchall()
