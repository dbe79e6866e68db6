"""Plans and files of the audit's cases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrator.plan.schema import Plan
from tests import ROOT

CASES = ROOT / "tests" / "cases"


@dataclass(frozen=True)
class Expected:
    name: str
    verdict: str | None
    why: str
    rules: frozenset[str]


def plan(tables: dict[str, Any], engine: str = "16.13-limitless") -> Plan:
    return Plan.model_validate(
        {
            "name": "case",
            "classic": {"writer": "env:CLASSIC"},
            "limitless": {"dsn": "env:LIMITLESS", "engine_version": engine},
            "tables": {"table": tables},
        }
    )


def verdict_plan(engine: str = "16.9-limitless") -> Plan:
    return plan(
        {
            "public.countries": {"kind": "reference"},
            "public.plans": {"kind": "reference"},
            "public.job_queue": {"kind": "standard"},
            "public.order_items": {"kind": "sharded", "via": "order_id -> public.orders.id"},
        },
        engine,
    )


def rules_plan(engine: str = "16.4-limitless") -> Plan:
    return plan(
        {
            "public.lookups": {"kind": "reference"},
            "public.codes": {"kind": "reference"},
            "public.archive": {"kind": "standard"},
        },
        engine,
    )


_LABEL = re.compile(r"-- name: (\S+)\n(?:-- expect: (\w+): (.*)\n)?(?:-- rules: (.*)\n)?")


def expected(path: Path) -> list[Expected]:
    """Return the labels of a file of statements, in order."""
    return [
        Expected(m[1], m[2], m[3] or "", frozenset((m[4] or "").split()) - {"-"})
        for m in _LABEL.finditer(path.read_text())
    ]
