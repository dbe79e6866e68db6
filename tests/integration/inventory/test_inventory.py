"""What is made beside the captured tables, or goes from one side, is noticed by its own name, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from migrator.control.install import install
from migrator.dataplane.capture import install as capture
from migrator.inventory.look import look, refresh
from migrator.plan.load import digest, dump, from_body
from migrator.plan.tables import resolve_tables
from migrator.provision import provision
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.world import PARTS

pytestmark = pytest.mark.pg

BEFORE = """
CREATE TABLE shop.aside (id bigint PRIMARY KEY);
CREATE TABLE shop.old_aside (id bigint PRIMARY KEY);
CREATE MATERIALIZED VIEW shop.old_summary AS SELECT count(*) FROM shop.purchase;
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.guest (tenant_id bigint NOT NULL, id bigint PRIMARY KEY);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nobody FOREIGN DATA WRAPPER nowhere;
CREATE AGGREGATE shop.old_product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1');
"""


@pytest.fixture(scope="module")
def world(machines: Machines) -> Iterator[Shop]:
    """The shop with capture on, a stored plan and what stays behind on purpose; both sides are equal."""
    names = fresh_name("classic"), fresh_name("limitless")
    with new_shop(machines.new_classic(names[0]), machines.new_limitless(names[1])) as shop:
        shop.classic.execute(BEFORE)
        body = dump(shop.plan)
        body["tables"]["schemas"] = ["shop", "planned"]
        for name in ("shop.aside", "shop.old_aside"):
            body["tables"]["table"][name] = {"kind": "excluded"}
        plan = from_body(body)
        for conn in (shop.classic, shop.limitless):
            conn.execute("CREATE SEQUENCE shop.ticket")
            conn.execute("CREATE VIEW shop.names AS SELECT tenant_id, name FROM shop.tenant")
            conn.execute("CREATE FUNCTION shop.twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1'")
        install(shop.classic, plan.name, "digest", dump(plan), {})
        capture.install(shop.classic, shop.tables, PARTS, 3)
        refresh(shop.classic, shop.limitless)
        assert look(shop.classic) == look(shop.classic, shop.limitless) == ()
        yield shop
    machines.drop(*names)


@pytest.fixture
def captured(world: Shop) -> Iterator[Shop]:
    """The same for every test: what one does is rolled back on both sides."""
    with world.classic.transaction(force_rollback=True), world.limitless.transaction(force_rollback=True):
        yield world


ROWS = "(tenant_id bigint NOT NULL, id bigint PRIMARY KEY)"
LOSES = {
    "with the tenant key": (f"CREATE TABLE shop.later {ROWS}", "table shop.later"),
    "without it": ("CREATE TABLE shop.later (id int PRIMARY KEY)", "table shop.later"),
    "without any key": ("CREATE TABLE shop.later (id int)", "table shop.later"),
    "unlogged": (f"CREATE UNLOGGED TABLE shop.later {ROWS}", "table shop.later"),
    "create table as": ("CREATE TABLE shop.later AS SELECT * FROM shop.purchase", "table shop.later"),
    "select into": ("SELECT * INTO shop.later FROM shop.purchase", "table shop.later"),
    "with a sequence of its own": (
        "CREATE TABLE shop.later (id bigserial PRIMARY KEY, tenant_id bigint)",
        "table shop.later",
    ),
    "partitioned": (
        "CREATE TABLE shop.later (tenant_id bigint, id bigint) PARTITION BY HASH (id);"
        "CREATE TABLE shop.leaf PARTITION OF shop.later FOR VALUES WITH (modulus 1, remainder 0)",
        "table shop.later",
    ),
    "partition of a table elsewhere": (
        "CREATE TABLE elsewhere.root (id bigint) PARTITION BY HASH (id);"
        "CREATE TABLE shop.leaf PARTITION OF elsewhere.root FOR VALUES WITH (modulus 1, remainder 0)",
        "table shop.leaf",
    ),
    "inherits from an excluded table": ("CREATE TABLE shop.heir () INHERITS (shop.aside)", "table shop.heir"),
    "in a planned schema made later": (
        f"CREATE SCHEMA planned; CREATE TABLE planned.later {ROWS}",
        "table planned.later",
    ),
    "moved in": ("ALTER TABLE elsewhere.guest SET SCHEMA shop", "table shop.guest"),
    "excluded and renamed": ("ALTER TABLE shop.aside RENAME TO later", "table shop.later"),
    "behind a dot in its name": ('CREATE TABLE shop."a.b" (id int PRIMARY KEY)', 'table shop."a.b"'),
    "a sequence": ("CREATE SEQUENCE shop.number", "sequence shop.number"),
    "an enum's value": ("ALTER TYPE shop.mood ADD VALUE 'furious'", "type shop.mood"),
    "a sequence that counts otherwise": ("ALTER SEQUENCE shop.ticket INCREMENT BY 5", "sequence shop.ticket"),
}
BREAKS = {
    "a materialized view": (
        "CREATE MATERIALIZED VIEW shop.later AS SELECT 1 AS one",
        "materialized view shop.later",
    ),
    "a foreign table": ("CREATE FOREIGN TABLE shop.later (id int) SERVER nobody", "foreign table shop.later"),
    "a schema nobody planned": (f"CREATE SCHEMA later; CREATE TABLE later.t {ROWS}", "schema later"),
    "an enum": ("CREATE TYPE shop.colour AS ENUM ('red')", "type shop.colour"),
    "a composite": ("CREATE TYPE shop.place AS (street text)", "type shop.place"),
    "a range": ("CREATE TYPE shop.span AS RANGE (subtype = float8)", "type shop.span"),
    "a function": (
        "CREATE FUNCTION shop.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "function shop.f(integer)",
    ),
    "an overloaded function": (
        "CREATE FUNCTION shop.twice(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        "function shop.twice(text)",
    ),
    "a changed function": (
        "CREATE OR REPLACE FUNCTION shop.twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $1'",
        "function shop.twice(integer)",
    ),
    "an aggregate": (
        "CREATE AGGREGATE shop.product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1')",
        "function shop.product(numeric)",
    ),
    "a procedure": (
        "CREATE PROCEDURE shop.p() LANGUAGE plpgsql AS 'BEGIN END'",
        "procedure shop.p()",
    ),
    "a view": ("CREATE VIEW shop.v AS SELECT 1 AS one", "view shop.v"),
    "a view with another column": (
        "CREATE OR REPLACE VIEW shop.names AS SELECT tenant_id, name, 1 AS one FROM shop.tenant",
        "view shop.names",
    ),
}


@pytest.mark.parametrize("case", [*LOSES, *BREAKS])
def test_what_comes_to_classic_is_named(captured: Shop, case: str) -> None:
    """By one line, with Limitless or without it; also where the guard was asleep, which refuses some of them."""
    statement, subject = (LOSES | BREAKS)[case]

    captured.classic.execute("ALTER EVENT TRIGGER migrator_guard_ddl DISABLE")
    captured.classic.execute(statement)

    for found in (look(captured.classic, captured.limitless), look(captured.classic)):
        assert [(d.subject, d.loses_rows) for d in found] == [(subject, case in LOSES)]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE shop.old_aside; CREATE TABLE shop.old_aside (id text)",
        "DROP TABLE shop.old_aside",
        "DROP MATERIALIZED VIEW shop.old_summary; CREATE MATERIALIZED VIEW shop.old_summary AS SELECT 1",
        "CREATE TABLE elsewhere.another (id int)",
        "CREATE TEMPORARY TABLE passing (id int)",
        "ALTER TABLE shop.aside ADD number bigserial",
        "CREATE DOMAIN shop.amount AS numeric CHECK (VALUE > 0)",
        "CREATE FUNCTION shop.touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE INDEX ON shop.aside (id)",
    ],
)
def test_what_concerns_nobody_is_silent(captured: Shop, statement: str) -> None:
    """Excluded tables may be dropped and made again; what Limitless never gets by design is no news."""
    captured.classic.execute(statement)

    assert look(captured.classic, captured.limitless) == ()


@pytest.mark.parametrize(
    ("statement", "subject", "loses_rows"),
    [
        ("CREATE TABLE shop.there (id int PRIMARY KEY)", "table shop.there", False),
        ("CREATE SEQUENCE shop.there", "sequence shop.there", False),
        ("CREATE VIEW shop.there AS SELECT 1 AS one", "view shop.there", False),
        ("CREATE TYPE shop.there AS ENUM ('a')", "type shop.there", False),
        ("CREATE FUNCTION shop.there() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function shop.there()", False),
        ("DROP SEQUENCE shop.ticket", "sequence shop.ticket", True),
        ("DROP TABLE shop.currency", "table shop.currency", True),
        ("DROP VIEW shop.names", "view shop.names", False),
    ],
)
def test_what_changes_on_limitless_is_named(captured: Shop, statement: str, subject: str, loses_rows: bool) -> None:
    captured.limitless.execute(statement)

    found = look(captured.classic, captured.limitless)

    assert [(d.subject, d.loses_rows) for d in found] == [(subject, loses_rows)]
    assert look(captured.classic) == (), "what is remembered of Limitless is as old as the last look"
    refresh(captured.classic, captured.limitless)
    assert look(captured.classic) == found


def test_the_plan_answers_while_it_runs(captured: Shop) -> None:
    """A table excluded afterwards and a subject acknowledged are answers, and leave the plan the same plan."""
    captured.classic.execute("CREATE TABLE shop.later (id bigserial PRIMARY KEY)")
    captured.classic.execute("CREATE VIEW shop.v AS SELECT 1 AS one")
    row = captured.classic.execute("SELECT body FROM migrator.plan").fetchone()
    assert row is not None and len(look(captured.classic, captured.limitless)) == 2
    plan = from_body(row[0])
    answered = dump(plan)
    answered["tables"]["table"]["shop.later"] = {"kind": "excluded"}
    answered["gates"]["acknowledged"] = ["view shop.v"]
    same = from_body(answered)

    assert digest(same) == digest(plan)
    install(captured.classic, same.name, "digest", dump(same), {})

    assert look(captured.classic, captured.limitless) == ()


def test_a_plan_that_forgets_a_captured_table_is_named(captured: Shop) -> None:
    """Excluded afterwards, or its schema taken out of the list: it stays captured, and the plan is wrong."""
    for path, value, named in (
        (["table", "shop.purchase"], {"kind": "excluded"}, ["table shop.purchase"]),
        (["schemas"], ["planned"], sorted(f"table {t.qualified}" for t in captured.tables)),
    ):
        with captured.classic.transaction(force_rollback=True):
            captured.classic.execute(
                "UPDATE migrator.plan SET body = jsonb_set(body, %s, %s)", (["tables", *path], json.dumps(value))
            )
            found = [d.subject for d in look(captured.classic) if d.code == "plan-differs"]
            assert found == named


def test_a_captured_table_under_another_name_is_named(captured: Shop) -> None:
    """Should it happen past the guard: both names are, since neither is what was captured."""
    with captured.classic.transaction():
        captured.classic.execute("SELECT set_config('migrator.ddl', 'allowed', true)")
        captured.classic.execute("ALTER TABLE shop.remark RENAME TO note")

    assert {(d.code, d.subject) for d in look(captured.classic)} == {
        ("captured-table-gone", "table shop.remark"),
        ("table-not-captured", "table shop.note"),
    }


def test_leaves_of_a_captured_table_go_with_it(classic_dsn: str, limitless_dsn: str) -> None:
    """Those in another schema too. While nothing is captured nothing can be missed."""
    with new_shop(classic_dsn, limitless_dsn) as shop:
        shop.classic.execute("CREATE SCHEMA leaves")
        shop.classic.execute(
            "CREATE TABLE shop.event (tenant_id int, id int, PRIMARY KEY (tenant_id, id)) PARTITION BY RANGE (id);"
            "CREATE TABLE leaves.one PARTITION OF shop.event FOR VALUES FROM (1) TO (9)"
        )
        tables = resolve_tables(shop.classic, shop.plan.tables)
        assert look(shop.classic, shop.limitless) == ()
        assert provision(shop.classic, shop.limitless, tables, shop.plan).verdict.go
        capture.install(shop.classic, tables, PARTS, 3)
        assert look(shop.classic) == ()
        shop.classic.execute("CREATE TABLE shop.two PARTITION OF shop.event FOR VALUES FROM (9) TO (20)")
        assert look(shop.classic) == ()
