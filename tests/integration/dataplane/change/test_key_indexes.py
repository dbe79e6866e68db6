"""Whether an index may go, or is there already, is judged by what the plan takes for a key and by all of its text."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import pytest

from migrator.control.install import install
from migrator.dataplane.change.check import check
from migrator.dataplane.change.request import read_requests
from migrator.db.connect import connect
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables

pytestmark = pytest.mark.pg

TABLE = "CREATE SCHEMA s; CREATE TABLE s.t (id int NOT NULL, b int NOT NULL, tenant_id bigint NOT NULL, note text)"
THE_KEY = ["statement 1: drop index s.one: it is the key that s.t is migrated by"]

# Key, statements before, what is asked for, and every problem.
CASES: dict[str, tuple[list[str], str, str, list[str]]] = {
    "the only one": (["id"], "CREATE UNIQUE INDEX one ON s.t (id)", "DROP INDEX s.one", THE_KEY),
    "another stays": (
        ["id"],
        "CREATE UNIQUE INDEX one ON s.t (id); CREATE UNIQUE INDEX two ON s.t (id)",
        "DROP INDEX s.one",
        [],
    ),
    "another with a payload stays": (
        ["id"],
        "CREATE UNIQUE INDEX one ON s.t (id); CREATE UNIQUE INDEX two ON s.t (id) INCLUDE (b)",
        "DROP INDEX s.one",
        [],
    ),
    "a payload is no part of a key": (
        ["id", "b"],
        "CREATE UNIQUE INDEX one ON s.t (id, b); CREATE UNIQUE INDEX two ON s.t (id) INCLUDE (b)",
        "DROP INDEX s.one",
        THE_KEY,
    ),
    "another that compares otherwise is none": (
        ["id"],
        "CREATE EXTENSION citext SCHEMA public; ALTER TABLE s.t ALTER id TYPE public.citext; CREATE UNIQUE INDEX one ON s.t (id); CREATE UNIQUE INDEX two ON s.t (id text_ops)",
        "DROP INDEX s.one",
        THE_KEY,
    ),
    "one that is none may go": (
        ["id"],
        "CREATE UNIQUE INDEX one ON s.t (id); CREATE UNIQUE INDEX two ON s.t (id, b)",
        "DROP INDEX s.two",
        [],
    ),
    "there already, but for the end of a text": (
        ["id"],
        "CREATE UNIQUE INDEX one ON s.t (id); CREATE INDEX two ON s.t (b) WHERE note <> 'a USING btree b'",
        "CREATE INDEX IF NOT EXISTS two ON s.t (b) WHERE note <> 'a USING btree c'",
        ["classic has an index of this name already: (b) WHERE (note <> 'a USING btree b'::text)"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_of_an_index(classic_dsn: str, limitless_dsn: str, case: str) -> None:
    key, before, asked, problems = CASES[case]
    plan = Plan.model_validate(
        {
            "name": "keys",
            "classic": {"writer": "local:classic"},
            "limitless": {"dsn": "local:limitless"},
            "tables": {"schemas": ["s"], "table": {"s.t": {"kind": "sharded", "key": key}}},
        }
    )
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        install(classic, "keys", "digest", {}, {})
        classic.execute(f"{TABLE}; {before}".encode())
        tables = resolve_tables(classic, plan.tables)
        requests, unread = read_requests(asked, tables, ("s",))
        _, found = check(classic, limitless, plan, tables, requests)

    assert unread == []
    assert len(found) == len(problems)
    assert all(problem in text for problem, text in zip(problems, found, strict=True))
