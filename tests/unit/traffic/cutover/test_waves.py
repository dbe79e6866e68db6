"""Waves: small tenants first, hot ones alone and last, nobody twice and nobody left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrator.model.tenant import TenantId, TenantSize, hot_tenants
from migrator.traffic.cutover.waves import WaveRules, all_waves, next_wave

RULES = WaveRules(sizes=(2, 3), hot_ratio=10.0, ramp_pct=(100,), hot_ramp_pct=(10, 100))


def sizes(*rows: int) -> list[TenantSize]:
    return [TenantSize(TenantId(f"t{i}"), n) for i, n in enumerate(rows)]


def everyone(tenants: list[TenantSize]) -> frozenset[TenantId]:
    return frozenset(t.tenant_id for t in tenants)


def test_small_tenants_go_first_and_the_last_size_repeats() -> None:
    tenants = sizes(50, 10, 30, 20, 40, 60, 45)

    waves = all_waves(1, tenants, everyone(tenants), RULES)

    assert [w.tenants for w in waves] == [("t1", "t3"), ("t2", "t4", "t6"), ("t0", "t5")]
    assert [w.number for w in waves] == [1, 2, 3]


def test_hot_tenants_come_last_one_by_one_and_ramp() -> None:
    tenants = sizes(10, 10, 10, 10, 5000, 900)

    waves = all_waves(1, tenants, everyone(tenants), RULES)

    assert [(w.tenants, w.hot, w.ramp_pct) for w in waves[-2:]] == [
        (("t5",), True, (10, 100)),
        (("t4",), True, (10, 100)),
    ]


def test_heat_is_judged_against_everybody_not_against_who_is_left() -> None:
    """The last tenants waiting are big compared with all, not with each other."""
    tenants = sizes(10, 10, 10, 5000, 6000)

    wave = next_wave(4, tenants, frozenset({TenantId("t3"), TenantId("t4")}), RULES)

    assert wave is not None
    assert (wave.tenants, wave.hot) == (("t3",), True)


def test_nobody_waits_means_no_wave() -> None:
    assert next_wave(1, sizes(1, 2), frozenset(), RULES) is None


def test_empty_tenants_are_not_hot() -> None:
    assert hot_tenants(sizes(0, 0, 0), 10.0) == {}


@given(st.lists(st.integers(0, 10**7), max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_every_tenant_is_in_exactly_one_wave(rows: list[int], counts: list[int]) -> None:
    tenants = sizes(*rows)
    rules = WaveRules(sizes=tuple(counts), hot_ratio=5.0)

    waves = all_waves(1, tenants, everyone(tenants), rules)

    assert sorted(t for w in waves for t in w.tenants) == sorted(everyone(tenants))
    assert [w.hot for w in waves] == sorted(w.hot for w in waves)


def test_a_hundred_thousand_tenants_are_planned() -> None:
    """In about a second, for `migrator tenant show` asks for all of them; a pass for each wave would outlast a test."""
    tenants = sizes(*range(1000, 101_000))
    orders = {TenantId(f"t{n}"): 1 + n % 500 for n in range(0, 100_000, 500)}

    waves = all_waves(1, tenants, everyone(tenants), WaveRules(sizes=(5, 25, 100), hot_ratio=1000.0), orders)

    assert sum(len(w.tenants) for w in waves) == 100_000


@given(
    st.lists(st.sampled_from([1, 5, 10, 10**6]), max_size=30),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.dictionaries(st.integers(0, 29).map(lambda n: TenantId(f"t{n}")), st.integers(1, 9), max_size=30),
    st.integers(1, 4),
)
def test_whatever_is_ordered_each_tenant_moves_once_and_no_wave_is_larger_than_the_plan_says(
    rows: list[int], places: list[int], orders: dict[TenantId, int], first: int
) -> None:
    """Nobody moves before its wave while others wait, and each wave is what `next_wave` chooses from those left."""
    tenants = sizes(*rows)
    rules = WaveRules(tuple(places), 10.0)
    hot = hot_tenants(tenants, rules.hot_ratio)

    waves = all_waves(first, tenants, everyone(tenants), rules, orders)

    assert sorted(t for w in waves for t in w.tenants) == sorted(everyone(tenants))
    waiting = everyone(tenants)
    for wave in waves:
        assert next_wave(wave.number, tenants, waiting, rules, orders) == wave
        assert wave.hot == any(t in hot for t in wave.tenants)
        assert len(wave.tenants) <= (1 if wave.hot else places[min(wave.number, len(places)) - 1])
        free = {t for t in waiting if orders.get(t, 0) <= wave.number}
        lowest = min((orders[t] for t in waiting if t in orders), default=0)
        for tenant in wave.tenants:
            assert tenant in free or (not free and orders[tenant] == lowest)
        due = [t for t in free if t in orders and t not in wave.tenants and t not in hot]
        assert not due or all(t in orders for t in wave.tenants), "a tenant that is due waits for others that are due"
        waiting = waiting - frozenset(wave.tenants)
