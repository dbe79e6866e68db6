"""A migration as in production: least rights, TLS, tokens that expire, a roll-out, approvers, and the dossier.

Nobody is a superuser. Every connection goes through a door that speaks TLS, with a certificate that is checked by name;
to PostgreSQL with a token of IAM that expires, to Temporal with the client's certificate as well. A new worker takes
over in the middle. An application writes and reads all the time, and keeps a ledger; at the end its rows are on
Limitless, and with classic stopped the dossier answers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from migrator.errors import MigratorError
from migrator.governance.keys import new_token
from migrator.login import iam
from migrator.plan.load import dump
from migrator.plan.toml import to_toml
from migrator.shim import CommittedUnconfirmed, Settings, Shim, rds
from tests.fixtures import tokens
from tests.fixtures.dossier import a_key, pem_of
from tests.fixtures.operator import Done, Operator
from tests.fixtures.plans import small_plan
from tests.fixtures.postgres import Machines
from tests.fixtures.rds import Rds
from tests.fixtures.roles import PASSWORD
from tests.fixtures.tls import TlsWorld
from tests.fixtures.tokens import TokenDoor
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.privileges.test_whole_life import ODD_TABLE, SCHEMAS, made

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.once]

TOKEN_LIFE_S = 30.0
KEY = a_key()
FINGERPRINT = KEY.line.fingerprint
(ADA, ADA_KEY), (BOB, BOB_KEY), (EVE, _) = new_token(), new_token(), new_token()
FIRST = 500_000
"""Keys of the application are above it: the table's leaf takes less than 1,000,000."""

WATCHED = """
INSERT INTO migrator.sighting_hour (server, at, looks)
SELECT 'writer', date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 60 FROM generate_series(1, 200) n
ON CONFLICT DO NOTHING
"""
"""Workers have looked for a week already, as `preflight.watched_days` wants."""

TENANTS = tuple(str(n) for n in range(1, 6))


@pytest.fixture(scope="module")
def machines(own_machines: Machines) -> Machines:
    """Servers of this module that want a password in the clear, which is a token until it has passed a door."""
    for server in (own_machines.classic, own_machines.limitless):
        assert server is not None
        rules = server.data / "pg_hba.conf"  # type: ignore[attr-defined]
        rules.write_text(rules.read_text().replace("scram-sha-256", "password"))
        server.stop()
        server.start()
    return own_machines


# -- the application -------------------------------------------------------------------------------------------------


@dataclass
class Application:
    """Writes, reads what it wrote, and keeps a ledger of what was acknowledged."""

    shim: Shim
    stopping: threading.Event = field(default_factory=threading.Event)
    written: dict[int, str] = field(default_factory=dict)
    deleted: dict[int, str] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    answered: dict[str, int] = field(default_factory=lambda: {"classic": 0, "limitless": 0})
    wrong: list[object] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def run(self) -> None:
        number = FIRST
        while not self.stopping.wait(0.01):
            number += 1
            try:
                self._turn(number, TENANTS[number % len(TENANTS)])
            except (MigratorError, psycopg.Error) as error:
                self.refused.append(f"{type(error).__name__}: {error}")
            except BaseException as error:
                self.wrong.append(repr(error))
                return

    def _turn(self, number: int, tenant: str) -> None:
        self.unknown.add(number)  # until it is acknowledged
        try:
            self.shim.run_write(tenant, lambda w: put(w.connection, tenant, number))
        except CommittedUnconfirmed:  # it is in, and reads may not see it yet
            self.unknown.discard(number)
            self.written[number] = tenant
            return
        self.unknown.discard(number)
        self.written[number] = tenant
        side, found = self.shim.run_read(tenant, lambda r: (str(r.side), count(r.connection, tenant, number)))
        self.answered[side] += 1
        if found != 2:
            self.wrong.append((number, tenant, side, found))
        if number % 7 == 0:
            self.unknown.add(number)
            self.written.pop(number)
            self.shim.run_write(tenant, lambda w: take(w.connection, tenant, number))
            self.unknown.discard(number)
            self.deleted[number] = tenant


def put(conn: psycopg.Connection[Any], tenant: str, number: int) -> None:
    conn.execute("SELECT set_config('app.tenant', %s, true)", (tenant,))
    conn.execute("INSERT INTO app.part VALUES (%s, %s)", (tenant, number))
    conn.execute(f"INSERT INTO {ODD_TABLE} VALUES (%s, %s, 'of the application')", (tenant, number))


def take(conn: psycopg.Connection[Any], tenant: str, number: int) -> None:
    conn.execute("SELECT set_config('app.tenant', %s, true)", (tenant,))
    conn.execute("DELETE FROM app.part WHERE tenant_id = %s AND id = %s", (tenant, number))
    conn.execute(f"DELETE FROM {ODD_TABLE} WHERE tenant_id = %s AND id = %s", (tenant, number))


COUNT = (
    "SELECT (SELECT count(*) FROM app.part WHERE tenant_id = %(t)s AND id = %(n)s)"
    f" + (SELECT count(*) FROM {ODD_TABLE} WHERE tenant_id = %(t)s AND id = %(n)s)"
)


def count(conn: psycopg.Connection[Any], tenant: str, number: int) -> int:
    conn.execute("SELECT set_config('app.tenant', %s, true)", (tenant,))
    row = conn.execute(COUNT, {"t": tenant, "n": number}).fetchone()
    return int(row[0]) if row else -1


# -- the world -------------------------------------------------------------------------------------------------------


@dataclass
class Production:
    """What an operator has: a plan, doors to both sides and to Temporal, processes, approvers."""

    rds: Rds
    doors: tuple[TokenDoor, ...]
    plan: Path
    name: str
    operator: Operator
    home: Path
    sources: dict[str, tuple[Path, ...]]
    stack: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "migrator", "worker", "--plan", str(self.plan)]
        with self.log(len(self.workers)).open("wb") as log:
            self.workers.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=self.operator.everything({}), cwd=self.home)
            )
        return self.workers[-1]

    def log(self, number: int) -> Path:
        return self.home / f"worker-{number}.log"

    @property
    def dossier(self) -> Path:
        return self.plan.parent / "evidence" / "shop.dossier"

    def told(self, number: int, event: str, kind: str = "") -> bool:
        """Whether a worker logged this, of a workflow of this kind."""
        lines = self.log(number).read_text().splitlines()
        return any(f'"{event}"' in line and kind in line for line in lines)

    def end(self, worker: subprocess.Popen[bytes]) -> int:
        worker.send_signal(signal.SIGTERM)
        return worker.wait(TIMEOUT_S)

    def __call__(self, *words: str, code: int = 0, **environment: str) -> Done:
        done = self.operator(*words, **environment)
        assert done.code == code, (words, done)
        return done

    def asks(self, sql: str) -> Any:
        """The first value of an administrator's question to classic."""
        row = self.rds.admin.execute(sql.encode()).fetchone()
        return row[0] if row else None

    def phase_is(self, phase: str, state: str) -> None:
        there = "SELECT to_regclass('migrator.phase')"
        stands = f"SELECT state FROM migrator.phase WHERE phase = '{phase}'"
        try:
            eventually(lambda: self.asks(there) and self.asks(stands) == state, f"{phase} is {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.operator('status').out}") from None

    def waits_for(self, gate: str) -> str:
        """Wait until the migration waits for an approval of *gate*; return the digest of the evidence."""

        def shown() -> Any:
            found = self("gate", gate, "--json").json
            return found["evidence"] if found["waits"] else None

        try:
            return str(eventually(shown, f"{gate} waits", every_s=0.2))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.operator('status').out}") from None

    def approve(self, gate: str, who: str, token: str, *, code: int = 0) -> Done:
        evidence = self.waits_for(gate)
        words = ("approve", gate, "--as", who, "--evidence", evidence, "--token", "env:TOKEN")
        return self(*words, code=code, TOKEN=token)

    def expire(self) -> None:
        """Once everybody has logged in since the last time, all tokens expire, and every session ends."""
        for door in self.doors:
            for role in ("tool", "web"):
                eventually(partial(door.has_let_in, self.rds.roles.name(role)), f"{role} logs in again")
            door.expire()


def _without_password(path: Path, dsn: str) -> Path:
    """*path* with the connection string *dsn*, which lacks what a token gives."""
    parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items() if name != "password"}
    path.write_text(conninfo.make_conninfo(**parts))
    return path


@pytest.fixture
def production(
    rds: Rds, tls: TlsWorld, temporal_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Production]:
    with ExitStack() as stack:
        made(rds)
        rds.lend(SCHEMAS)
        rds.lend_there(SCHEMAS)
        passwords = {rds.roles.name(role): PASSWORD for role in ("tool", "web")}
        doors = tuple(
            stack.enter_context(TokenDoor.before(dsn, tls.server, passwords, TOKEN_LIFE_S))
            for dsn in (rds.classic_dsn, rds.limitless_dsn)
        )
        sources = {
            role: tuple(
                _without_password(tmp_path / f"{role}-{number}", tls.verified(door, rds.roles.dsn(dsn, role)))
                for number, (door, dsn) in enumerate(zip(doors, (rds.classic_dsn, rds.limitless_dsn), strict=True))
            )
            for role in ("tool", "web")
        }
        temporal = tls.temporal(temporal_address)
        (tmp_path / "payload.key").write_text("ab" * 32)
        (tmp_path / "dossier.pem").write_text(pem_of(KEY))
        plan = small_plan(
            classic={"writer": f"rds-iam:file:{sources['tool'][0]}"},
            limitless={"dsn": f"rds-iam:file:{sources['tool'][1]}"},
            temporal={"address": temporal.address, "encryption_keys": [f"file:{tmp_path / 'payload.key'}"]},
            tables={"schemas": SCHEMAS, "table": {"app.line": {"kind": "sharded", "via": "order_id -> app.orders.id"}}},
            backfill={"unit_tenants": 1, "concurrency": 1},
            waves={"sizes": [2, 20], "soak_s": 0.2, "baseline_s": 0.2, "p99_floor_ms": 60_000.0},
            breaker={"p99_ms": 60_000.0},  # a busy machine is no outage
            gates={
                "audit": "auto", "provision": "approval", "dual_write": "auto", "cutover": "auto",
                # No statement was run here; owners own nothing on Limitless until the hand-over; who looks is known.
                "acknowledged": [
                    "AUD-EVD-05:statements", f"rights/{rds.roles.name('owner')}/policies/app.orders",
                    "preflight.session:migrator/test",
                ],
            },
            preflight={"gate": True},
            stabilization={"days": 0.00002, "check_every_days": 0.00001},
            governance={
                "authentication": "required",
                "four_eyes": ["decommission"],
                "approver": {"Ada": {"key": ADA_KEY}, "Größe, Bob": {"key": BOB_KEY}},
            },
            decommission={
                "max_pause_s": TIMEOUT_S, "release_classic": False, "sequence_headroom": 10,
                "dossier": str(tmp_path / "evidence" / "shop.dossier"),
                "dossier_key": f"file:{tmp_path / 'dossier.pem'}", "dossier_fingerprint": FINGERPRINT,
            },
            rehearsal=None,
        )  # fmt: skip
        path = tmp_path / "plan.toml"
        path.write_text(to_toml(dump(plan)))
        for name in [n for n in os.environ if n.startswith(("AWS_", "TEMPORAL_"))]:
            monkeypatch.delenv(name)
        for name, value in tokens.VARIABLES.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(iam, "_clients", {})
        home = tmp_path / "home"
        home.mkdir()
        variables = {**tls.variables(temporal), "MIGRATOR_PLAN": str(path), "HOME": str(home)}
        found = Production(
            rds, doors, path, plan.name, Operator(home, variables), home, sources, stack.enter_context(ExitStack())
        )
        try:
            yield found
        finally:
            for worker in found.workers:
                worker.kill()
                worker.wait()
            assert rds.machines.classic is not None
            rds.machines.classic.start()


def started(production: Production) -> Application:
    """The application's processes, with tokens of their own."""
    classic, limitless = (rds.token(rds.file(path)) for path in production.sources["web"])
    shim = Shim(classic, limitless, "Größe; web", settings=Settings(ack_wait_s=20, staleness_s=10, p99_ms=60_000))
    production.stack.enter_context(shim)
    application = Application(shim)
    thread = threading.Thread(target=application.run, daemon=True)
    thread.start()
    production.stack.callback(thread.join, 30)
    production.stack.callback(application.stopping.set)
    return application


def more(application: Application, count: int = 10, side: str = "") -> None:
    """Wait until so many more reads were answered, by one side if said."""

    def answered() -> int:
        return application.answered[side] if side else sum(application.answered.values())

    then = answered() + count
    try:
        eventually(
            lambda: application.wrong or answered() >= then, f"the application is answered by {side or 'a side'}"
        )
    except AssertionError as error:
        raise AssertionError(f"{error}: {application.refused[-3:]}") from None
    assert not application.wrong, application.wrong[:3]


def test_doors_take_good_tokens_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the SDK of AWS signs them; else the migration below would show nothing of tokens."""
    for name, value in tokens.VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(iam, "_clients", {})
    dsn = rds.token("host=localhost port=5433 user='Größe \"x\"'")()
    token = str(conninfo.conninfo_to_dict(dsn)["password"])

    def refused(token: str = token, port: int = 5433, role: str = 'Größe "x"', since: float = 0) -> str:
        return tokens.why_refused(token, "localhost", port, role, since)

    assert refused() == ""
    assert "something else" in refused(port=5432) and "something else" in refused(role="web")
    assert "signature" in refused(token[:-1] + ("0" if token[-1] != "0" else "1"))
    assert "signature" in refused(token.replace("X-Amz-Expires=900", "X-Amz-Expires=901"))
    assert "expired" in refused(since=time.time() + 2)
    assert refused("secret-of-a-test") and refused("")


def test_a_migration_as_in_production(production: Production) -> None:
    run = production
    web = run.rds.roles.name("web")
    _found_good(run, "rights", "reach")
    first = run.start_worker()
    run("run", "--yes")

    run.phase_is("provision", "blocked")
    run.rds.sql(WATCHED)
    assert f"rights/{web}/login" in run("status").out, "a person lets the application's role log in there"
    run.rds.there(f"ALTER ROLE {{web}} LOGIN PASSWORD '{PASSWORD}'")
    run("resume")
    run("grant", web, "--yes")
    run.waits_for("provision")
    application = started(run)
    more(application)
    run.approve("provision", "Ada", EVE, code=3)
    run.approve("provision", "Ada", ADA)

    _roll_out(run, first)
    more(application)
    run.phase_is("cutover", "done")
    for _ in range(2):
        more(application, 20, "limitless")
        run.expire()
    more(application, 20, "limitless")

    _approved_by_two(run)
    eventually(lambda: run.asks("SELECT write_mode FROM migrator.switch") == "limitless_only", "the hand-over")
    run.expire()
    eventually(lambda: run.told(1, "workflow.finished", "Migration"), "the end")
    before = len(application.written)
    eventually(lambda: application.wrong or len(application.written) > before + 20, "it writes to Limitless")
    application.stopping.set()
    assert run.end(run.workers[1]) == 0
    run.stack.close()

    _the_ledger_is_on_limitless(run, application)
    _nobody_kept_a_token(run)
    _an_altered_entry_is_named(run)
    run.rds.admin.close()
    assert run.rds.machines.classic is not None
    run.rds.machines.classic.stop()
    _the_dossier_answers(run)
    _an_altered_byte_is_found(run)


def _found_good(run: Production, *groups: str) -> None:
    """Doctor finds no mistake in what production is made of."""
    found = run("doctor", *(word for group in groups for word in ("--only", group)), "--json").json["findings"]
    assert found and not [one for one in found if one["level"] not in ("ok", "warning", "not applicable")]


def _roll_out(run: Production, first: subprocess.Popen[bytes]) -> None:
    """While rows are copied a new worker starts, the old one ends, and all tokens expire."""
    eventually(lambda: run.asks("SELECT to_regclass('migrator.copy_unit') IS NOT NULL"), "units are planned")
    eventually(lambda: run.asks("SELECT count(*) > 0 FROM migrator.copy_unit"), "units are planned")
    run.start_worker()
    eventually(lambda: run.told(1, "worker.started"), "the new worker has started")
    run.expire()
    assert run.end(first) == 0, run.log(0).read_text()[-2000:]


def _approved_by_two(run: Production) -> None:
    """One person twice is one person; a message to Temporal is nobody."""
    run.waits_for("decommission")
    _found_good(run, "rights", "reach", "temporal", "preflight")
    run("preflight")
    first = run.approve("decommission", "Ada", ADA)
    assert "second approver" in first.out
    run.approve("decommission", "Ada", ADA, code=3)
    run.approve("decommission", "Größe, Bob", BOB)


def _the_ledger_is_on_limitless(run: Production, application: Application) -> None:
    """What was acknowledged is there, once, with its tenant; what was deleted is not; nothing else came."""
    assert not application.wrong, application.wrong[:3]
    assert len(application.written) > 100 and len(application.deleted) > 10, application.refused[:5]
    for table in ("app.part", ODD_TABLE):
        query = f"SELECT id, tenant_id::text FROM {table} WHERE id > {FIRST}"
        there = run.rds.limitless_admin.execute(query.encode()).fetchall()
        certain = {number: tenant for number, tenant in there if number not in application.unknown}
        assert certain == application.written and len(there) == len({number for number, _ in there})


def _nobody_kept_a_token(run: Production) -> None:
    """Tool and application logged in again after each expiry, on both sides, and no door was tried without TLS."""
    for door in run.doors:
        assert door.plain == 0 and door.generation >= 4
        for role in ("tool", "web"):
            assert door.generations(run.rds.roles.name(role)) >= set(range(1, door.generation)), (role, door.logins)
        assert {why for _, why in door.refusals} <= {"it has expired"}, "of one that was signed just before"
    said = "".join(run.log(number).read_text() for number in range(len(run.workers)))
    assert all(secret not in said for secret in (PASSWORD, tokens.SECRET_KEY, "X-Amz-Signature", ADA, BOB))


def _an_altered_entry_is_named(run: Production) -> None:
    """By a superuser, who can switch triggers off."""
    entry, why = run.rds.admin.execute(
        "SELECT id, reason FROM migrator.decision WHERE kind = 'approval.given' ORDER BY id DESC LIMIT 1"
    ).fetchone() or (0, "")
    run.rds.admin.execute("ALTER TABLE migrator.decision DISABLE TRIGGER ALL")
    change = "UPDATE migrator.decision SET reason = %s WHERE id = %s"
    run.rds.admin.execute(change, (f"{why}.", entry))
    altered = run("log", "--verify", code=3)
    assert f"entry {entry}" in altered.out + altered.err
    run.rds.admin.execute(change, (why, entry))
    run("log", "--verify")


def _the_dossier_answers(run: Production) -> None:
    """Classic's server is stopped; the plan names the place and the key."""
    place = str(run.dossier)
    assert run("dossier", "verify", place).code == 0
    status = run("status").out
    assert status.startswith("From the dossier of ") and "classic is retired" in status
    assert "Finished" in run("report", "migration").out
    assert "The decision log is as it was written" in run("log", "--verify").out
    votes = run.operator.process("dossier", "show", place, "--member", "votes.jsonl").out.splitlines()
    by = {vote["approver"] for vote in map(json.loads, votes) if vote["gate"] == "decommission"}
    assert by == {"Ada", "Größe, Bob"}, votes


def _an_altered_byte_is_found(run: Production) -> None:
    """In the first archive header, in members, in padding, at the end; of the log it is named which."""
    whole = run.dossier.read_bytes()
    copy = run.home / "copy.dossier"
    with tarfile.open(run.dossier) as members:
        entry = whole.index(b"approval.given", members.getmember("log.jsonl").offset_data)
    for offset in (0, 100, *range(512, len(whole), len(whole) // 24), len(whole) - 1, entry):
        altered = bytearray(whole)
        altered[offset] ^= 1
        copy.write_bytes(altered)
        found = run("dossier", "verify", str(copy), "--key", FINGERPRINT, code=3)
    assert "log.jsonl" in found.out + found.err
    copy.write_bytes(whole)
    run("dossier", "verify", str(copy), "--key", FINGERPRINT)
