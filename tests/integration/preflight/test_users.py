"""Who else uses classic is seen on a real server, stored within bounds, and named by preflight, doctor and the gate."""

from __future__ import annotations

import socket
import struct
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.control import sighting
from migrator.control.install import install
from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.doctor.ask import diagnose
from migrator.doctor.check import chosen, every
from migrator.doctor.facts import Kind, Server
from migrator.doctor.targets import Targets
from migrator.model.phase import Phase
from migrator.plan.load import dump
from migrator.plan.schema import Plan
from migrator.preflight.facts import Stage
from migrator.preflight.judge import PreflightFinding
from migrator.preflight.look import gate, look
from migrator.preflight.watch import Watcher
from tests.fixtures.postgres import with_parts
from tests.fixtures.roles import Roles

pytestmark = [pytest.mark.pg, pytest.mark.once]
Connection = psycopg.Connection[Any]
OWN = ("migrator-cli", "migrator-serve", "migrator-incident")

PLAN = Plan.model_validate({"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}})


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "migrator worker") as conn:
        install(conn, "shop", "digest", dump(PLAN), {})
        yield conn


@pytest.fixture
def stranger(classic_dsn: str) -> Iterator[str]:
    """The name of an application that is connected to classic's database."""
    name = f"Tableau {uuid.uuid4().hex[:8]}"
    with psycopg.connect(with_parts(classic_dsn, application_name=name)):
        yield name


def watcher(**clock: Any) -> Watcher:
    def no_reader(_reference: str) -> Connection:
        raise AssertionError("the plan names no reader")

    return Watcher(no_reader, **clock)


def of(conn: Connection, found: tuple[PreflightFinding, ...], code: str) -> list[PreflightFinding]:
    """Findings about this test's own database: tests share servers."""
    name = conn.info.dbname
    return [f for f in found if f.code == code and (code != "preflight.session" or f"database {name}" in f.text)]


def test_who_is_connected_is_named_with_what_it_looks_like(classic: Connection, stranger: str) -> None:
    watcher().step(classic, PLAN)

    (found,) = [f for f in of(classic, look(classic, classic, PLAN), "preflight.session") if stranger in f.text]
    assert "looks like Tableau" in found.text and found.blocks(Stage.END) and not found.blocks(Stage.DUAL_WRITE)
    accepted = PLAN.model_copy(update={"gates": PLAN.gates.model_copy(update={"acknowledged": [found.name]})})
    assert found.name not in [f.name for f in look(classic, classic, accepted) if f.blocks(Stage.END)]

    texts = gate(classic, classic, Phase.STABILIZE, PLAN)
    assert [b for b in texts if stranger in b and b.code == "preflight.session"]
    assert [b.code for b in texts if b.code == "preflight.not_watched"]
    assert not [b for b in gate(classic, classic, Phase.PROVISION, PLAN) if stranger in b]
    assert gate(classic, classic, Phase.CUTOVER, PLAN) == ()
    others = collect(classic).others
    assert others is not None and others.count >= 1


def test_own_sessions_and_known_shims_are_no_users(classic: Connection, classic_dsn: str) -> None:
    """Also where the server does not show the name as it is: it has other letters than ASCII, or is long."""
    known = ("web-1", "Größe, neu", "l" * 80, "ö" * 40)
    for name in known:
        classic.execute("INSERT INTO migrator.process (process_id, name, staleness_s) VALUES (%s, %s, 3)", (name, name))
    with ExitStack() as stack:
        shims = (f"migrator-shim:{name}" for name in (*known, "stranger"))
        for name in (*OWN, *shims):
            stack.enter_context(psycopg.connect(with_parts(classic_dsn, application_name=name)))
        watcher().step(classic, PLAN)

    names = [f.subject.partition("/")[2] for f in of(classic, look(classic, classic, PLAN), "preflight.session")]
    assert names == ["migrator-shim:stranger"]


def test_who_has_not_logged_in_is_no_user(classic: Connection) -> None:
    """PostgreSQL 18 lists a connection before it is known whose it is: a scan of ports would keep classic a week."""
    with socket.create_connection((classic.info.host, classic.info.port), 10) as knocking:
        asks = struct.pack("!I", 196_608) + f"user\0nobody\0database\0{classic.info.dbname}\0\0".encode()
        knocking.sendall(struct.pack("!I", len(asks) + 4) + asks)
        assert knocking.recv(1) == b"R", "it asks for the password"
        watcher().step(classic, PLAN)

    assert [one for one in sighting.seen(classic) if not one.role] == []


def test_who_left_is_remembered_and_looks_are_counted(classic: Connection, stranger: str) -> None:
    """Stored once a minute, whatever was seen between; the first and the last time stay."""
    now = [0.0]
    looking = watcher(clock=lambda: now[0])
    for at in (0.0, 10.0, 20.0, 61.0):
        now[0] = at
        looking.step(classic, PLAN)

    (found,) = [s for s in sighting.seen(classic) if s.application == stranger]
    assert found.looks == 4 and found.first_at < found.last_at
    (hours,) = [line for line in sighting.watched(classic, 3600) if line.server == sighting.WRITER]
    assert hours.hours >= 1


def test_sightings_are_bounded(classic: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sighting, "MOST", 5)
    many = {sighting.Who("session", "app", "web", "web", f"10.0.0.{n}"): 1 for n in range(20)}
    sighting.add(classic, sighting.WRITER, many, 1)
    classic.execute("INSERT INTO migrator.sighting_hour VALUES ('writer', '2020-01-01', 1)")

    sighting.forget(classic)

    assert classic.execute("SELECT count(*) FROM migrator.sighting").fetchone() == (5,)
    assert classic.execute("SELECT count(*) FROM migrator.sighting_hour WHERE at < '2021-01-01'").fetchone() == (0,)


def test_a_reader_that_cannot_be_reached_is_not_watched(classic: Connection) -> None:
    plan = PLAN.model_copy(update={"classic": PLAN.classic.model_copy(update={"readers": ["env:R"]})})

    def refuses(_reference: str) -> Connection:
        raise psycopg.OperationalError("refused")

    Watcher(refuses).step(classic, plan)

    found = look(classic, classic, plan)
    assert "reader 1" in [f.subject for f in found if f.code == "preflight.not_watched"]


def test_a_role_that_sees_only_itself_stores_no_look(classic: Connection, classic_dsn: str, roles: Roles) -> None:
    """Else a week of such looks would say that classic has no users."""
    role = roles.on_classic("blind")
    classic.execute(sql.SQL("GRANT USAGE ON SCHEMA migrator TO {}").format(sql.Identifier(role)))
    rights = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA migrator TO {}")
    classic.execute(rights.format(sql.Identifier(role)))
    dsn = conninfo.make_conninfo(classic_dsn, user=role, password="secret-of-a-test")
    with connect(dsn, "migrator worker") as conn:
        watcher().step(conn, PLAN)

        assert sighting.watched(conn, 3600) == []
        codes = [f.code for f in look(conn, conn, PLAN) if f.blocks(Stage.DUAL_WRITE)]
    assert "preflight.sessions_hidden" in codes


def test_slots_databases_and_foreign_servers_are_found(classic: Connection, classic_dsn: str, roles: Roles) -> None:
    slot = f"cdc_{uuid.uuid4().hex[:8]}"
    host, port = classic.info.host, classic.info.port
    classic.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
    classic.execute(
        sql.SQL("CREATE SERVER back FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host {}, port {})").format(
            sql.Literal(host), sql.Literal(str(port))
        )
    )
    other = f"billing_{uuid.uuid4().hex[:8]}"
    classic.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(other)))
    classic.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
    try:
        found = {f.name: f for f in look(classic, None, PLAN)}
    finally:
        classic.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
        classic.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(other)))
    assert found[f"preflight.slot:{slot}"].blocks(Stage.END)
    assert found["preflight.foreign_server:back"].blocks(Stage.END)
    assert found[f"preflight.database:{other}"].blocks(Stage.END)
    assert found["preflight.version_unknown:Limitless"].blocks(Stage.DUAL_WRITE)


def test_doctor_says_the_same(classic: Connection, classic_dsn: str, stranger: str, tmp_path: Any) -> None:
    watcher().step(classic, PLAN)
    secret = tmp_path / "dsn"
    secret.write_text(classic_dsn)
    plan = PLAN.model_copy(update={"classic": PLAN.classic.model_copy(update={"writer": f"file:{secret}"})})
    targets = Targets(plan, (), "test", (Server(Kind.CLASSIC, "classic", f"file:{secret}"),))

    answers = diagnose(targets, chosen(every(), ["preflight"])).answers

    assert [a for a in answers if stranger in a.finding.text and a.finding.level.value == "warning"]
