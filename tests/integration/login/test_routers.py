"""Connections spread over the routers that a connection string names; one that is dead is passed over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrator.db.connect import connect, connect_async
from migrator.errors import ClusterUnavailable
from migrator.login import iam
from migrator.login.iam import IamToken
from migrator.login.parts import RANDOM_HOSTS, parts_of
from migrator.model.side import Side
from migrator.shim.pool import PING, Pool
from tests.fixtures.postgres import with_parts
from tests.fixtures.proxy import MakeProxy

pytestmark = [
    pytest.mark.pg,
    pytest.mark.once,
    pytest.mark.skipif(not RANDOM_HOSTS, reason="this libpq does not know load_balance_hosts"),
]

ENOUGH = 24
"""Connections of which none goes to one of two routers once in eight million runs."""


def through(dsn: str, ports: list[int], **parts: str) -> str:
    """*dsn* with the routers on *ports* as its hosts."""
    return with_parts(dsn, host=",".join("127.0.0.1" for _ in ports), port=",".join(map(str, ports)), **parts)


def by_tool(dsn: str) -> Callable[[], int]:
    def port() -> int:
        with connect(dsn, "test", side="Limitless") as conn:
            return conn.info.port

    return port


def by_shim(dsn: str) -> Callable[[], int]:
    pool = Pool(Side.LIMITLESS, dsn, "test", size=4, connect_timeout_s=60, silent_s=60)

    def port() -> int:
        link = pool.take(PING)
        found = link.conn.info.port
        pool.give(link, discard=True)
        return found

    return port


@pytest.mark.parametrize("way", [by_tool, by_shim])
async def test_connections_spread_and_a_dead_router_is_passed_over(
    proxy: MakeProxy, limitless_dsn: str, way: Callable[[str], Callable[[], int]]
) -> None:
    routers = [proxy(limitless_dsn), proxy(limitless_dsn)]
    ports = [one.port for one in routers]
    port = way(through(limitless_dsn, ports))

    assert {port() for _ in range(ENOUGH)} == set(ports)

    dead = 1  # nothing listens there
    port = way(through(limitless_dsn, [dead, *ports]))
    assert {port() for _ in range(ENOUGH)} == set(ports)
    routers[0].refuse()
    assert {way(through(limitless_dsn, ports))() for _ in range(8)} == {ports[1]}


async def test_what_the_string_says_counts(proxy: MakeProxy, limitless_dsn: str, classic_dsn: str) -> None:
    """load_balance_hosts is kept; and hosts of classic are tried in their order, as a failover list wants it."""
    first, second = proxy(limitless_dsn).port, proxy(limitless_dsn).port
    fixed = by_tool(through(limitless_dsn, [first, second], load_balance_hosts="disable"))
    assert {fixed() for _ in range(8)} == {first}
    async with await connect_async(through(limitless_dsn, [first]), "test", side="Limitless") as conn:
        assert conn.info.port == first

    writer, other = proxy(classic_dsn).port, proxy(classic_dsn).port
    for _ in range(8):
        with connect(through(classic_dsn, [writer, other]), "test", side="classic") as there:
            assert there.info.port == writer


def test_every_router_has_a_token_of_its_own(
    proxy: MakeProxy, limitless_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is signed for one host and port; a dead router is passed over with tokens, too."""
    password = str(parts_of(limitless_dsn)["password"])
    signed: list[int] = []

    class Signer:
        def generate_db_auth_token(self, *, Port: int, **_: str) -> str:
            signed.append(Port)
            return password

    monkeypatch.setattr(iam, "_clients", {})
    monkeypatch.setattr(iam, "_client", lambda region: Signer())
    alive = [proxy(limitless_dsn).port, proxy(limitless_dsn).port]
    source = IamToken(through(limitless_dsn, [1, *alive], sslmode="disable"))
    pool = Pool(Side.LIMITLESS, source, "test", size=4, connect_timeout_s=60, silent_s=60)

    seen = set()
    for _ in range(6):
        link = pool.take(PING)
        seen.add(link.conn.info.port)
        pool.give(link, discard=True)

    assert seen == set(alive) and set(signed) == {1, *alive}
    nowhere = IamToken(through(limitless_dsn, [1, 2]))
    nobody = Pool(Side.LIMITLESS, nowhere, "test", size=1, connect_timeout_s=2, silent_s=6)
    with pytest.raises(ClusterUnavailable, match="Connection refused"):
        nobody.take(PING)
    pool.close()
