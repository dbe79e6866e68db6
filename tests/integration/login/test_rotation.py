"""Passwords change while everything runs: sessions go on, new ones use what holds now, nothing is restarted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator import settings
from migrator.db.connect import connect, connect_async
from migrator.errors import ClusterUnavailable, UsageError
from migrator.login import iam
from migrator.model.side import Side
from migrator.shim import Shim, rds
from migrator.shim.pool import PING, Pool
from tests.fixtures.postgres import with_parts
from tests.fixtures.roles import PASSWORD, Roles
from tests.fixtures.shop import Shop
from tests.fixtures.tls import TlsWorld
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.fixtures.world import PARTS

pytestmark = [pytest.mark.pg, pytest.mark.once]


@dataclass
class Secret:
    """A role whose password changes, and the file that leads to it."""

    path: Path
    roles: Roles
    dsn: str
    password: str = PASSWORD

    @property
    def reference(self) -> str:
        return f"file:{self.path}"

    def write(self, **parts: str) -> None:
        self.path.write_text(conninfo.make_conninfo(self.dsn, **{"password": self.password, **parts}))

    def change(self, password: str, role: str = "rotated") -> None:
        """Change it on the server alone."""
        self.password = password
        with psycopg.connect(self.roles.classic_admin, autocommit=True) as admin:
            admin.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(self.roles.name(role)), sql.Literal(password)
                )
            )

    def end_sessions(self, role: str = "rotated") -> int:
        with psycopg.connect(self.roles.classic_admin, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = %s",
                (self.roles.name(role),),
            ).fetchall()
        return len(ended)


@pytest.fixture
def secret(roles: Roles, classic_dsn: str, tmp_path: Path) -> Secret:
    roles.on_classic("rotated", "LOGIN SUPERUSER")
    found = Secret(tmp_path / "Größe of the secret", roles, roles.dsn(classic_dsn, "rotated"))
    found.write()
    return found


def user_of(conn: psycopg.Connection[Any]) -> str:
    return str(conn.info.user)


async def test_a_connection_string_is_read_again_for_each_connection(secret: Secret) -> None:
    """The text that a worker resolved when it started leads to what holds now."""
    dsn = settings.resolve(secret.reference)
    with connect(dsn, "test", side="classic") as old:
        secret.change("another 'one' with spaces")
        secret.write()

        with connect(dsn, "test", side="classic") as new:
            assert new.execute("SELECT 1").fetchone() == (1,)
        async with await connect_async(dsn, "test") as other:
            assert other.info.user == user_of(old)
        assert old.execute("SELECT 1").fetchone() == (1,)


def test_a_refusal_is_an_error_only_when_the_secret_is_the_same_still(secret: Secret) -> None:
    """Between the change on the server and the one in the secret nobody can log in; the error says whose it is."""
    dsn = settings.resolve(secret.reference)
    secret.change("not yet in the file")

    with pytest.raises(ClusterUnavailable, match=r"classic .* refused the user or password") as refused:
        connect(dsn, "test", side="classic")
    assert "not yet in the file" not in f"{refused.value} {refused.value.hint}"

    secret.write()
    connect(dsn, "test", side="classic").close()


def test_a_file_that_is_being_replaced_stops_nobody(secret: Secret) -> None:
    """Empty or gone, or with half of its text: the last one is used, and the new one once it is whole."""
    dsn = settings.resolve(secret.reference)
    whole = secret.path.read_text()
    for text in ("", "\n"):
        secret.path.write_text(text)
        connect(dsn, "test").close()
        connect(settings.resolve(secret.reference), "test").close()
    secret.path.unlink()
    connect(dsn, "test").close()

    secret.path.write_text(whole.partition("password")[0])
    with pytest.raises(ClusterUnavailable):
        connect(dsn, "test")
    secret.path.write_text(whole)
    connect(dsn, "test").close()


def test_a_pool_takes_the_new_user_when_two_alternate(secret: Secret, roles: Roles) -> None:
    """The old one stays good for those who have it."""
    other = roles.on_classic("other", "LOGIN SUPERUSER")
    pool = Pool(Side.CLASSIC, rds.file(secret.path), "test", size=4, connect_timeout_s=60, silent_s=30)
    first = pool.take(PING)
    secret.write(user=other, password=PASSWORD)

    second = pool.take(PING)

    assert [link.conn.info.user for link in (first, second)] == [roles.name("rotated"), other]
    assert first.conn.execute("SELECT 1").fetchone() == (1,)
    for link in (first, second):
        pool.give(link)
    pool.close()


def test_a_pool_reconnects_with_the_new_password_after_a_kill(secret: Secret) -> None:
    pool = Pool(Side.CLASSIC, rds.file(secret.path), "test", size=4, connect_timeout_s=60, silent_s=30)
    pool.give(pool.take(PING))
    secret.change("new")
    assert secret.end_sessions() == 1
    with pytest.raises(ClusterUnavailable, match="refused the user or password"):
        pool.take(PING)

    secret.write()

    pool.give(pool.take(PING))
    pool.close()


def test_a_function_that_fails_says_nothing_of_what_it_knows() -> None:
    """An application's own function; its error may hold anything."""

    def broken() -> str:
        raise KeyError("hunter2")

    pool = Pool(Side.LIMITLESS, broken, "test", size=1, connect_timeout_s=2, silent_s=6)
    with pytest.raises(ClusterUnavailable) as failed:
        pool.take(PING)

    assert str(failed.value) == "limitless is unavailable: its connection string cannot be had (KeyError)"


def test_a_secret_that_cannot_be_had_makes_its_side_unavailable(tmp_path: Path) -> None:
    """So reads of Limitless fall back, as they do from a server that does not answer."""
    missing = rds.file(tmp_path / "missing")
    for source in (missing, rds.token(missing)):
        pool = Pool(Side.LIMITLESS, source, "test", size=1, connect_timeout_s=2, silent_s=6)
        with pytest.raises(
            ClusterUnavailable, match=r"limitless is unavailable: the file .*missing holds no connection"
        ):
            pool.take(PING)


# -- tokens ----------------------------------------------------------------------------------------------


class Tokens:
    """Plays the signing of tokens: the role's password is the token of the day, and yesterday's does not do."""

    def __init__(self, secret: Secret) -> None:
        self.secret, self.asked = secret, list[dict[str, Any]]()

    def generate_db_auth_token(self, **asked: Any) -> str:
        self.asked.append(asked)
        return self.secret.password


@pytest.fixture
def tokens(secret: Secret, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    found = Tokens(secret)
    monkeypatch.setattr(iam, "_clients", {})
    monkeypatch.setattr(iam, "_client", lambda region: found)
    return found


def without_password(dsn: str) -> str:
    parts = conninfo.conninfo_to_dict(dsn)
    return conninfo.make_conninfo(**{k: str(v) for k, v in parts.items() if k != "password"})


async def test_each_connection_has_a_token_of_its_own(tokens: Tokens, secret: Secret, tls: TlsWorld) -> None:
    """Over TLS, checked: a token is a password. Those that are connected go on when it has expired."""
    front = tls.postgres(secret.dsn)
    secret.path.write_text(without_password(tls.verified(front, secret.dsn)))
    dsn = settings.resolve(f"rds-iam:file:{secret.path}")
    pool = Pool(Side.CLASSIC, rds.token(rds.file(secret.path)), "test", size=4, connect_timeout_s=60, silent_s=30)
    with connect(dsn, "test") as old:
        held = pool.take(PING)
        for day in range(3):
            secret.change(f"token {day}")  # what was signed before is refused from now on
            with connect(dsn, "test") as new:
                assert new.pgconn.ssl_in_use
            async with await connect_async(dsn, "test") as other:
                assert other.pgconn.ssl_in_use
            pool.give(pool.take(PING), discard=True)
        assert old.execute("SELECT 1").fetchone() == held.conn.execute("SELECT 1").fetchone() == (1,)
        pool.give(held)
    pool.close()
    assert {(asked["DBHostname"], asked["Port"]) for asked in tokens.asked} == {("localhost", front.port)}


def test_a_token_that_expires_on_the_way_is_made_once_more(tokens: Tokens, secret: Secret, monkeypatch: Any) -> None:
    dsn = settings.resolve(f"rds-iam:file:{secret.path}")
    signed = iter(["stale", "stale", PASSWORD])
    monkeypatch.setattr(tokens, "generate_db_auth_token", lambda **_: next(signed))
    with pytest.raises(ClusterUnavailable):
        connect(dsn, "test")  # as often as that, and no more: it may be the role that is wrong

    signed = iter(["stale", PASSWORD])
    connect(dsn, "test").close()


# -- while everything runs -------------------------------------------------------------------------------


@pytest.fixture
def rotated(shop: Shop, roles: Roles, tmp_path: Path) -> Iterator[Secret]:
    """The secret of a role that works on the shop's classic."""
    roles.on_classic("rotated", "LOGIN SUPERUSER")
    secret = Secret(tmp_path / "dsn", roles, roles.dsn(shop.classic_dsn, "rotated"))
    secret.write()
    yield secret
    shop.classic.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(roles.name("rotated"))))


async def test_nothing_stops_while_a_secret_is_rotated(shop: Shop, rotated: Secret, roles: Roles) -> None:
    """Mirrors follow, an application writes through its shim, and both users alternate, then one user's password
    changes. No write fails, no mirror ends, and what connects afterwards uses what holds then."""
    other = roles.on_classic("other", "LOGIN SUPERUSER")
    shop.classic_dsn = settings.resolve(rotated.reference)
    await shop.start()
    written: list[int] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def write(shim: Shim) -> None:
        try:
            while not stop.wait(0.01):
                with shim.write("1") as w:
                    number = 10_000 + len(written)
                    insert = "INSERT INTO shop.purchase (id, tenant_id, slot) VALUES (%s, 1, %s)"
                    w.connection.execute(insert, (number, number))
                written.append(number)
        except BaseException as error:
            failed.append(error)

    def more(count: int = 10) -> None:
        then = len(written) + count
        eventually(lambda: failed or len(written) >= then, "the application writes")
        assert not failed

    async with shop.mirrors() as mirrors:
        await shop.copy_all()
        with Shim(rds.file(rotated.path), shop.limitless_dsn, "rotation") as shim:
            writer = threading.Thread(target=write, args=(shim,), daemon=True)
            writer.start()
            try:
                await asyncio.to_thread(more)
                rotated.write(user=other, password=PASSWORD)
                await asyncio.to_thread(more)
                with connect(shop.classic_dsn, "test") as new:
                    assert user_of(new) == other
                await shop.caught_up()
                rotated.change("only the user that alternates now", "other")
                rotated.write(user=other)
                await asyncio.to_thread(more)
                with connect(shop.classic_dsn, "test") as new:
                    assert user_of(new) == other
            finally:
                stop.set()
                writer.join(TIMEOUT_S)
        await shop.caught_up()
        assert not any(mirror.done() for mirror in mirrors) and len(mirrors) == PARTS + 1
    assert not failed
    assert shop.differences() == {}


def test_what_is_no_reference_to_a_secret_is_named(tmp_path: Path) -> None:
    for text in ("rds-iam:", "rds-iam:nothing", "rds-iam://host/db", "postgresql://u:hunter2@h/d"):
        with pytest.raises(UsageError) as wrong:
            settings.resolve(text)
        assert "hunter2" not in str(wrong.value)
    with pytest.raises(UsageError, match="holds a password"):
        settings.resolve("rds-iam://user:hunter2@host/db")
    assert with_parts("", host="x")
