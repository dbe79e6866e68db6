"""Whatever statements hold, a tool's file yields those that lead forward, whole, in order, and where they stand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.grammar.parse import parse
from migrator.scripts.migration import read_migrations

MARKS = (
    "-- +goose Down", "-- +goose Up", "-- +migrate Down", "-- migrate:down", "--rollback DROP", "-- down",
    "--changeset a:1", "-- Running downgrade x -> y", "INSERT INTO alembic_version VALUES ('1')", "; COMMIT;", "\\. ",
    "${name}", "it''s", "BEGIN", "/* down */", "$$", "é 漢", "# --- !Downs", "", "\n", "--", "/*", "*/",
)  # fmt: skip

pieces = st.lists(st.sampled_from(MARKS), max_size=4).map("\n".join)
names = st.text(st.characters(codec="utf-8", exclude_characters='"\x00\r'), min_size=1, max_size=12).map(
    lambda name: f'"{name}"'
)


def _literal(text: str) -> str:
    return "'" + text.replace("''", "'").replace("'", "''") + "'"


def _body(text: str) -> str:
    return f"$body$BEGIN\n  PERFORM 1; {text.replace('$body$', '')}\nEND$body$"


statements = st.one_of(
    st.builds(lambda n, t: f"COMMENT ON TABLE {n} IS {_literal(t)}", names, pieces),
    st.builds(lambda n, t: f"CREATE FUNCTION {n}() RETURNS trigger LANGUAGE plpgsql AS {_body(t)}", names, pieces),
    st.builds(lambda n, m: f"ALTER TABLE {n}\n  ADD COLUMN {m} text DEFAULT 'x;y' -- down payment\n", names, names),
    st.builds(lambda n, m: f"CREATE VIEW {n} AS VALUES (E'\\'; --', {_literal(m)})", names, pieces),
    st.just("CREATE TABLE t (id int /* up; */, note text)"),
)


def _joined(found: list[str]) -> str:
    return "".join(f"{s};\n" for s in found)


_NOTE = "UPDATE alembic_version SET version_num='{1}' WHERE version_num = '{0}';\n\n"
TOOLS: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "goose": ("1_a.sql", lambda up, down: f"-- +goose Up\n{up}-- +goose Down\n{down}"),
    "goose, one statement": (
        "1_a.sql",
        lambda up, down: f"-- +goose Up\n-- +goose StatementBegin\n{up}-- +goose StatementEnd\n-- +goose Down\n{down}",
    ),
    "sql-migrate": ("1.sql", lambda up, down: f"-- +migrate Up\n{up}\n-- +migrate Down\n{down}"),
    "dbmate": ("1_a.sql", lambda up, down: f"-- migrate:up transaction:false\n{up}\n-- migrate:down\n{down}"),
    "node-pg-migrate": ("1_a.sql", lambda up, down: f"-- Up Migration\n{up}\n-- Down Migration\n{down}"),
    "tern": ("1_a.sql", lambda up, down: f"{up}\n---- create above / drop below ----\n{down}"),
    "MyBatis": ("1_a.sql", lambda up, down: f"-- // a\n{up}\n-- //@UNDO\n{down}"),
    "Play": ("1.sql", lambda up, down: f"# --- !Ups\n{up}\n# --- !Downs\n{down}"),
    "Flyway": ("V1__a.sql", lambda up, _: up),
    "golang-migrate": ("1_a.up.sql", lambda up, _: f"BEGIN;\n{up}COMMIT;\n"),
    "Prisma": ("1_a/migration.sql", lambda up, _: f"-- AlterTable\n{up}"),
    "Django": ("stdin", lambda up, _: f"BEGIN;\n--\n-- Add field note to order\n--\n{up}COMMIT;\n"),
    "Liquibase": (
        "a.sql",
        lambda up, down: (
            f"--liquibase formatted sql\n--changeset a:1\n{up}"
            + "".join(f"--rollback {line}\n" for line in down.split("\n"))
        ),
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
@settings(max_examples=40)
@given(st.data())
def test_what_leads_forward_is_read_whole(tool: str, data: st.DataObject) -> None:
    forward = data.draw(st.lists(statements, min_size=1, max_size=4))
    back = data.draw(st.lists(statements, max_size=3))
    name, written = TOOLS[tool]
    text = written(_joined(forward), _joined(back))

    [found] = read_migrations(text, name)

    assert found.problems == ()
    assert [s.text for s in parse(found.text)] == [s.text for s in parse(_joined(forward))]
    for statement in parse(found.text):
        line = found.text.count("\n", 0, statement.offset)
        column = statement.offset - (found.text.rfind("\n", 0, statement.offset) + 1)
        first = statement.text.split("\n", 1)[0]
        assert text.split("\n")[line][column:].startswith(first), "lines and columns are the file's"


@settings(max_examples=40)
@given(st.lists(st.lists(statements, min_size=1, max_size=2), min_size=1, max_size=4))
def test_each_revision_that_alembic_prints_is_a_migration(revisions: list[list[str]]) -> None:
    text = "BEGIN;\n\n"
    for number, changes in enumerate(revisions):
        text += f"-- Running upgrade {number} -> {number + 1}\n\n{_joined(changes)}\n"
        text += _NOTE.format(number, number + 1)

    found = read_migrations(text + "COMMIT;\n", "stdin")

    assert [[s.text for s in parse(m.text)] for m in found] == [
        [s.text for s in parse(_joined(changes))] for changes in revisions
    ]
    assert [[n.text.split("'")[1] for n in m.notes] for m in found] == [[str(n + 1)] for n in range(len(revisions))]


@settings(max_examples=40)
@given(st.lists(st.lists(statements, min_size=1, max_size=2), min_size=1, max_size=4))
def test_each_changeset_is_a_migration(changesets: list[list[str]]) -> None:
    text = "--liquibase formatted sql\n\n"
    for number, changes in enumerate(changesets):
        text += f'--changeset "jo b":"{number} x" dbms:postgresql\n{_joined(changes)}--rollback SELECT 1;\n\n'

    found = read_migrations(text, "log.sql")

    assert [m.name for m in found] == [f"log.sql::{n} x::jo b" for n in range(len(changesets))]
    assert [[s.text for s in parse(m.text)] for m in found] == [
        [s.text for s in parse(_joined(changes))] for changes in changesets
    ]
