"""Connection strings that are read again for each new connection.

A password is changed while the tool runs, a token lives for minutes: what was read once must not be kept. A `Dsn` is
text like any other, and knows its source; who opens a connection with it asks the source again (`Login`). Sessions
that are open go on: PostgreSQL asks for a password at the start only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from migrator.errors import MigratorError

if TYPE_CHECKING:
    import psycopg  # a command that shows its help has no use for it

REFUSED = frozenset({"28P01", "28000"})
"""invalid_password, invalid_authorization_specification"""


class Source:
    """Gives a connection string each time it is called.

    Attributes:
        hosts: how many calls in a row of what `begin` returns give different servers; each has to be tried before the
            side is unreachable.
        asks_others: a call may wait for another machine.
        keeps: what it gave last may be used when it can give nothing now, for it may well be right.
    """

    hosts: int = 1
    asks_others: bool = False
    keeps: bool = True

    def __call__(self) -> str:
        """Return a connection string for one new connection.

        Raises:
            MigratorError: it cannot be had; the text holds no secret.
        """
        raise NotImplementedError  # each kind of source gives its own

    def begin(self) -> Callable[[], str]:
        """Return what gives the connection strings for the tries of one connection, whatever others ask meanwhile."""
        return self

    def forget(self) -> None:
        """Read again on the next call, past what was kept: a server has refused it."""


class Given(Source):
    """What an application gives to its shim: a text, or a function that returns one for each connection."""

    def __init__(self, given: Callable[[], str]) -> None:
        self._given = given
        self.asks_others = True

    def __call__(self) -> str:
        return self._given()


class Fixed(Source):
    """A connection string that stays."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self) -> str:
        return self._text


class Dsn(str):
    """A connection string as its source gave it a moment ago."""

    source: Source

    @classmethod
    def of(cls, source: Source) -> Self:
        """Return what *source* gives now. Raises as it does."""
        found = cls(source())
        found.source = source
        return found


def source_of(dsn: str | Callable[[], str]) -> Source:
    """Return where *dsn* comes from: its source, a function that gives it, or itself."""
    if isinstance(dsn, Source):
        return dsn
    if isinstance(dsn, Dsn):
        return dsn.source
    return Fixed(dsn) if isinstance(dsn, str) else Given(dsn)


class Login:
    """The tries to open one connection: what to use now, and what after a refusal.

    login = Login(dsn)
    text = login.text()
    while True:
        try:
            return psycopg.connect(text)
        except psycopg.Error as error:
            if (text := login.after(error)) is None:
                raise
    """

    def __init__(self, dsn: str | Callable[[], str]) -> None:
        self._source = source_of(dsn)
        self._give = self._source.begin()
        self._last = str(dsn) if isinstance(dsn, str) else ""
        self._hosts_left = 0
        self._asked_again = False

    @property
    def asks_others(self) -> bool:
        """Whether `text` and `after` may wait for another machine."""
        return self._source.asks_others

    def text(self) -> str:
        """Return the connection string to use.

        Raises:
            MigratorError: it cannot be had, and no earlier one may still be right.
        """
        try:
            self._last = str(self._give())
            self._hosts_left = self._source.hosts - 1
        except MigratorError:
            # The source is away for a moment, or a file is being replaced. If the secret is another one by now, the
            # server says so.
            if not (self._last and self._source.keeps):
                raise
        return self._last

    def after(self, error: psycopg.Error) -> str | None:
        """Return what to try after *error*; None when there is nothing else.

        A login that was refused is tried once more if the source gives another one now: it was changed meanwhile. That
        is asked in no language: servers translate their refusals, and libpq says whether a password was used.
        """
        if refused_login(error) and not self._asked_again:
            self._asked_again = True
            self._source.forget()
            return self._another()
        if self._hosts_left > 0:
            self._hosts_left -= 1
            return self._another()
        return None

    def _another(self) -> str | None:
        try:
            found = str(self._give())
        except MigratorError:
            return None  # the refusal says more
        if found == self._last:
            return None
        self._last = found
        return found


def refused_login(error: psycopg.Error) -> bool:
    """Return whether a server refused who we say we are: a password was asked for, or used, and did not do."""
    if error.sqlstate in REFUSED:
        return True
    pgconn = error.pgconn
    return pgconn is not None and bool(pgconn.used_password or pgconn.needs_password)
