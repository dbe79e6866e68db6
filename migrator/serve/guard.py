"""What holds for every request and answer: hosts, sizes, headers, and that a form came from a page of ours."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from migrator.serve.config import Config, is_loopback
from migrator.serve.session import Session

LARGEST_FORM = 64 * 1024
FORM_S = 10.0
"""Within so many seconds a form has to arrive."""

HEADERS = {
    # No script or style but ours, nothing from elsewhere, no frame around us, no form to elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers would send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Refuses to be read under names that are not ours, and puts the headers on every answer.

    What changes something has checks of its own.
    """

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self.app = app
        self.config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if scope["method"] in ("GET", "HEAD") and not is_ours(host, self.config):
            text = "This server is not known under that name. Start it with --origin to name what browsers show.\n"
            await PlainTextResponse(text, 421)(scope, receive, guarded)
            return
        root, path = self.config.root_path, scope["path"]
        if root and (path == root or path.startswith(f"{root}/")):  # a proxy that leaves its prefix
            scope = {**scope, "root_path": root, "path": path if path != root else f"{root}/"}
        await self.app(scope, receive, guarded)


def is_ours(host: str, config: Config) -> bool:
    """Return whether *host*, as a request names it, is a name under which this server is known."""
    if config.any_host:
        return True
    named = {urlsplit(origin).netloc for origin in config.origins}
    try:
        return host.lower() in named or is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:  # what is no address, as "[" is
        return False


def is_secure(request: Request, config: Config) -> bool:
    """Return whether browsers reach us by TLS."""
    return request.url.scheme == "https" or any(origin.startswith("https:") for origin in config.origins)


def check_origin(request: Request, config: Config) -> None:
    """Refuse a form that another site sent.

    Browsers say with each form where it came from, in Origin, else Referer. What says neither is no browser, and sends
    no cookie but one that it was given.

    Raises:
        HTTPException: 403.
    """
    said = request.headers.get("origin") or request.headers.get("referer")
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    if not is_ours(request.headers.get("host", ""), config):
        raise HTTPException(421, "This server is not known under that name (--origin).")
    if said is None and fetched in ("same-origin", "none"):
        return
    if said is not None:
        parts = urlsplit(said)
        ours = {request.headers.get("host", "").lower(), *(urlsplit(o).netloc for o in config.origins)}
        if parts.netloc.lower() in ours and fetched in ("same-origin", "none"):
            return
    raise HTTPException(
        403, "The form came from another site, or from a proxy that changes the Host header (--origin)."
    )


def check_csrf(session: Session, form: Mapping[str, str]) -> None:
    """Refuse a form that this session was not given.

    Raises:
        HTTPException: 403.
    """
    if not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
        raise HTTPException(403, "The form is not one of this session. Go back, load the page again, and repeat it.")


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a posted form; of one that is there twice the last.

    Raises:
        HTTPException: 413 where it is too large, 415 where it is no form, 408 where it is too slow, 400 where it cannot
            be read.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "Send a form, as application/x-www-form-urlencoded.")
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM:
                    raise HTTPException(413, f"The form is larger than {LARGEST_FORM} bytes.")
    except TimeoutError:
        raise HTTPException(408, f"The form did not arrive within {FORM_S:g} s.", {"Connection": "close"}) from None
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict"))
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None
