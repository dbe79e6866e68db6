"""An application that owns nothing: through provisioning, dual write, cutover, rollback, and after classic is gone."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.control.grants import grant
from migrator.control.tables import captured_tables
from migrator.decommission import attempt as tries
from migrator.decommission import drain, hand_over, run, write_stop
from migrator.local.process import free_port
from migrator.model.route import FallbackScope, WriteMode
from migrator.model.tenant import TenantId
from migrator.provision.apply import provision
from migrator.rights.check import check
from migrator.shim import Shim
from migrator.shim.breaker import State
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.roles import Roles
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, eventually, until
from tests.integration.traffic.world import CALM

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

PATIENT = replace(CALM, open_s=600.0)
T1 = TenantId("1")


def put(number: int) -> Any:
    return lambda w: w.connection.execute(
        "INSERT INTO shop.purchase (id, tenant_id, mood) VALUES (%s, 1, 'ok')", (number,)
    )


def got(number: int) -> Any:
    """Return the side that answered, and how many such rows there are."""

    def read(r: Any) -> tuple[str, int]:
        row = r.connection.execute("SELECT count(*) FROM shop.purchase WHERE tenant_id = 1 AND id = %s", (number,))
        return str(r.side), row.fetchone()[0]

    return read


async def test_an_application_that_owns_nothing(shop: Shop, roles: Roles) -> None:
    web = roles.on_classic("web")
    for right in ("USAGE ON SCHEMA", "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA"):
        shop.classic.execute(sql.SQL("GRANT {} shop TO {}").format(sql.SQL(right), sql.Identifier(web)))
    grant(shop.classic, web)
    keeper = roles.on_classic("keeper", "NOLOGIN")
    shop.classic.execute(sql.SQL("GRANT ALL ON SCHEMA shop TO {}").format(sql.Identifier(keeper)))
    shop.classic.execute(sql.SQL("ALTER TABLE shop.purchase OWNER TO {}").format(sql.Identifier(keeper)))
    (_, missing) = check(shop.classic, shop.limitless, ["shop"])
    assert missing.startswith(f"role {web} exists on classic and not on Limitless")
    provision(shop.classic, shop.limitless, shop.tables, shop.plan)
    roles.allow_login("web")
    assert check(shop.classic, shop.limitless, ["shop"]) == ()

    await shop.start()
    mine = roles.dsn(shop.classic_dsn, "web"), roles.dsn(shop.limitless_dsn, "web")
    async with shop.mirrors():
        await shop.copy_all()
        write_mode(shop.classic, WriteMode.DUAL, who="test", reason="test")
        await asyncio.to_thread(_while_it_migrates, shop, mine)
        snapshot, number = await _closed(shop)
    assert shop.differences() == {}
    drain.close_positions(shop.limitless, snapshot)
    hand_over.hand_over(
        shop.classic, shop.limitless, number, list(captured_tables(shop.classic).values()), 60.0,
        lambda: write_mode(shop.classic, WriteMode.LIMITLESS_ONLY, who="test", reason="test"),
    )  # fmt: skip
    assert run.settle(shop.classic, shop.limitless, shop.plan, number).done
    owner = shop.limitless.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'purchase'").fetchone()
    assert owner == (keeper,), "the tool gives it to its owner when it changes it no more"

    gone = conninfo.make_conninfo(mine[0], host="127.0.0.1", port=str(free_port()))
    with Shim(gone, mine[1], "web-2") as shim:
        shim.run_write("1", put(9003))
        assert shim.run_read("1", got(9003)) == ("limitless", 1)
        with pytest.raises(psycopg.errors.UndefinedTable):
            shim.run_read("1", lambda r: r.connection.execute("SELECT FROM shop.nothing"))  # classic is not asked
    late = roles.on_limitless("later")
    with (
        Shim(gone, roles.dsn(shop.limitless_dsn, "later"), "job") as shim,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema shop"),
    ):
        shim.run_read("1", got(9003))
    with closing(psycopg.connect(roles.dsn(shop.limitless_dsn, "later"))) as conn:
        for table in ("mirror_position", "mirrored", "copy_lease", "provisioned"):
            row = conn.execute("SELECT has_table_privilege(%s, %s, 'SELECT')", (late, f"migrator.{table}")).fetchone()
            assert row == (False,)


def _while_it_migrates(shop: Shop, mine: tuple[str, str]) -> None:
    with Shim(*mine, "web-1", settings=PATIENT) as shim:
        shim.run_write("1", put(9001))
        assert shim.run_read("1", got(9001)) == ("classic", 1)
        assert promote_reads(shop.classic, tenants=[T1], who="test", reason="test", timeout_s=TIMEOUT_S).done
        eventually(lambda: shim.run_read("1", got(9001)) == ("limitless", 1), "reads come from limitless")
        shim.run_write("1", put(9002))
        assert shim.run_read("1", got(9002)) == ("limitless", 1)

        role = str(conninfo.conninfo_to_dict(mine[1])["user"])
        shop.limitless.execute(sql.SQL("REVOKE SELECT ON shop.purchase FROM {}").format(sql.Identifier(role)))
        (named,) = check(shop.classic, shop.limitless, ["shop"])
        assert named.startswith(f"role {role} may SELECT shop.purchase on classic and not on Limitless")
        for _ in range(6):
            assert shim.run_read("1", got(9002)) == ("classic", 1), "nobody sees an error"
        assert shim._breakers.states()[FallbackScope.ALL, ""] is State.OPEN
        provision(shop.classic, shop.limitless, shop.tables, shop.plan)
        assert check(shop.classic, shop.limitless, ["shop"]) == ()

        done = roll_back(shop.classic, tenants=[T1], who="ana", reason="test", timeout_s=TIMEOUT_S)
        assert (done.changed, done.complete) == (1, True)
        assert shim.run_read("1", got(9002)) == ("classic", 1)


async def _closed(shop: Shop) -> tuple[Any, int]:
    """Close writes and wait until every mirror has the last one."""

    def shut() -> tuple[Any, int]:
        number = tries.begin(shop.classic, "ana")
        tables = list(captured_tables(shop.classic).values())

        def set_closed() -> int:
            return write_mode(shop.classic, WriteMode.CLOSED, who="test", reason="test")

        return write_stop.close_writes(shop.classic, number, tables, set_closed, lambda _: None, TIMEOUT_S), number

    snapshot, number = await asyncio.to_thread(shut)

    async def reached() -> bool:
        return not drain.behind(shop.limitless, snapshot)

    await until(reached, "every mirror has the last write")
    return snapshot, number
