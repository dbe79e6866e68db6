"""A migration that 0.1.0 began goes on after the upgrade whatever phase it is in, while the application writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest

from migrator.control.install import VERSION
from tests.fixtures.waiting import eventually
from tests.integration.upgrade.catalog import catalog, different
from tests.integration.upgrade.earlier import HISTORIES, Earlier, version
from tests.integration.upgrade.shim_of_0_1_0 import OldShim

pytestmark = [pytest.mark.pg, pytest.mark.once]

PHASES = ("audit", "provision", "dual_write", "cutover", "stabilize")
_DONE = "INSERT INTO migrator.phase (phase, state, finished_at) VALUES (%s, 'done', now())"
_RUNS = "INSERT INTO migrator.phase (phase, state) VALUES (%s, 'running')"


def at(old: Earlier, phase: str) -> None:
    """Have 0.1.0 be in *phase*: it was recorded in the middle of the cutover."""
    if phase in ("audit", "provision"):
        _before_capture(old, phase)
    elif phase == "dual_write":
        _tenant_1_is_not_copied_yet(old)
    elif phase == "stabilize":
        old.classic.execute("UPDATE migrator.route SET level = 'limitless', epoch = 8")
        old.classic.execute("UPDATE migrator.switch SET epoch = 8")
        old.classic.execute("DELETE FROM migrator.fallback")
        old.classic.execute("UPDATE migrator.phase SET state = 'done', finished_at = now() WHERE phase = 'cutover'")
        old.classic.execute(_RUNS, ("stabilize",))


def _before_capture(old: Earlier, phase: str) -> None:
    """The control schema alone, as that release installed it, and on Limitless none yet."""
    row = old.classic.execute("SELECT plan_id, digest, body, shim FROM migrator.plan").fetchone()
    assert row is not None
    with old.classic.transaction():
        old.classic.execute("SET LOCAL migrator.ddl = 'allowed'")
        old.classic.execute("DROP SCHEMA migrator CASCADE")
        old.classic.execute((HISTORIES / "control_v1_schema.sql").read_bytes())
    old.classic.execute("INSERT INTO migrator.installed (version) VALUES (1)")
    old.classic.execute(
        "INSERT INTO migrator.plan (plan_id, digest, body, shim) VALUES (%s, %s, %s, %s)",
        (row[0], row[1], json.dumps(row[2]), json.dumps(row[3])),
    )
    if phase == "provision":
        old.classic.execute(_DONE, ("audit",))
    old.classic.execute(_RUNS, (phase,))
    for table in ("mirror_position", "mirrored", "copy_lease"):
        old.limitless.execute(f"DELETE FROM migrator.{table}".encode())


def _tenant_1_is_not_copied_yet(old: Earlier) -> None:
    old.classic.execute("DELETE FROM migrator.phase WHERE phase = 'cutover'")
    old.classic.execute("UPDATE migrator.phase SET state = 'running', finished_at = NULL WHERE phase = 'dual_write'")
    old.classic.execute("DELETE FROM migrator.route")
    old.classic.execute("DELETE FROM migrator.fallback")
    old.classic.execute("UPDATE migrator.tenant SET state = 'pending' WHERE tenant_id = '1'")
    old.classic.execute("UPDATE migrator.copy_unit SET state = 'pending' WHERE unit_id = 'unit-00002'")
    old.limitless.execute("DELETE FROM migrator.mirrored WHERE tenant_id = '1'")
    old.limitless.execute("DELETE FROM migrator.copy_lease WHERE unit_id = 'unit-00002'")
    for table in ("remark", "line", "purchase", "visit", "tenant"):
        old.limitless.execute(f"DELETE FROM shop.{table} WHERE tenant_id = 1".encode())


@contextmanager
def plain(dsn: str) -> Iterator[Callable[[], int]]:
    """An application before dual write: it writes, and knows nothing of any of it."""
    stop, written = threading.Event(), [0]

    def work() -> None:
        with psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=60s") as conn:
            while not stop.wait(0.005):
                number = 7_000 + written[0]
                conn.execute("INSERT INTO shop.purchase (id, tenant_id) VALUES (%s, %s)", (number, 1 + number % 6))
                written[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: written[0]
    finally:
        stop.set()
        thread.join()


@contextmanager
def with_shim(dsn: str) -> Iterator[Callable[[], int]]:
    """A process with the shim of 0.1.0, no statement of which may wait for the upgrade's end."""
    with OldShim(dsn) as app:
        yield lambda: len(app.written)
    assert app.problems == []


def traffic(old: Earlier, phase: str) -> AbstractContextManager[Callable[[], int]]:
    return (plain if phase in ("audit", "provision") else with_shim)(old.shop.classic_dsn)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_migration_goes_on_in_its_phase(old: Earlier, phase: str) -> None:
    at(old, phase)
    phases = old.classic.execute("SELECT phase, state FROM migrator.phase ORDER BY phase").fetchall()
    routes = old.classic.execute("SELECT tenant_id, level, wave FROM migrator.route ORDER BY 1").fetchall()
    assert (phase, "running") in phases

    with traffic(old, phase) as written:
        eventually(lambda: written() > 5, "the application writes")
        done = old.operator("upgrade", "--yes")
        seen = written()
        eventually(lambda: written() > seen + 5, "and goes on afterwards")
        status = old.operator("status", "--json")
        if phase in ("audit", "provision"):
            assert old.operator("provision", "--verify").code in (0, 3), "it is of this version, and can be asked"
            await old.shop.start()
        async with old.shop.mirrors():
            await old.shop.copy_all()
            await old.shop.caught_up()
    async with old.shop.mirrors():
        await old.shop.caught_up()

    assert done.code == 0 and status.code == 0, (done.err, status.err)
    assert version(old.classic) == version(old.limitless) == VERSION
    assert status.json["phase"] == phase
    assert old.classic.execute("SELECT phase, state FROM migrator.phase ORDER BY phase").fetchall() == phases
    assert old.classic.execute("SELECT tenant_id, level, wave FROM migrator.route ORDER BY 1").fetchall() == routes
    if phase not in ("audit", "provision"):
        assert different(catalog(old.classic), catalog(old.fresh)) == {}
    assert old.differences() == {}
