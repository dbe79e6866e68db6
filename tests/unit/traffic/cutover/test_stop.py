"""What stops a cutover until a person says go on, and what does not."""

from __future__ import annotations

from migrator.model.facts import RolledBack
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.traffic.cutover.stop import details, hold


def back(tenant: str, wave: int = 1, who: str = "guard") -> RolledBack:
    return RolledBack(TenantId(tenant), wave, who, "because")


def held(*rolled_back: RolledBack, switch: Level = Level.LIMITLESS) -> str:
    return hold(switch, "ana", "drill", rolled_back, "guard", max_failed=2)[0]


def test_a_rollback_of_everybody_stops_it() -> None:
    assert held(switch=Level.CLASSIC) == "all reads were rolled back by ana: drill"
    assert held(switch=Level.JOINING), "half-way forward is not forward"


def test_any_rollback_by_hand_stops_it() -> None:
    assert held(back("a", who="ana")) == "1 tenant rolled back by ana: because"
    assert held(back("a", 3, "ana"), back("b", 3, "ana")) == "wave 3 rolled back by ana: because"


def test_the_guard_may_roll_back_a_few_per_wave() -> None:
    assert held(back("a"), back("b"), back("c", 2), back("d", 2)) == ""
    assert held(back("a"), back("b"), back("c")) == "wave 1 was rolled back: 3 tenants exceeded limits on Limitless"


def test_details_are_bounded() -> None:
    lines = details([back(f"t{i}") for i in range(50)])

    assert len(lines) == 21 and lines[-1] == "… 50 tenants in all"
