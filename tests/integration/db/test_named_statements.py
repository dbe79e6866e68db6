"""Every named statement of the tool names tables, columns and functions that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, pq

from migrator.control.install import install, install_limitless
from migrator.dataplane.capture.install import make_functions
from migrator.db.connect import connect
from migrator.db.named import Statements, parse
from tests import ROOT
from tests.fixtures.postgres import Machines, with_parts

pytestmark = pytest.mark.pg

OURS = ROOT / "migrator"
CONTROL = OURS / "control"
PLANNED = ("DELETE", "INSERT", "MERGE", "SELECT", "UPDATE", "VALUES", "WITH")
"""What PostgreSQL looks up names for when it prepares; anything else only when it runs."""


def named() -> Iterator[tuple[str, Statements]]:
    """Every file of named statements by its path; a file without a name is a script.

    Upgrades are about the schema of an earlier version: their own tests run them on it.
    """
    for path in sorted(OURS.rglob("*.sql")):
        text = path.read_text(encoding="utf-8")
        if path.parent.name != "upgrades" and re.search(r"^-- name:", text, re.MULTILINE):
            yield str(path.relative_to(OURS)), parse(text, path.name)


def only_on_limitless() -> re.Pattern[str]:
    """What a statement names that is asked of Limitless."""
    made = {
        side: set(
            re.findall(r"^CREATE (?:UNLOGGED )?TABLE (migrator\.\w+)", (CONTROL / f"{side}.sql").read_text(), re.M)
        )
        for side in ("classic", "limitless")
    }
    there = "|".join(re.escape(name) for name in sorted(made["limitless"] - made["classic"]))
    return re.compile(rf"\brds_aurora\.|\b(?:{there})\b")


def problem(conn: psycopg.Connection[Any], statement: str) -> str:
    """Prepare *statement* with its parameters of no declared type; return what the server says against it, or ''."""
    code = re.sub(r"--[^\n]*", "", statement)
    if code.split()[0].upper() not in PLANNED:
        try:
            with conn.transaction(force_rollback=True):
                conn.execute(statement.encode())
        except psycopg.Error as error:
            return str(error)
        return ""
    numbers: dict[str, int] = {}
    text = re.sub(r"%\((\w+)\)s", lambda m: f"${numbers.setdefault(m[1], len(numbers) + 1)}", code)
    result = conn.pgconn.prepare(b"", text.replace("%%", "%").encode())
    return "" if result.status == pq.ExecStatus.COMMAND_OK else result.error_message.decode()


STATISTICS = """
CREATE VIEW rds_aurora.limitless_stat_statements AS
SELECT ''::text AS subcluster_id, ''::text AS subcluster_type, ''::text AS query,
       0::bigint AS calls, 0::bigint AS sso_calls;
GRANT SELECT ON rds_aurora.limitless_stat_statements TO PUBLIC
"""
"""What a cluster has where pg_stat_statements is loaded, and the stand-in has not."""


@pytest.fixture
def sides(
    classic_dsn: str, limitless_dsn: str, machines: Machines
) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """Both sides with the tool's own tables, and capture's functions on classic."""
    database = str(conninfo.conninfo_to_dict(limitless_dsn)["dbname"])
    with psycopg.connect(with_parts(machines.limitless_admin, dbname=database), autocommit=True) as admin:
        admin.execute(STATISTICS)
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        install(classic, "named", "digest", {}, {})
        install_limitless(limitless)
        make_functions(classic, {}, 1, 2)
        classic.execute("CREATE EXTENSION pg_stat_statements SCHEMA public")
        classic.execute(  # Aurora's own
            "CREATE FUNCTION public.aurora_replica_status() RETURNS TABLE (session_id text, replica_lag_in_msec real)"
            " LANGUAGE sql AS 'SELECT NULL::text, NULL::real'"
        )
        classic.execute("SET search_path = pg_catalog, public")  # the audit looks where the extension is
        yield classic, limitless


def test_every_named_statement_can_be_prepared(
    sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]],
) -> None:
    """Found by walking the package, so that no file is forgotten."""
    classic, limitless = sides
    there = only_on_limitless()
    found = {
        f"{path}: {name}": problem(limitless if there.search(statement) else classic, statement)
        for path, statements in named()
        for name, statement in statements.items()
    }
    assert len(found) > 150
    assert {name: text for name, text in found.items() if text} == {}


def test_a_statement_that_names_what_is_missing_is_found(
    sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]],
) -> None:
    """On both sides; and a parameter of any type needs a cast."""
    classic, limitless = sides
    wrong = {
        "SELECT nothing FROM migrator.switch": 'column "nothing" does not exist',
        "SELECT epoch FROM migrator.nothing WHERE epoch = %(epoch)s": 'relation "migrator.nothing" does not exist',
        "LOCK TABLE migrator.nothing": 'relation "migrator.nothing" does not exist',
        "SELECT %(left)s IS NULL": "could not determine data type of parameter $1",
    }

    assert {s: text for s, text in wrong.items() if text not in problem(classic, s)} == {}
    assert 'column "nothing" does not exist' in problem(limitless, "SELECT nothing FROM migrator.mirrored")
    assert problem(classic, "SELECT epoch FROM migrator.switch WHERE reason = %(who)s AND level = %(who)s") == ""
