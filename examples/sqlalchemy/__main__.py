"""Runs traffic on the shop: python -m examples.sqlalchemy CLASSIC_DSN LIMITLESS_DSN [SECONDS] [TENANT ...]"""

from __future__ import annotations

import sys
import time

from examples.sqlalchemy.shop import Shop
from examples.sqlalchemy.traffic import Traffic
from migrator.shim import Shim
from migrator.sqlalchemy import ShimSessions


def main(classic: str, limitless: str, seconds: str = "10", *tenants: str) -> int:
    """Return 1 when a read missed what had been acknowledged."""
    with Shim(classic, limitless, "example-sqlalchemy") as shim:
        shop = Shop(ShimSessions(shim))
        users = [Traffic(shop, tenant, number) for number, tenant in enumerate(tenants or ("a", "b", "c"))]
        for user in users:
            user.start()
        time.sleep(float(seconds))
        for user in users:
            user.stop()
        for user in users:
            user.join()
            told = user.ledger
            print(
                f"{user.name}: {told.writes} writes, {told.reads} reads, {told.refused} refused, missed: {told.missed}"
            )
            if user.error is not None:
                raise user.error
    return int(any(user.ledger.missed for user in users))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
