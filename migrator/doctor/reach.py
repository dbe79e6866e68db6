"""Reaches a PostgreSQL server stage by stage, so that a name, a port, a certificate and a password are told apart.

The tool's own way to connect is the last stage: what it says counts, the stages before say where it stopped.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import conninfo, pq

from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, MigratorError, UsageError

APP = "migrator doctor"
CONNECT_S = 4.0
TCP_S = 2.0
STATEMENT_S = 4.0
"""Below the bound of a section (`ask.BOUND_S`): a slow server says so itself, a frozen one says nothing."""

LOCK_S = 1.0


class Stage(StrEnum):
    """Where it stopped; DONE: nowhere."""

    SECRET = "secret"
    STRING = "connection string"
    NAME = "name"
    PORT = "port"
    TLS = "TLS"
    LOGIN = "login"
    DATABASE = "database"
    ANSWER = "answer"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Reached:
    """How far it went.

    Attributes:
        where: user, host, port and database, without a password; '' before they are known.
        seconds: of each stage that was passed, by its name.
        addresses: that the host's name has and that accept a connection; `closed`: those that do not.
        tls: the session is encrypted.
        local: by a socket of this machine, or a loopback address.
        hint: what to do, where the tool's way to connect said so.
    """

    stage: Stage
    where: str = ""
    why: str = ""
    hint: str = ""
    seconds: tuple[tuple[str, float], ...] = ()
    addresses: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    tls: bool = False
    sslmode: str = ""
    local: bool = False
    pooled: bool = False

    @property
    def verified(self) -> bool:
        """Whether the server's certificate is checked."""
        return self.tls and self.sslmode in ("verify-ca", "verify-full")

    @property
    def named(self) -> bool:
        """Whether the certificate is checked against the name as well: else any server of that authority would do."""
        return self.tls and self.sslmode == "verify-full"


@dataclass
class _Trip:
    """What is found on the way."""

    seconds: list[tuple[str, float]]
    where: str = ""
    addresses: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    sslmode: str = ""
    local: bool = False

    def ended(self, stage: Stage, why: str = "", hint: str = "", **more: bool) -> Reached:
        return Reached(
            stage, self.where, why, hint, tuple(self.seconds), self.addresses, self.closed,
            sslmode=self.sslmode, local=self.local, **more,
        )  # fmt: skip

    def timed(self, name: str, since: float) -> None:
        self.seconds.append((name, time.monotonic() - since))


def reach(resolve: Callable[[], str], side: str = "classic") -> tuple[Reached, psycopg.Connection[Any] | None]:
    """Return how far it went to the server whose connection string *resolve* returns, and the connection.

    The connection's transactions are read-only, its statements and waits for locks bounded.

    Args:
        side: what messages call it.
    """
    trip, began = _Trip([]), time.monotonic()
    try:
        dsn = resolve()
    except MigratorError as error:
        return trip.ended(Stage.SECRET, str(error), error.hint), None
    trip.timed("secret", began)
    try:
        given: Mapping[str, Any] = effective(dsn)
    except psycopg.ProgrammingError:
        return trip.ended(Stage.STRING, "the connection string cannot be read (not shown)"), None
    trip.where, trip.sslmode = where(given), str(given.get("sslmode") or "prefer")
    if stopped := _to_the_port(given, trip):
        return stopped, None
    began = time.monotonic()
    try:
        conn = connect(
            dsn, APP, statement_timeout_s=STATEMENT_S, lock_timeout_s=LOCK_S, connect_timeout_s=CONNECT_S, side=side
        )
    except ClusterUnavailable as error:
        stage = stage_of(error.why)
        return trip.ended(stage, error.why, "" if stage in (Stage.TLS, Stage.ANSWER) else error.hint), None
    except UsageError as error:
        return trip.ended(Stage.STRING, str(error), error.hint), None
    trip.timed("login", began)
    conn.execute("SELECT pg_catalog.set_config('default_transaction_read_only', 'on', false)")
    row = conn.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    # A pooler hands out a number of its own, as it must: a cancellation goes to the pooler.
    pooled = row is not None and row[0] != conn.info.backend_pid
    return trip.ended(Stage.DONE, tls=bool(conn.pgconn.ssl_in_use), pooled=pooled), conn


def effective(dsn: str) -> dict[str, Any]:
    """Return the parameters of *dsn* with those that the environment gives, as libpq takes them."""
    given: dict[str, Any] = conninfo.conninfo_to_dict(dsn)
    for option in pq.Conninfo.get_defaults():
        if option.val is not None:
            given.setdefault(option.keyword.decode(), option.val.decode())
    return given


def where(given: Mapping[str, Any]) -> str:
    """Return user, hosts, ports and database; nothing else of a connection string is shown."""
    user = f"{given['user']}@" if given.get("user") else ""
    hosts = given.get("host") or given.get("hostaddr") or "localhost"
    return f"{user}{hosts}:{given.get('port') or 5432}/{given.get('dbname') or ''}"


def hosts(given: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return host and port of each server that a connection string names; a socket's directory begins with "/"."""
    names = str(given.get("hostaddr") or given.get("host") or "localhost").split(",")
    ports = [int(port) if port.isdigit() else 5432 for port in str(given.get("port") or "5432").split(",")]
    ports = ports * len(names) if len(ports) == 1 else ports
    return [(name or "localhost", port) for name, port in zip(names, ports, strict=False)]


def _to_the_port(given: Mapping[str, Any], trip: _Trip) -> Reached | None:
    """Look the names up and open each address; return where it stopped when no address accepts a connection."""
    unnamed: list[str] = []
    opened: list[str] = []
    refused: list[str] = []
    loopback, name_s, port_s = True, 0.0, 0.0
    for host, port in hosts(given):
        began = time.monotonic()
        if host.startswith("/"):
            opened.append(host)
            continue
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            unnamed.append(f"{host}: {error.strerror or type(error).__name__}")
            continue
        finally:
            name_s += time.monotonic() - began
        began = time.monotonic()
        for family, _, _, _, address in found:
            numeric = str(address[0])
            loopback = loopback and (numeric.startswith("127.") or numeric == "::1")
            why = _closed(family, address)
            (refused if why else opened).append(f"{numeric}:{port}" + (f" ({why})" if why else ""))
        port_s += time.monotonic() - began
    trip.seconds += [("name", name_s), ("port", port_s)]
    trip.addresses, trip.closed, trip.local = tuple(opened), tuple(refused), loopback
    if opened:
        return None
    if refused:
        return trip.ended(Stage.PORT, f"no connection to {', '.join(refused)}")
    return trip.ended(Stage.NAME, "; ".join(unnamed))


def _closed(family: int, address: Any) -> str:
    """Return why *address* accepts no connection; '' when it does."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(TCP_S)
        try:
            sock.connect(address)
        except TimeoutError:
            return f"no answer in {TCP_S:g} s"
        except OSError as error:
            return (error.strerror or type(error).__name__).lower()
    return ""


def stage_of(why: str) -> Stage:
    """Return where it stopped, from the words of the server or of libpq, once the port had accepted a connection. Pure.

    What a server says of its own state (starting up, too many connections) is no refusal of the login.
    """
    text = why.lower()
    if "timeout" in text or "closed the connection unexpectedly" in text or "reset by peer" in text:
        return Stage.ANSWER
    if "pg_hba.conf" in text:  # it mentions encryption too
        return Stage.LOGIN
    if any(word in text for word in ("ssl", "certificate", "tls")):
        return Stage.TLS
    if "does not exist" in text and "database" in text:
        return Stage.DATABASE
    if any(word in text for word in ("password", "authentication", "role ", "permission denied", "not permitted")):
        return Stage.LOGIN
    return Stage.ANSWER
