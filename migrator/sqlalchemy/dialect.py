"""SQLAlchemy's dialect for psycopg, on connections whose transactions are blocks of the shim."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.interfaces import IsolationLevel

from migrator.errors import ClusterUnavailable, UsageError
from migrator.shim import Read, Shim
from migrator.sqlalchemy.connection import BlockConnection
from migrator.sqlalchemy.scope import current_tenant

URL_TEXT = "postgresql+migrator://"
"""Of every engine on a shim: it names no server, and no password."""

FACTS = """
SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_schema()::text,
       pg_catalog.current_setting('default_transaction_isolation')
"""

Facts = tuple[int, str, str]

UNKNOWN: Facts = (150000, "public", "read committed")
"""Taken for facts while the server cannot be asked: the oldest version there is; only reflection minds."""

NO_TENANT = ""
"""What the facts about a server are asked for: they are of no tenant."""


class ShimDialect(PGDialect_psycopg):
    """What SQLAlchemy knows of PostgreSQL and psycopg, with the shim's transactions.

    Attributes:
        shim: what the first connection asks about the server.
    """

    driver = "migrator"
    supports_statement_cache = True
    shim: Shim

    def __init__(self, **options: Any) -> None:
        # A type of an extension has another number on each side, and psycopg knows values by number. SQLAlchemy's own
        # HSTORE reads the text, the same on both.
        super().__init__(**{"use_native_hstore": False, **options})  # type: ignore[no-untyped-call]  # SQLAlchemy's own

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[Any]:
        return cls  # those for asyncio have names of their own: loop.py, threads.py

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        return [], {}

    # -- what psycopg's dialect asks a server in each new connection ---------------------------------------

    def on_connect(self) -> Any:
        return None  # connections are prepared when they are lent

    def initialize(self, connection: Any) -> None:
        """Learn about the server: the one that serves unknown tenants, classic until the hand-over."""
        version, schema, isolation = self.facts(connection.connection.dbapi_connection)
        self.server_version_info = (version // 10000, version % 10000)
        self.default_schema_name = schema
        self.default_isolation_level = cast(IsolationLevel, isolation.upper())
        self.supports_smallserial = self.supports_identity_columns = True  # both sides are 15 at least
        self._supports_drop_index_concurrently = True
        self._supports_jsonb_subscripting = True
        self._backslash_escapes = False

    def facts(self, connection: BlockConnection) -> Facts:
        """Return what is known of the server. A read that Limitless answers does not need classic for it."""

        def ask(read: Read) -> Facts:
            row = read.connection.execute(FACTS).fetchone()
            assert row is not None
            return row[0], row[1] or "public", row[2]

        try:
            found: Facts = connection.run(self.shim.run_read, NO_TENANT, ask)
        except ClusterUnavailable:
            return UNKNOWN
        return found

    def do_ping(self, dbapi_connection: Any) -> bool:
        return True  # the shim replaces a connection that was lost while it rested

    # -- transactions -------------------------------------------------------------------------------------

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.begin()

    def do_begin_twophase(self, connection: Any, xid: Any) -> None:
        raise UsageError(
            "two-phase commit is not possible: Limitless has no prepared transactions",
            hint="Leave out twophase=True. Commit the other database first or last, as the application can repeat it.",
        )

    def get_isolation_level(self, dbapi_connection: Any) -> IsolationLevel:
        level = dbapi_connection.isolation_level
        if level is None:
            return self.get_default_isolation_level(dbapi_connection)
        return cast(IsolationLevel, level.name.replace("_", " "))

    def get_default_isolation_level(self, dbapi_conn: Any) -> IsolationLevel:
        return self.default_isolation_level or "READ COMMITTED"

    def reset_isolation_level(self, dbapi_conn: Any) -> None:
        if (level := self._on_connect_isolation_level) is not None:
            self._assert_and_set_isolation_level(dbapi_conn, level)  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        else:
            dbapi_conn.isolation_level = None

    def get_driver_connection(self, connection: Any) -> Any:
        return connection.lent_connection

    # -- statements ---------------------------------------------------------------------------------------

    def do_execute(self, cursor: Any, statement: Any, parameters: Any, context: Any = None) -> None:
        refuse_by_scope(context)
        super().do_execute(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]  # theirs

    def do_execute_no_params(self, cursor: Any, statement: Any, context: Any = None) -> None:
        refuse_by_scope(context)
        super().do_execute_no_params(cursor, statement, context)  # type: ignore[no-untyped-call]  # SQLAlchemy's own

    def do_executemany(self, cursor: Any, statement: Any, parameters: Any, context: Any = None) -> None:
        refuse_by_scope(context)
        super().do_executemany(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]  # theirs


def refuse_by_scope(context: Any) -> None:
    """Refuse, before anything is sent, a statement that its session is not for.

    What cannot be told from the statement (a text, a function that writes) the server refuses.

    Raises:
        UsageError: a schema change; a write or a lock in a read, or a read of another tenant than it began with.
    """
    if context is None:
        return
    if context.isddl:
        raise UsageError(
            "a schema change (create_all, DDL) does not go through the shim: it has to reach both sides",
            hint="Use `migrator schema apply` (docs/schema-changes.md), or on an empty database an engine on classic.",
        )
    inner = context.root_connection.connection.dbapi_connection
    scope = getattr(inner, "scope", None)
    if scope is None or not scope.reads:
        return
    now = current_tenant() if scope.tenant is None else None
    if now is not None and now != inner.tenant:
        raise UsageError(
            f"a transaction that reads tenant {inner.tenant} is asked for tenant {now}",
            hint="Another tenant may be on another side: end the transaction, and close the session, with its tenant.",
        )
    compiled = context.compiled
    if context.isinsert or context.isupdate or context.isdelete:
        raise writes_in_a_read("an INSERT, UPDATE or DELETE")
    if compiled is not None and getattr(compiled.statement, "_for_update_arg", None) is not None:
        raise writes_in_a_read("SELECT … FOR UPDATE or FOR SHARE")


def writes_in_a_read(what: str) -> UsageError:
    """Return the error of *what* in a read."""
    return UsageError(
        f"{what} in a read: it may be answered by another server than the one that writes go to",
        hint="Use sessions.write(tenant) or sessions.run_write(tenant, fn), and load there what is to be changed.",
    )


class AsyncDialect(ShimDialect):
    """What the dialects of asyncio engines have in common."""

    is_async = True
    has_terminate = True
    supports_statement_cache = True

    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.close()  # also of a session that was forgotten: its block ends, and its connection is back


registry.register("postgresql.migrator", "migrator.sqlalchemy.dialect", "ShimDialect")
