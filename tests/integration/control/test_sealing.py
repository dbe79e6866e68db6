"""The decision log on classic: applications tell only what shims tell, nothing is changed, all is chained."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, errors

from migrator.control import sealing
from migrator.control.chain import Anchor, Verified
from migrator.control.grants import grant
from migrator.control.install import install, install_limitless
from migrator.control.log import decide, decide_each
from migrator.db.connect import connect

pytestmark = pytest.mark.pg

Connection = psycopg.Connection[Any]
INSERT = (
    "INSERT INTO migrator.decision (at, who, kind, subject, reason) VALUES ('2020-01-01', 'ann', %s, 'audit', 'fine')"
)


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", {}, {})
        yield conn


@pytest.fixture
def application(classic: Connection, classic_dsn: str) -> Iterator[Connection]:
    """A session of a role that may use the shim."""
    role = f"web_{conninfo.conninfo_to_dict(classic_dsn)['dbname']}"
    classic.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
    grant(classic, role)
    with connect(conninfo.make_conninfo(classic_dsn, user=role, password="secret"), "test") as conn:
        yield conn
    classic.execute(f"DROP OWNED BY {role}".encode())
    classic.execute(f"DROP ROLE {role}".encode())


def fill(conn: Connection, count: int = 5) -> None:
    for n in range(count):
        decide(
            conn, "Größe, 7:x", "tenant.held", f"tenant/{n}", "wh\u00fd", {"b": 1.10, "a": None}, None if n % 2 else [n]
        )


def tamper(conn: Connection, statement: str, *tables: str) -> None:
    """As a superuser can: with the triggers off."""
    with conn.transaction():
        for table in ("decision", "decision_seal"):
            conn.execute(f"ALTER TABLE migrator.{table} DISABLE TRIGGER USER".encode())
        conn.execute(statement.encode())
        for table in ("decision", "decision_seal"):
            conn.execute(f"ALTER TABLE migrator.{table} ENABLE ALWAYS TRIGGER refuse_change".encode())


def said(found: Verified) -> list[tuple[int, str]]:
    return [(fault.seq, fault.text.partition(":")[0]) for fault in found.faults]


def test_nobody_changes_the_log(classic: Connection) -> None:
    """The owner and superusers neither, whatever role replication plays."""
    fill(classic)
    sealing.seal_all(classic)
    classic.execute("SET session_replication_role = replica")
    for table in ("decision", "decision_seal"):
        for act in ("UPDATE migrator.{} SET at = now()", "DELETE FROM migrator.{}", "TRUNCATE migrator.{} CASCADE"):
            with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
                classic.execute(act.format(table).encode())

    assert sealing.verify_log(classic).sealed == 5


def test_an_application_tells_what_shims_tell_and_is_named(classic: Connection, application: Connection) -> None:
    """Not that a gate was approved, and not when: `login` is the role whatever it calls itself."""
    for kind in ("gate.approved", "plan.changed", "route.moved", "log.restored"):
        with pytest.raises(errors.InsufficientPrivilege, match=f"may not write {kind}"):
            application.execute(INSERT, (kind,))
    for act in ("UPDATE migrator.decision SET who = 'x'", "DELETE FROM migrator.decision",
                "TRUNCATE migrator.decision", "SELECT migrator.seal_decisions(1, true, '')",
                "INSERT INTO migrator.decision_seal SELECT 1"):  # fmt: skip
        with pytest.raises(errors.InsufficientPrivilege):
            application.execute(act.encode())
    application.execute(INSERT, ("fallback.raised",))
    classic.execute(INSERT, ("gate.approved",))

    rows = classic.execute(
        "SELECT login, who, kind, at > now() - interval '1 hour' FROM migrator.decision ORDER BY id"
    ).fetchall()
    tool = classic.info.user
    assert rows == [(application.info.user, "ann", "fallback.raised", True), (tool, "ann", "gate.approved", False)]


def test_what_postgres_seals_is_what_is_verified_and_every_alteration_is_named(classic: Connection) -> None:
    fill(classic)
    assert sealing.verify_log(classic).intact
    before = sealing.head(classic)
    for column, value in (("who", "'eve'"), ("login", "NULL"), ("reason", "reason || ' '"), ("before", "'{}'"),
                          ("at", "at + interval '1 microsecond'")):  # fmt: skip
        with classic.transaction(force_rollback=True):
            tamper(classic, f"UPDATE migrator.decision SET {column} = {value} WHERE id = 3")
            assert said(sealing.verify_log(classic)) == [(3, "entry 3 was altered")], column
    with classic.transaction(force_rollback=True):
        tamper(classic, "DELETE FROM migrator.decision WHERE id = 4")
        assert said(sealing.verify_log(classic)) == [(4, "entry 4 was deleted")]
    with classic.transaction(force_rollback=True):
        tamper(classic, "UPDATE migrator.decision_seal SET repeated = true WHERE seq = 2")
        assert said(sealing.verify_log(classic)) == [(2, "the seal of entry 2 was altered")]

    assert sealing.head(classic) == before and sealing.verify_log(classic).intact


def test_gaps_of_rolled_back_transactions_are_no_alteration(classic: Connection) -> None:
    fill(classic, 2)
    with classic.transaction(force_rollback=True):
        fill(classic, 3)
    fill(classic, 1)

    found = sealing.verify_log(classic)
    assert (found.intact, found.sealed, found.unsealed) == (True, 3, 0)


def test_writers_do_not_wait_for_sealers_nor_sealers_for_writers(classic: Connection, classic_dsn: str) -> None:
    """What commits late is sealed late; a sealer that is killed leaves nothing half done."""
    sealer = psycopg.connect(classic_dsn, autocommit=True)
    with connect(classic_dsn, "test") as slow:
        with slow.transaction():
            decide(slow, "slow", "tenant.held", "tenant/1", "first")
            fill(classic, 3)
            assert sealing.seal(sealer) == 3
            sealer.execute("BEGIN")
            fill(classic, 2)
            assert sealing.seal(sealer) == 2
            decide(slow, "slow", "tenant.held", "tenant/2", "second")
            assert sealing.seal(classic) is None, "one seals at a time, and nobody waits"
            classic.execute("SELECT pg_terminate_backend(%s, 10000)", (sealer.info.backend_pid,))
            sealer.close()
        assert (sealing.head(classic).seq, sealing.seal(classic)) == (3, 4)

    found = sealing.verify_log(classic)
    assert (found.intact, found.sealed) == (True, 7)


def test_many_writers_and_sealers_at_once_make_one_chain(classic: Connection, classic_dsn: str) -> None:
    stop = threading.Event()

    def write(number: int) -> None:
        with connect(classic_dsn, "test") as conn:
            for n in range(40):
                with conn.transaction(force_rollback=n % 7 == 0):
                    decide(conn, f"writer {number}", "tenant.held", f"tenant/{n}", "why")

    def seal() -> None:
        with connect(classic_dsn, "test") as conn:
            while not stop.is_set():
                sealing.seal(conn)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    sealers = [threading.Thread(target=seal) for _ in range(2)]
    for thread in writers + sealers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sealers:
        thread.join()

    found = sealing.verify_log(classic)
    assert (found.intact, found.sealed) == (True, 3 * 34)


def test_one_act_about_ten_thousand_tenants(classic: Connection) -> None:
    decide_each(
        classic, "ann", "rollback.decided", "slow", {f"tenant/{n}": {"level": "limitless"} for n in range(10_000)}
    )

    found = sealing.verify_log(classic)
    assert (found.intact, found.sealed, sealing.seal(classic)) == (True, 10_000, 0)


def test_limitless_holds_the_log_to_what_it_was(classic: Connection, limitless_dsn: str) -> None:
    """A log that was rewritten as a whole, and one that was cut off, as by a restore; neither gets a new anchor."""
    fill(classic)
    sealing.seal_all(classic)
    with connect(limitless_dsn, "test") as limitless:
        install_limitless(limitless)
        assert sealing.anchor(classic, limitless) is None and sealing.anchor(classic, limitless) is None
        (written,) = sealing.anchors(limitless)
        with classic.transaction(force_rollback=True):
            tamper(classic, "DELETE FROM migrator.decision_seal WHERE seq > 3")
            tamper(classic, "DELETE FROM migrator.decision WHERE id > 3")
            cut = sealing.verify_log(classic, (written,))
            assert sealing.anchor(classic, limitless) == written
        with classic.transaction(force_rollback=True):
            tamper(classic, "UPDATE migrator.decision SET who = 'eve' WHERE id = 2")
            tamper(classic, "DELETE FROM migrator.decision_seal")
            rewritten = sealing.verify_log(classic, (written,))
            alone = sealing.verify_log(classic)
            assert sealing.anchor(classic, limitless) == written
            decide(classic, "ann", "log.restored", "decision log", "restored on Sunday", after={"anchor": written.hash})
            assert sealing.verify_log(classic, (written,)).accepted == [written]
            assert not sealing.verify_log(classic, (replace(written, where=""),)).intact
        fill(classic, 1)
        sealing.seal_all(classic)
        assert sealing.anchor(classic, limitless) is None
        assert [a.seq for a in sealing.anchors(limitless)] == [6, 5]

    assert alone.intact, "without an anchor nobody could tell"
    assert "cut off" in cut.faults[0].text and "rewritten" in rewritten.faults[0].text
    assert sealing.verify_log(classic, (written, Anchor(0, written.hash))).intact
