"""Certificates are checked on the way to every server, and what is wrong with one is said once, with the side."""

from __future__ import annotations

import pytest
from psycopg import conninfo

from migrator.db.connect import connect, connect_async
from migrator.doctor.reach import Stage, reach
from migrator.errors import ClusterUnavailable
from migrator.model.side import Side
from migrator.shim.pool import PING, Pool
from migrator.shim.replica_pool import endpoint
from tests.fixtures.postgres import with_parts
from tests.fixtures.tls import NAME, TlsWorld

pytestmark = [pytest.mark.pg, pytest.mark.once]


def pool(dsn: str, side: Side = Side.CLASSIC) -> Pool:
    return Pool(side, dsn, "test", size=2, connect_timeout_s=60, silent_s=30)


async def test_a_verified_server_is_connected_to_by_tool_and_shim(tls: TlsWorld, classic_dsn: str) -> None:
    front = tls.postgres(classic_dsn)
    dsn = tls.verified(front, classic_dsn)

    with connect(dsn, "test", side="classic") as conn:
        assert conn.pgconn.ssl_in_use
    async with await connect_async(dsn, "test", side="classic") as other:
        assert other.pgconn.ssl_in_use
    lender = pool(dsn)
    link = lender.take(PING)
    assert link.conn.pgconn.ssl_in_use
    lender.give(link)
    lender.close()
    replica = endpoint(dsn, "test", 1, 5.0, "reader 1")
    assert replica.name == f"{NAME}:{front.port}"
    reader = replica.pool.connect()
    assert reader.conn.pgconn.ssl_in_use
    reader.close()
    assert len(front.heard) == 4 and front.refused == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("authority", "certificate verify failed"),
        ("name", "does not match host name"),
        ("expired", "certificate verify failed"),
        ("file", "does not exist"),
    ],
)
@pytest.mark.parametrize("way", ["tool", "shim"])
def test_a_wrong_certificate_is_one_error_that_names_the_side(
    tls: TlsWorld, limitless_dsn: str, wrong: str, said: str, way: str
) -> None:
    certificate = tls.authority.issue(NAME, days=-1) if wrong == "expired" else None
    if wrong == "name":
        certificate = tls.authority.issue("another.example")
    front = tls.postgres(limitless_dsn, certificate)
    dsn = tls.verified(front, limitless_dsn)
    if wrong == "authority":
        dsn = with_parts(dsn, sslrootcert=str(tls.stranger.path))
    if wrong == "file":
        dsn = with_parts(dsn, sslrootcert="/nowhere/rds.pem")

    with pytest.raises(ClusterUnavailable) as refused:
        connect(dsn, "test", side="Limitless") if way == "tool" else pool(dsn, Side.LIMITLESS).take(PING)

    text = str(refused.value)
    assert text.lower().startswith("limitless") and said in text and "\n" not in text
    assert "sslrootcert" in refused.value.hint
    assert str(conninfo.conninfo_to_dict(dsn)["password"]) not in text + refused.value.hint


def test_the_environment_names_the_bundle_for_everybody(
    tls: TlsWorld, classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the image has it: PGSSLROOTCERT, which libpq reads; a connection string's own goes before it."""
    front = tls.postgres(classic_dsn)
    dsn = front.dsn(classic_dsn, sslmode="verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(tls.authority.path))

    with connect(dsn, "test") as conn:
        assert conn.pgconn.ssl_in_use
    with pytest.raises(ClusterUnavailable, match="certificate verify failed"):
        connect(with_parts(dsn, sslrootcert=str(tls.stranger.path)), "test")


def test_doctor_says_where_it_stopped(tls: TlsWorld, classic_dsn: str) -> None:
    front = tls.postgres(classic_dsn)
    dsn = tls.verified(front, classic_dsn)

    found, conn = reach(lambda: dsn)
    assert conn is not None and found.stage is Stage.DONE
    conn.close()
    assert found.tls and found.named
    loose, conn = reach(lambda: with_parts(dsn, sslmode="verify-ca"))
    assert conn is not None and loose.verified and not loose.named
    conn.close()
    wrong, _ = reach(lambda: with_parts(dsn, sslrootcert=str(tls.stranger.path)))
    assert wrong.stage is Stage.TLS


def test_a_session_that_is_cut_is_replaced(tls: TlsWorld, classic_dsn: str) -> None:
    """The next taker has a new one, with its certificate checked again."""
    front = tls.postgres(classic_dsn)
    lender = pool(tls.verified(front, classic_dsn))
    lender.give(lender.take(PING))
    front.cut()

    link = lender.take(PING)

    assert link.conn.pgconn.ssl_in_use and len(front.heard) == 2
    lender.give(link)
    lender.close()
