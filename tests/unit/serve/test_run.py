"""Who only connects, and who sends slowly, keeps no place: else a few hundred of them would keep alarms out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn import Server

from migrator.serve import guard, run
from migrator.traffic.incident import serve as webhook
from tests.fixtures.waiting import TIMEOUT_S, eventually

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
FORM = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n"


async def answer(request: Request) -> Response:
    return JSONResponse(await guard.form_of(request) if request.method == "POST" else {})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server as `migrator serve` runs it, with less patience."""
    monkeypatch.setattr(webhook, "HEAD_S", 0.3)
    monkeypatch.setattr(guard, "FORM_S", 0.3)
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    listen = run.Listen(port=0)
    with run.bound(listen.host, listen.port) as made:
        server = Server(run.config_of(app, listen))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [made]})
        thread.start()
        try:
            eventually(lambda: server.started, "it listens")
            yield made.getsockname()[:2]
        finally:
            server.should_exit = True
            thread.join()


def heard(address: tuple[str, int], *sent: bytes) -> bytes:
    """Everything that comes back until the connection is closed."""
    found = b""
    with socket.create_connection(address) as conn:
        conn.settimeout(TIMEOUT_S)
        for one in sent:
            conn.sendall(one)
        with suppress(ConnectionResetError):
            while more := conn.recv(65_536):
                found += more
    return found


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ((), 0),
        ((GET,), 0),
        ((GET + b"\r\n", GET), 1),  # the second head never ends
    ],
)
def test_a_connection_on_which_no_request_begins_is_closed(
    address: tuple[str, int], sent: tuple[bytes, ...], answers: int
) -> None:
    assert heard(address, *sent).count(b"HTTP/1.1 200") == answers


def test_a_form_that_does_not_arrive_is_answered(address: tuple[str, int]) -> None:
    assert heard(address, FORM + b"name=").startswith(b"HTTP/1.1 408")
    assert heard(address, FORM + b"name=Ada&", GET + b"Connection: close\r\n\r\n").count(b"HTTP/1.1 200") == 2
