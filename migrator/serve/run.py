"""Listens, serves until SIGTERM or Ctrl-C, and ends with every stream closed."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from migrator.errors import UsageError
from migrator.log_events import tell
from migrator.traffic.incident.serve import RENEW_S, Certificate, ImpatientProtocol

GRACE_S = 5
"""Seconds that requests have to end once the server is to end. One that is cut off may still have been carried out."""
MOST_CONNECTIONS = 500

Closing = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen. trusted: addresses of proxies whose X-Forwarded headers count; '' for none."""

    host: str = "127.0.0.1"
    port: int = 8099
    root_path: str = ""
    trusted: str = ""
    certificate: Certificate | None = None


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        UsageError: it cannot be had: the port is taken, the address is none of this machine, the name is unknown.
    """
    bare = host.strip("[]")
    try:
        [(family, kind, proto, _, address), *_] = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        made = socket.socket(family, kind, proto)
    except OSError as error:
        raise _not_there(host, port, error) from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(1024)
    except OSError as error:
        made.close()
        raise _not_there(host, port, error) from None
    made.set_inheritable(True)
    return made


def _not_there(host: str, port: int, error: OSError) -> UsageError:
    return UsageError(
        f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}",
        hint="Choose another port with --port, or end what listens there.",
    )


class _Server(uvicorn.Server):
    """Tells when it listens, and lets streams end at the first signal: uvicorn would wait for them."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], close: Closing) -> None:
        super().__init__(config)
        self._on_ready, self._close = on_ready, close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._loop is not None and self._ending is None:
            self._ending = self._loop.create_task(self._close())


def _factory(certificate: Certificate) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    return lambda config, default: certificate.context


async def renewed(certificate: Certificate, stop: asyncio.Event) -> None:
    """Take certificate and key from their files anew when those were replaced, until *stop* is set."""
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEW_S):
                await stop.wait()
        if await asyncio.to_thread(certificate.renew):
            tell("certificate.renewed")


def config_of(app: ASGIApp, listen: Listen) -> uvicorn.Config:
    """Return how *app* is served. Connections that send nothing are closed: so many would keep alarms out."""
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,  # paths hold names of tenants
        server_header=False,
        proxy_headers=bool(listen.trusted),
        forwarded_allow_ips=listen.trusted or None,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MOST_CONNECTIONS,
        ssl_context_factory=None if listen.certificate is None else _factory(listen.certificate),
        lifespan="on",
    )


def run(app: ASGIApp, listen: Listen, close: Closing, on_ready: Callable[[str], None]) -> None:
    """Serve *app* until a signal.

    Args:
        close: lets every stream end.
        on_ready: is told the address, with the port when 0 was asked for.

    Raises:
        UsageError: the address cannot be listened on.
    """
    config = config_of(app, listen)
    with bound(listen.host, listen.port) as made:
        port = made.getsockname()[1]
        scheme = "https" if listen.certificate else "http"
        bare = listen.host.strip("[]")
        host = f"[{bare}]" if ":" in bare else bare
        address = f"{scheme}://{host}:{port}{listen.root_path}"
        # Uvicorn raises the signal once more when it has ended, for those who wait for it elsewhere.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            asyncio.run(_Server(config, lambda: on_ready(address), close).serve([made]))
