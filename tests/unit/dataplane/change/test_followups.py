"""Only what follows from the refusal of a statement before it is left out."""

from __future__ import annotations

import pytest

from migrator.dataplane.change.followups import without_followups
from migrator.dataplane.change.names import given_name
from migrator.dataplane.change.refusal import Place, Refusal


def refusal(number: int, text: str, *, missing: bool = True) -> Refusal:
    return Refusal(text, Place(number, 1, 1), missing=missing)


@pytest.mark.parametrize(
    ("text", "first", "then", "kept"),
    [
        ("CREATE TABLE a.t (x int); ALTER TABLE a.t ADD y int", "no", "t is not captured", [1]),
        ("CREATE TABLE t (x int); ALTER TABLE u ADD y int", "no", "u is not captured", [1, 2]),
        ("ALTER TABLE t ADD x int; CREATE INDEX ON t (x)", "no", 'column "x" does not exist', [1]),
        ("ALTER TABLE t ADD x int; CREATE INDEX ON u (x)", "no", 'column "x" does not exist', [1, 2]),
        ("CREATE TYPE s.e AS ENUM (); ALTER TABLE t ADD x e", "no", 'type "e" does not exist', [1]),
        ('CREATE SEQUENCE "S q"; SELECT nextval(\'"S q"\')', "no", 'relation "S q" does not exist', [1]),
        ("ALTER TABLE t RENAME TO u; ALTER TABLE u ADD y int", "no", "u is not captured", [1]),
        ("ALTER TABLE t RENAME a TO b; ALTER TABLE t ALTER b SET NOT NULL", "no", "set not null of t.b: none", [1]),
        ("DO $$ BEGIN CREATE TYPE e AS ENUM (); END $$; ALTER TABLE t ADD x e", "no", 'type "e" is missing', [1]),
        ("CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS '1'; DROP FUNCTION f()", "no", "function f() is gone", [1]),
    ],
)
def test_followups(text: str, first: str, then: str, kept: list[int]) -> None:
    found = [refusal(1, first, missing=False), refusal(2, then)]

    assert [r.place.number for r in without_followups(text, found)] == kept


def test_other_reasons_stay_and_chains_are_counted_at_their_beginning() -> None:
    text = "CREATE TABLE t (x int); CREATE VIEW v AS SELECT * FROM t; GRANT SELECT ON v TO a; CREATE TRIGGER x ON t"
    text = text.replace("CREATE TRIGGER x ON t", "VACUUM FULL t")
    found = [
        refusal(1, "not possible", missing=False),
        refusal(2, 'view v: relation "t" does not exist'),
        refusal(3, 'relation "v" does not exist'),
        refusal(4, "VACUUM FULL t locks", missing=False),
    ]

    left = without_followups(text, found)

    assert list(left) == [
        "statement 1: not possible. Not checked without it: statements 2, 3",
        "statement 4: VACUUM FULL t locks",
    ]


@pytest.mark.parametrize(
    ("table", "columns", "label", "taken", "name"),
    [
        ("t", "a_b", "idx", (), "t_a_b_idx"),
        ("t", "", "check", (), "t_check"),
        ("t", "a", "key", ("t_a_key", "t_a_key1"), "t_a_key2"),
        ("t" * 40, "c" * 40, "fkey", (), f"{'t' * 29}_{'c' * 28}_fkey"),
        ("t" * 10, "ö" * 40, "idx", (), f"{'t' * 10}_{'ö' * 24}_idx"),
    ],
)
def test_names_that_postgresql_gives(table: str, columns: str, label: str, taken: tuple[str, ...], name: str) -> None:
    assert given_name(table, columns, label, lambda n: n in taken) == name
    assert len(name.encode()) <= 63
