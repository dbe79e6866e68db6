"""How much memory do a mirror and a copy take, whatever a statement touches and however wide the rows are?

Measured from outside, on processes of their own: the peak of their resident set.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.dataplane.capture.install import mark_dirty
from tests.fixtures.waiting import until
from tests.fixtures.world import PARTS, World, plan_of
from tests.integration.dataplane.processes import process

pytestmark = [pytest.mark.pg]

SCHEMA = """
CREATE SCHEMA big;
CREATE TABLE big.account (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, body text, n int NOT NULL DEFAULT 0);
CREATE TABLE big.entry (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES big.account, body text);
CREATE INDEX ON big.entry (account_id);
CREATE TABLE big.wide (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, plain text, packed bytea);
ALTER TABLE big.wide ALTER plain SET STORAGE EXTERNAL;
"""


@pytest.fixture
def big(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    """Empty tables on both sides."""
    plan = plan_of("big", tables={"big.entry": {"kind": "sharded", "via": "account_id -> big.account.id"}})
    with World.made(classic_dsn, limitless_dsn, plan, SCHEMA) as made:
        yield made


class Measured:
    """A process of the data plane."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child

    def peak_mb(self) -> float:
        """Its resident set's peak so far."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None, status
        return int(found[1]) / 1000

    def reset(self) -> None:
        """Begin to measure again."""
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def measured(big: World, *arguments: str) -> Iterator[Measured]:
    """A mirror or a copy with the limits it has in production."""
    with process(big, *arguments, batch_rows=big.options.batch_rows, batch_mb=big.options.batch_mb) as child:
        yield Measured(child)
        assert child.poll() is None, f"{arguments} ended by itself"


def equal(big: World, table: str, columns: str) -> None:
    """Both sides have the same rows: compared by their number and a hash of all, in key order."""
    query = f"SELECT count(*), md5(string_agg(md5(ROW({columns})::text), '' ORDER BY id)) FROM big.{table}"
    assert big.classic.execute(query).fetchone() == big.limitless.execute(query).fetchone()


async def copied(big: World) -> None:
    async with big.mirrors():
        await big.copy_all(120)
        await big.caught_up(60)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
@pytest.mark.slow
async def test_a_statement_that_touches_a_million_rows(big: World) -> None:
    """Then one that moves twenty thousand parents with a hundred thousand children to other tenants."""
    big.classic.execute(
        "INSERT INTO big.account SELECT 1 + g % 5, g, repeat(md5(g::text), 3) FROM generate_series(1, 1000000) g"
    )
    big.classic.execute(
        "INSERT INTO big.entry SELECT g, 1 + g % 20000, repeat(md5(g::text), 10) FROM generate_series(1, 100000) g"
    )
    await big.start()
    await copied(big)
    peaks = {}
    with measured(big, "mirror", "0,1,2") as mirrors:
        await big.caught_up(60)
        peaks["idle"] = mirrors.peak_mb()
        await asyncio.to_thread(big.classic.execute, "UPDATE big.account SET n = n + 1")
        await big.caught_up(300)
        peaks["a million rows"] = mirrors.peak_mb()
        mirrors.reset()
        moved = "UPDATE big.account SET tenant_id = 1 + (tenant_id + 1) % 5 WHERE id <= 20000"
        await asyncio.to_thread(big.classic.execute, moved)
        await big.caught_up(300)
        peaks["moved parents"] = mirrors.peak_mb()
    journal = big.classic.execute(
        "SELECT sum(pg_total_relation_size(oid)) / 1e6 FROM pg_class WHERE relname LIKE 'journal\\_%'"
    ).fetchone()
    assert journal is not None
    print({name: f"{peak:.0f} MB" for name, peak in peaks.items()}, f"journal {journal[0]:.0f} MB")

    equal(big, "account", "tenant_id, id, body, n")
    equal(big, "entry", "id, account_id, body")
    assert big.limitless.execute(
        "SELECT count(*) FROM big.entry e JOIN big.account a ON a.id = e.account_id WHERE a.tenant_id <> e.tenant_id"
    ).fetchone() == (0,)
    assert max(peaks.values()) < 300, peaks


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
@pytest.mark.slow
async def test_two_thousand_rows_of_a_megabyte(big: World) -> None:
    """Within the limit of rows, and two gigabytes of text."""
    await big.start()
    big.classic.execute("INSERT INTO big.wide VALUES (1, 0, 'x', 'x')")
    await copied(big)
    with measured(big, "mirror", "0,1,2") as mirrors:
        await big.caught_up(60)
        statement = "INSERT INTO big.wide SELECT 1, g, NULL, convert_to(repeat('ab', 262144), 'UTF8') FROM"
        await asyncio.to_thread(big.classic.execute, f"{statement} generate_series(1, 2000) g")
        await big.caught_up(300)
        peak = mirrors.peak_mb()
    print(f"{peak:.0f} MB")

    equal(big, "wide", "tenant_id, id, md5(plain), md5(packed)")
    assert peak < 400, peak


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
@pytest.mark.slow
async def test_values_of_fifty_megabytes(big: World) -> None:
    """Text stored plain and bytes stored packed: copied, mirrored, repaired."""
    big.classic.execute(
        "INSERT INTO big.wide SELECT g, g, repeat(md5(g::text), 1638400), convert_to(repeat('ab', 26214400), 'UTF8')"
        " FROM generate_series(1, 2) g"
    )
    await big.start()
    columns = "tenant_id, id, length(plain), md5(plain), length(packed), md5(packed)"
    with measured(big, "mirror", "0,1,2") as mirrors, measured(big, "copy") as copy:

        async def mirrored() -> bool:
            query = "SELECT count(*) FROM migrator.tenant WHERE state = 'mirrored'"
            return big.classic.execute(query).fetchone() == (2,)

        async def arrived() -> None:
            await until(mirrored, "the copy process has copied both tenants", 180)
            await big.caught_up(180)
            equal(big, "wide", columns)

        await arrived()
        peaks = {"copy": copy.peak_mb()}
        await asyncio.to_thread(big.classic.execute, "UPDATE big.wide SET plain = plain || 'x'")
        await arrived()
        peaks["mirror"] = mirrors.peak_mb()
        mirrors.reset()
        big.limitless.execute("DELETE FROM big.wide")
        mark_dirty(big.classic, big.table("big.wide"), [["1", "1"], ["2", "2"]], PARTS)
        await arrived()
        peaks["repair"] = mirrors.peak_mb()
    print({name: f"{peak:.0f} MB" for name, peak in peaks.items()})

    smallest = "SELECT least(min(length(plain)), min(length(packed))) >= 50 * 2^20 FROM big.wide"
    assert big.classic.execute(smallest).fetchone() == (True,)
    # A row of both is 160 MB as text, and two partitions work on one each.
    assert (peaks["copy"] < 600, peaks["mirror"] < 1800) == (True, True), peaks


async def test_a_batch_is_bounded_by_its_bytes(big: World) -> None:
    """A few wide rows are applied in chunks, narrow ones in one transaction; a row wider than the bound goes alone."""
    await big.start()
    big.classic.execute("INSERT INTO big.wide SELECT 1, g, 'x', 'x' FROM generate_series(1, 60) g")
    await copied(big)
    big.options = type(big.options)(batch_mb=0.5)
    async with big.mirrors():
        big.classic.execute("UPDATE big.wide SET packed = 'y'")
        await big.caught_up()
        assert big.fallbacks == []
        big.classic.execute("UPDATE big.wide SET plain = repeat('z', 2000000) WHERE id = 7")
        await big.caught_up()
        assert big.fallbacks == []
        big.classic.execute("UPDATE big.wide SET plain = repeat(md5(id::text), 1000)")
        await big.caught_up()
    assert {scope for scope, _ in big.fallbacks} == {""}
    equal(big, "wide", "tenant_id, id, plain, packed")


async def test_new_tenants_of_a_big_batch_are_made_known(big: World) -> None:
    """Whoever signs up in a statement that is applied in chunks is to be copied, too."""
    await big.start()
    big.classic.execute("INSERT INTO big.account SELECT 1, g, 'x' FROM generate_series(1, 300) g")
    await copied(big)
    big.options = type(big.options)(batch_rows=100)
    async with big.mirrors():
        with big.classic.transaction():
            big.classic.execute("UPDATE big.account SET n = n + 1")
            big.classic.execute("INSERT INTO big.account SELECT g, g, 'new' FROM generate_series(1000, 1400) g")
        await big.caught_up()
        known = big.classic.execute("SELECT count(*) FROM migrator.tenant WHERE tenant_id::int >= 1000").fetchone()
    assert known == (401,)
