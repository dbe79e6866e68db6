"""Runs traffic on the shop, and says at the end whether a read missed what had been acknowledged.

    python -m examples.sqlalchemy CLASSIC_DSN LIMITLESS_DSN [--seconds 60] [--think 0.1] [TENANT ...]

Without --seconds it ends with its input (Ctrl-D). The ledger goes to stdout as JSON; the exit code is 1 when a read
missed something.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from examples.sqlalchemy.shop import Shop
from examples.sqlalchemy.traffic import Ledger, Traffic
from migrator.shim import Shim
from migrator.sqlalchemy import ShimSessions


def main(words: Sequence[str]) -> int:
    """Return 1 when a read missed what had been acknowledged."""
    parser = argparse.ArgumentParser(
        "python -m examples.sqlalchemy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("classic")
    parser.add_argument("limitless")
    parser.add_argument("tenants", nargs="*", default=["a", "b", "c"])
    parser.add_argument("--seconds", type=float, help="without it: until its input ends")
    parser.add_argument("--think", type=float, default=0.1, help="seconds between two things that a user does")
    given = parser.parse_args(words)
    with Shim(given.classic, given.limitless, "example-sqlalchemy") as shim:
        shop = Shop(ShimSessions(shim))
        users = [Traffic(shop, tenant, number, given.think) for number, tenant in enumerate(given.tenants)]
        for user in users:
            user.start()
        if given.seconds is None:
            sys.stdin.read()
        else:
            time.sleep(given.seconds)
        for user in users:
            user.stop()
        for user in users:
            user.join()
    for user in users:
        if user.error is not None:
            raise user.error
    told = as_told([user.ledger for user in users])
    print(json.dumps(told))
    return int(bool(told["missed"]))


def as_told(ledgers: Sequence[Ledger]) -> dict[str, Any]:
    """Return ledgers as JSON has them: orders that were acknowledged, and ids of those nobody can be sure of."""
    orders = [item for ledger in ledgers for item in ledger.orders.items()]
    return {
        "acknowledged": [
            [entry.tenant, str(key), entry.state, {sku: f"{price:.2f}" for sku, price in entry.items.items()}]
            for key, entry in orders
            if not entry.doubt
        ],
        "doubtful": [str(key) for key, entry in orders if entry.doubt],
        "writes": sum(ledger.writes for ledger in ledgers),
        "reads": sum(ledger.reads for ledger in ledgers),
        "refused": sum(ledger.refused for ledger in ledgers),
        "missed": [text for ledger in ledgers for text in ledger.missed],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
