"""Notes of many tenants over HTTP: FastAPI, asyncio, and the shim between the handlers and PostgreSQL.

    NOTES_CLASSIC=postgresql://... NOTES_LIMITLESS=postgresql://... uvicorn app:app

A handler names the tenant and nothing else of the migration. The cookie `writes` lets a browser see its own notes at
once, on whichever side and in whichever process its next request is answered.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Cookie, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from migrator.errors import ClusterUnavailable, CommitUnknown, TokenInvalid, WritesClosed
from migrator.shim.aio import AsyncRead, AsyncSession, AsyncShim, AsyncWrite


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One shim per process, opened on the event loop that serves the requests."""
    async with AsyncShim(os.environ["NOTES_CLASSIC"], os.environ["NOTES_LIMITLESS"], "notes") as shim:
        app.state.shim = shim
        yield


app = FastAPI(lifespan=lifespan)

Writes = Annotated[str | None, Cookie()]


class Note(BaseModel):
    """What a tenant writes down."""

    body: str


def session_of(request: Request, writes: str | None) -> AsyncSession:
    """Return the session that the caller's cookie names; a new one without a cookie, or with a damaged one."""
    shim: AsyncShim = request.app.state.shim
    try:
        return shim.session(writes)
    except TokenInvalid:
        return shim.session()


@app.put("/{tenant}/notes/{number}", status_code=204)
async def put(
    tenant: str, number: int, note: Note, request: Request, response: Response, writes: Writes = None
) -> None:
    """Write a note. The caller's own later requests see it; everybody else does when the mirror has followed."""

    async def write(w: AsyncWrite) -> None:
        await w.connection.execute(
            "INSERT INTO app.note (tenant_id, id, body) VALUES (%s, %s, %s)"
            " ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body",
            (tenant, number, note.body),
        )

    session = session_of(request, writes)
    await session.run_write(tenant, write)
    response.set_cookie("writes", session.token, httponly=True)


@app.get("/{tenant}/notes/{number}")
async def get(tenant: str, number: int, request: Request, writes: Writes = None) -> dict[str, Any]:
    """Return a note, and which side answered."""

    async def read(r: AsyncRead) -> tuple[Any, str]:
        found = await r.connection.execute(
            "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s", (tenant, number)
        )
        return await found.fetchone(), str(r.side)

    row, side = await session_of(request, writes).run_read(tenant, read)
    if row is None:
        raise HTTPException(404, "there is no such note")
    return {"body": row[0], "side": side}


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Say what the shim has counted."""
    stats = request.app.state.shim.stats()
    return {"epoch": stats.epoch, "reads": dict(stats.reads), "fell_back": stats.fell_back}


@app.exception_handler(WritesClosed)
@app.exception_handler(ClusterUnavailable)
async def later(request: Request, error: Exception) -> JSONResponse:
    """Nothing was written: the caller may try again."""
    return JSONResponse({"detail": "try again"}, 503, {"Retry-After": "1"})


@app.exception_handler(CommitUnknown)
async def unknown(request: Request, error: Exception) -> JSONResponse:
    """The write may have happened: the caller has to look before it writes again."""
    return JSONResponse({"detail": "it is not known whether this was written"}, 500)
