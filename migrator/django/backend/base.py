"""Django's PostgreSQL backend with blocks of the shim in the place of a connection.

All of SQL, types and introspection is Django's own; what differs is who holds server connections, where a transaction
begins and ends, and what has to be true when `atomic` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base as postgresql
from django.utils.functional import cached_property
from psycopg import conninfo, sql

from migrator.django.backend.creation import DatabaseCreation
from migrator.django.backend.operations import DatabaseOperations
from migrator.django.connection import NO_TENANT, Conn, ShimConnection, as_psycopg
from migrator.django.cursor import ServerSideCursor, ShimCursor
from migrator.django.options import DIRECT, Options, options_of
from migrator.django.scope import no_tenant
from migrator.django.shims import SHIMS
from migrator.errors import UsageError
from migrator.shim import CommittedUnconfirmed, Read, Shim

UTC = frozenset(
    {"utc", "etc/utc", "gmt", "etc/gmt", "universal", "etc/universal", "zulu", "etc/zulu", "uct", "etc/uct"}
)
"""Names of one time zone, which servers call differently."""

NOT_CLASSICS = ("context", "cursor_factory", "prepare_threshold", "client_encoding")
"""Parameters that Django gives to psycopg and that are no part of a connection string."""


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """A database alias of one thread."""

    creation_class = DatabaseCreation
    ops_class = DatabaseOperations
    connection: Any
    run_on_commit: list[Any]

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self.commits = 0  # transactions that certainly or perhaps committed
        self.unconfirmed_hooks: list[Callable[[], object]] = []

    @property
    def direct(self) -> bool:
        """Whether this is Django's own backend: a database of the test runner, or none in particular."""
        if self.alias == NO_DB_ALIAS:
            return True
        if self.options.reads_of is not None:
            return bool(self._of_writer().direct)
        return bool(self.settings_dict.get(DIRECT)) and self.alias not in SHIMS.given

    def _of_writer(self) -> Any:
        """Return the wrapper, in this thread, of the alias that this one reads for."""
        found = connections[self.options.reads_of]
        if not isinstance(found, DatabaseWrapper) or found.options.reads_of is not None:
            raise ImproperlyConfigured(
                f"settings.DATABASES[{self.alias!r}] has reads_of {self.options.reads_of!r}, which does not write "
                "through migrator.django.backend"
            )
        return found

    @cached_property
    def options(self) -> Options:
        return options_of(self.settings_dict)[0]

    @property
    def shim(self) -> Shim:
        """The shim of this alias in this process, opened."""
        options = self.options
        if options.reads_of is not None:
            shim: Shim = self._of_writer().shim
            return shim
        return SHIMS.of(self.alias, lambda: options.shim() if options.shim else self._new_shim(options))

    def _new_shim(self, options: Options) -> Shim:
        classic = options.classic or self._classic()
        return Shim(
            classic, options.limitless, options.name, readers=options.readers, pool_size=options.pool_size,
            listen=options.listen, settings=options.settings,
        )  # fmt: skip

    def _classic(self) -> str:
        given = super().get_connection_params()
        return conninfo.make_conninfo("", **{k: v for k, v in given.items() if k not in NOT_CLASSICS})

    # -- connections --------------------------------------------------------------------------------------

    @property
    def pool(self) -> Any:
        return super().pool if self.direct else None

    def check_settings(self) -> None:
        super().check_settings()
        if not self.direct:
            problems = options_of(self.settings_dict)[1] if self.alias not in SHIMS.given else ()
            if problems:
                listed = "".join(f"\n  - {problem}" for problem in problems)
                raise ImproperlyConfigured(f"settings.DATABASES[{self.alias!r}] cannot be used:{listed}")

    def get_connection_params(self) -> Any:
        return super().get_connection_params() if self.direct else {}

    def get_new_connection(self, conn_params: Any) -> Any:
        if self.direct:
            return super().get_new_connection(conn_params)
        options = self.options
        template = postgresql.get_adapters_template(settings.USE_TZ, self.timezone)
        return ShimConnection(
            lambda: self.shim,
            template,
            self._prepared,
            alias=options.reads_of or self.alias,
            plain_reads=not options.readers and options.shim is None,
            ack=options.ack,
            reads=options.reads_of is not None,
            writer=self._writer if options.reads_of is not None else lambda: None,
        )

    def _writer(self) -> ShimConnection | None:
        """Return the connection of the alias that this one reads for, in the same thread."""
        writer = self._of_writer().connection
        return writer if isinstance(writer, ShimConnection) else None

    def connect(self) -> None:
        with no_tenant():  # what is asked when a connection is made is about no tenant
            super().connect()

    def _cursor(self, name: str | None = None) -> Any:
        if self.options.reads_of is not None and self.direct:
            return self._of_writer()._cursor(name)  # else a test's own transaction would not be seen
        return super()._cursor(name)

    def init_connection_state(self) -> None:
        if self.direct:  # else there is no server connection yet, and versions of two sides
            super().init_connection_state()

    def ensure_timezone(self) -> bool:
        return bool(super().ensure_timezone()) if self.direct else False

    def _prepared(self, conn: Conn, tenant: str | None) -> None:
        """Give a block what Django gives its sessions, for as long as the block lasts."""
        wanted = self.timezone_name
        server = conn.pg if hasattr(conn, "pg") else conn.pgconn  # `pgconn` would begin the transaction by itself
        told = server.parameter_status(b"TimeZone")
        has = "" if told is None else told.decode()
        if wanted and has != wanted and not {has.lower(), wanted.lower()} <= UTC:
            conn.execute(sql.SQL("SET LOCAL TIME ZONE {}").format(wanted))
        role = self.settings_dict["OPTIONS"].get("assume_role")
        if role:
            conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        prepare = self.options.prepare
        if prepare is not None:
            prepare(conn, tenant)

    def create_cursor(self, name: str | None = None) -> Any:
        if not isinstance(self.connection, ShimConnection):
            return super().create_cursor(name)
        binding = self.settings_dict["OPTIONS"].get("server_side_binding") is True
        writer = self._writer() if self.options.reads_of else None
        if name and (self.connection.in_transaction or (writer is not None and writer.in_transaction)):
            return self.connection.run(lambda conn: self._named(conn, name, binding))
        # Outside of a transaction no server-side cursor lives on: its block ends with the statement.
        return ShimCursor(self.connection, server_side_binding=binding, bind=self._bind)

    def _named(self, conn: Conn, name: str, binding: bool) -> Any:
        made: Any
        if binding:
            made = conn.cursor(name, scrollable=False, withhold=False)
        else:
            made = ServerSideCursor(conn, name=name, scrollable=False, withhold=False)
        self._bind(made)
        return made

    def _bind(self, cursor: psycopg.Cursor[Any]) -> None:
        loader: Any = cursor.adapters.get_loader(postgresql.TIMESTAMPTZ_OID, postgresql.Format.TEXT)
        if self.timezone != loader.timezone:
            postgresql.register_tzloader(self.timezone, cursor)

    def is_usable(self) -> bool:
        if isinstance(self.connection, ShimConnection):
            return not self.connection.closed  # servers are the shim's to watch
        return bool(super().is_usable())

    @cached_property
    def pg_version(self) -> int:
        """Classic's version; that of Limitless once the migration is over."""
        if self.direct:
            with self.temporary_connection():
                return int(self.connection.info.server_version)

        def ask(r: Read) -> int:
            return r.connection.info.server_version

        with self.wrap_database_errors, as_psycopg():
            return self.shim.run_read(NO_TENANT, ask)

    # -- transactions -------------------------------------------------------------------------------------

    def _commit(self) -> None:
        try:
            super()._commit()
        except Error:
            raise  # refused and rolled back; Django clears what belongs to it
        except BaseException as error:
            self.commits += 1  # perhaps
            if isinstance(error, CommittedUnconfirmed):
                self.unconfirmed_hooks = [hook[1] for hook in self.run_on_commit]
            self._forget_hooks()  # Django does after errors that it knows; else they would run with the next commit
            raise
        self.commits += 1

    def _rollback(self) -> None:
        try:
            super()._rollback()
        except BaseException:
            self._forget_hooks()
            raise

    def _forget_hooks(self) -> None:
        self.run_on_commit = []
        self.needs_rollback = False

    def run_unconfirmed_hooks(self) -> None:
        """Run the on_commit hooks of the last transaction that raised CommittedUnconfirmed, once."""
        hooks, self.unconfirmed_hooks = self.unconfirmed_hooks, []
        for hook in hooks:
            hook()

    # -- schema -------------------------------------------------------------------------------------------

    def schema_editor(self, *args: Any, **options: Any) -> Any:
        collects = options.get("collect_sql", args[0] if args else False)
        if not self.direct and not collects:  # sqlmigrate collects, and changes nothing
            raise UsageError(_NO_DDL, hint=_INSTEAD)
        return super().schema_editor(*args, **options)

    def prepare_database(self) -> None:
        if not self.direct:
            raise UsageError(f"{_NO_DDL} {_INSTEAD}")
        super().prepare_database()


_NO_DDL = (
    "migrations do not run through this backend: "
    "a schema change has to reach classic, Limitless and the mirrors at once."
)
_INSTEAD = (
    "Print it with `manage.py sqlmigrate`, apply it with `migrator schema apply`, then note it with `manage.py migrate "
    "--fake` on an alias with Django's own backend (docs/schema-changes.md)."
)
