"""A path to the tenant leads to one row, always, or the plan is refused with every reason."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.db.connect import connect
from migrator.errors import PlanInvalid
from migrator.model.table import Table
from migrator.plan.schema import Tables
from migrator.plan.tables import resolve_tables

pytestmark = [pytest.mark.pg]


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        conn.execute(
            "CREATE SCHEMA v; CREATE TABLE v.p (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, code text, n int);"
            "CREATE TABLE v.c (id bigint PRIMARY KEY, p bigint, code text, t bigint)"
        )
        yield conn


def resolved(conn: psycopg.Connection[Any], via: str) -> Table:
    found = resolve_tables(
        conn, Tables.model_validate({"schemas": ["v"], "table": {"v.c": {"kind": "sharded", "via": via}}})
    )
    return next(t for t in found if t.name == "c")


def refusal(conn: psycopg.Connection[Any], via: str) -> str:
    with pytest.raises(PlanInvalid) as refused:
        resolved(conn, via)
    return str(refused.value)


LEADS_TO_ONE = {
    "primary key": ("", "p -> v.p.id"),
    "more than a key": ("", "p, t -> v.p.id, tenant_id"),
    "unique, may be null": ("CREATE UNIQUE INDEX ON v.p (code)", "code -> v.p.code"),
    "deferrable": ("ALTER TABLE v.p ADD UNIQUE (code) DEFERRABLE INITIALLY DEFERRED", "code -> v.p.code"),
    "pattern operators": ("CREATE UNIQUE INDEX ON v.p (code text_pattern_ops)", "code -> v.p.code"),
    "included columns": ("CREATE UNIQUE INDEX ON v.p (code) INCLUDE (n)", "code -> v.p.code"),
    "partitioned": (
        "CREATE TABLE v.r (id bigint, tenant_id bigint NOT NULL, PRIMARY KEY (id)) PARTITION BY HASH (id);"
        "CREATE TABLE v.r0 PARTITION OF v.r FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "p -> v.r.id",
    ),
}


@pytest.mark.parametrize("case", LEADS_TO_ONE)
def test_a_path_that_leads_to_one_row(classic: psycopg.Connection[Any], case: str) -> None:
    statement, via = LEADS_TO_ONE[case]
    classic.execute(statement) if statement else None

    assert len(resolved(classic, via).path) == 1


LEADS_TO_MANY = {
    "no index": ("", "code -> v.p.code", "code of v.p is not unique"),
    "plain index": ("CREATE INDEX ON v.p (code)", "code -> v.p.code", "is not unique"),
    "part of a key": ("CREATE UNIQUE INDEX ON v.p (code, n)", "code -> v.p.code", "is not unique"),
    "partial": ("CREATE UNIQUE INDEX few ON v.p (code) WHERE n > 0", "code -> v.p.code", "few has a WHERE clause"),
    "expression": ("CREATE UNIQUE INDEX low ON v.p (lower(code))", "code -> v.p.code", "low is on an expression"),
    "of the leaves only": (
        "CREATE TABLE v.r (id bigint, tenant_id bigint NOT NULL, PRIMARY KEY (id, tenant_id)) PARTITION BY HASH (tenant_id);"
        "CREATE TABLE v.r0 PARTITION OF v.r FOR VALUES WITH (MODULUS 1, REMAINDER 0); CREATE UNIQUE INDEX ON v.r0 (id)",
        "p -> v.r.id",
        "id of v.r is not unique",
    ),
    "other collation": (
        "CREATE COLLATION v.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        "ALTER TABLE v.p ALTER code TYPE text COLLATE v.ci; ALTER TABLE v.c ALTER code TYPE text COLLATE v.ci;"
        'CREATE UNIQUE INDEX bytes ON v.p (code COLLATE "C")',
        "code -> v.p.code",
        "bytes compares otherwise",
    ),
    "collations of both": (
        'CREATE UNIQUE INDEX ON v.p (code); ALTER TABLE v.c ALTER code TYPE text COLLATE "C"',
        "code -> v.p.code",
        "different collations",
    ),
    "other types": ("CREATE UNIQUE INDEX ON v.p (code)", "p -> v.p.code", "cannot be compared"),
}


@pytest.mark.parametrize("case", LEADS_TO_MANY)
def test_a_path_that_could_lead_to_several(classic: psycopg.Connection[Any], case: str) -> None:
    statement, via, reason = LEADS_TO_MANY[case]
    try:
        classic.execute(statement) if statement else None
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU")

    assert reason in refusal(classic, via)


def test_an_index_that_compares_otherwise_than_the_type(classic: psycopg.Connection[Any]) -> None:
    """citext indexed as the text it is stored as: A and a are two there, and one for the join."""
    classic.execute("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; SET search_path = public, ext")
    classic.execute("ALTER TABLE v.p ALTER code TYPE ext.citext; ALTER TABLE v.c ALTER code TYPE ext.citext")
    classic.execute("CREATE UNIQUE INDEX exact ON v.p (code text_ops)")
    assert "exact compares otherwise" in refusal(classic, "code -> v.p.code")
    classic.execute("CREATE UNIQUE INDEX ON v.p (code)")

    assert resolved(classic, "code -> v.p.code").path[0].equality == ("OPERATOR(ext.=)",)


def test_an_index_that_is_not_valid(classic: psycopg.Connection[Any]) -> None:
    """One that CREATE INDEX CONCURRENTLY left behind."""
    classic.execute("INSERT INTO v.p VALUES (1, 1, 'a'), (2, 2, 'a')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        classic.execute("CREATE UNIQUE INDEX CONCURRENTLY half ON v.p (code)")

    assert "half is not valid" in refusal(classic, "code -> v.p.code")


def test_every_problem_is_named(classic: psycopg.Connection[Any]) -> None:
    """Not the first one only."""
    classic.execute("CREATE TABLE v.d (id bigint PRIMARY KEY, c text)")
    with pytest.raises(PlanInvalid) as refused:
        resolve_tables(
            classic,
            Tables.model_validate(
                {
                    "schemas": ["v"],
                    "table": {
                        "v.c": {"kind": "sharded", "via": "code -> v.p.code"},
                        "v.d": {"kind": "sharded", "via": "c -> v.c.code"},
                    },
                }
            ),
        )

    assert [line.count("is not unique") for line in refused.value.problems] == [1, 1]


ENFORCED = {
    "at once": ("FOREIGN KEY (p) REFERENCES v.p", True),
    "deferrable": ("FOREIGN KEY (p) REFERENCES v.p DEFERRABLE", False),
    "not validated": ("FOREIGN KEY (p) REFERENCES v.p NOT VALID", False),
    "cascading": ("FOREIGN KEY (p) REFERENCES v.p ON DELETE CASCADE", True),
    "not enforced": ("FOREIGN KEY (p) REFERENCES v.p NOT ENFORCED", False),
}


@pytest.mark.parametrize("case", ENFORCED)
def test_which_keys_count_as_enforced(classic: psycopg.Connection[Any], case: str) -> None:
    constraint, expected = ENFORCED[case]
    if case == "not enforced" and classic.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 has them")
    classic.execute(f"ALTER TABLE v.c ADD {constraint}")

    assert resolved(classic, "p -> v.p.id").path[0].enforced == expected


@pytest.mark.parametrize("table", ["v.c", "v.p"])
def test_a_key_whose_triggers_are_disabled_is_not_enforced(classic: psycopg.Connection[Any], table: str) -> None:
    classic.execute("ALTER TABLE v.c ADD FOREIGN KEY (p) REFERENCES v.p")
    classic.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")

    assert not resolved(classic, "p -> v.p.id").path[0].enforced
