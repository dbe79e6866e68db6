"""Orders for short tests against the servers of the run."""

from __future__ import annotations

from typing import Any

from migrator.load.arrivals import Pattern, steps
from migrator.load.orders import Orders
from migrator.load.workload import Parameter, Source, Statement, Transaction

READ = Transaction("read", 1, (Statement("SELECT $1::int + 1", (Parameter(Source.INTEGER, (1, 9)),)),))


def orders(reference: str, rates: list[float], seconds: float, **more: Any) -> Orders:
    """Orders for one process, whose connection string an environment variable has."""
    values: dict[str, Any] = {
        "side": "classic",
        "process": 0,
        "processes": 1,
        "connections": 4,
        "storm": False,
        "windows": steps(rates, seconds),
        "pattern": Pattern.EVEN,
        "seed": 1,
        "transactions": (READ,),
        "tenants": (None,),
    }
    return Orders(reference=reference, **{**values, **more})
