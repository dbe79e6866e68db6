"""The hash of a row tells rows apart, whichever of its columns hold what, in tables of any width."""

from __future__ import annotations

import pytest
from psycopg import sql

from migrator.consistency import digest_sql
from migrator.db.connect import connect
from migrator.model.table import Column

pytestmark = pytest.mark.pg

KINDS = {"a": "bigint", "b": "bigint", "c": "bigint", "d": "text", "e": "text", "f": "uuid", "g": "uuid"}
# Few values per column, the same in all of one type, and all combinations: what differs is where a value stands.
VALUES = {
    "bigint": "'0'), ('1'), ('-1'), ('2'), ('3'), ('256'",
    "text": "''), ('0'), ('1'), ('~'), ('|'",
    "uuid": "'00000000-0000-0000-0000-000000000000'), ('00000000-0000-0000-0000-000000000001'",
}


@pytest.mark.parametrize("not_null", [False, True], ids=["nullable", "not null"])
def test_every_combination_of_values_has_a_hash_of_its_own(classic_dsn: str, not_null: bool) -> None:
    hashed = digest_sql.row_hash([Column(name, kind, not_null=not_null) for name, kind in KINDS.items()])
    with connect(classic_dsn, "test") as conn:
        for name, kind in KINDS.items():
            conn.execute(f"CREATE TABLE public.value_{name} ({name} {kind})".encode())
            values = VALUES[kind] + ("" if not_null else "), (NULL")
            conn.execute(f"INSERT INTO public.value_{name} VALUES ({values})".encode())
        everything = sql.SQL("SELECT * FROM {}").format(sql.SQL(", ").join(sql.SQL(f"public.value_{n}") for n in KINDS))
        found = conn.execute(
            sql.SQL(
                "SELECT count(*), count(DISTINCT hash), count(DISTINCT hash & 4294967295),"
                " count(DISTINCT hash >> 32) FROM (SELECT {} FROM ({}) t) h (hash)"
            ).format(hashed, everything)
        ).fetchone()

    assert found is not None
    count, different, *halves = found
    assert count == (6**3 * 5**2 * 2**2 if not_null else 7**3 * 6**2 * 3**2)
    assert different == count
    assert all(count - half < 20 for half in halves), "either half of it is as good as random"


@pytest.mark.parametrize("not_null", [False, True], ids=["nullable", "not null"])
def test_a_table_may_be_as_wide_as_postgresql_has_them(classic_dsn: str, not_null: bool) -> None:
    columns = [Column(f"c{i}", "integer" if i % 2 else "text", not_null=not_null) for i in range(1600)]
    with connect(classic_dsn, "test") as conn:
        conn.execute(f"CREATE TABLE public.wide ({', '.join(f'{c.name} {c.type}' for c in columns)})".encode())
        conn.execute("INSERT INTO public.wide (c1) VALUES (1), (2)")
        query = sql.SQL("SELECT array_agg(DISTINCT {}) FROM public.wide t").format(digest_sql.row_hash(columns))
        found = conn.execute(query).fetchone()

    assert found is not None
    assert len(found[0]) == (1 if not_null else 2)
    assert (found[0] == [0]) is not_null, "a NULL where none may be makes the hash 0"
