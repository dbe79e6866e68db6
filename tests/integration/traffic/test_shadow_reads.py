"""Shadow reads against real mirrors: no false alarm under writes on the same rows, and what is planted is found."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from migrator.control import samples, shadow_reads
from migrator.control.grants import grant, lacking
from migrator.model.route import WriteMode
from migrator.model.tenant import TenantId
from migrator.shim import Settings, ShadowDiffered, Shim
from migrator.shim.shadow import Comparison, Verdict
from migrator.testing import Heard
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.postgres import Machines
from tests.fixtures.roles import Roles
from tests.fixtures.shop import Shop, copy_of_shop, new_shop
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.fixtures.world import apart

pytestmark = [pytest.mark.pg, pytest.mark.once]

SETTINGS = Settings(poll_s=0.1, staleness_s=60.0, max_lag_s=600.0, shadow_ratio=1.0)
TENANT = TenantId("2")

# Toggles between two states: what was read first comes back, so that comparing classic with itself proves nothing.
TOGGLES = (
    "UPDATE shop.purchase SET total = CASE total WHEN 1 THEN 2 ELSE 1 END WHERE tenant_id = 2 AND id % 2 = 1",
    "UPDATE shop.line SET sku = CASE sku WHEN 'a' THEN 'b' ELSE 'a' END WHERE purchase_id IN (13, 25, 241)",
    "UPDATE shop.currency SET rate = CASE rate WHEN 1 THEN 2 ELSE 1 END WHERE code = 'EUR'",
    "UPDATE shop.purchase SET tenant_id = CASE tenant_id WHEN 2 THEN 5 ELSE 2 END WHERE id = 241",
)


@pytest.fixture
def copied(machines: Machines) -> Iterator[Shop]:
    async def copy(shop: Shop) -> None:
        await shop.start()
        async with shop.mirrors():
            await shop.copy_all()
            write_mode(shop.classic, WriteMode.DUAL, who="test", reason="test")

    def build(classic_dsn: str, limitless_dsn: str) -> None:
        with new_shop(classic_dsn, limitless_dsn) as shop:
            apart(copy(shop))

    with copy_of_shop(machines, "copied for shadow reads", build) as made:
        yield made


def purchases(read: Any) -> object:
    return read.connection.execute(
        "SELECT p.id, p.total, l.sku, c.rate FROM shop.purchase p LEFT JOIN shop.line l ON l.purchase_id = p.id"
        " CROSS JOIN shop.currency c WHERE p.tenant_id = %s ORDER BY 1, 3, 4",
        (2,),
    ).fetchall()


def everybody(read: Any) -> object:
    return read.connection.execute("SELECT tenant_id, sum(total) FROM shop.purchase GROUP BY 1 ORDER BY 1").fetchall()


@contextmanager
def writing(dsn: str, *statements: str) -> Iterator[None]:
    """Run *statements* over and over, each by a session of its own."""
    stop, failed = threading.Event(), list[BaseException]()

    def write(statement: str) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as conn:
                while not stop.is_set():
                    conn.execute(statement)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(statement,)) for statement in statements]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed


def compare(
    shim: Shim, fn: Callable[[Any], object], tenant: TenantId = TENANT, *, at_rest: bool = False
) -> Verdict | None:
    """The verdict of one comparison. At rest it waits for the mirror, which brings over what was written before."""
    assert shim._shadow is not None
    closing = threading.Event()
    if not at_rest:
        closing.set()  # no wait and no rest between tries: more of them
    return Comparison(shim._shadow._ask, shim._evidence(), tenant, fn).run(TIMEOUT_S, closing)


async def test_writes_on_the_same_rows_are_no_difference(copied: Shop) -> None:
    """Rows that change there and back, a parent that moves there and back, the reference table too."""
    found: Counter[Verdict | None] = Counter()

    def look(at_rest: bool) -> list[Verdict | None]:
        with Shim(copied.classic_dsn, copied.limitless_dsn, "web", settings=SETTINGS) as shim:
            turns = 1 if at_rest else 8
            return [compare(shim, fn, at_rest=at_rest) for _ in range(turns) for fn in (purchases, everybody)]

    def look_beside_writes() -> None:
        with writing(copied.classic_dsn, *TOGGLES):
            found.update(look(at_rest=False))

    async with copied.mirrors():
        await asyncio.to_thread(look_beside_writes)
        await copied.caught_up()
        at_rest = await asyncio.to_thread(look, at_rest=True)

    assert found[Verdict.DIFFERENT] == 0 and found[None] == 0
    assert at_rest == [Verdict.SAME] * 2


async def test_a_row_that_differs_is_found_beside_writes_of_others(copied: Shop) -> None:
    """And kept: by its statement, with the tenant, without a value."""
    heard = Heard()

    def noticed(shim: Shim) -> bool:
        shim.run_read(TENANT, purchases)
        with suppress(AssertionError):  # one that was held up for too long is undecided
            eventually(lambda: "shadow.differed" in heard.names(), timeout_s=20)
        return "shadow.differed" in heard.names()

    def look() -> None:
        copied.limitless.execute("UPDATE shop.purchase SET total = 4711 WHERE tenant_id = 2 AND id = 13")
        with Shim(copied.classic_dsn, copied.limitless_dsn, "web", heard, settings=SETTINGS) as shim:
            with writing(copied.classic_dsn, "UPDATE shop.purchase SET total = total + 1 WHERE tenant_id = 8"):
                eventually(lambda: noticed(shim), "the difference is noticed")
            shim.run_read(TENANT, lambda read: read.connection.execute("SELECT 1 WHERE %s = 2", (2,)).fetchall())

    async with copied.mirrors():
        await asyncio.to_thread(look)

    (event,) = [e for e in heard.events if isinstance(e, ShadowDiffered)]
    assert "4711" not in event.statement + event.seen and "shop.purchase" in event.statement
    samples.fold(copied.classic)
    lines = {line.fingerprint: line for line in shadow_reads.summary(copied.classic, 3600)}
    assert lines[event.fingerprint].differing == 1 and lines[event.fingerprint].tenants == (str(TENANT),)
    assert [line.differing for name, line in lines.items() if name != event.fingerprint] == [0]


async def test_what_limitless_alone_refuses_is_a_difference(copied: Shop) -> None:
    copied.classic.execute("CREATE FUNCTION shop.twice(n numeric) RETURNS numeric LANGUAGE sql AS 'SELECT n * 2'")

    def twice(read: Any) -> object:
        return read.connection.execute("SELECT shop.twice(total) FROM shop.purchase WHERE tenant_id = 2").fetchall()

    def look() -> Verdict | None:
        with Shim(copied.classic_dsn, copied.limitless_dsn, "web", settings=SETTINGS) as shim:
            return compare(shim, twice, at_rest=True)

    async with copied.mirrors():
        assert await asyncio.to_thread(look) is Verdict.DIFFERENT


@pytest.mark.parametrize(
    "what",
    [
        "UPDATE migrator.tenant SET state = 'quarantined' WHERE tenant_id = '2'",
        "UPDATE migrator.tenant SET recopy = 'test' WHERE tenant_id = '2'",
        "INSERT INTO migrator.schema_change (kind, table_name, name, words, body, changed_by)"
        " VALUES ('add_column', 'shop.line', 'x', '', '{}', 'test')",
        "INSERT INTO migrator.capture_loss (problems, noticed_by) VALUES ('{test}', 'test')",
        "DELETE FROM migrator.position WHERE part = 0",
    ],
)
def test_a_tenant_that_does_not_follow_is_not_compared(copied: Shop, what: str) -> None:
    """Nothing mirrors here: Limitless holds what it held, and differs as much as it likes."""
    copied.limitless.execute("DELETE FROM shop.purchase WHERE tenant_id = 2")
    with Shim(copied.classic_dsn, copied.limitless_dsn, "web", settings=SETTINGS) as shim:
        begun = shim._evidence().begin(TENANT)
        assert begun is not None
        copied.classic.execute(what.encode())
        assert not shim._evidence().unchanged(begun, everything=False) or "position" in what
        assert compare(shim, purchases) is None


def test_a_change_that_no_mirror_has_brought_over_proves_nothing(copied: Shop) -> None:
    """Of this tenant, of a reference table, of an unknown tenant; another tenant's matters where all rows are read."""
    with Shim(copied.classic_dsn, copied.limitless_dsn, "web", settings=SETTINGS) as shim:
        evidence = shim._evidence()

        def proves(statement: str, *, everything: bool = False) -> bool:
            begun = evidence.begin(TENANT)
            assert begun is not None
            copied.classic.execute(statement.encode())
            return evidence.unchanged(begun, everything=everything)

        assert proves("SELECT 1") and proves("SELECT 1", everything=True)
        others = "UPDATE shop.purchase SET total = 3 WHERE tenant_id = 8"
        assert proves(others)
        assert not proves(others, everything=True)
        assert not proves("UPDATE shop.purchase SET total = 3 WHERE tenant_id = 2 AND id = 13")
        # From here on an earlier change is one that Limitless still lacks.
        assert not proves("SELECT 1")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE shop.currency SET rate = 9 WHERE code = 'EUR'", "UPDATE shop.remark SET number = 9001 WHERE number = 7"],
)
def test_a_change_that_may_be_anybodys_proves_nothing(copied: Shop, statement: str) -> None:
    with Shim(copied.classic_dsn, copied.limitless_dsn, "web", settings=SETTINGS) as shim:
        begun = shim._evidence().begin(TENANT)
        assert begun is not None
        copied.classic.execute(statement.encode())
        assert not shim._evidence().unchanged(begun, everything=False)


def test_entries_that_were_emptied_meanwhile_prove_nothing(copied: Shop) -> None:
    """A ring's slot may be emptied between the two looks, and with it the key that would have told."""
    with Shim(copied.classic_dsn, copied.limitless_dsn, "web", settings=SETTINGS) as shim:
        begun = shim._evidence().begin(TENANT)
        assert begun is not None
        copied.classic.execute("UPDATE shop.purchase SET total = 3 WHERE tenant_id = 2 AND id = 13")
        for (name,) in copied.classic.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent::regclass::text LIKE 'migrator.journal%'"
        ).fetchall():
            copied.classic.execute(f"TRUNCATE {name}")
        assert not shim._evidence().unchanged(begun, everything=False)


def test_an_applications_role_may_ask_and_keep_what_it_found(copied: Shop, roles: Roles) -> None:
    """And nobody else: a role without the right compares nothing, and says nothing."""
    role = roles.on_classic("app")
    copied.classic.execute(f"GRANT USAGE ON SCHEMA migrator TO {role}")
    with psycopg.connect(roles.dsn(copied.classic_dsn, "app"), autocommit=True) as conn:
        for function in ("shadow_begin('2')", "shadow_unchanged('2', '{}', '{}', false)", "journal_files()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"SELECT migrator.{function}")
        grant(copied.classic, role)
        assert conn.execute("SELECT migrator.shadow_begin('2') IS NOT NULL").fetchone() == (True,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT migrator.journal_files()")
    copied.classic.execute(f"REVOKE EXECUTE ON FUNCTION migrator.shadow_begin(text) FROM {role}")
    assert lacking_of(copied, role) == ["EXECUTE on shadow_begin"]


def lacking_of(shop: Shop, role: str) -> list[str]:
    return lacking(shop.classic).get(role, [])
