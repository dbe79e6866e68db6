"""Everything at once, for as long as one likes: then both sides are equal, row by row.

Two servers, writers that use every way of writing, mirrors and copies as processes behind proxies; mirrors, copies,
servers and connections are killed, answers are lost, tenants are copied again. The oracle is independent of the product:
SQL of the tests compares the rows, and every writer remembers which of its rows were acknowledged.

    MIGRATOR_STRESS_S=600 MIGRATOR_STRESS_SEED=7 pytest -m slow tests/integration/dataplane/test_stress.py -s
"""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.db.connect import connect
from migrator.local.proxy import Proxy
from tests.fixtures.postgres import Servers
from tests.fixtures.shop import BELONGS, MIXES, Shop, new_shop, rows
from tests.fixtures.waiting import until
from tests.fixtures.world import PARTS
from tests.integration.dataplane.chaos import Chaos, Family, Net, striking
from tests.integration.dataplane.test_equality import TENANTS, write

pytestmark = [pytest.mark.pg]

ROUND_S = 20.0

SETTINGS = {
    "DateStyle": ["German", "SQL, DMY", "Postgres", "ISO"],
    "TimeZone": ["Asia/Kathmandu", "America/St_Johns", "UTC"],
    "IntervalStyle": ["sql_standard", "postgres_verbose"],
    "extra_float_digits": ["-15", "0", "3"],
    "bytea_output": ["escape", "hex"],
    "search_path": ["shop, public", "pg_temp", '""'],
    "standard_conforming_strings": ["on", "off"],
    "synchronous_commit": ["on", "on", "off"],
    "default_transaction_isolation": ["read committed", "read committed", "repeatable read", "serializable"],
}

MORE = [
    "MERGE INTO shop.purchase p USING (SELECT {b}::bigint AS id) s ON p.id = s.id WHEN MATCHED AND p.total > 5000 THEN DELETE"
    " WHEN MATCHED THEN UPDATE SET total = p.total + 1 WHEN NOT MATCHED THEN INSERT VALUES ({b}, {t}, {b} + 100000 * {t}, 1)",
    "WITH gone AS (DELETE FROM shop.line WHERE id BETWEEN {l} AND {l} + 3 RETURNING *)"
    " INSERT INTO shop.line SELECT id, purchase_id, sku || '!', tags FROM gone ON CONFLICT DO NOTHING",
    "DELETE FROM shop.remark r USING shop.line l WHERE l.id = r.line_id AND l.purchase_id = {a}",
    "DELETE FROM shop.tenant WHERE tenant_id = {u} AND random() < 0.1",  # cascades through everything
    "INSERT INTO shop.purchase SELECT {a} + g, {t}, {a} + g + 10000 * {t}, g FROM generate_series(0, 40) g ON CONFLICT DO NOTHING",
    "INSERT INTO shop.line SELECT {l} + row_number() OVER (), id, 'many' FROM shop.purchase WHERE tenant_id = {t} LIMIT 100"
    " ON CONFLICT DO NOTHING",
    "INSERT INTO shop.remark SELECT id, 1 + id % 3, 'on many' FROM shop.line WHERE id % 20 = {l} % 20 ON CONFLICT DO NOTHING",
    "INSERT INTO shop.tenant VALUES ({u}, 'again') ON CONFLICT (tenant_id) DO UPDATE SET name = shop.tenant.name || '.'",
    'UPDATE shop.purchase SET total = total + 1, note = note || \'{{"seen": [null, "é"]}}\' WHERE tenant_id = {t}',
    "UPDATE shop.purchase SET id = id + 5000 WHERE id = {a} AND NOT EXISTS (SELECT FROM shop.line WHERE purchase_id = {a})",
    "UPDATE shop.line SET purchase_id = {b} WHERE purchase_id = {a} AND EXISTS (SELECT FROM shop.purchase WHERE id = {b})",
    "UPDATE shop.line SET tags = ARRAY['a,b', NULL, '', '\"'] WHERE id % 50 = {a} % 50",
    "DELETE FROM shop.purchase WHERE id IN ({a}, {b})",
    "DO $$ BEGIN UPDATE shop.line SET sku = 'in a block' WHERE id = {l}; BEGIN DELETE FROM shop.remark; RAISE 'no';"
    " EXCEPTION WHEN raise_exception THEN NULL; END; END $$",
    "SET LOCAL session_replication_role = replica; UPDATE shop.purchase SET total = 5 WHERE id = {a};"
    " UPDATE shop.remark SET body = 'replica' WHERE line_id = {l}; SET LOCAL session_replication_role = origin",
    "UPDATE shop.purchase SET tenant_id = {t} WHERE tenant_id = {u} AND id % 7 = 0",
]


class Receipts:
    """What a writer was told is committed, in rows that nobody else touches."""

    def __init__(self, writer: int) -> None:
        self.next = 1_000_000 * (writer + 1)
        self.sure: dict[int, str] = {}
        self.doubtful: dict[int, set[str]] = {}
        """Written by a transaction whose end nobody was told."""

    def write(self, conn: psycopg.Connection[Any], r: random.Random) -> tuple[int, str]:
        """Insert a row, or change an old one; it counts once its transaction is acknowledged."""
        number, body = self.next, str(r.random())
        if self.sure and r.random() < 0.3:
            number = r.choice(list(self.sure))
        else:
            self.next += 1
        self.doubtful.setdefault(number, set()).add(body)
        conn.execute(
            "INSERT INTO shop.receipt VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body",
            (number, 1 + number % TENANTS, body),
        )
        return number, body

    def acknowledge(self, receipt: tuple[int, str]) -> None:
        self.sure[receipt[0]] = receipt[1]
        self.doubtful.pop(receipt[0], None)

    def forget(self, receipt: tuple[int, str]) -> None:
        """It was rolled back for certain."""
        self.doubtful.get(receipt[0], set()).discard(receipt[1])

    def settle(self, found: dict[int, str]) -> list[tuple[int, str]]:
        """Return what was acknowledged and is not in *found*; what was in doubt is known now."""
        missing = [
            (number, body)
            for number, body in self.sure.items()
            if found.get(number) not in {body, *self.doubtful.get(number, ())} - {None}
        ]
        self.sure.update({number: found[number] for number in self.doubtful if number in found})
        self.doubtful.clear()
        return missing


class Application:
    """Writers that outlive servers and connections."""

    def __init__(self, dsn: str, seed: int, count: int) -> None:
        self.dsn = dsn
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self.committed = 0
        self.refused: Counter[str] = Counter()
        self.receipts = [Receipts(n) for n in range(count)]
        self.threads = [threading.Thread(target=self._live, args=(n, seed * 100 + n)) for n in range(count)]

    def __enter__(self) -> Application:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _live(self, number: int, seed: int) -> None:
        r = random.Random(seed)
        while not self.stop.is_set():
            try:
                with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as conn:
                    chosen = {name: r.choice(values) for name, values in SETTINGS.items()}
                    for name, value in chosen.items():
                        conn.execute("SELECT set_config(%s, %s, false)", (name, value))
                    conn.execute("SET lock_timeout = '5s'")
                    self._resolve(conn, r, number)
                    for _ in range(r.randint(20, 300)):
                        if self.stop.is_set():
                            break
                        self._transaction(conn, r, number, durable=chosen["synchronous_commit"] == "on")
            except psycopg.OperationalError:
                self.stop.wait(0.05)  # the server is down, or the connection was lost
            except BaseException as error:
                self.errors.append(error)
                return

    def _resolve(self, conn: psycopg.Connection[Any], r: random.Random, number: int) -> None:
        """End what this writer had prepared when its connection was lost."""
        query = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, %s)"
        for (name,) in conn.execute(query, (f"stress_{number}_",)).fetchall():
            conn.execute(f"{r.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{name}'")

    def _transaction(self, conn: psycopg.Connection[Any], r: random.Random, number: int, *, durable: bool) -> None:
        mine = self.receipts[number]
        receipt: tuple[int, str] | None = None
        prepared = f"stress_{number}_{r.random()}" if r.random() < 0.05 else ""
        try:
            conn.execute("BEGIN")
            for _ in range(r.randint(1, 4)):
                conn.execute("SAVEPOINT s")
                self._statement(conn, r)
                conn.execute("ROLLBACK TO s" if r.random() < 0.2 else "RELEASE s")
            if durable and r.random() < 0.5:
                receipt = mine.write(conn, r)
            if r.random() < 0.1:
                conn.execute("ROLLBACK")
                if receipt is not None:
                    mine.forget(receipt)
                return
            if prepared:
                conn.execute(f"PREPARE TRANSACTION '{prepared}'")
                self.stop.wait(r.random() * 0.2)
                conn.execute(f"COMMIT PREPARED '{prepared}'")
            else:
                conn.execute("COMMIT")
        except psycopg.OperationalError as error:
            if conn.closed or error.sqlstate not in ("40P01", "40001", "55P03", "25P03"):
                raise
            self._refused(conn, error)
        except psycopg.Error as error:  # the application's own collision
            if error.sqlstate not in ("23505", "23503", "23001", "40001", "25P02", "23502"):
                raise
            self._refused(conn, error)
        else:
            self.committed += 1
            if receipt is not None:
                mine.acknowledge(receipt)

    def _refused(self, conn: psycopg.Connection[Any], error: psycopg.Error) -> None:
        self.refused[str(error.sqlstate)] += 1
        conn.execute("ROLLBACK")

    def _statement(self, conn: psycopg.Connection[Any], r: random.Random) -> None:
        if r.random() < 0.55:
            write(conn, r)
        elif r.random() < 0.1:
            first = r.randint(10_000, 10_300)
            with conn.cursor().copy("COPY shop.purchase (id, tenant_id, slot, total) FROM STDIN") as data:
                for n in range(first, first + 3):
                    data.write(f"{n}\t{r.randint(1, TENANTS)}\t{n + 1_000_000}\t1\n")
        else:
            a, b, line = r.randint(1, 700), r.randint(1, 700), r.randint(1, 1500)
            text = r.choice(MORE).format(a=a, b=b, l=line, t=r.randint(1, TENANTS), u=r.randint(1, TENANTS))
            conn.execute(text)


async def settle(shop: Shop, servers: Servers) -> int:
    """Finish what is prepared, let everything arrive, compare; returns the rows compared."""
    for machine in (servers.classic, servers.limitless):
        machine.start()
    for attribute, dsn in (("classic", servers.classic_dsn), ("limitless", servers.limitless_dsn)):
        getattr(shop, attribute).close()
        setattr(shop, attribute, connect(dsn, "test"))
    for n, (name,) in enumerate(shop.classic.execute("SELECT gid FROM pg_prepared_xacts").fetchall()):
        shop.classic.execute(f"{'COMMIT' if n % 2 else 'ROLLBACK'} PREPARED '{name}'")
    async with shop.mirrors():
        await shop.copy_all(60)
        await shop.caught_up(60)
    assert shop.differences() == {}
    found = sorted(shop.classic.execute("SELECT id, tenant_id, body FROM shop.receipt").fetchall())
    assert found == sorted(shop.limitless.execute("SELECT id, tenant_id, body FROM shop.receipt").fetchall())
    return len(found) + sum(len(rows(shop.classic, query)) for query in BELONGS.values())


async def stress(
    servers: Servers,
    proxy: Callable[[str], Proxy],
    log: Path,
    seed: int,
    seconds: float,
    pause_s: float,
    round_s: float,
) -> str:
    """Write and break for *seconds*, and look after every *round_s*; returns what happened, for a human."""
    classic, limitless = Net(proxy(servers.classic_dsn)), Net(proxy(servers.limitless_dsn))
    compared = rounds = 0
    keys = MIXES[seed % len(MIXES)]
    with new_shop(servers.classic_dsn, servers.limitless_dsn, receipts=True, keys=keys) as shop:
        await shop.start()
        family = Family(classic.proxy.dsn(servers.classic_dsn), limitless.proxy.dsn(servers.limitless_dsn), log)
        chaos = Chaos(servers, family, classic, limitless, seed)
        application = Application(servers.classic_dsn, seed, 3)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for part in range(PARTS + 1):
                family.start("mirror", str(part))
            family.start("copy")
            before = application.committed
            application.stop.clear()
            application.threads = [
                threading.Thread(target=application._live, args=(n, seed * 100_000 + rounds * 100 + n))
                for n in range(3)
            ]
            try:
                with application, striking(chaos, pause_s) as failed:
                    until_s = min(time.monotonic() + round_s, max(ends, time.monotonic() + 5))

                    async def over(until_s: float = until_s, failed: list[BaseException] = failed) -> bool:
                        return time.monotonic() > until_s or bool(failed or application.errors or family.broken)

                    await until(over, "the round ends", round_s + 60)
            finally:
                family.end()
            for error in (*failed, *application.errors):
                raise error
            assert family.broken == []
            compared += await settle(shop, servers)
            rounds += 1
            found = dict(shop.limitless.execute("SELECT id, body FROM shop.receipt").fetchall())
            for receipts in application.receipts:
                assert receipts.settle(found) == [], f"acknowledged, and not there (seed {seed}, round {rounds})"
            assert application.committed > before
        sure = sum(len(receipts.sure) for receipts in application.receipts)
    return (
        f"seed {seed}, keys {keys}: {seconds:.0f} s, {rounds} rounds, {application.committed} transactions committed,"
        f" {sure} receipts, {compared} rows compared, refused {dict(application.refused)}\n"
        f"  faults: {dict(chaos.done)}\n  answers lost: {dict(sorted(chaos.answers_lost().items()))}"
    )


async def test_a_short_storm(servers: Servers, proxy: Callable[[str], Proxy], tmp_path: Path) -> None:
    """One seed, a few seconds, faults in quick succession."""
    print(await stress(servers, proxy, tmp_path / "children.log", 1, 6, 0.3, 6))


@pytest.mark.slow
async def test_a_long_storm(servers: Servers, proxy: Callable[[str], Proxy], tmp_path: Path) -> None:
    """As long as MIGRATOR_STRESS_S says (default 120), from the seed MIGRATOR_STRESS_SEED."""
    seconds = float(os.environ.get("MIGRATOR_STRESS_S", "120"))
    seed = int(os.environ.get("MIGRATOR_STRESS_SEED", str(random.randrange(1000))))
    print(await stress(servers, proxy, tmp_path / "children.log", seed, seconds, 0.6, ROUND_S))
