"""Makes the engine of a shim, and tells its errors as the shim tells them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

import psycopg
from psycopg.types.json import set_json_dumps, set_json_loads
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import NullPool

from migrator.errors import MigratorError, UsageError, WritesClosed
from migrator.model.side import Side
from migrator.model.sqlstate import READ_ONLY
from migrator.shim import Shim
from migrator.shim.write import WRITES_ARE_CLOSED
from migrator.sqlalchemy.connection import BlockConnection, Configure
from migrator.sqlalchemy.dialect import URL_TEXT, ShimDialect, writes_in_a_read
from migrator.sqlalchemy.scope import OPTION, Scope

_SIZE = "give Shim(pool_size=...)"

OURS = {
    **dict.fromkeys(("creator", "async_creator"), "the shim connects"),
    **dict.fromkeys(("url", "connect_args"), "give Shim connection strings"),
    **dict.fromkeys(("pool", "poolclass", "pool_size", "max_overflow", "pool_timeout"), _SIZE),
    **dict.fromkeys(("pool_recycle", "pool_use_lifo", "pool_reset_on_return"), "the shim's pool does so"),
    "module": "it is psycopg",
    "use_native_hstore": "types of extensions have other numbers on each side",
    "client_encoding": "it is UTF-8",
}
"""Options of create_engine that the shim decides, and what to do instead."""

of_sqlalchemy = logging.getLogger("sqlalchemy.dialects.postgresql")
"""Where SQLAlchemy's own dialect has the server's notices: the application's log, and no event of the tool."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError that names every option which the shim decides."""
    wrong = [f"{name} ({OURS[name]})" for name in options if name in OURS]
    if options.get("isolation_level") == "AUTOCOMMIT":
        wrong.append("isolation_level=AUTOCOMMIT (a statement's commit would be acknowledged by nothing)")
    if wrong:
        raise UsageError(f"an engine on a shim cannot take {', '.join(wrong)}", hint="Leave them out.")


def make_engine(shim: Shim, scope: Scope, configure: Configure | None, options: Mapping[str, Any]) -> Engine:
    """Return an engine whose transactions are blocks of *shim*, as *scope* says where a connection has none of its own.

    Args:
        configure: prepares each connection that a block was lent.
        options: of create_engine.

    Raises:
        UsageError: one of *options* is the shim's to decide.
    """
    check_options(options)
    prepare = configured(configure, options)

    def connect() -> DBAPIConnection:
        return leveled(engine, BlockConnection(prepare))

    engine: Engine = create_engine(URL_TEXT, poolclass=NullPool, creator=connect, **with_scope(options, scope))
    attach(engine, shim)
    return engine


def leveled(engine: Engine, connection: BlockConnection) -> DBAPIConnection:
    """Return a new connection at the isolation level of its engine."""
    made = cast(DBAPIConnection, connection)
    engine.dialect.reset_isolation_level(made)
    return made


def with_scope(options: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Return options of create_engine with *scope* among the execution options."""
    return {**options, "execution_options": {**options.get("execution_options", {}), OPTION: scope}}


def configured(configure: Configure | None, options: Mapping[str, Any]) -> Configure:
    """Return what prepares each lent connection: what psycopg's dialect does to its own, then *configure*."""
    loads, dumps = options.get("json_deserializer"), options.get("json_serializer")

    def prepare(connection: psycopg.Connection[Any], side: Side) -> Any:
        connection.add_notice_handler(_log_notice)
        if loads is not None:
            set_json_loads(loads, connection)
        if dumps is not None:
            set_json_dumps(dumps, connection)
        return configure(connection, side) if configure is not None else None

    return prepare


def _log_notice(said: psycopg.errors.Diagnostic) -> None:
    of_sqlalchemy.info("%s: %s", said.severity, said.message_primary)


def attach(engine: Engine, shim: Any) -> None:
    """Have *engine* ask *shim* about its server, and take its scopes and errors as they are here."""
    dialect = engine.dialect
    assert isinstance(dialect, ShimDialect)
    dialect.shim = shim
    event.listen(engine, "begin", _set_scope)
    event.listen(engine, "handle_error", _as_the_shim)


def scope_of(connection: Connection) -> Scope | None:
    """Return the scope of a connection's transactions; None of another engine's."""
    found = connection.get_execution_options().get(OPTION)
    return found if isinstance(found, Scope) else None


def _set_scope(connection: Connection) -> None:
    """At each begin: also a connection that was replaced after it was lost gets the scope of the one before."""
    inner = connection.connection.dbapi_connection
    assert isinstance(inner, BlockConnection)
    inner.scope = scope_of(connection)


def _as_the_shim(context: ExceptionContext) -> BaseException | None:
    """Tell errors that are the shim's by its own classes; others stay what SQLAlchemy makes of them."""
    error = context.original_exception
    if isinstance(error, MigratorError):
        return error if context.sqlalchemy_exception is not None else None
    state = getattr(error, "sqlstate", None)
    if state == WRITES_ARE_CLOSED:
        return WritesClosed(0.0)
    if state == READ_ONLY and context.connection is not None:
        scope = scope_of(context.connection)
        if scope is not None and scope.reads:
            return writes_in_a_read("a change, or a lock,")
    return None
