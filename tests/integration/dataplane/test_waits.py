"""A foreign key on Limitless may hold a partition back for good: classic lets a row refer to another tenant's, the key
there does not. Then everybody who asks is told what is waited for, for how long, and what ends it."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from migrator.control.status import collect
from migrator.decommission.facts import gather
from migrator.decommission.gate import decommission_verdict
from migrator.model.tenant import TenantId
from migrator.plan.tables import resolve_tables
from migrator.traffic.breaker.monitor import MonitorSettings, pass_once
from migrator.traffic.cutover import facts
from migrator.traffic.cutover.gate import GateLimits, reference_verdict, tenant_verdict
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from workflows.activities.gates import _positions

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

LIMIT_S = 30.0


@dataclass(frozen=True)
class Case:
    """*begin* stops a partition, *end* lets it go on; *said* is in what everybody is told."""

    begin: str
    end: str
    said: tuple[str, ...]
    reference: bool = False
    on_limitless: str = ""


ANOTHER_TENANT = (
    "shop.purchase (tenant_id, gift_of) refers by gift to shop.purchase (tenant_id, id)",
    "1 row (tenant 2)",
)

CASES = {
    "another tenant's row": Case(
        "INSERT INTO shop.purchase (id, tenant_id, gift_of) VALUES (9001, 2, 3)",
        "UPDATE shop.purchase SET gift_of = NULL WHERE id = 9001",
        (*ANOTHER_TENANT, "another tenant's row"),
    ),
    "a row that moved away": Case(
        "INSERT INTO shop.purchase (id, tenant_id) VALUES (9002, 2);"
        " INSERT INTO shop.purchase (id, tenant_id, gift_of) VALUES (9003, 2, 9002);"
        " UPDATE shop.purchase SET tenant_id = 1 WHERE id = 9002",
        "DELETE FROM shop.purchase WHERE id = 9003",
        ANOTHER_TENANT,
    ),
    "a tenant that does not follow": Case(
        "INSERT INTO shop.tenant VALUES (500, 'new'); INSERT INTO shop.purchase (id, tenant_id) VALUES (9004, 500);"
        " UPDATE shop.purchase SET gift_of = 9004 WHERE id = 3",
        "UPDATE shop.purchase SET gift_of = NULL WHERE id = 3",
        ("1 row (tenant 1)", "not mirrored"),
    ),
    "many": Case(
        "UPDATE shop.purchase SET gift_of = 4 WHERE id % 3 = 0 AND id <= 30",  # of tenant 1; the other is tenant 5's
        "UPDATE shop.purchase SET gift_of = NULL",
        ("10 rows (tenant 1)",),
    ),
    "a reference row that stays referred to": Case(
        "UPDATE shop.purchase SET total = 500000, currency = NULL WHERE id = 3; DELETE FROM shop.currency WHERE code = 'JPY'",
        "INSERT INTO shop.currency VALUES ('JPY', 1)",
        ("shop.purchase (currency) refers by currency to shop.currency (code)", "1 row (tenant 1)", "quarantined"),
        reference=True,
    ),
}


async def refers(shop: Shop) -> None:
    """Purchases that refer to others, on classic whoever's they are, and to currencies; Limitless has the keys too."""
    for side in (shop.classic, shop.limitless):
        side.execute("ALTER TABLE shop.purchase ADD gift_of bigint, ADD currency char(3)")
    shop.classic.execute("ALTER TABLE shop.purchase ADD FOREIGN KEY (gift_of) REFERENCES shop.purchase")
    shop.classic.execute("ALTER TABLE shop.purchase ADD FOREIGN KEY (currency) REFERENCES shop.currency")
    shop.classic.execute("UPDATE shop.purchase SET currency = 'JPY' WHERE id = 3")
    shop.tables = resolve_tables(shop.classic, shop.plan.tables)
    shop.options = replace(shop.options, wait_told_s=0.2)
    await shop.start()
    shop.classic.execute("UPDATE migrator.switch SET write_mode = 'dual'")


def keys(shop: Shop) -> None:
    shop.limitless.execute("ALTER TABLE shop.purchase ADD CONSTRAINT small CHECK (total < 100000)")
    for name, columns, to in (
        ("gift", "tenant_id, gift_of", "shop.purchase (tenant_id, id)"),
        ("currency", "currency", "shop.currency (code)"),
    ):
        shop.limitless.execute(
            f"ALTER TABLE shop.purchase ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {to}"
            " DEFERRABLE INITIALLY DEFERRED"
        )


def waits(shop: Shop) -> dict[int, str]:
    rows = shop.classic.execute("SELECT part, problem FROM migrator.position WHERE state = 'waiting'").fetchall()
    return {part: str(problem) for part, problem in rows}


def told(shop: Shop, part: int) -> dict[str, str]:
    """Everybody who asks, and what is answered."""
    shop.classic.execute(
        "UPDATE migrator.position SET fresh_at = fresh_at - interval '1 minute' WHERE part = %s", (part,)
    )
    limits = GateLimits(LIMIT_S, 1e9)
    tenant = shop.classic.execute("SELECT tenant_id FROM migrator.tenant WHERE part = %s", (max(part, 1),)).fetchone()
    assert tenant is not None
    shop.classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
        " VALUES (%s, %s, 'limitless', 1, 't', 't')",
        (tenant[0], max(part, 1)),
    )
    shop.classic.execute(
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, raised_at, epoch)"
        " VALUES ('part', %s, 'classic', 'x', 'monitor', now() - interval '1 hour', 1)",
        (str(part),),
    )
    status = collect(shop.classic)
    (fallen,) = pass_once(shop.classic, shop.limitless_dsn, MonitorSettings(fresh_s=LIMIT_S), status.at).open
    asked = tenant_verdict(facts.tenant_facts(shop.classic, [TenantId(tenant[0])])[0], limits)
    if part == 0:
        asked = reference_verdict(facts.reference_facts(shop.classic), limits)
    return {
        "status": "\n".join(line for line in status.blockers if line.startswith(f"mirror partition {part} ")),
        "mirror status": str(next(p.problem for p in status.parts if p.part == part)),
        "gate of a wave": "\n".join(asked.blockers),
        "gate of dual write": "\n".join(
            line for line in _positions(shop.classic, LIMIT_S) if f"partition {part} " in line
        ),
        "gate of the decommission": "\n".join(
            decommission_verdict(gather(shop.classic, True, "", LIMIT_S, 1e9)).blockers
        ),
        "breaker": fallen.why,
    }


@pytest.mark.parametrize("name", CASES)
async def test_a_wait_for_a_row_that_never_comes_is_told(shop: Shop, name: str) -> None:
    case = CASES[name]
    await refers(shop)
    async with shop.mirrors():
        await shop.copy_all()
        keys(shop)
        shop.classic.execute(case.begin)

        async def is_told() -> bool:
            return any(part == 0 for part in waits(shop)) if case.reference else bool(waits(shop))

        await until(is_told, "a partition says that it waits")
        part, problem = sorted(waits(shop).items())[0]
        answers = told(shop, part)
        shop.classic.execute("DELETE FROM migrator.fallback")
        shop.classic.execute(case.end)
        await until(_nobody(shop), "everything goes on")
        await shop.caught_up()

    for said in ("23503", " s because of a foreign key on Limitless", "DROP CONSTRAINT", *case.said):
        assert said in problem
        for who, answer in answers.items():
            assert said in answer, who
    assert "9001" not in problem, "no value of a row"
    assert not case.reference or part == 0


def _nobody(shop: Shop) -> Callable[[], Awaitable[bool]]:
    async def nobody() -> bool:
        return not waits(shop)

    return nobody
