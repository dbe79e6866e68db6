"""Any PostgreSQL becomes a stand-in for Limitless by a command, and an ordinary database again by another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from migrator.local import any_server
from tests.fixtures.operator import Done, Operator
from tests.fixtures.postgres import Machines, fresh_name, with_parts
from tests.fixtures.roles import Roles

pytestmark = [pytest.mark.pg, pytest.mark.once]

SHARDED = """
SET rds_aurora.limitless_create_table_mode = 'sharded';
SET rds_aurora.limitless_create_table_shard_key = '{"tenant_id"}';
CREATE TABLE public."Größe" (tenant_id bigint, id bigint, PRIMARY KEY (tenant_id, id));
RESET rds_aurora.limitless_create_table_mode;
RESET rds_aurora.limitless_create_table_shard_key;
INSERT INTO public."Größe" SELECT i % 5, i FROM generate_series(1, 50) i;
"""
PARTITIONED = "CREATE TABLE public.log (at date) PARTITION BY RANGE (at)"
COMMAND = ("local", "standin", "env:ADMIN")


@pytest.fixture
def database(machines: Machines) -> Iterator[str]:
    name = fresh_name("Größe of select ")
    machines.new_classic(name)
    yield name
    machines.drop(classic=name)


@pytest.fixture
def admin(machines: Machines, database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(with_parts(machines.classic_admin, dbname=database), autocommit=True) as conn:
        yield conn


@pytest.fixture
def run(tmp_path: Path, machines: Machines, database: str) -> Callable[..., Done]:
    operator = Operator(tmp_path, {"ADMIN": with_parts(machines.classic_admin, dbname=database)})
    return lambda *words, **environment: operator(*COMMAND, *words, **environment)


@pytest.fixture
def tool(roles: Roles, machines: Machines, database: str) -> tuple[str, str]:
    """An ordinary role, and its connection string."""
    role = roles.on_classic("tool")
    return role, roles.dsn(with_parts(machines.classic_admin, dbname=database), "tool")


def test_it_refuses_and_shards_until_it_is_removed(
    run: Callable[..., Done], admin: psycopg.Connection[Any], tool: tuple[str, str], database: str
) -> None:
    role, dsn = tool
    dry = run("--owner", role, "--dry-run", "--json")
    untouched = any_server.look(admin, role)
    made = run("--owner", role, "--yes", "--json")
    again = run("--owner", role)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(SHARDED.encode())
        with pytest.raises(errors.FeatureNotSupported):
            conn.execute(PARTITIONED.encode())
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute("SELECT pg_notify('a', 'b')")
        conn.execute("CREATE SEQUENCE public.numbers CACHE 7")
    other = run("--owner", role, "--shards", "9")
    removed = run("--remove", "--yes")
    nothing = run("--remove")

    assert dry.code == 0 and len(dry.json["actions"]) == len(made.json["done"]) == 6
    assert untouched.shards is None
    assert made.json["state"] == "standin" and list(any_server.DIFFERENCES) == made.json["stays_different"]
    assert again.code == 0 and "already" in again.out and made.json["database"] == database
    assert other.code == 3 and "4 shards already" in other.err
    assert removed.code == nothing.code == 0 and "already" in nothing.out
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(PARTITIONED.encode())
        conn.execute("SELECT pg_notify('a', 'b'), setval('public.numbers', 3)")
        conn.execute('UPDATE public."Größe" SET tenant_id = 9 WHERE id = 1')
        assert conn.execute('SELECT count(*) FROM public."Größe"').fetchone() == (50,)
        assert conn.execute("SELECT cache_size FROM pg_sequences WHERE sequencename = 'numbers'").fetchone() == (7,)
        with pytest.raises(errors.UndefinedObject):
            conn.execute("SHOW rds_aurora.limitless_create_table_mode")
    assert not any_server.look(admin, role).taken
    assert run("--owner", role, "--yes", "--holds-rows", database).code == 0, "and once more"


def test_who_is_no_superuser_is_told_what_needs_one(
    run: Callable[..., Done], admin: psycopg.Connection[Any], tool: tuple[str, str], database: str
) -> None:
    """Also the owner of the database, as on RDS; and nothing is half there."""
    role, dsn = tool
    admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (database, role))))
    refused = run("--yes", ADMIN=dsn)
    by_superuser = run("--yes", "--json")
    not_removed = run("--remove", "--yes", ADMIN=dsn)

    assert refused.code == not_removed.code == 3
    assert refused.err.count("is no superuser") == len(any_server.NEEDS) and "event triggers" in refused.err
    assert by_superuser.code == 0
    found = any_server.look(admin)
    assert (found.shards, found.owner, found.owner_superuser) == (4, role, False)
    admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(sql.Identifier(database)))


def test_what_looks_like_production_is_refused(
    run: Callable[..., Done], admin: psycopg.Connection[Any], database: str
) -> None:
    """Rows, or a side of a migration; an empty table is none of them. Naming another database does not help."""
    admin.execute('CREATE SCHEMA "odd one"; CREATE TABLE "odd one"."t\'" (id int); CREATE TABLE public.empty (id int)')
    empty = any_server.look(admin)
    admin.execute('INSERT INTO "odd one"."t\'" VALUES (1)')
    rows, other = run("--yes"), run("--yes", "--holds-rows", "postgres")
    admin.execute("CREATE SCHEMA migrator")
    migration = run("--yes", "--holds-rows", database)
    admin.execute("DROP SCHEMA migrator; CREATE SCHEMA rds_aurora")
    taken = run("--yes", "--holds-rows", database)
    admin.execute("DROP SCHEMA rds_aurora")
    unknown = run("--owner", "no_such_role", "--yes", "--holds-rows", database)
    before = any_server.look(admin).shards
    named = run("--yes", "--holds-rows", database)

    assert empty.with_rows == []
    assert rows.code == other.code == migration.code == taken.code == 3
    assert "odd one.t'" in rows.err and "--holds-rows" in rows.err
    assert "schema migrator" in migration.err and "schema rds_aurora" in taken.err
    assert unknown.code == 2 and "no role no_such_role" in unknown.err
    assert before is None and named.code == 0 and "is a superuser" in named.out


def test_limitless_itself_and_a_standby_are_refused() -> None:
    facts = any_server.Found(
        database="d", role="r", superuser=True, version=14, owner="o", owner_superuser=False, with_rows=(),
        shards=None, limitless=True, migration=False, taken=("schema rds_aurora",), recovering=True, sharded=0,
    )  # fmt: skip

    assert [reason.split(":")[0] for reason in any_server.blockers(facts, 4, None)] == [
        "it is Limitless itself",
        "the server is a standby",
        "the server is PostgreSQL 14; the stand-in is tested from 15 on",
    ]
