"""The example's ledger, and its program. tests/workflow/test_flavours.py migrates it under its users."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal

import pytest

from examples.sqlalchemy import __main__ as command
from examples.sqlalchemy.shop import DDL
from examples.sqlalchemy.traffic import Entry, Ledger, wrong
from tests.fixtures.postgres import Machines
from tests.fixtures.world import build, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

PLAN = plan_of("shop")
TENANTS = ("a", "Größe 1", "select")


def test_its_ledger_finds_what_was_lost() -> None:
    keys = [uuid.uuid4() for _ in range(4)]
    one = {"a": Decimal(1)}
    ledger = Ledger({key: Entry("t", one) for key in keys[:2]} | {keys[2]: Entry("t", one, doubt=True)})
    good = [(key, "open", Decimal(1), one) for key in keys[:3]]

    assert wrong(ledger, good) == wrong(ledger, good[:2]) == []
    assert len(wrong(ledger, good[1:])) == 1
    assert len(wrong(ledger, [*good, (keys[3], "open", Decimal(1), one)])) == 1
    assert len(wrong(ledger, [(keys[0], "paid", Decimal(1), one), *good[1:]])) == 1
    assert len(wrong(ledger, [(keys[0], "open", Decimal(2), one), *good[1:]])) == 1
    assert len(wrong(ledger, [(keys[0], "open", Decimal(1), {}), *good[1:]])) == 1


def test_it_runs_as_a_program(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    dsns = machines.new_pair("example", lambda classic, limitless: build(classic, limitless, PLAN, DDL))
    assert command.main([*dsns, *TENANTS, "--seconds", "0.5", "--think", "0"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missed"] == [] and {tenant for tenant, *_ in told["acknowledged"]} == set(TENANTS)
    machines.drop_pair(dsns)
