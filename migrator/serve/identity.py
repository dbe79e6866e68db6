"""Approvers on the board: signed in with a token of their own, or by what a proxy hands over."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request

from migrator.control.install import active_plan
from migrator.db.error_text import described
from migrator.errors import MigratorError, NotAuthenticated
from migrator.governance.cast import Claim, authenticate
from migrator.plan.load import from_earlier
from migrator.plan.schema import Plan
from migrator.serve.oidc import claim_of
from migrator.serve.server import Server
from migrator.serve.session import Refused, Session

ASK_S = 10.0


def _plan(conn: psycopg.Connection[Any]) -> Plan:
    return from_earlier(active_plan(conn))


def _check(conn: psycopg.Connection[Any], claim: Claim) -> None:
    authenticate(conn, _plan(conn), claim, None)


async def by_token(server: Server, address: str, name: str, token: str) -> str | Refused:
    """Return the cookie of a session of approver *name*, or why there is none; a refusal is recorded and counted."""
    if (wait_s := server.sessions.wait_s(address)) is not None:
        return Refused(f"Too many wrong tokens. Try again in {wait_s} s.", wait_s)
    claim = Claim(" ".join(name.split()), token.strip(), via="board")
    try:
        await server.orders.ask(lambda conn: _check(conn, claim), ASK_S)
    except NotAuthenticated as error:
        server.sessions.note_wrong(address)
        return Refused(f"{error} {error.hint}".strip())
    except (MigratorError, psycopg.Error) as error:
        return Refused(f"It could not be checked who you are: {described(error)}")
    return server.sessions.open(claim)


async def by_proxy(server: Server, request: Request) -> Claim | None:
    """Return who the proxy says asks; None where it says nothing, or the plan sets no such proxy up.

    Raises:
        MigratorError: what it says proves nothing, or it cannot be checked now.
    """
    governance = (await server.orders.ask(_plan, ASK_S)).governance
    said = request.headers.get(governance.oidc_header or "") if governance.oidc_header else None
    if not said:
        return None
    return await asyncio.to_thread(claim_of, governance, said)


async def still(server: Server, request: Request, session: Session) -> None:
    """Return if the person who signed in through the proxy is the one who asks now.

    Raises:
        HTTPException: 403.
    """
    if session.claim is None or not session.claim.subject:
        return
    try:
        now = await by_proxy(server, request)
    except MigratorError as error:
        raise HTTPException(403, f"Nothing was changed: {error}") from None
    if now is None or (now.issuer, now.subject) != (session.claim.issuer, session.claim.subject):
        raise HTTPException(403, "Nothing was changed: the proxy names another person than signed in. Sign in again.")
