"""Serves rollbacks to an alarm system: a small HTTP server with two endpoints, rollback and health.

It needs classic and a secret from the environment, nothing else: no Temporal, no Limitless, no plan file.

    POST /rollback   {"all": true, "reason": "...", "who": "pager"}   or "wave": 3, or "tenants": ["42"]
    GET  /health     200 when classic answers, 503 when not

A caller proves itself with `Authorization: Bearer TOKEN`, or with `X-Migrator-Signature: t=UNIX,v1=HEX`, the
HMAC-SHA256 of "UNIX.BODY" under the same secret, at most five minutes old.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg

from migrator.control.route import switch
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, MigratorError, PreconditionFailed, UsageError
from migrator.traffic.incident.request import Request, parse
from migrator.traffic.incident.rollback import RollbackResult, roll_back

LARGEST_BODY = 1 << 20
SIGNATURE_AGE_S = 300
SHORTEST_SECRET = 16
_SIGNATURE = re.compile(r"^t=(\d{1,12}),v1=([0-9a-f]{64})$")


def authorized(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Return whether a request carries the token, or a fresh signature of its body; in constant time."""
    given = headers.get("authorization", "")
    if given:
        return hmac.compare_digest(given.encode(), f"Bearer {secret}".encode())
    match = _SIGNATURE.match(headers.get("x-migrator-signature", ""))
    if match is None:
        return False
    at, signature = match.groups()
    wanted = sign(secret, int(at), body)
    return hmac.compare_digest(signature, wanted) and abs(now_s - int(at)) <= SIGNATURE_AGE_S


def sign(secret: str, at_s: int, body: bytes) -> str:
    """Return the signature of a request made at *at_s*."""
    return hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()


class IncidentServer(ThreadingHTTPServer):
    """Serves rollbacks until shut down. `server_address` has the port when 0 was asked for."""

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        classic_dsn: str,
        secret: str,
        *,
        timeout_s: float = 30.0,
        on_rollback: Callable[[Request, RollbackResult], None] = lambda request, result: None,
    ) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise UsageError(f"the secret must have at least {SHORTEST_SECRET} characters")
        super().__init__(address, _Handler)
        self.classic_dsn = classic_dsn
        self.secret = secret
        self.timeout_s = timeout_s
        self.on_rollback = on_rollback


class _Handler(BaseHTTPRequestHandler):
    server: IncidentServer
    server_version = "migrator"
    sys_version = ""
    timeout = 10  # seconds: a caller that sends nothing must not keep a thread

    def do_GET(self) -> None:
        if self.path != "/health":
            self._answer(404, {"error": "there are only POST /rollback and GET /health"})
            return
        try:
            with connect(self.server.classic_dsn, "migrator-incident", statement_timeout_s=5) as conn:
                switch(conn)
        except (MigratorError, psycopg.Error):
            self._answer(503, {"ok": False, "error": "classic does not answer"})
            return
        self._answer(200, {"ok": True})

    def do_POST(self) -> None:
        if self.path != "/rollback":
            self._answer(404, {"error": "there are only POST /rollback and GET /health"})
            return
        body = self._body()
        if body is None:
            return
        headers = {key.lower(): value for key, value in self.headers.items()}
        if not authorized(self.server.secret, headers, body, time.time()):
            self._answer(401, {"error": "not authorized"})
            return
        try:
            request = parse(body)
            with connect(self.server.classic_dsn, "migrator-incident", statement_timeout_s=10) as conn:
                result = roll_back(
                    conn, all=request.everybody, wave=request.wave, tenants=request.tenants,
                    who=request.who, reason=request.reason, timeout_s=self.server.timeout_s,
                )  # fmt: skip
        except UsageError as error:
            self._answer(400, {"error": str(error), "hint": error.hint})
        except PreconditionFailed as error:
            self._answer(409, {"error": str(error), "hint": error.hint})
        except ClusterUnavailable as error:
            self._answer(503, {"error": f"classic: {error.why}", "hint": error.hint})
        except (MigratorError, psycopg.Error) as error:
            self._answer(500, {"error": type(error).__name__})
        else:
            self.server.on_rollback(request, result)
            self._answer(200 if result.complete else 202, asdict(result))

    def _body(self) -> bytes | None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self._answer(411, {"error": "Content-Length is missing"})
            return None
        if not 0 <= length <= LARGEST_BODY:
            self._answer(413, {"error": "the body is too large"})
            return None
        return self.rfile.read(length)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # the base class' name
        """Say nothing: the caller of `serve` decides what is logged, and request lines may hold anything."""


def serve(
    classic_dsn: str,
    secret: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8099,
    timeout_s: float = 30.0,
    on_rollback: Callable[[Request, RollbackResult], None] = lambda request, result: None,
) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: the secret is too short, or the port is taken.
    """
    try:
        server = IncidentServer((host, port), classic_dsn, secret, timeout_s=timeout_s, on_rollback=on_rollback)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another port.") from None
    with server:
        server.serve_forever(poll_interval=0.25)
