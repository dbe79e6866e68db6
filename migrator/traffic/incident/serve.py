"""Serves the webhook: a small HTTP server that rolls back when a caller or an alarm says so.

It needs classic and a secret from the environment, nothing else: no Temporal, no Limitless. The plan's section
[alarms], for alarms that other systems send in their own form, comes from classic or a file, and without it /rollback
works. Everything it uses is loaded when it starts: what is missing is missed then, not in the incident.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from migrator.errors import UsageError
from migrator.traffic.incident.caller import SHORTEST_SECRET, SIGNATURE_AGE_S, authorized, sign
from migrator.traffic.incident.desk import Desk
from migrator.traffic.incident.fetch import fetch
from migrator.traffic.incident.logged import Log, log
from migrator.traffic.incident.request import Request
from migrator.traffic.incident.rollback import RollbackResult
from migrator.traffic.incident.routes import LARGEST_BODY, routes
from migrator.traffic.incident.senders.sns import Get
from migrator.traffic.incident.sources import Sources

__all__ = [
    "LARGEST_BODY", "SHORTEST_SECRET", "SIGNATURE_AGE_S", "Certificate", "ImpatientProtocol", "IncidentServer",
    "application", "authorized", "serve", "sign",
]  # fmt: skip

HEAD_S = 10.0
"""Within so many seconds a connection has to send the head of a request; one that is silent is closed."""
RENEW_S = 60.0
"""How often certificate and key are looked at: they are replaced while a migration lasts."""
END_S = 5
"""So long requests under way may take when the server ends."""


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no request, or no further one, begins in time; uvicorn itself waits
    without a bound, also for the rest of a head."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait_for_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class Certificate:
    """A certificate with its key, in files that may be replaced.

    Raises:
        UsageError: they cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._stamp()
        try:
            self.context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise UsageError(
                f"the certificate {certificate} and the key {key} cannot be used: {why}",
                hint="Both in PEM: the certificate with those that signed it, and its key without a password.",
            ) from None

    def renew(self) -> bool:
        """Take other contents of the files for new connections; return whether there were any that could be used."""
        now = self._stamp()
        if now == self._seen or None in now:
            return False
        try:
            trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trial.load_cert_chain(*self._files, password=_no_password)
            self.context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError):
            return False  # half written: the next look finds the whole of it
        self._seen = now
        return True

    def _stamp(self) -> tuple[tuple[int, int] | None, ...]:
        found: list[tuple[int, int] | None] = []
        for file in self._files:
            try:
                stat = file.stat()
                found.append((stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return tuple(found)


def _no_password() -> str:
    raise ValueError("the key has a password")


def application(desk: Desk, certificate: Certificate | None = None) -> Starlette:
    """Return the webhook as an application of its own; what it does not have is a JSON answer too."""

    async def nothing_here(request: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        status = 404 if status == 405 else status
        there = "there are only POST /rollback, POST /alarms/SOURCE and GET /health"
        return JSONResponse({"error": there}, status, headers={"Connection": "close"})

    async def failed(request: HttpRequest, error: Exception) -> Response:
        desk.log("webhook.failed", {"error": type(error).__name__})
        return JSONResponse({"error": "unexpected"}, 500, headers={"Connection": "close"})

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        beside = [asyncio.create_task(desk.ready())]
        if certificate is not None:
            beside.append(asyncio.create_task(_renew(certificate, desk.log)))
        yield
        for task in beside:
            task.cancel()

    app = Starlette(
        routes=routes(desk), exception_handlers={HTTPException: nothing_here, Exception: failed}, lifespan=lifespan
    )
    app.router.redirect_slashes = False  # a sender that follows no redirect would be told 307
    return app


async def _renew(certificate: Certificate, log: Log) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        if certificate.renew():
            log("certificate.renewed", {})


class IncidentServer:
    """Serves the webhook until shut down. `server_address` has the port when 0 was asked for.

    Raises:
        UsageError: the secret is too short.
        OSError: the port is taken.
    """

    def __init__(
        self,
        address: tuple[str, int],
        classic_dsn: str | Callable[[], str],
        secret: str,
        *,
        timeout_s: float = 30.0,
        on_rollback: Callable[[Request, RollbackResult], None] = lambda request, result: None,
        sources: Callable[[], Sources] = Sources,
        get: Get = fetch,
        log: Log = log,
        certificate: Certificate | None = None,
    ) -> None:
        desk = Desk(
            classic_dsn, secret, sources=sources, get=get, timeout_s=timeout_s, log=log, on_rollback=on_rollback
        )
        self._socket = _listen(address)
        self.server_address: tuple[str, int] = self._socket.getsockname()[:2]
        config = Config(
            application(desk, certificate), http=ImpatientProtocol, ws="none", lifespan="on", log_config=None,
            access_log=False, server_header=False, proxy_headers=False, timeout_graceful_shutdown=END_S,
            ssl_context_factory=None if certificate is None else lambda config, default: certificate.context,
        )  # fmt: skip
        # Any client can make it warn.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = Server(config)
        self._ended = threading.Event()
        self._began = False

    def serve_forever(self, poll_interval: float = 0.25) -> None:
        """Serve until `shutdown` is called, or a signal comes."""
        self._began = True
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def shutdown(self) -> None:
        """End `serve_forever`, which runs in another thread, and wait for its end."""
        self._server.should_exit = True
        if self._began:
            self._ended.wait()

    def server_close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> IncidentServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.server_close()


def _listen(address: tuple[str, int]) -> socket.socket:
    family, *_, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(where[:2], family=family, backlog=512)


def serve(
    classic_dsn: str | Callable[[], str],
    secret: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8099,
    timeout_s: float = 30.0,
    on_rollback: Callable[[Request, RollbackResult], None] = lambda request, result: None,
    sources: Callable[[], Sources] = Sources,
    log: Log = log,
    certificate: Certificate | None = None,
    on_ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until interrupted.

    Args:
        on_ready: is told the port once it listens, which is another one when 0 was asked for.

    Raises:
        UsageError: the secret is too short, or the port is taken.
    """
    try:
        server = IncidentServer(
            (host, port), classic_dsn, secret, timeout_s=timeout_s, on_rollback=on_rollback, sources=sources, log=log,
            certificate=certificate,
        )  # fmt: skip
    except OSError as error:
        code = error.errno or 0
        why = os.strerror(code) if code in errno.errorcode else str(error.strerror)
        hint = "Choose another port with --port, or end what listens there."
        raise UsageError(f"cannot listen on {host}:{port}: {why.lower()}", hint=hint) from None
    with server:
        on_ready(server.server_address[1])
        server.serve_forever()
