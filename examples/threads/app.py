"""Notes of many tenants over HTTP: psycopg, threads, and the shim between the handlers and PostgreSQL.

    NOTES_CLASSIC=postgresql://... NOTES_LIMITLESS=postgresql://... python app.py 8000

Nothing but the standard library beside the shim: a server with a thread for each request. The cookie `writes` lets a
browser see its own notes at once, on whichever side its next request is answered.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from migrator.errors import ClusterUnavailable, CommitUnknown, TokenInvalid, WritesClosed
from migrator.shim import Read, Session, Shim, Write

PUT = (
    "INSERT INTO app.note (tenant_id, id, body) VALUES (%s, %s, %s)"
    " ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body"
)
GET = "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s"


class Notes(BaseHTTPRequestHandler):
    """PUT and GET /TENANT/notes/NUMBER."""

    shim: Shim

    def do_PUT(self) -> None:
        self._answered(self._put)

    def do_GET(self) -> None:
        self._answered(self._get)

    def _put(self, session: Session, tenant: str, number: int) -> tuple[int, Any]:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))["body"]

        def write(w: Write) -> None:
            w.connection.execute(PUT, (tenant, number, body))

        session.run_write(tenant, write)  # this session's reads see it; others do when the mirror has followed
        return 200, {}

    def _get(self, session: Session, tenant: str, number: int) -> tuple[int, Any]:
        def read(r: Read) -> tuple[Any, str]:
            return r.connection.execute(GET, (tenant, number)).fetchone(), str(r.side)

        row, side = session.run_read(tenant, read)
        return (404, {}) if row is None else (200, {"body": row[0], "side": side})

    def _answered(self, act: Any) -> None:
        session = self._session()
        asked = re.fullmatch(r"/([^/]+)/notes/(\d{1,9})", self.path)
        try:
            status, told = act(session, unquote(asked[1]), int(asked[2])) if asked else (404, {})
        except (WritesClosed, ClusterUnavailable):
            status, told = 503, {"detail": "nothing was written: try again"}
        except CommitUnknown:
            status, told = 500, {"detail": "it is not known whether this was written: look before writing again"}
        self.send_response(status)
        self.send_header("content-type", "application/json")
        if session.token:
            self.send_header("set-cookie", f"writes={session.token}; Path=/; HttpOnly")
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def _session(self) -> Session:
        """Return the session that the caller's cookie names; a new one without a cookie, or with a damaged one."""
        cookie = SimpleCookie(self.headers.get("cookie", "")).get("writes")
        try:
            return self.shim.session(cookie.value if cookie else None)
        except TokenInvalid:
            return self.shim.session()

    def log_message(self, *_: Any) -> None:
        """Nothing for each request."""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; then leave the register, so that no route change waits for this process."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with Shim(os.environ["NOTES_CLASSIC"], os.environ["NOTES_LIMITLESS"], "notes") as Notes.shim:
        with ThreadingHTTPServer(("127.0.0.1", port), Notes) as server:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
            server.serve_forever()


if __name__ == "__main__":
    main()
