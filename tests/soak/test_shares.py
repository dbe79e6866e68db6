"""Kinds of statements are told apart in PostgreSQL's words, and counted behind the first migration only."""

from __future__ import annotations

import pytest

from migrator.scripts.statement_file import split
from tests import ROOT
from tests.soak.history import read_history
from tests.soak.kinds import kinds_of
from tests.soak.shares import read, table

PARTLY = {"ALTER TABLE ALTER COLUMN … TYPE"}
"""Refused for what they say, not for their kind."""


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("ALTER TABLE a ADD COLUMN b int, DROP COLUMN c", ["ALTER TABLE ADD COLUMN", "ALTER TABLE DROP COLUMN"]),
        ("ALTER TABLE a ADD CHECK (b > 0) NOT VALID", ["ALTER TABLE ADD CHECK NOT VALID"]),
        ("ALTER TABLE a ADD PRIMARY KEY USING INDEX i", ["ALTER TABLE ADD PRIMARY KEY USING INDEX"]),
        ("ALTER TABLE a ALTER b SET DEFAULT 1", ["ALTER TABLE ALTER COLUMN … SET DEFAULT"]),
        ("ALTER TABLE a ALTER b DROP DEFAULT", ["ALTER TABLE ALTER COLUMN … DROP DEFAULT"]),
        ("ALTER TABLE a RENAME COLUMN b TO c", ["ALTER TABLE RENAME COLUMN"]),
        ("ALTER TABLE a RENAME CONSTRAINT b TO c", ["ALTER TABLE RENAME CONSTRAINT"]),
        ("ALTER INDEX a RENAME TO b; ALTER TABLE a RENAME TO b", ["ALTER INDEX RENAME", "ALTER TABLE RENAME"]),
        ("ALTER TYPE a ADD VALUE 'b'", ["ALTER TYPE … ADD VALUE"]),
        ("ALTER TYPE a RENAME VALUE 'b' TO 'c'", ["ALTER TYPE … RENAME VALUE"]),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON a (b)", ["CREATE UNIQUE INDEX CONCURRENTLY"]),
        (
            "DROP INDEX i; DROP TABLE a; DROP MATERIALIZED VIEW v",
            ["DROP INDEX", "DROP TABLE", "DROP MATERIALIZED VIEW"],
        ),
        ("CREATE TABLE a PARTITION OF b DEFAULT", ["CREATE TABLE PARTITION OF"]),
        ("CREATE TABLE a (LIKE b)", ["CREATE TABLE INHERITS, LIKE"]),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", ["CREATE MATERIALIZED VIEW"]),
        ("CREATE PROCEDURE p() LANGUAGE sql AS ''", ["CREATE PROCEDURE"]),
        ("REVOKE ALL ON a FROM b", ["REVOKE"]),
        ("BEGIN; COMMIT", ["BEGIN, COMMIT"] * 2),
    ],
)
def test_kinds(text: str, kinds: list[str]) -> None:
    assert kinds_of(text) == kinds


def test_shares() -> None:
    history = read("lending", ROOT / "tests/cases/lending")
    rows = table([history])

    assert history.unread == []
    assert history.first["CREATE TABLE"] == 5
    assert history.later["CREATE TABLE"] == 4
    assert abs(sum(row[2] for row in rows) - 100) < 0.01
    assert not [kind for kind in history.later if kind.startswith("AT_") or kind.endswith("Stmt")]


def test_the_document_says_what_the_replayed_history_shows() -> None:
    """docs/schema-change-kinds.md calls a kind refused when, and only when, files with it are."""
    lines = (ROOT / "docs/schema-change-kinds.md").read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    says_refused = {row[0].strip("`"): row[4].startswith("refused") for row in cells}
    applied, refused = set[str](), set[str]()
    for migration in read_history(ROOT / "tests/cases/lending"):
        found = applied if "-- expected: applied" in migration.text else refused
        found.update(k for piece in split(migration.text) for k in kinds_of(piece.sql))

    assert [kind for kind in applied if says_refused.get(kind)] == []
    assert [kind for kind in refused - applied if not says_refused.get(kind, True) and kind not in PARTLY] == []
