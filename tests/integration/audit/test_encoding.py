"""Does the severity of an encoding say what it does to texts on their way to UTF8?"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.audit.run import audit_live
from migrator.db.connect import connect
from tests.fixtures.postgres import fresh_name
from tests.unit.audit.cases import plan

pytestmark = pytest.mark.pg


@pytest.fixture
def database(classic_dsn: str, request: pytest.FixtureRequest) -> Iterator[str]:
    name = sql.Identifier(fresh_name("encoded"))
    with psycopg.connect(classic_dsn, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C' LOCALE_PROVIDER libc").format(
                name, sql.Literal(request.param)
            )
        )
        try:
            yield conninfo.make_conninfo(classic_dsn, dbname=name.as_string(None).strip('"'))
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.mark.parametrize(
    ("database", "severity"),
    [("SQL_ASCII", "blocker"), ("LATIN1", "warning"), ("WIN1251", "warning"), ("EUC_JP", "warning"), ("UTF8", None)],
    indirect=["database"],
)
def test_an_encoding_is_as_bad_as_what_it_causes(database: str, severity: str | None) -> None:
    with connect(database, "test") as conn:
        conn.execute("CREATE TABLE public.t (tenant_id int, id int, name text, PRIMARY KEY (tenant_id, id))")
        conn.execute("INSERT INTO public.t VALUES (1, 1, 'ok')")
        if severity == "blocker":
            conn.execute(r"INSERT INTO public.t VALUES (1, 2, E'\xe9')")
            with pytest.raises(psycopg.Error):
                conn.execute("SELECT convert_from(name::bytea, 'UTF8') FROM public.t")
        report = audit_live(conn, plan({}))

    assert [f.severity.value for f in report.findings if f.rule == "LIM-VER-03"] == ([severity] if severity else [])
