"""Where a client is tried: two scratch databases with the tool's tables, a mirror that can be held, proxies that can be
stopped, and a shim as the other process."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import resources
from typing import Any

import psycopg
from psycopg import conninfo, sql

from migrator.contract.client import Client, ClientFailed
from migrator.control import grants, scratch
from migrator.control.install import install, install_limitless, uninstall
from migrator.control.process import processes
from migrator.errors import PreconditionFailed
from migrator.local.proxy import Proxy
from migrator.model.route import WriteMode
from migrator.model.tenant import TenantId
from migrator.poll import until
from migrator.shim import Settings, Shim
from migrator.traffic.incident.rollback import RollbackResult, roll_back
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.write_mode import write_mode

Connection = psycopg.Connection[Any]

SHIM = {
    "staleness_s": 1.5, "poll_s": 0.1, "ack_wait_s": 0.4, "closed_wait_s": 5.0, "read_timeout_s": 2.0, "open_s": 0.3,
    "max_lag_s": 30.0,
}  # fmt: skip
"""The plan's section for processes: short, so that a run takes half a minute. A held mirror does not take reads away by
its lag, as then no read on Limitless could be caught behind."""

PARTS = {"t1": 1, "t2": 1, "u1": 2}
"""The tenants of a run and their mirror partitions."""

WHO = "conformance"
PATIENCE_S = 20.0
"""How long anything may take that has no bound of its own."""


class Mirror:
    """Copies the application's rows of all tenants, in cycles; it can be held."""

    def __init__(self, classic_dsn: str, limitless_dsn: str) -> None:
        self.pause_s = 0.03
        self._dsns = classic_dsn, limitless_dsn
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def go(self) -> None:
        """Follow from now on."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
            self._thread.start()

    def hold(self) -> None:
        """Stop following; returns when nothing is copied any more."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        classic, limitless = (psycopg.connect(dsn, autocommit=True) for dsn in self._dsns)
        with classic, limitless:
            while True:
                cycle(classic, limitless)
                if self._stop.wait(self.pause_s):
                    return


def cycle(classic: Connection, limitless: Connection) -> None:
    """Bring Limitless to classic's state, and publish the snapshot it was read at."""
    with classic.transaction():
        classic.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        row = classic.execute("SELECT pg_current_snapshot()::text, clock_timestamp()").fetchone()
        rows = classic.execute("SELECT tenant_id, id, body FROM app.note").fetchall()
    assert row is not None
    with limitless.transaction():
        limitless.cursor().executemany(
            "INSERT INTO app.note VALUES (%s, %s, %s) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body",
            rows,
        )
    for part in (0, *set(PARTS.values())):
        scratch.publish(classic, part, *row)


class Scene:
    """One trial's world. `reference` is the other process; clients reach both servers through proxies."""

    def __init__(
        self, classic_dsn: str, limitless_dsn: str, command: str, *, application: bool, stack: ExitStack
    ) -> None:
        self._command, self._stack = command, stack
        self._dsns = classic_dsn, limitless_dsn
        opened = [stack.enter_context(psycopg.connect(dsn, autocommit=True)) for dsn in self._dsns]
        self.classic, self.limitless = opened
        stack.callback(_taken_down, classic_dsn, limitless_dsn)
        _build(*opened)
        mine = stack.enter_context(_role(self.classic, classic_dsn, application=application))
        self.classic_proxy = stack.enter_context(Proxy.to_dsn(classic_dsn))
        self.limitless_proxy = stack.enter_context(Proxy.to_dsn(limitless_dsn))
        self.client_dsns = self.classic_proxy.dsn(mine), self.limitless_proxy.dsn(limitless_dsn)
        self.mirror = Mirror(classic_dsn, limitless_dsn)
        stack.callback(self.mirror.hold)
        self.mirror.go()
        self.reference = stack.enter_context(Shim(classic_dsn, limitless_dsn, "reference", settings=Settings.of(SHIM)))

    def client(self, name: str = "client") -> Client:
        """Start a process under test, which ends with the trial."""
        return self._stack.enter_context(Client(self._command, *self.client_dsns, name))

    # -- what operators do ---------------------------------------------------------------------------------

    def up(self, *tenants: str) -> None:
        """Move reads of *tenants* to Limitless. A client that holds that up has failed."""
        done = promote_reads(
            self.classic, tenants=[TenantId(t) for t in tenants], who=WHO, reason="up", timeout_s=PATIENCE_S
        )
        if not done.done:
            raise ClientFailed(f"reads could not be moved to Limitless: {done.outcome}; {done.confirmation.pending}")

    def back(self, *tenants: str, timeout_s: float = PATIENCE_S) -> RollbackResult:
        """Roll *tenants* back to classic; return how far processes confirmed it."""
        return roll_back(
            self.classic, tenants=[TenantId(t) for t in tenants], who=WHO, reason="back", timeout_s=timeout_s
        )

    def mode(self, mode: WriteMode) -> int:
        """Set where writes go, for everybody; return the epoch."""
        return write_mode(self.classic, mode, who=WHO, reason="test")

    def live(self) -> list[str]:
        """Return the live processes but the reference."""
        return [p.label for p in processes(self.classic) if p.live and not p.label.startswith("reference ")]

    # -- the other process -----------------------------------------------------------------------------------

    def write(self, tenant: str, key: int, body: str) -> None:
        """Write by the reference; acknowledged when it returns."""
        self.reference.run_write(tenant, lambda w: w.connection.execute(_PUT, (tenant, key, body)))

    def read(self, tenant: str, key: int) -> tuple[str, str | None]:
        """Read by the reference; return the side and the body."""

        def fn(r: Any) -> tuple[str, str | None]:
            row = r.connection.execute(_GET, (tenant, key)).fetchone()
            return str(r.side), None if row is None else row[0]

        return self.reference.run_read(tenant, fn)

    def stored(self, tenant: str, key: int, *, on_limitless: bool = False) -> str | None:
        """Return what a side holds, past everything."""
        row = (self.limitless if on_limitless else self.classic).execute(_GET, (tenant, key)).fetchone()
        return None if row is None else str(row[0])

    def on_limitless(self, client: Client, tenant: str, key: int) -> bool:
        """Wait until *client* reads *tenant* from Limitless; return whether it does."""

        def look() -> bool:
            return client.ask("read", tenant=tenant, key=key).get("side") == "limitless"

        return until(look, PATIENCE_S / 2, 0.05)


_PUT = "INSERT INTO app.note VALUES (%s, %s, %s) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body"
_GET = "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s"


@contextmanager
def scene(classic_dsn: str, limitless_dsn: str, command: str, *, application: bool = False) -> Iterator[Scene]:
    """Build a scene in two empty databases, and leave them empty.

    Args:
        application: give the client's role what shims need on the tool's tables, and not only the contract's functions.

    Raises:
        PreconditionFailed: a database is not empty.
        ClientUnusable: the client under test did not answer as the line protocol says.
    """
    with ExitStack() as stack:
        yield Scene(classic_dsn, limitless_dsn, command, application=application, stack=stack)


def check_empty(classic_dsn: str, limitless_dsn: str) -> None:
    """Return when both are databases of their own that hold nothing.

    Raises:
        PreconditionFailed: one is a migration's, or an application's: a run would drop what it holds. Or both are one.
    """
    found = []
    for side, dsn in (("classic", classic_dsn), ("limitless", limitless_dsn)):
        with psycopg.connect(dsn, autocommit=True) as conn:
            found.append(scratch.where(conn))
            what = scratch.in_use(conn)
        if what:
            raise PreconditionFailed(
                f"the database for {side} is not empty: it has {what}",
                hint="Give two scratch databases; a run makes schemas migrator and app there, and drops them.",
            )
    if found[0] == found[1]:
        raise PreconditionFailed(
            "--classic and --limitless name the same database", hint="Give two scratch databases, one for each side."
        )


def _build(classic: Connection, limitless: Connection) -> None:
    install(classic, WHO, "digest", {}, SHIM)
    classic.execute(_script("scene_classic.sql"))
    for tenant, part in PARTS.items():
        scratch.put_tenant(classic, tenant, part)
    install_limitless(limitless)
    limitless.execute(_script("scene_limitless.sql"))
    cycle(classic, limitless)
    write_mode(classic, WriteMode.DUAL, who=WHO, reason="test")


def _taken_down(*dsns: str) -> None:
    for dsn in dsns:
        with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as conn:
            uninstall(conn)
            conn.execute("DROP SCHEMA IF EXISTS app CASCADE")


def _script(name: str) -> bytes:
    return resources.files("migrator.contract").joinpath(name).read_bytes()


@contextmanager
def _role(classic: Connection, dsn: str, *, application: bool) -> Iterator[str]:
    """Make a role that an application would log in with; give its connection string."""
    name, password = f"conformance_{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    role = sql.Identifier(name)
    classic.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
    try:
        classic.execute(sql.SQL("GRANT USAGE ON SCHEMA app TO {}").format(role))
        classic.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON app.note TO {}").format(role))
        grants.grant(classic, name, grants.statements(name) if application else grants.client_statements(name))
        yield conninfo.make_conninfo(dsn, user=name, password=password)
    finally:
        classic.execute(sql.SQL("DROP OWNED BY {}").format(role))
        classic.execute(sql.SQL("DROP ROLE {}").format(role))
