"""Steps that tests of SQLAlchemy sessions share: what is written, read, raised and killed."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from migrator.sqlalchemy import ShimSessions
from tests.integration.sqlalchemy.shop import Order

Sessions = ShimSessions[Session]

CLOSED = "DO $$ BEGIN RAISE 'writes are closed' USING ERRCODE = 'MG001'; END $$"
DEADLOCK = "DO $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END $$"


def order(number: int, tenant: str = "t1") -> Order:
    return Order(tenant_id=tenant, id=number)


def write(sessions: Sessions, number: int) -> None:
    with sessions.write("t1") as session:
        session.add(order(number))
        session.commit()


def numbers(session: Session) -> list[int]:
    return list(session.scalars(select(Order.id).order_by(Order.id)))


def kill(dsn: str, pid: Any) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


def backend(session: Session) -> Any:
    return session.scalar(text("SELECT pg_backend_pid()"))
