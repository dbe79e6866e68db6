"""Whatever row an application writes, in whatever session, by whatever statement: it is the same row on Limitless.

Rows, keys and sessions are drawn; a tenant's first rows go through the copy, what follows through the mirror. The
oracle is SQL of this file: every value as text under fixed settings, and as the bytes its send function makes of it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from migrator.dataplane.capture import install as capture
from migrator.dataplane.mirror import position
from migrator.db.connect import connect, connect_async
from migrator.model.position import Snapshot
from tests.fixtures.waiting import eventually
from tests.fixtures.world import PARTS, plan_of, provisioned

pytestmark = [pytest.mark.pg]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
FLOAT = st.floats(allow_subnormal=True).map(repr)
DATE = st.one_of(
    st.dates().map(str), st.sampled_from(["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "0001-12-31 BC"])
)
ZONE = st.integers(-15 * 60, 15 * 60).map(lambda m: f"{'-' if m < 0 else '+'}{abs(m) // 60:02}:{abs(m) % 60:02}")
NUMERIC = st.decimals(-(10**30), 10**30).map(str) | st.sampled_from(["NaN", "Infinity", "-Infinity", "1.000", "0.00"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def quoted(values: Sequence[str | None]) -> str:
    """The text of an array."""
    return "{" + ",".join("NULL" if v is None else '"' + _escaped(v) + '"' for v in values) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def pairs(found: dict[str, str | None]) -> str:
    """The text of an hstore."""
    return ", ".join(f'"{_escaped(k)}" => ' + ("NULL" if v is None else f'"{_escaped(v)}"') for k, v in found.items())


def spread(low: int, width: int) -> str:
    return f"[{low},{low + width})"


@dataclass(frozen=True)
class Kind:
    """A type, how its values are drawn (as texts), whether it can be a key, whether its bytes are the same anywhere."""

    type: str
    values: st.SearchStrategy[str]
    key: bool = False
    portable: bool = True


KINDS = [
    Kind("text", TEXT, key=True),
    Kind("varchar(12)", TEXT.map(lambda t: t[:12])),
    Kind("character(7)", TEXT.map(lambda t: t[:7]), key=True),
    Kind("bytea", st.binary(max_size=40).map(lambda b: "\\x" + b.hex()), key=True),
    Kind("numeric", NUMERIC, key=True),
    Kind("numeric(12,2)", st.decimals(-9_999_999, 9_999_999, places=2).map(str)),
    Kind("double precision", FLOAT, key=True),
    Kind("real", st.floats(width=32).map(repr)),
    Kind("bigint", st.integers(-(2**63), 2**63 - 1).map(str), key=True),
    Kind("smallint", st.integers(-(2**15), 2**15 - 1).map(str)),
    Kind("boolean", st.sampled_from(["t", "f"])),
    Kind("json", st.builds(json.dumps, JSON, indent=st.sampled_from([None, 1]), ensure_ascii=st.just(False))),
    Kind("jsonb", JSON.map(json.dumps).filter(lambda t: "\\u0000" not in t), key=True),
    Kind("date", DATE, key=True),
    Kind("timestamp with time zone", st.builds("{} {}".format, st.datetimes(), ZONE), key=True),
    Kind("timestamp(3) without time zone", st.datetimes().map(str)),
    Kind("time with time zone", st.builds("{}{}".format, st.times(), ZONE), key=True),
    Kind(
        "interval",
        st.builds(
            "P{}Y{}M{}DT{}H{}M{}S".format,
            *(st.integers(-n, n) for n in (900, 30, 60, 60, 90)),
            st.decimals(-99, 99, places=6),
        ),
        key=True,
    ),
    Kind("uuid", st.uuids().map(str), key=True),
    Kind("inet", st.ip_addresses().map(str), key=True),
    Kind("bit varying", st.text("01", max_size=20), key=True),
    Kind("money", st.decimals(-9_999_999, 9_999_999, places=2).map(str)),
    Kind("text[]", st.lists(TEXT | st.none(), max_size=4).map(quoted), key=True),
    Kind("numeric[]", st.lists(st.decimals(-9, 9, places=3).map(str) | st.none(), max_size=4).map(quoted)),
    Kind("point", st.builds("({},{})".format, FLOAT, FLOAT)),
    Kind("int8range", st.builds(spread, st.integers(-(2**40), 2**40), st.integers(0, 5)), key=True),
    Kind(
        "int4multirange",
        st.lists(st.builds(spread, st.integers(-99, 99), st.integers(0, 9)), max_size=3).map(
            lambda found: "{" + ",".join(found) + "}"
        ),
    ),
    Kind("prop.mood", st.sampled_from(["so so", "it's", '{"x",}']), key=True, portable=False),
    Kind("prop.short", TEXT.map(lambda t: t[:5])),
    Kind("prop.bag", st.lists(st.integers(0, 9).map(str), max_size=3).map(quoted)),
    Kind(
        "prop.pair",
        st.builds(lambda a, b: f'({a},"{_escaped(b)}")', st.integers(0, 99), TEXT),
        portable=False,
    ),
    Kind("ext.hstore", st.dictionaries(TEXT, TEXT | st.none(), max_size=3).map(pairs)),
    Kind("ext.citext", TEXT, key=True),
]
KEYS = [kind for kind in KINDS if kind.key]

PREPARE = """
CREATE SCHEMA prop; CREATE SCHEMA ext;
CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
CREATE TYPE prop.mood AS ENUM ('so so', 'it''s', '{"x",}');
CREATE DOMAIN prop.short AS varchar(5);
CREATE DOMAIN prop.bag AS int[];
CREATE TYPE prop.pair AS (a int, b text);
"""

SESSION = st.fixed_dictionaries(
    {},
    optional={
        "DateStyle": st.sampled_from(["German", "SQL, DMY", "Postgres, MDY", "ISO, YMD"]),
        "TimeZone": st.sampled_from(["Asia/Kathmandu", "America/St_Johns", "UTC", "Pacific/Apia"]),
        "IntervalStyle": st.sampled_from(["sql_standard", "postgres_verbose", "iso_8601", "postgres"]),
        "extra_float_digits": st.sampled_from(["-15", "0", "3"]),
        "bytea_output": st.sampled_from(["escape", "hex"]),
        "search_path": st.sampled_from(["prop", "ext, prop", "pg_temp", '""']),
        "standard_conforming_strings": st.sampled_from(["on", "off"]),
        "session_replication_role": st.sampled_from(["origin", "replica", "local"]),
        "default_transaction_isolation": st.sampled_from(["repeatable read", "serializable"]),
        "row_security": st.sampled_from(["on", "off"]),
        "role": st.sampled_from(["prop_writer"]),
        "client_encoding": st.sampled_from(["UTF8"]),
    },
)
FIXED = (
    "SET DateStyle = 'ISO, MDY'; SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 3;"
    " SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET search_path = ''"
)
ROW = st.tuples(*(kind.values | st.none() for kind in KINDS))
WAY = st.sampled_from(["parameters", "literals", "copy"])


@dataclass
class World:
    """Both sides, with mirrors and a copy at work in processes."""

    classic_dsn: str
    limitless_dsn: str
    classic: psycopg.Connection[Any]
    limitless: psycopg.Connection[Any]

    def arrived(self, tenant: int) -> None:
        """Wait until *tenant* is mirrored and every position sees all that is committed now."""
        row = self.classic.execute("SELECT pg_current_snapshot()::text").fetchone()
        assert row is not None
        now = Snapshot.parse(row[0])

        def here() -> bool:
            state = self.classic.execute(
                "SELECT state, reason FROM migrator.tenant WHERE tenant_id = %s", (str(tenant),)
            ).fetchone()
            found = self.classic.execute("SELECT snapshot FROM migrator.position").fetchall()
            return (
                state is not None and state[0] == "mirrored" and all(Snapshot.parse(s).includes(now) for (s,) in found)
            )

        eventually(here, f"tenant {tenant} arrives on Limitless")

    def same(self, tenant: int) -> None:
        """Compare the tenant's rows of every table."""
        tables = [("row", [f"c{n}" for n in range(len(KINDS))], KINDS)]
        tables += [(f"k{n}", ["k", "n"], [kind, Kind("int", TEXT)]) for n, kind in enumerate(KEYS)]
        for name, columns, kinds in tables:
            asked = sql.SQL("SELECT {} FROM {} WHERE tenant_id = {}").format(
                sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in columns),
                sql.Identifier("prop", name),
                sql.Literal(tenant),
            )
            here, there = (sorted(map(repr, c.execute(asked).fetchall())) for c in (self.classic, self.limitless))
            assert here == there, name
            order = sql.SQL(", ").join(sql.SQL('{}::text COLLATE "C"').format(sql.Identifier(c)) for c in columns)
            raw = sql.SQL("COPY (SELECT {} FROM {} WHERE tenant_id = {} ORDER BY {}) TO STDOUT (FORMAT binary)").format(
                sql.SQL(", ").join(sql.Identifier(c) for c, kind in zip(columns, kinds, strict=True) if kind.portable),
                sql.Identifier("prop", name),
                sql.Literal(tenant),
                order,
            )
            bytes_of = []
            for conn in (self.classic, self.limitless):
                with conn.cursor().copy(raw) as data:
                    bytes_of.append(b"".join(bytes(block) for block in data))
            assert bytes_of[0] == bytes_of[1], f"the bytes of {name}"


@pytest.fixture
async def world(classic_dsn: str, limitless_dsn: str, tmp_path: Any) -> Any:
    """Tables of every kind, guarded by row level security, captured and followed."""
    plan = plan_of("prop")
    with ExitStack() as stack:
        classic, limitless = (stack.enter_context(connect(dsn, "test")) for dsn in (classic_dsn, limitless_dsn))
        for conn in (classic, limitless):
            conn.execute(FIXED)
        classic.execute(PREPARE)
        columns = ", ".join(f"c{n} {kind.type}" for n, kind in enumerate(KINDS))
        classic.execute(
            f"CREATE TABLE prop.row (tenant_id bigint NOT NULL, gone text, id bigint, {columns},"
            " twice bigint GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id))"
        )
        classic.execute("ALTER TABLE prop.row DROP COLUMN gone")
        for n, kind in enumerate(KEYS):
            classic.execute(
                f"CREATE TABLE prop.k{n} (n int, k {kind.type}, tenant_id bigint NOT NULL, PRIMARY KEY (tenant_id, k))"
            )
        classic.execute(
            "DO $$ BEGIN CREATE ROLE prop_owner; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;"
            "DO $$ BEGIN CREATE ROLE prop_writer; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        classic.execute("GRANT USAGE ON SCHEMA prop, ext TO prop_owner, prop_writer")
        for name in ["row", *(f"k{n}" for n in range(len(KEYS)))]:
            classic.execute(
                f"ALTER TABLE prop.{name} OWNER TO prop_owner; ALTER TABLE prop.{name} ENABLE ROW LEVEL SECURITY;"
                f"ALTER TABLE prop.{name} FORCE ROW LEVEL SECURITY; GRANT ALL ON prop.{name} TO prop_writer;"
                f"CREATE POLICY own ON prop.{name} USING (tenant_id = current_setting('app.tenant')::bigint)"
            )
        tables = provisioned(classic, limitless, plan)
        capture.install(classic, tables, PARTS, 3)
        async with (
            await connect_async(classic_dsn, "test") as here,
            await connect_async(limitless_dsn, "test") as there,
        ):
            await position.initialise(here, there, PARTS)
        environment = {**os.environ, "C": classic_dsn, "L": limitless_dsn}
        for arguments in (["mirror", "0,1,2"], ["copy"]):
            stack.enter_context(_running([*arguments], environment))
        yield World(classic_dsn, limitless_dsn, classic, limitless)


@contextmanager
def _running(arguments: list[str], environment: dict[str, str]) -> Iterator[None]:
    child = subprocess.Popen([sys.executable, "-m", "tests.integration.dataplane.child", *arguments], env=environment)
    try:
        yield
        assert child.poll() is None, f"{arguments} ended by itself"
    finally:
        child.kill()
        child.wait()


def insert(
    conn: psycopg.Connection[Any], table: str, columns: list[str], row: tuple[str | None, ...], way: str
) -> None:
    """Write one row as *way* says."""
    target = sql.Identifier("prop", table)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    guarded = conn.execute("SELECT current_user = 'prop_writer'").fetchone() == (True,)
    if way == "copy" and not guarded:  # COPY FROM does not work under row level security
        with conn.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)) as data:
            data.write_row(row)
    elif way == "literals":
        # The server says whether a backslash in a plain literal escapes; psycopg asks it.
        values = sql.SQL(", ").join(sql.Literal(v) for v in row)
        conn.execute(sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(target, names, values))
    else:
        marks = sql.SQL(", ").join([sql.SQL("%s")] * len(row))
        conn.execute(sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(target, names, marks), row)


@contextmanager
def session(world: World, chosen: dict[str, str], tenant: int) -> Iterator[psycopg.Connection[Any]]:
    """A session of an application with the settings drawn."""
    with closing(psycopg.connect(world.classic_dsn, autocommit=True)) as conn:
        conn.execute("SELECT set_config('app.tenant', %s, false)", (str(tenant),))
        late = ("role", "row_security") if chosen.get("role") is None else ("role",)
        for name in sorted(chosen, key=lambda name: name in late):
            if name != "row_security" or chosen.get("role") is None:
                conn.execute("SELECT set_config(%s, %s, false)", (name, chosen[name]))
        yield conn


numbers = itertools.count(1)


@given(
    first=st.lists(st.tuples(ROW, WAY), min_size=1, max_size=3),
    then=st.lists(st.tuples(ROW, WAY), min_size=1, max_size=3),
    keys=st.tuples(*(st.tuples(kind.values, kind.values) for kind in KEYS)),
    sessions=st.tuples(SESSION, SESSION),
)
def rows_arrive(
    world: World,
    first: list[tuple[tuple[str | None, ...], str]],
    then: list[tuple[tuple[str | None, ...], str]],
    keys: tuple[tuple[str, str], ...],
    sessions: tuple[dict[str, str], dict[str, str]],
) -> None:
    """One tenant's rows: the first ones are copied, mostly; the others come when it is mirrored."""
    tenant = next(numbers)
    columns = ["tenant_id", "id", *(f"c{n}" for n in range(len(KINDS)))]
    with session(world, sessions[0], tenant) as conn:
        for n, (row, way) in enumerate(first):
            insert(conn, "row", columns, (str(tenant), str(tenant * 100 + n), *row), way)
        for n, (key, _) in enumerate(keys):
            insert(conn, f"k{n}", ["tenant_id", "k", "n"], (str(tenant), key, "1"), "parameters")
    world.arrived(tenant)
    world.same(tenant)
    with session(world, sessions[1], tenant) as conn:
        assign = sql.SQL("UPDATE prop.row SET ({}) = ROW({}) WHERE tenant_id = {} AND id = {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns[2:])),
            sql.SQL(", ").join([sql.SQL("%s")] * len(KINDS)),
            sql.Literal(tenant),
            sql.Literal(tenant * 100),
        )
        conn.execute(assign, then[0][0])
        for n, (row, way) in enumerate(then):
            insert(conn, "row", columns, (str(tenant), str(tenant * 100 + 50 + n), *row), way)
        if len(first) > 1:
            conn.execute("DELETE FROM prop.row WHERE tenant_id = %s AND id = %s", (tenant, tenant * 100 + 1))
        for n, (_, key) in enumerate(keys):
            conn.execute(f"UPDATE prop.k{n} SET k = %s, n = 2 WHERE tenant_id = %s", (key, tenant))
    world.arrived(tenant)
    world.same(tenant)


@pytest.mark.parametrize("examples", [5, pytest.param(80, marks=pytest.mark.slow)])
def test_any_row_arrives(world: World, examples: int) -> None:
    """As many rows, keys and sessions as *examples*; a failure is shown as it was found: to reduce it takes minutes."""
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    limits(rows_arrive)(world=world)
