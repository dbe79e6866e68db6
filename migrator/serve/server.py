"""What the routes share: the feed, sessions, connections, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from migrator.serve.classic import Classic
from migrator.serve.config import Config
from migrator.serve.draw import page, plan_of
from migrator.serve.feed import Feed
from migrator.serve.order import Temporal
from migrator.serve.session import Session, Sessions

COOKIE = "migrator_board"


@dataclass(frozen=True, slots=True)
class Server:
    """One board server. `reads` and `orders` keep each other from waiting: a search never holds up a rollback."""

    config: Config
    feed: Feed
    sessions: Sessions
    reads: Classic
    orders: Classic
    temporal: Temporal

    @property
    def acting(self) -> bool:
        return self.config.acts

    def session(self, request: Request) -> Session | None:
        return self.sessions.find(request.cookies.get(COOKIE))

    def may_read(self, request: Request) -> bool:
        """Return whether the request may be shown anything: by its session, or by a token that it carries.

        Raises:
            HTTPException: 429, its address has sent too many wrong tokens.
        """
        if self.config.read_token is None or self.sessions.peek(request.cookies.get(COOKIE)) is not None:
            return True
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return False
        address = address_of(request)
        if (wait_s := self.sessions.wait_s(address)) is not None:
            raise HTTPException(429, f"Too many wrong tokens. Try again in {wait_s} s.", {"Retry-After": str(wait_s)})
        if self.sessions.may_read(token.strip()):
            return True
        self.sessions.note_wrong(address)
        return False

    def html(self, request: Request, template: str, /, here: str = "", status: int = 200, **values: Any) -> Response:
        """Return the page that *template* makes."""
        body = page(
            template,
            root=self.config.root_path,
            plan=plan_of(self.feed.seen),
            acting=self.acting,
            session=self.sessions.peek(request.cookies.get(COOKIE)),
            here=here,
            **values,
        )
        return HTMLResponse(body, status)

    def to(self, path: str) -> Response:
        """Return the answer that sends a browser to *path* of ours, with GET."""
        return RedirectResponse(f"{self.config.root_path}{path}", 303)

    def to_sign_in(self, request: Request) -> Response:
        """Return the answer that has a person sign in, and then come back."""
        query = f"?{request.url.query}" if request.url.query else ""
        return self.to(f"/sign-in?next={quote(path_of(request) + query, safe='')}")


def path_of(request: Request) -> str:
    """Return the path without the prefix of a proxy."""
    path, root = request.scope["path"], request.scope.get("root_path", "")
    return str(path[len(root) :] if root and path.startswith(root) else path) or "/"


def address_of(request: Request) -> str:
    """Return the address that asks: the peer's, or what a trusted proxy says it is."""
    return request.client.host if request.client else ""


def own_path(text: str) -> str:
    """Return *text* if it is a path of ours, else "/": a link must not send people elsewhere."""
    fine = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if fine else "/"
