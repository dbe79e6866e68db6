"""SQLAlchemy 2 on the shim: sessions of one tenant each, whose transactions are the shim's reads and writes.

    with Shim(classic=..., limitless=..., name="web-1") as shim:
        sessions = ShimSessions(shim)
        with sessions.write(tenant) as session:
            session.add(Order(tenant_id=tenant, state="open"))
            session.commit()  # returns when later reads will see it
        orders = sessions.run_read(tenant, lambda session: session.scalars(select(Order)).all())

Needs the extra `sqlalchemy`. docs/sqlalchemy.md says what differs from an engine of one's own.
"""

from migrator.sqlalchemy.aio import AsyncCallerSessions, AsyncShimSessions
from migrator.sqlalchemy.scope import CURRENT, current_tenant, for_tenant
from migrator.sqlalchemy.sessions import CallerSessions, ShimSessions

__all__ = [
    "CURRENT",
    "AsyncCallerSessions",
    "AsyncShimSessions",
    "CallerSessions",
    "ShimSessions",
    "current_tenant",
    "for_tenant",
]
