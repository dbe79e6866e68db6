"""The applications of examples/, one of each flavour: how their users start them, and what they promise to keep.

Each has its own processes and its own ledger. What differs is here; what is done to them is in test_flavours.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import conninfo

from migrator.local.process import free_port
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S

EXAMPLES = ROOT / "examples"
TENANTS = ("1", "2", "3", "4", "5", "6")
NOTES = (EXAMPLES / "notes.sql").read_bytes()


@dataclass(frozen=True)
class Place:
    """Where an example runs: its databases, a directory for what it leaves, a port of its own."""

    classic: str
    limitless: str
    home: Path
    port: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def urls(self, scheme: str = "postgres") -> dict[str, str]:
        """Both sides as URLs; with the login, unless they are for JDBC."""
        found = {}
        for name, dsn in (("CLASSIC_URL", self.classic), ("LIMITLESS_URL", self.limitless)):
            p = conninfo.conninfo_to_dict(dsn)
            login = f"{quote(str(p['user']))}:{quote(str(p['password']))}@" if scheme == "postgres" else ""
            found[name] = f"{scheme}://{login}{p['host']}:{p['port']}/{p['dbname']}?sslmode=disable"
        return found

    def logins(self) -> dict[str, str]:
        """As Java has them."""
        classic, limitless = (conninfo.conninfo_to_dict(dsn) for dsn in (self.classic, self.limitless))
        return {
            "DB_USER": str(classic["user"]), "DB_PASSWORD": str(classic["password"]),
            "LIMITLESS_USER": str(limitless["user"]), "LIMITLESS_PASSWORD": str(limitless["password"]),
        }  # fmt: skip


@dataclass(frozen=True)
class Flavour:
    """An example, and how it is run.

    Attributes:
        schema: of its tables. tables: what the plan says of them.
        prepare: makes its tables on classic.
        main: the table that grows with every write.
        lines: the ledger's lines as a side has them: (tenant, number, value).
        name: of its sessions, as the servers show it.
        serve: the command of its server, None where its clients are in the same process.
        clients: the command of its clients, which end with their input and then show their ledger.
    """

    schema: str
    prepare: Callable[[Place, psycopg.Connection[Any]], object]
    main: str
    lines: str
    name: str
    clients: Callable[[Place], Sequence[str]]
    serve: Callable[[Place], Sequence[str]] | None = None
    env: Callable[[Place], dict[str, str]] = lambda place: {}
    folder: Path = ROOT
    tables: dict[str, Any] = field(default_factory=dict)


def _notes(where: Sequence[str] = ()) -> Callable[[Place], Sequence[str]]:
    traffic = str(EXAMPLES / "traffic.py")
    return lambda p: [sys.executable, traffic, "notes", p.address, "--tenants", ",".join(TENANTS), *where]


def notes(name: str, serve: Callable[[Place], Sequence[str]], *where: str, **more: Any) -> Flavour:
    """An application of notes over HTTP."""
    return Flavour(
        schema="app", main="app.note", lines="SELECT tenant_id, id, body FROM app.note", name=name, serve=serve,
        clients=_notes(where), prepare=lambda _, classic: classic.execute(NOTES), **more,
    )  # fmt: skip


def _notes_env(place: Place) -> dict[str, str]:
    return {"NOTES_CLASSIC": place.classic, "NOTES_LIMITLESS": place.limitless, "PYTHONPATH": str(ROOT)}


def threads() -> Flavour:
    """psycopg, a thread for each request."""
    app = str(EXAMPLES / "threads" / "app.py")
    return notes("migrator-shim:notes", lambda p: [sys.executable, app, str(p.port)], env=_notes_env)


def fastapi() -> Flavour:
    """asyncio, several processes."""
    where = ("--app-dir", str(EXAMPLES / "fastapi"), "app:app", "--workers", "2", "--log-level", "warning")
    return notes(
        "migrator-shim:notes", lambda p: [sys.executable, "-m", "uvicorn", *where, "--port", str(p.port)],
        env=_notes_env,
    )  # fmt: skip


PLAIN = ("--plain", "--path", "/tenants/{tenant}/notes/{number}")


def node(there: Path) -> Flavour:
    """The contract in SQL, from Node."""
    return notes(
        "notes", lambda p: ["node", str(there / "app.js")], *PLAIN,
        env=lambda p: {"PORT": str(p.port), **p.urls()},
    )  # fmt: skip


def java(class_path: str) -> Flavour:
    """The same from Java."""
    flags = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
    return notes(
        "notes", lambda p: ["java", *flags, "-cp", class_path, "Notes", "serve", str(p.port)], *PLAIN,
        env=lambda p: {**p.urls("jdbc:postgresql"), **p.logins()},
    )  # fmt: skip


ORDERS = """
SELECT o.tenant_id, o.id::text, o.state,
       (SELECT coalesce(jsonb_object_agg(i.sku, i.price::text), '{}') FROM shop.item i
         WHERE i.order_id = o.id AND i.tenant_id = o.tenant_id)
  FROM shop.customer_order o
"""


def sqlalchemy() -> Flavour:
    """SQLAlchemy's sessions; its users are threads of the same process."""
    from examples.sqlalchemy.shop import DDL

    return Flavour(
        schema="shop",
        prepare=lambda _, classic: classic.execute(DDL.encode()),
        main="shop.customer_order",
        lines=ORDERS,
        name="migrator-shim:example-sqlalchemy",
        clients=lambda p: [sys.executable, "-m", "examples.sqlalchemy", p.classic, p.limitless, *TENANTS],
    )


DJANGO_LINES = """
SELECT o.tenant_id::text, o.number,
       (SELECT jsonb_agg(jsonb_build_array(l.article, l.pieces) ORDER BY l.article) FROM public.shop_line l
         WHERE l.tenant_id = o.tenant_id AND l.order_id = o.id)
  FROM public.shop_order o
"""


def django() -> Flavour:
    """Django's ORM on gunicorn. Its tasks stay in the queue: who does them is tested apart."""
    shop = EXAMPLES / "django"

    def env(place: Place) -> dict[str, str]:
        broker = place.home / "broker"
        broker.mkdir(exist_ok=True)
        return {
            "SHOP_CLASSIC": place.classic, "SHOP_LIMITLESS": place.limitless, "SHOP_BROKER": "filesystem://",
            "SHOP_BROKER_FOLDER": str(broker), "PYTHONPATH": f"{shop}:{ROOT}", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip

    def prepare(place: Place, classic: psycopg.Connection[Any]) -> None:
        command = [sys.executable, "manage.py", "migrate", "--database", "schema", "--verbosity", "0"]
        subprocess.run(command, cwd=shop, env={**os.environ, **env(place)}, check=True, timeout=TIMEOUT_S)
        classic.execute((shop / "tenants.sql").read_bytes())

    return Flavour(
        schema="public",
        tables={
            "public.shop_tenant": {"kind": "sharded", "tenant_column": "id"},
            "public.shop_country": {"kind": "reference"},
            "public.django_migrations": {"kind": "excluded"},
        },
        prepare=prepare,
        main="public.shop_order",
        lines=DJANGO_LINES,
        name="migrator-shim:shop",
        serve=lambda p: [
            sys.executable, "-m", "gunicorn", "shop.wsgi", "--bind", f"127.0.0.1:{p.port}", "--workers", "2",
            "--threads", "3", "--preload",
        ],
        clients=lambda p: [
            sys.executable, str(EXAMPLES / "traffic.py"), "orders", p.address, "--tenants", ",".join(TENANTS)
        ],
        env=env,
        folder=shop,
    )  # fmt: skip


@contextmanager
def running(command: Sequence[str], flavour: Flavour, place: Place, what: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the example. It is told to end, and it ends."""
    log = (place.home / f"{what}.log").open("w")
    talks = what == "clients"
    process = subprocess.Popen(
        command, cwd=flavour.folder, env={**os.environ, **flavour.env(place)}, text=True,
        stdin=subprocess.PIPE if talks else subprocess.DEVNULL, stdout=subprocess.PIPE if talks else log, stderr=log,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_S)
        finally:
            process.kill()
            for pipe in (log, process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def ended(clients: subprocess.Popen[str]) -> dict[str, Any]:
    """End the clients' input; return their ledger."""
    out, _ = clients.communicate(timeout=TIMEOUT_S)
    ledger: dict[str, Any] = json.loads(out)
    return ledger
