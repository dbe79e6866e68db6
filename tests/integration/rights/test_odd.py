"""Names that need quotes, two schemas, partitions, overloads, roles that are renamed: all of it follows too."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from migrator.control.install import install
from migrator.plan.schema import Plan
from migrator.rights.check import check
from migrator.rights.follow import changed, follow
from migrator.rights.owners import give_owners
from tests.integration.rights.conftest import Land

pytestmark = pytest.mark.pg

SCHEMAS = ["Straße. 7", 'o"dd']
MADE = r"""
CREATE SCHEMA "Straße. 7";
CREATE SCHEMA "o""dd";
CREATE TYPE "o""dd"."Ampel %s" AS ENUM ('rot');
CREATE TABLE "Straße. 7"."Käufe" ("Mandant" bigint, id int, "b r" int, PRIMARY KEY ("Mandant", id));
CREATE TABLE "o""dd"."Käufe" ("Mandant" bigint, id int, farbe "o""dd"."Ampel %s", PRIMARY KEY ("Mandant", id));
CREATE TABLE "o""dd".parted ("Mandant" bigint, id int, PRIMARY KEY ("Mandant", id)) PARTITION BY RANGE (id);
CREATE TABLE "o""dd".leaf PARTITION OF "o""dd".parted DEFAULT;
CREATE FUNCTION "o""dd"."f(x"(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION "o""dd"."f(x"(text, "o""dd"."Ampel %s") RETURNS int LANGUAGE sql AS 'SELECT 2';
"""


@pytest.fixture
def odd(land: Land) -> Iterator[Land]:
    body = land.plan.model_dump(mode="json", exclude_unset=True)
    land.plan = Plan.model_validate({**body, "tables": {"schemas": SCHEMAS, "tenant_key": "Mandant"}})
    land.classic.execute(MADE.encode())
    install(land.classic, "test", "digest", land.plan.model_dump(mode="json"), {})
    land.roles.on_classic("Odd Role")
    land.roles.on_limitless("Odd Role")
    land.sql(
        *(f"GRANT USAGE ON SCHEMA {s} TO {{Odd Role}}" for s in ('"Straße. 7"', '"o""dd"')),
        'GRANT SELECT ("b r", "Mandant"), UPDATE ("b r") ON "Straße. 7"."Käufe" TO {Odd Role}',
        'GRANT SELECT, INSERT ON "o""dd"."Käufe", "o""dd".parted TO {Odd Role} WITH GRANT OPTION',
        'REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA "o""dd" FROM PUBLIC',
        'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "o""dd" TO {Odd Role}',
    )
    assert land.provision().verdict.blockers == ()
    assert land.planned() == []
    yield land


def allowed(land: Land, statement: str) -> None:
    with psycopg.connect(land.roles.dsn(land.limitless_dsn, "Odd Role"), autocommit=True) as conn:
        conn.execute(statement.encode())


def denied(land: Land, statement: str) -> None:
    with (
        psycopg.connect(land.roles.dsn(land.limitless_dsn, "Odd Role"), autocommit=True) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute(statement.encode())


TAKEN = {
    'REVOKE SELECT ("b r") ON "Straße. 7"."Käufe" FROM {Odd Role}': 'SELECT "b r" FROM "Straße. 7"."Käufe"',
    'REVOKE ALL ON "o""dd".parted FROM {Odd Role}': 'SELECT FROM "o""dd".parted',
    'REVOKE EXECUTE ON FUNCTION "o""dd"."f(x"(text, "o""dd"."Ampel %s") FROM {Odd Role}':
        """SELECT "o""dd"."f(x"('a', 'rot')""",
    'REVOKE ALL ON ALL TABLES IN SCHEMA "Straße. 7" FROM {Odd Role}': 'SELECT "Mandant" FROM "Straße. 7"."Käufe"',
    'REVOKE USAGE ON SCHEMA "o""dd" FROM {Odd Role}': 'SELECT FROM "o""dd"."Käufe"',
}  # fmt: skip


@pytest.mark.parametrize("statement", TAKEN)
def test_what_classic_takes_is_closed(odd: Land, statement: str) -> None:
    allowed(odd, TAKEN[statement])
    odd.sql(statement)

    assert changed(odd.classic, SCHEMAS)
    done = follow(odd.classic, odd.limitless, SCHEMAS)

    assert (done.refused, done.blockers) == ((), ())
    denied(odd, TAKEN[statement])
    if "ON SCHEMA" not in statement:
        allowed(odd, 'SELECT "o""dd"."f(x"(1)')


def test_a_role_renamed_on_classic_is_another_one(odd: Land) -> None:
    """The old name is closed, the new one made; its login is a person's decision, as of any new role."""
    new = odd.roles.name("Neuer Name")
    odd.sql(f'ALTER ROLE {{Odd Role}} RENAME TO "{new}"')

    done = follow(odd.classic, odd.limitless, SCHEMAS)

    assert done.refused == ()
    assert [b.rsplit(" (", 1)[1] for b in done.blockers] == [f"rights/{new}/login)"]
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(odd.roles.dsn(odd.limitless_dsn, "Odd Role"))


def test_everything_may_go_and_come_back(odd: Land) -> None:
    """DROP OWNED BY on classic, then the grants again."""
    odd.sql("DROP OWNED BY {Odd Role}")
    done = follow(odd.classic, odd.limitless, SCHEMAS)
    assert (done.refused, done.blockers) == ((), ())
    denied(odd, 'SELECT FROM "o""dd"."Käufe"')

    odd.sql('GRANT USAGE ON SCHEMA "o""dd" TO {Odd Role}', 'GRANT SELECT ON "o""dd"."Käufe" TO {Odd Role}')
    done = follow(odd.classic, odd.limitless, SCHEMAS)
    assert (done.refused, done.blockers) == ((), ())
    allowed(odd, 'SELECT FROM "o""dd"."Käufe"')


def test_odd_owners_get_what_they_owned(odd: Land) -> None:
    owner = odd.roles.name("Odd Role")
    for schema, table in (("Straße. 7", "Käufe"), ('o"dd', "parted")):
        odd.classic.execute(
            sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(schema, table), sql.Identifier(owner))
        )
    odd.sql('ALTER FUNCTION "o""dd"."f(x"(int) OWNER TO {Odd Role}')

    done = give_owners(odd.classic, odd.limitless, SCHEMAS, who="test")

    assert done.refused == () and len(done.done) == 4, "the tool joins the owner first"
    owned = odd.limitless.execute("SELECT count(*) FROM pg_tables WHERE tableowner = %s", (owner,)).fetchone()
    assert owned is not None and owned[0] >= 2
    assert check(odd.classic, odd.limitless, SCHEMAS) == ()
