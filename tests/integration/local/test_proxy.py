"""The fault proxy does to a connection what networks do."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from temporalio.client import Client

from migrator.local.proxy import Faults, Link, Proxy
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = pytest.mark.pg

Make = Callable[[str], Proxy]


def test_bytes_pass_unchanged(proxy: Make, classic_dsn: str) -> None:
    """Without faults a session through the proxy is like any other."""
    way = proxy(classic_dsn)
    with psycopg.connect(way.dsn(classic_dsn)) as conn:
        found = conn.execute("SELECT repeat('x', 1000000), 42").fetchone()

    assert found == ("x" * 1_000_000, 42)
    assert way.accepted == 1


def test_reset_all_ends_open_sessions_and_no_others(proxy: Make, classic_dsn: str) -> None:
    """Connections that are open die at once; the next one works."""
    way = proxy(classic_dsn)
    conn = psycopg.connect(way.dsn(classic_dsn))

    way.reset_all()

    with pytest.raises(psycopg.OperationalError):
        conn.execute("SELECT 1")
    conn.close()
    psycopg.connect(way.dsn(classic_dsn)).close()


def test_refuse_and_accept(proxy: Make, classic_dsn: str) -> None:
    """While refusing, nobody gets in; afterwards the same port answers."""
    way = proxy(classic_dsn)
    way.cut_off()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(way.dsn(classic_dsn))

    way.clear_faults()

    psycopg.connect(way.dsn(classic_dsn)).close()


def test_stall_keeps_sockets_open_and_loses_nothing(proxy: Make, classic_dsn: str) -> None:
    """A stalled network answers nothing; resumed, it delivers what was sent meanwhile."""
    way = proxy(classic_dsn)
    with psycopg.connect(way.dsn(classic_dsn), autocommit=True) as conn, ThreadPoolExecutor(1) as pool:
        way.stall()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(way.dsn(classic_dsn), connect_timeout=2)
        answer = pool.submit(lambda: conn.execute("SELECT 42").fetchone())
        with pytest.raises(TimeoutError):
            answer.result(0.3)

        way.resume()

        assert answer.result(TIMEOUT_S) == (42,)
    way.reset_all()  # the client that gave up may not have hung up yet, and would hold its session for a minute


def test_delay(proxy: Make, classic_dsn: str) -> None:
    """A slow network makes every round trip slower by twice the delay."""
    way = proxy(classic_dsn)
    with psycopg.connect(way.dsn(classic_dsn), autocommit=True) as conn:
        way.delay(0.05)
        began = time.monotonic()
        conn.execute("SELECT 1")

        assert time.monotonic() - began >= 0.1


def test_the_answer_to_commit_is_lost(proxy: Make, classic_dsn: str) -> None:
    """The client loses its connection, the row is there, and the next session is unharmed."""
    way = proxy(classic_dsn)
    with psycopg.connect(classic_dsn, autocommit=True) as direct:
        direct.execute("CREATE TABLE t (id int PRIMARY KEY)")
        conn = psycopg.connect(way.dsn(classic_dsn))
        conn.execute("INSERT INTO t VALUES (1)")
        way.lose_reply_to(b"COMMIT")
        with pytest.raises(psycopg.OperationalError):
            conn.commit()
        conn.close()

        assert way.lost.is_set()
        assert direct.execute("SELECT id FROM t").fetchall() == [(1,)]
        with psycopg.connect(way.dsn(classic_dsn)) as again:
            again.execute("INSERT INTO t VALUES (2)")


def test_a_result_is_cut_in_the_middle(proxy: Make, classic_dsn: str) -> None:
    """The connection dies while rows are being fetched."""
    way = proxy(classic_dsn)
    way.cut_after(200_000)
    with pytest.raises(psycopg.OperationalError), psycopg.connect(way.dsn(classic_dsn)) as conn:
        conn.execute("SELECT repeat('x', 1000) FROM generate_series(1, 1000)")


def test_one_connection_may_have_faults_of_its_own(proxy: Make, classic_dsn: str) -> None:
    """A hook that knows the application name breaks one program and spares the others."""
    way = proxy(classic_dsn)

    def break_mirror(link: Link) -> None:
        if link.application == "mirror":
            link.faults = Faults(cut_after=0)

    way.on_link = break_mirror
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(way.dsn(classic_dsn), application_name="mirror")
    psycopg.connect(way.dsn(classic_dsn), application_name="shim").close()


@pytest.mark.temporal
async def test_it_serves_temporal_as_well(proxy: Make, temporal_address: str) -> None:
    """gRPC passes through; a client notices nothing."""
    client = await Client.connect(proxy(temporal_address).address)

    assert await client.service_client.check_health()
