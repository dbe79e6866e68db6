"""Audit, plan check, dry run and the real run give the same answer to what Limitless takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pgparse
import psycopg
import pytest

from migrator.audit.run import audit_live
from migrator.db.connect import connect
from migrator.errors import NoGo
from migrator.local.refusals import refusal
from migrator.plan.load import from_body
from migrator.plan.tables import resolve_tables
from migrator.provision import actions, check, provision
from tests.fixtures.postgres import Machines, fresh_name

pytestmark = pytest.mark.pg

KEY = "tenant_id bigint NOT NULL, id bigint PRIMARY KEY"
LONG = "a" * 55


@dataclass(frozen=True)
class Limit:
    """A schema that touches one limit. *rule*: the audit's, "" when only the server knows; *accept*: acknowledged."""

    ddl: str
    takes: bool = True
    rule: str = ""
    accept: tuple[str, ...] = ()
    missed: frozenset[str] = frozenset()  # rules by which the audit stops somebody who would miss what is left out


UNIQUE = f"CREATE TABLE app.t ({KEY}, email text CONSTRAINT t_email UNIQUE)"
COUNTER = f"CREATE SEQUENCE app.counter CYCLE; CREATE TABLE app.t ({KEY})"
LIMITS = {
    "range": Limit(
        f"CREATE TYPE app.r AS RANGE (subtype = float8, subtype_diff = float8mi); CREATE TABLE app.t ({KEY}, r app.r)"
    ),
    "range with a collation": Limit(
        f'CREATE TYPE app.r AS RANGE (subtype = text, collation = "C"); CREATE TABLE app.t ({KEY}, r app.r[])'
    ),
    "multirange": Limit(
        "CREATE TYPE app.r AS RANGE (subtype = int, multirange_type_name = app.many);"
        f" CREATE TABLE app.t ({KEY}, r app.many)"
    ),
    "types made of types": Limit(
        "CREATE TYPE app.z AS ENUM ('a'); CREATE TYPE app.y AS RANGE (subtype = app.z);"
        f" CREATE TYPE app.b AS (y app.y); CREATE TYPE app.a AS (b app.b[], z app.z);"
        f" CREATE TABLE app.t ({KEY}, a app.a)"
    ),
    "array of a domain": Limit(
        f"CREATE DOMAIN app.d AS int; CREATE TABLE app.t ({KEY}, d app.d[])", False, "LIM-COL-09"
    ),
    "type of another schema": Limit(
        f"CREATE SCHEMA util; CREATE TYPE util.e AS ENUM ('a'); CREATE TABLE app.t ({KEY}, e util.e)",
        False,
        "LIM-COL-09",
    ),
    "composite over a domain": Limit(
        f"CREATE DOMAIN app.d AS int; CREATE TYPE app.c AS (d app.d); CREATE TABLE app.t ({KEY}, c app.c)", False
    ),
    "default from another schema": Limit(
        "CREATE SCHEMA util; CREATE FUNCTION util.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        f" CREATE TABLE app.t ({KEY}, n int DEFAULT util.f())",
        False,
    ),
    "extension": Limit(f"CREATE EXTENSION citext SCHEMA public; CREATE TABLE app.t ({KEY}, c public.citext)"),
    "extension that Limitless lacks": Limit(
        f"CREATE EXTENSION cube SCHEMA public; CREATE TABLE app.t ({KEY}, c public.cube)", False, "LIM-EXT-01"
    ),
    "extension under an index": Limit(
        "CREATE EXTENSION intarray SCHEMA public;"
        f" CREATE TABLE app.t ({KEY}, c int[]); CREATE INDEX ON app.t USING gin (c public.gin__int_ops)",
        False,
        "LIM-EXT-01",
    ),
    "extension in a function": Limit(
        f"CREATE EXTENSION cube SCHEMA public; CREATE TABLE app.t ({KEY});"
        " CREATE VIEW app.v AS TABLE app.t;"
        " CREATE FUNCTION app.f(public.cube) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        False,
        "LIM-EXT-01",
    ),
    "extension nobody needs": Limit(f"CREATE EXTENSION cube SCHEMA public; CREATE TABLE app.t ({KEY})"),
    "cycle": Limit(COUNTER, False, "LIM-SEQ-01"),
    "cycle, left out": Limit(COUNTER, accept=("sequence app.counter",)),
    "narrow sequence": Limit(
        "CREATE TABLE app.t (tenant_id bigint NOT NULL, id smallserial PRIMARY KEY)", False, "LIM-SEQ-04"
    ),
    "narrow by its increment": Limit(
        f"CREATE SEQUENCE app.s AS int INCREMENT 1000000; CREATE TABLE app.t ({KEY})", False, "LIM-SEQ-04"
    ),
    "large cache": Limit(f"CREATE SEQUENCE app.s CACHE 1000000; CREATE TABLE app.t ({KEY})"),
    "long name": Limit(f"CREATE TABLE app.{LONG} ({KEY})", False, "LIM-TBL-07"),
    "long name in letters of two bytes": Limit(f'CREATE TABLE app."{"é" * 30}" ({KEY})', False, "LIM-TBL-07"),
    "unique everywhere": Limit(UNIQUE, False, "LIM-KEY-02"),
    "unique, accepted": Limit(UNIQUE, accept=("unique/app.t.t_email",)),
    "unique, accepted as the audit says it": Limit(UNIQUE, accept=("LIM-KEY-02:app.t.t_email",)),
    "unique within a tenant": Limit(
        f"CREATE TABLE app.t ({KEY}, email text, UNIQUE (tenant_id, email), UNIQUE (id, email))"
    ),
    "what is left out": Limit(
        f"CREATE TABLE app.t ({KEY}, v text, c bigint);"
        " CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER touch BEFORE UPDATE ON app.t FOR EACH ROW EXECUTE FUNCTION app.touch();"
        " CREATE RULE quiet AS ON DELETE TO app.t WHERE OLD.id < 0 DO INSTEAD NOTHING;"
        " CREATE STATISTICS app.together ON v, c FROM app.t; CREATE MATERIALIZED VIEW app.m AS SELECT 1 AS one;"
        " CREATE AGGREGATE app.product (bigint) (SFUNC = int8mul, STYPE = bigint);"
        " COMMENT ON TABLE app.t IS 'x'; ALTER TABLE app.t ALTER v SET STATISTICS 10, ALTER c SET (n_distinct = 5),"
        " ALTER v SET COMPRESSION pglz, SET (fillfactor = 50); ALTER TABLE app.t ENABLE ROW LEVEL SECURITY;"
        " CREATE POLICY own ON app.t USING (tenant_id > 0); CREATE FUNCTION app.f() RETURNS int LANGUAGE sql"
        " AS 'SELECT 1'; CREATE PROCEDURE app.p() LANGUAGE sql AS 'SELECT 1'; CREATE INDEX ON app.t (v) WITH"
        " (fillfactor = 50)",
        missed=frozenset(("LIM-FN-01", "LIM-OBJ-01", "LIM-OBJ-03", "LIM-OBJ-07")),
    ),
    "what is changed on the way": Limit(
        "CREATE DOMAIN app.d AS int CHECK (VALUE > 0); CREATE UNLOGGED TABLE app.t"
        " (tenant_id bigint NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, d app.d,"
        " g bigint GENERATED ALWAYS AS (id * 2) STORED) WITH (fillfactor = 70)"
    ),
}


@pytest.fixture(scope="module")
def sides(machines: Machines) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    names = fresh_name("classic"), fresh_name("limitless")
    with (
        connect(machines.new_classic(names[0]), "test") as classic,
        connect(machines.new_limitless(names[1]), "test") as limitless,
    ):
        yield classic, limitless
    machines.drop(*names)


@pytest.mark.parametrize("name", LIMITS)
def test_one_answer(sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]], name: str) -> None:
    """Whoever is asked says the same; a dry run that is green is followed by a run that succeeds."""
    classic, limitless = sides
    limit = LIMITS[name]
    plan = from_body(
        {
            "name": "limits",
            "classic": {"writer": "local:classic"},
            "limitless": {"dsn": "local:limitless"},
            "tables": {"schemas": ["app"]},
            "gates": {"acknowledged": list(limit.accept)},
        }
    )
    for statement in (
        "DROP SCHEMA IF EXISTS app, util CASCADE",
        "DROP EXTENSION IF EXISTS citext, cube, intarray",
        "CREATE SCHEMA app",
        limit.ddl,
    ):
        classic.execute(statement)
    with limitless.transaction(force_rollback=True):
        report = audit_live(classic, plan)
        tables = resolve_tables(classic, plan.tables)

        checked = check(classic, limitless, tables, plan).blockers
        try:
            planned = actions(classic, limitless, tables, plan)
            announced = [a.id for a in planned]
            dry: tuple[str, ...] = ()
            texts = [text for a in planned for text in (a.sql, a.undo) if text]
            assert {text: said for text in texts if (said := refusal(pgparse.parse(text), text))} == {}
        except NoGo as no:
            announced, dry = [], no.blockers
        before = limitless.execute("SELECT count(*) FROM pg_class").fetchone()
        real = provision(classic, limitless, tables, plan)

        assert checked == dry == real.verdict.blockers, "one answer"
        assert (dry == ()) is limit.takes, dry
        if limit.takes:
            assert [a.id for a in real.made] == announced != []
        elif real.made == ():
            assert limitless.execute("SELECT count(*) FROM pg_class").fetchone() == before
        blocked = {f.rule for f in report.findings if f"[{f.id}]" in " ".join(report.blockers(limit.accept))}
        assert not limit.rule or limit.rule in blocked, json.dumps(report.blockers(limit.accept))
        if limit.takes and "extension" not in name and not limit.accept:
            assert blocked - limit.missed <= {"AUD-EVD-05"}, "no statement was seen here, and that is all"
