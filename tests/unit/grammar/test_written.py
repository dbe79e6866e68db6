"""Parts of a statement are cut out as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.audit.catalog import Catalog, Relation
from migrator.audit.evidence.dump import read_dump
from migrator.audit.evidence.rows import Evidence
from migrator.grammar.parse import expression, parse
from migrator.grammar.types import plain_type, type_text
from migrator.grammar.written import Written

EXPRESSIONS = [
    "1", "-1", "'é, ) ; --'", "E'a\\', ('", "$$ ), $$", "$é$ , $é$", "(1)", "((1 + 2) * 3)", "1 /* , */ + 2",
    "CASE WHEN true THEN NULL ELSE 'x' END", "ARRAY[1, 2]", "ARRAY[]::int[]", "'x'::character varying", "B'101'",
    "f(1, g('a,b'))", "current_timestamp", "nextval('s'::regclass)", "date '2020-01-01'", "U&'\\00e9'", '"odd ""(" + 1',
    "interval '1' day", "CAST('a' AS varchar(3))", "a.b[1]", "'a'||'b'",
]  # fmt: skip
BEHIND = ["", " NOT NULL", " CHECK (a > 0)", ' COLLATE "C"', " REFERENCES p (x) DEFERRABLE", " /* x */ UNIQUE -- ,"]


def read(text: str) -> Relation:
    evidence = Evidence(Catalog())
    read_dump(text, "schema.sql", evidence)
    assert evidence.problems == []
    return evidence.catalog.relations["public.t"]


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(BEHIND), st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_part_of_a_table_is_what_was_written(part: str, behind: str, last: bool) -> None:
    """Whatever stands in an expression, in front of it and behind it."""
    end = "" if last else ",\n é text DEFAULT 'ü, ('"
    relation = read(
        f"CREATE TABLE t (ö text, a int CONSTRAINT d DEFAULT {part}{behind}\n{end});"
        f"ALTER TABLE t ADD CHECK ({part}), ADD g int GENERATED ALWAYS AS ({part}) STORED,"
        f" ALTER ö SET DEFAULT {part}, ADD z int;"
        f"CREATE INDEX ON t (({part})) WHERE {part};"
        f"CREATE POLICY p ON t USING ({part}) WITH CHECK (({part}));"
    )

    assert relation.columns["a"].default == part
    assert relation.checks[-1].definition == f"CHECK ({part})"
    assert relation.columns["g"].default == part
    assert relation.columns["ö"].default == part
    assert relation.indexes[-1].predicate == part
    assert (relation.policies[0].using, relation.policies[0].check) == (part, f"({part})")


@pytest.mark.parametrize("tail", ["", " WITH NO DATA", "\n WITH DATA;", " -- WITH NO DATA"])
def test_the_query_of_a_materialized_view(tail: str) -> None:
    relation = read(f"CREATE MATERIALIZED VIEW t (x) WITH (fillfactor = 70) AS SELECT 'AS', (1) AS data{tail}")

    assert relation.view_sql is not None
    assert parse(relation.view_sql)[0].text.startswith("SELECT 'AS', (1) AS data")
    assert relation.view_sql.split("--")[0].rstrip().endswith("data")


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("int", "integer"), ("int8[]", "bigint[]"), ("varchar(20)", "character varying(20)"), ("char", "character(1)"),
        ("bpchar", "bpchar"), ('"char"', '"char"'), ("numeric(10, 2)", "numeric(10,2)"), ("float", "double precision"),
        ("timestamp(3) with time zone", "timestamp(3) with time zone"), ("time", "time without time zone"),
        ("interval day to second(3)", "interval day to second(3)"), ("interval(3)", "interval(3)"),
        ("bit varying(4)", "bit varying(4)"), ("geometry(Point, 4326)", "geometry(point,4326)"),
        ('a."B c"', 'a."B c"'), ('"order"', '"order"'), ("pg_catalog.json", "json"), ("int[3][]", "integer[][]"),
    ],
)  # fmt: skip
def test_types_are_spelled_as_the_catalog_does(written: str, spelled: str) -> None:
    """As `format_type` says it, and so that PostgreSQL reads the same type again."""
    cast = expression(f"NULL::{written}")
    assert cast is not None

    text = type_text(cast["TypeCast"]["typeName"])
    again = expression(f"NULL::{text}")

    assert text == spelled
    assert again is not None and type_text(again["TypeCast"]["typeName"]) == text


def test_a_plain_type_has_no_length() -> None:
    assert plain_type("timestamp(3) with time zone") == "timestamp with time zone"
    assert plain_type("character varying(20)") == plain_type("varchar") == "character varying"


def test_tokens_end_where_postgresql_ends_them() -> None:
    text = "é'a''b'\"c\"\"d\"E'\\''$x$ $ $x$/* /* */ */1.5::b--c\n;"

    assert [text.encode()[t.begin : t.end].decode() for t in Written(text).tokens] == [
        "é", "'a''b'", '"c""d"', "E'\\''", "$x$ $ $x$", "1.5", "::", "b", ";",
    ]  # fmt: skip
