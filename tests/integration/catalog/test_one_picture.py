"""The plan, provisioning, changes and the audit see the same tables, keys and columns, however hard the schema is."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.audit.evidence.live import collect
from migrator.catalog import details
from migrator.catalog.read import columns, indexes, read, tables
from migrator.catalog.values import Index
from migrator.db.connect import connect
from migrator.errors import PlanInvalid
from migrator.model.table import Table, qualify
from migrator.plan.schema import Tables
from migrator.plan.tables import resolve_tables
from migrator.provision.design import design

pytestmark = pytest.mark.pg

CASES = Path(__file__).resolve().parents[2] / "cases"
T = "tenant_id bigint NOT NULL"
LEAF = "CREATE TABLE s.t0 PARTITION OF s.t FOR VALUES WITH (MODULUS 1, REMAINDER 0)"

HARD = {
    "ordinary": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, code text UNIQUE)",
    "a primary key that a partition lacks": f"CREATE TABLE s.t (id bigint NOT NULL, {T}) PARTITION BY HASH (id); {LEAF}; ALTER TABLE ONLY s.t ADD PRIMARY KEY (id)",
    "a unique index that a partition lacks": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a int) PARTITION BY HASH (id); {LEAF}; CREATE UNIQUE INDEX u ON ONLY s.t (id, a)",
    "keys of a partition only": f"CREATE TABLE s.r (id bigint PRIMARY KEY, {T}); CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, r bigint) PARTITION BY HASH (id); {LEAF}; ALTER TABLE s.t0 ADD FOREIGN KEY (r) REFERENCES s.r, ADD CHECK (r > 0), ADD UNIQUE (r)",
    "partitions on two levels": f"CREATE TABLE s.t (id bigint, {T}, PRIMARY KEY (id, tenant_id)) PARTITION BY HASH (id); CREATE TABLE s.t0 PARTITION OF s.t FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY LIST (tenant_id); CREATE TABLE s.t00 PARTITION OF s.t0 DEFAULT",
    "partial, expression, include": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a int, b int); CREATE UNIQUE INDEX ON s.t (a) WHERE b > 0; CREATE UNIQUE INDEX ON s.t (abs(a)); CREATE UNIQUE INDEX ON s.t (a) INCLUDE (b)",
    "nulls not distinct": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a int, UNIQUE NULLS NOT DISTINCT (tenant_id, a))",
    "deferrable": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a int, UNIQUE (tenant_id, a) DEFERRABLE INITIALLY DEFERRED)",
    "exclusion": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a int4range, EXCLUDE USING gist (a WITH &&))",
    "dropped columns": f"CREATE TABLE s.t (x int, id bigint PRIMARY KEY, {T}, y int); ALTER TABLE s.t DROP x, DROP y",
    "generated and identity": f"CREATE TABLE s.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {T}, a int, g int GENERATED ALWAYS AS (a + 1) STORED)",
    "domains": f"CREATE DOMAIN s.d AS bigint NOT NULL CHECK (VALUE > 0); CREATE DOMAIN s.dd AS s.d; CREATE DOMAIN s.da AS int[]; CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a s.d, b s.dd, c s.da)",
    "names": f'CREATE TABLE s."Order" ("Id" serial PRIMARY KEY, {T}, "x.y" int, "a ""b""" int); CREATE UNIQUE INDEX "x USING btree y" ON s."Order" (tenant_id, "x.y")',
    "a foreign table": f"CREATE EXTENSION file_fdw; CREATE SERVER x FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE s.f (id bigint) SERVER x OPTIONS (filename '/dev/null'); CREATE TABLE s.t (id bigint PRIMARY KEY, {T})",
    "an extension's sequence": f"CREATE TABLE s.t (id bigserial PRIMARY KEY, {T}); CREATE SEQUENCE s.q; ALTER EXTENSION plpgsql ADD SEQUENCE s.q",
    "an oid of another catalog": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}); INSERT INTO pg_depend SELECT 'pg_proc'::regclass, 's.t'::regclass, 0, 'pg_extension'::regclass, oid, 0, 'e' FROM pg_extension",
}
HARD_18 = {
    "virtual": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a int, g int GENERATED ALWAYS AS (a + 1))",
    "not null, not valid": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a int, UNIQUE (tenant_id, a)); ALTER TABLE s.t ADD CONSTRAINT nn NOT NULL a NOT VALID",
    "not enforced": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, t bigint REFERENCES s.t NOT ENFORCED, CHECK (t > 0) NOT ENFORCED)",
    "without overlaps": f"CREATE EXTENSION btree_gist SCHEMA public; CREATE TABLE s.t (id bigint, {T}, v daterange, PRIMARY KEY (id, v WITHOUT OVERLAPS)); CREATE TABLE s.c (cid bigint PRIMARY KEY, {T}, id bigint, v daterange, FOREIGN KEY (id, PERIOD v) REFERENCES s.t (id, PERIOD v))",
}


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        conn.execute("CREATE SCHEMA s")
        yield conn


def by_plan(conn: psycopg.Connection[Any]) -> dict[str, Table]:
    """What the plan makes of every table: sharded, else a reference table; what it refuses twice stays out."""
    entries: dict[str, dict[str, str]] = {}
    while True:
        try:
            found = resolve_tables(conn, Tables.model_validate({"schemas": ["s"], "table": entries}))
        except PlanInvalid as refused:
            names = {t.split('"', 1)[1].rsplit('": ', 1)[0] for t in refused.problems if t.startswith("tables.table")}
            assert names, refused.problems
            entries |= {name: {"kind": "excluded" if name in entries else "reference"} for name in names}
        else:
            return {t.qualified: t for t in found}


def unique(found: list[Index]) -> set[tuple[str | None, ...]]:
    return {i.columns for i in found if i.unique and i.valid and not i.partial and None not in i.columns}


def disagreements(conn: psycopg.Connection[Any]) -> list[str]:
    """Ask all of them about everything in schema s."""
    picture, audit, plan = read(conn, ["s"]), collect(conn).catalog, by_plan(conn)
    audited = {qualify(r.schema, r.name): r for r in audit.tables() if r.schema == "s"}
    found = []

    def same(what: str, *answers: object) -> None:
        if any(answer != answers[0] for answer in answers):
            found.append(f"{what}: {answers}")

    relations = {t.qualified: t for t in tables(conn, ["s"]) if t.kind != "f"}
    same("tables", relations.keys(), audited.keys(), {n for n in picture.tables if n in relations})
    for name, relation in relations.items():
        shape, seen = picture.tables[name], audited[name]
        mine = columns(conn, relation=relation.oid)["s", relation.name]
        keys = indexes(conn, relation=relation.oid)
        same(f"{name} columns", [(c.name, c.declared) for c in mine], [(c.name, c.type) for c in seen.columns.values()])
        same(f"{name} not null", [c.never_null for c in mine], [c.not_null for c in seen.columns.values()])
        same(f"{name} generated", [c.generated for c in mine], [c.generated for c in seen.columns.values()])
        same(f"{name} domains", [bool(c.domain) for c in mine], [c.type_kind == "d" for c in seen.columns.values()])
        same(f"{name} primary key", shape.primary_key, seen.primary_key)
        seen_unique = {i.columns for i in seen.indexes if i.unique and i.predicate is None and not i.has_expression}
        same(f"{name} unique", unique(keys), seen_unique)
        mine_fk = {(k.name, k.validated) for k in picture.foreign_keys if k.table == ("s", relation.name)}
        same(f"{name} foreign keys", mine_fk, {(k.name, k.validated) for k in seen.foreign_keys})
        if name in plan:
            table = plan[name]
            same(f"{name} in the plan", [(c.name, c.declared) for c in mine], [(c.name, c.type) for c in table.columns])
            same(f"{name} null in the plan", [c.never_null for c in mine], [c.not_null for c in table.columns])
            same(
                f"{name} computed in the plan", [bool(c.generated) for c in mine], [c.generated for c in table.columns]
            )
            same(f"{name} there", [c.type for c in mine], [c.there for c in table.columns])
            same(f"{name} key", shape.primary_key or table.key, table.key)
            same(f"{name} root of partitions", relation.kind == "p", table.partitioned)
        else:
            same(f"{name} has no key", shape.primary_key, ())
    same(
        "sequences",
        {s.qualified for s in picture.sequences},
        {(s.schema, s.name) for s in audit.sequences.values() if s.schema == "s"},
    )
    drawn = {a.sequence for r in audited.values() for a in r.columns.values() if a.sequence}
    same("sequences that columns draw from", drawn, drawn & audit.sequences.keys())
    return found


@pytest.mark.parametrize("case", HARD | HARD_18)
def test_all_see_the_same(classic: psycopg.Connection[Any], case: str) -> None:
    if case in HARD_18 and classic.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 brought it")
    classic.execute((HARD | HARD_18)[case])

    assert disagreements(classic) == []


def test_all_see_the_same_of_the_audits_schema(classic: psycopg.Connection[Any]) -> None:
    """Tables with every kind of path to their tenant."""
    classic.execute("SET search_path = s, public")
    classic.execute((CASES / "verdicts" / "schema.sql").read_bytes())
    classic.execute("SET search_path = pg_catalog")

    assert len(tables(classic, ["s"])) > 5
    assert disagreements(classic) == []


def resolved(conn: psycopg.Connection[Any], **entry: object) -> Table:
    (found,) = resolve_tables(
        conn, Tables.model_validate({"schemas": ["s"], "table": {"s.t": {"kind": "sharded", **entry}}})
    )
    return found


NO_KEYS = {
    "a partition lacks it": f"CREATE TABLE s.t (id bigint NOT NULL, {T}) PARTITION BY HASH (id); {LEAF}; CREATE UNIQUE INDEX ON ONLY s.t (id)",
    "of another operator class": f"CREATE EXTENSION citext SCHEMA public; CREATE TABLE s.t (id public.citext NOT NULL, {T}); CREATE UNIQUE INDEX ON s.t (id text_ops)",
    "null in old rows": f"CREATE TABLE s.t (id bigint, {T}); INSERT INTO s.t VALUES (NULL, 1); ALTER TABLE s.t ADD CONSTRAINT nn NOT NULL id NOT VALID; CREATE UNIQUE INDEX ON s.t (id)",
    "null past a domain": f"CREATE DOMAIN s.d AS bigint NOT NULL; CREATE TABLE s.t (id s.d, {T}); CREATE UNIQUE INDEX ON s.t (id)",
}


@pytest.mark.parametrize("case", NO_KEYS)
def test_no_key_that_may_name_two_rows(classic: psycopg.Connection[Any], case: str) -> None:
    """A row that is looked for by its key must be one row: with two of them, one would be lost."""
    if "NOT VALID" in NO_KEYS[case] and classic.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 brought it")
    classic.execute(NO_KEYS[case])

    with pytest.raises(PlanInvalid, match="unique index, all NOT NULL"):
        resolved(classic, key=["id"])


def test_a_key_of_classes_that_call_the_same_equal(classic: psycopg.Connection[Any]) -> None:
    classic.execute(f"CREATE TABLE s.t (id text NOT NULL, {T}); CREATE UNIQUE INDEX ON s.t (id text_pattern_ops)")

    assert resolved(classic, key=["id"]).key == ("id",)


def test_what_refuses_rows_is_more_than_what_tells_them_apart(classic: psycopg.Connection[Any]) -> None:
    """An index that compares otherwise is no key, and may still be in the way of a row on Limitless."""
    classic.execute(
        f"CREATE EXTENSION citext SCHEMA public; CREATE TABLE s.t (id int PRIMARY KEY, {T}, c public.citext)"
    )
    classic.execute("CREATE UNIQUE INDEX ON s.t (id, c text_ops); CREATE UNIQUE INDEX ON s.t (id, c)")
    classic.execute("CREATE UNIQUE INDEX ON s.t (c) WHERE id > 0; CREATE UNIQUE INDEX ON s.t (tenant_id, c)")

    assert resolved(classic).unique_keys == (("id", "c"), ("tenant_id", "c"))


INHERITING = {
    "a child": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}); CREATE TABLE s.c (PRIMARY KEY (id)) INHERITS (s.t)",
    "of a parent elsewhere": f"CREATE SCHEMA o; CREATE TABLE o.p (id bigint, {T}); CREATE TABLE s.t (PRIMARY KEY (id)) INHERITS (o.p)",
    "a child elsewhere": f"CREATE SCHEMA o; CREATE TABLE s.t (id bigint PRIMARY KEY, {T}); CREATE TABLE o.c () INHERITS (s.t)",
    "altered": f"CREATE TABLE s.t (id bigint PRIMARY KEY, {T}); CREATE TABLE s.c (LIKE s.t); ALTER TABLE s.c INHERIT s.t",
}


@pytest.mark.parametrize("case", INHERITING)
def test_inheritance_is_refused(classic: psycopg.Connection[Any], case: str) -> None:
    """An UPDATE of the parent changes rows of the child, and no trigger of the child sees it."""
    classic.execute(INHERITING[case])

    with pytest.raises(PlanInvalid, match=r"s\.t.* by INHERITS"):
        resolve_tables(
            classic,
            Tables.model_validate(
                {"schemas": ["s"], "table": {"s.c": {"kind": "excluded"}} if " s.c " in INHERITING[case] else {}}
            ),
        )


def test_numbers_that_another_server_gives_differently_never_travel_as_such(classic: psycopg.Connection[Any]) -> None:
    """A regclass is a number in its binary form, and still is inside a domain or an array."""
    classic.execute(
        f"CREATE DOMAIN s.d AS regclass; CREATE DOMAIN s.da AS regtype[]; CREATE TABLE s.t (id bigint PRIMARY KEY, {T}, a regclass, b s.d, c regrole[], d s.da, e int[])"
    )

    assert [c.name for c in resolved(classic).columns if not c.binary_safe] == ["a", "b", "c", "d"]


def test_what_stays_behind_is_said(classic: psycopg.Connection[Any]) -> None:
    """Also what only one partition has."""
    classic.execute(HARD["keys of a partition only"])

    assert read(classic, ["s"]).left_behind == (
        "CHECK t0_r_check of partition s.t0: not on the partitioned table",
        "foreign key t0_r_fkey of partition s.t0: not on the partitioned table",
        "index s.t0_r_key of partition s.t0: not on the partitioned table",
    )


def test_keys_over_periods_become_what_limitless_has(classic: psycopg.Connection[Any]) -> None:
    """The key tells rows apart by their values; a foreign key that looks for equal periods would refuse rows."""
    if classic.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 brought it")
    classic.execute(HARD_18["without overlaps"])
    planned = resolve_tables(classic, Tables.model_validate({"schemas": ["s"]}))

    result = design(read(classic, ["s"]), planned, available_extensions=["btree_gist"])

    assert result.catalog.tables["s.t"].primary_key == ("tenant_id", "id", "v")
    assert result.catalog.foreign_keys == result.final_foreign_keys == ()
    assert [w for w in result.warnings if "PERIOD" in w or "OVERLAPS" in w] == [
        "foreign key c_id_v_fkey of s.c is not taken over: it compares periods (PERIOD), which Limitless is not documented to have",
        "key t_pkey of s.t: WITHOUT OVERLAPS, on Limitless its values only differ",
    ]


def test_one_object_is_found_wherever_it_is(classic: psycopg.Connection[Any]) -> None:
    """An index of a partition or of a temporary table, and nothing where there is none."""
    classic.execute(HARD["keys of a partition only"])
    classic.execute(
        'CREATE TEMPORARY TABLE tmp (a int); CREATE UNIQUE INDEX "i USING btree j" ON tmp (a) INCLUDE (a) WHERE a > 0'
    )

    leaf = details.index_of(classic, psycopg.sql.Identifier("s", "t0_r_key"))
    temporary = details.index_of(classic, psycopg.sql.Identifier("pg_temp", "i USING btree j"))

    assert leaf is not None and (leaf.table, leaf.columns, leaf.is_key) == (("s", "t0"), ("r",), True)
    assert temporary is not None and (temporary.tail, temporary.is_key) == ("(a) INCLUDE (a) WHERE (a > 0)", False)
    assert details.index_of(classic, psycopg.sql.Identifier("s", "t")) is None
    assert details.oid_of(classic, "s.nothing") is None
    assert list(details.members(classic, "s.t")) == [("s", "t"), ("s", "t0")]
