"""However large a tenant and however much of it differs: counts are exact, names and memory are bounded."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from migrator.consistency.run import STORED_PER_RUN
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

# In a process of its own, so that its memory is the validation's and nobody else's.
PROBE = """
import asyncio, json, os, pathlib
from migrator.consistency.run import validate
report = asyncio.run(validate(os.environ["CLASSIC"], os.environ["LIMITLESS"], sample=10**6))
# Not getrusage: its maximum survives exec, so it would be the test run's own.
peak = next(l for l in pathlib.Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
print(json.dumps({
    "rss_mb": int(peak.split()[1]) / 1024,
    "rows": report.rows, "divergent": report.divergent_rows, "named": len(report.sample),
    "kinds": {k: sum(d.kind.value == k for d in report.sample) for k in ("missing", "extra", "mismatched")},
    "seconds": report.seconds,
}))
"""


async def probe(shop: Shop) -> dict[str, Any]:
    environment = {**os.environ, "CLASSIC": shop.classic_dsn, "LIMITLESS": shop.limitless_dsn}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("rows", [150_000])
async def test_a_huge_tenant_takes_no_more_memory(shop: Shop, rows: int) -> None:
    """A fifth of one tenant's rows differ: every one is counted, ten thousand are named, in less than 200 MB."""
    shop.classic.execute(
        "INSERT INTO shop.purchase (id, tenant_id, slot, total)"
        " SELECT 10000 + g, 1, 10000 + g, g FROM generate_series(1, %s) g",
        (rows,),
    )
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all(timeout_s=300)
        shop.limitless.execute(
            "UPDATE shop.purchase SET total = total + 1 WHERE tenant_id = 1 AND id > 10000 AND id % 10 = 0"
        )
        shop.limitless.execute("DELETE FROM shop.purchase WHERE tenant_id = 1 AND id > 10000 AND id % 10 = 5")
        found = await probe(shop)
        shop.limitless.execute("DELETE FROM shop.purchase WHERE tenant_id = 1 AND id > 10000")
        lost = await probe(shop)
        stored = shop.classic.execute("SELECT count(*) FROM migrator.divergence GROUP BY run_id").fetchall()

    assert found["divergent"] == rows // 5
    assert found["named"] == min(STORED_PER_RUN, rows // 5)
    assert lost["divergent"] == rows, "a range that is lost as a whole is counted without being fetched"
    assert lost["named"] == STORED_PER_RUN and lost["kinds"]["missing"] == STORED_PER_RUN
    assert max(found["rss_mb"], lost["rss_mb"]) < 200
    assert all(count <= STORED_PER_RUN for (count,) in stored)
