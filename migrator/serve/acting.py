"""Signing in, and orders: asked for, shown with what they would do, carried out, told. Every step is a form of ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from migrator.db.error_text import described
from migrator.errors import MigratorError, UsageError
from migrator.governance.keys import is_token
from migrator.log_events import tell
from migrator.model.shown import moment
from migrator.model.tenant import TenantId
from migrator.serve import identity
from migrator.serve.classic import trouble_of
from migrator.serve.guard import check_csrf, check_origin, form_of, is_secure
from migrator.serve.order import ABOUT, Kind, Order, Outcome, Preview, Scope, carry_out, preview
from migrator.serve.server import COOKIE, Server, address_of, own_path
from migrator.serve.session import READS_S, Refused, Session
from migrator.serve.view import waiting_gate

PREVIEW_S = 10.0
ORDER_S = 75.0
"""Seconds that an order may take in all; those that take longer are told to be looked for in the decision log."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an order. failed: it was refused, or may not have happened."""

    order: Order
    outcome: Outcome
    failed: bool = False
    hint: str = ""


def routes(server: Server) -> list[Route]:
    """Return the routes of signing in and of orders; none where no token lets a person sign in."""
    if not server.config.acts and server.config.read_token is None:
        return []
    found = [
        Route("/sign-in", partial(sign_in, server), methods=["GET", "POST"]),
        Route("/sign-out", partial(sign_out, server), methods=["POST"]),
    ]
    if server.config.acts:
        found += [
            Route("/act", partial(overview, server)),
            Route("/act/{kind}", partial(ask, server), methods=["GET", "POST"]),
            Route("/do", partial(do, server), methods=["POST"]),
            Route("/done/{number}", partial(done, server)),
        ]
    return found


async def sign_in(server: Server, request: Request) -> Response:
    """A wrong token is told as such and counted; with the right one the cookie comes. A proxy's token needs no form."""
    if request.method != "POST":
        back = own_path(request.query_params.get("next", "/"))
        error = ""
        if server.config.personal and server.sessions.wait_s(address_of(request)) is None:
            try:
                claim = await identity.by_proxy(server, request)
                if claim is not None:
                    return _signed_in(server, request, back, server.sessions.open(claim))
            except MigratorError as refused:
                error = str(refused)
                server.sessions.note_wrong(address_of(request))
                tell("board.sign_in_refused", address=address_of(request))
        return server.html(request, "sign_in.html", status=403 if error else 200, next=back, error=error, name="")
    check_origin(request, server.config)
    form = await form_of(request)
    name, back = form.get("name", ""), own_path(form.get("next", "/"))
    if server.config.personal and is_token(form.get("token", "")):
        answer = await identity.by_token(server, address_of(request), name, form["token"])
    else:
        answer = server.sessions.sign_in(address_of(request), name, form.get("token", ""))
    if isinstance(answer, Refused):
        status = 429 if answer.retry_s is not None else 403
        response = server.html(request, "sign_in.html", status=status, next=back, error=answer.why, name=name)
        if answer.retry_s is not None:
            response.headers["Retry-After"] = str(answer.retry_s)
        tell("board.sign_in_refused", address=address_of(request))
        return response
    return _signed_in(server, request, back, answer)


def _signed_in(server: Server, request: Request, back: str, cookie: str) -> Response:
    server.sessions.sign_out(request.cookies.get(COOKIE))
    response = server.to(back)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(READS_S),
        path=server.config.root_path or "/",
        secure=is_secure(request, server.config),
        httponly=True,
        samesite="strict",
    )
    return response


async def sign_out(server: Server, request: Request) -> Response:
    check_origin(request, server.config)
    form = await form_of(request)
    session = server.session(request)
    if session is not None:
        check_csrf(session, form)
        server.sessions.sign_out(request.cookies.get(COOKIE))
    response = server.to("/")
    response.delete_cookie(COOKIE, path=server.config.root_path or "/")
    return response


async def overview(server: Server, request: Request) -> Response:
    if _actor(server, request) is None:
        return server.to_sign_in(request)
    return server.html(request, "act.html", "act", orders=list(ABOUT.items()))


async def ask(server: Server, request: Request) -> Response:
    """Ask for what an order needs; with all of it, show what it would do."""
    kind = _kind(request)
    session = _actor(server, request)
    if session is None:
        return server.to_sign_in(request)
    given = dict(request.query_params)
    if request.method != "POST":
        return _form(server, request, kind, given)
    check_origin(request, server.config)
    form = await form_of(request)
    check_csrf(session, form)
    # What a link named exactly stays as it is: browsers change line ends in fields of forms.
    values = {**form, **{name: value for name, value in given.items() if name != "csrf"}}
    try:
        order = order_of(kind, values, exact="tenant" in given)
        shown = await server.orders.ask(partial(_preview, order), PREVIEW_S)
    except (MigratorError, psycopg.Error) as error:
        trouble = trouble_of(error)
        return _form(server, request, kind, values, f"{trouble.why} {trouble.hint}".strip(), 400)
    number = session.prepare(replace(order, evidence=shown.evidence))
    return server.html(
        request, "confirm.html", "act", about=ABOUT[kind], order=order, preview=shown, number=number, csrf=session.csrf
    )


def _preview(order: Order, conn: psycopg.Connection[Any]) -> Preview:
    return preview(conn, order)


async def do(server: Server, request: Request) -> Response:
    """Carry out an order that was shown, once, as it was shown."""
    session = _actor(server, request)
    check_origin(request, server.config)
    if session is None:
        raise HTTPException(403, "Your session has ended; nothing was changed. Sign in, and repeat it.")
    form = await form_of(request)
    check_csrf(session, form)
    number = form.get("number", "")
    found = session.prepared.get(number)
    if isinstance(found, Told):
        return server.to(f"/done/{number}")
    if not isinstance(found, Order):
        raise HTTPException(404, "This order is no longer known; nothing was changed. Repeat it from the start.")
    if found.kind is Kind.APPROVE:
        await identity.still(server, request, session)
    # Before it begins: a second click must not do it again.
    session.prepared[number] = Told(found, Outcome("It is being carried out.", complete=False))
    tell("board.order_given", order=found.kind.value, who=session.name)
    session.prepared[number] = await _carried_out(server, found, session)
    await server.feed.look_soon()
    return server.to(f"/done/{number}")


async def _carried_out(server: Server, order: Order, session: Session) -> Told:
    name, claim = session.name, session.claim

    def act(conn: psycopg.Connection[Any]) -> Outcome:
        return carry_out(conn, order, name, server.temporal, claim)

    try:
        return Told(order, await server.orders.ask(act, ORDER_S))
    except (MigratorError, psycopg.Error) as error:
        trouble = trouble_of(error)
        return Told(order, Outcome(trouble.why, complete=False), True, trouble.hint)
    except Exception as error:
        tell("board.order_failed", order=order.kind.value, error=described(error))
        trouble = trouble_of(error)
        hint = "Whether it happened is in the decision log."
        return Told(order, Outcome(trouble.why, complete=False), True, hint)


async def done(server: Server, request: Request) -> Response:
    session = _actor(server, request)
    if session is None:
        return server.to_sign_in(request)
    told = session.prepared.get(request.path_params["number"])
    if not isinstance(told, Told):
        raise HTTPException(404, "This order is no longer known here; see the decision log.")
    return server.html(request, "done.html", "act", about=ABOUT[told.order.kind], told=told)


def _actor(server: Server, request: Request) -> Session | None:
    session = server.session(request)
    return session if session is not None and session.acts else None


def _kind(request: Request) -> Kind:
    try:
        return Kind(request.path_params["kind"])
    except ValueError:
        raise HTTPException(404, "There is no such order.") from None


def _form(
    server: Server, request: Request, kind: Kind, values: dict[str, str], error: str = "", status: int = 200
) -> Response:
    session = server.session(request)
    picture = server.feed.seen.picture
    known = picture.status if picture and picture.status.phase else None
    query = f"?{request.url.query}" if request.url.query else ""
    return server.html(
        request, "ask.html", "act", status, about=ABOUT[kind], kind=kind.value, values=values, error=error,
        csrf=session.csrf if session else "", given=set(request.query_params), query=query,
        gates=[g for line in known.phases if (g := waiting_gate(line))] if known else [],
        waves=[wave.wave for wave in known.waves if wave.limitless or wave.joining] if known else [],
        fallbacks=known.fallbacks[:50] if known else (),
    )  # fmt: skip


def order_of(kind: Kind, values: dict[str, str], *, exact: bool = False) -> Order:
    """Return the order that a form's *values* say.

    Args:
        exact: a link named the tenant, which may have the empty name; in a form that is a field left out.

    Raises:
        UsageError: naming what is missing or cannot be read.
    """
    fields = ABOUT[kind].fields
    reason = values.get("reason", "").replace("\r\n", "\n").strip()
    if "\0" in "".join(values.values()):
        raise UsageError("a field holds a character that PostgreSQL cannot store")
    tenants: tuple[TenantId, ...] = ()
    wave, scope, key = None, values.get("scope", ""), values.get("key", "")
    if "fallback" in fields and "fallback" in values:
        scope, _, key = values["fallback"].partition("/")
    if kind is Kind.ROLLBACK and scope not in set(Scope):
        raise UsageError("whose reads are to come back was not said", hint="All tenants, a wave, or one tenant.")
    if kind is Kind.ROLLBACK:
        named = {one.value for one in (Scope.WAVE, Scope.TENANT) if values.get(one.value, "").strip()}
        if named - {scope}:
            hint = "Leave empty what is not meant."
            raise UsageError(f"a {min(named - {scope})} was named, and {scope} chosen", hint=hint)
    if scope == Scope.WAVE and "wave" in fields:
        number = values.get("wave", "").strip()
        if not (number.isascii() and number.isdigit() and 0 < int(number) < 1 << 31):
            raise UsageError("which wave was not said", hint="Give its number, from 1 on.")
        wave = int(number)
    if "tenant" in fields and (kind is not Kind.ROLLBACK or scope == Scope.TENANT):
        if not values.get("tenant") and not exact:
            raise UsageError("which tenant was not said", hint="Name it as its column prints it.")
        tenants = (TenantId(values["tenant"]),)
    until: datetime | None = None
    if "until" in fields and values.get("until", "").strip():
        until = moment(values["until"])
    if kind is Kind.APPROVE and not values.get("gate", "").strip():
        raise UsageError("which gate was not said")
    return Order(kind, reason, values.get("gate", "").strip(), scope, key, wave, tenants, until)
