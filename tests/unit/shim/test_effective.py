"""A tenant's level is the lowest of what applies to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrator.model.effective import Fallback, effective
from migrator.model.route import FallbackScope, Level, Route
from migrator.model.tenant import TenantId
from migrator.shim.view import Caps

LEVELS = st.sampled_from(list(Level))
LOWERED = st.sampled_from([Level.CLASSIC, Level.JOINING])
FALLBACKS = st.lists(
    st.one_of(
        st.builds(Fallback, st.just(FallbackScope.ALL), st.just(""), LOWERED, st.just(1)),
        st.builds(Fallback, st.just(FallbackScope.PART), st.sampled_from("012"), LOWERED, st.just(1)),
        st.builds(Fallback, st.just(FallbackScope.TENANT), st.sampled_from("ab"), LOWERED, st.just(1)),
    ),
    max_size=4,
    unique_by=lambda f: (f.scope, f.key),
)
ROUTES = st.builds(
    Route, st.sampled_from([TenantId("a"), TenantId("b")]), st.sampled_from([1, 2]), LEVELS, st.just(100), st.just(1)
)


@given(ROUTES, LEVELS, FALLBACKS)
def test_the_level_is_the_lowest_of_all_that_cover_the_tenant(
    route: Route, switch: Level, fallbacks: list[Fallback]
) -> None:
    level = effective(route, switch, fallbacks)

    covering = [f for f in fallbacks if f.covers(route.tenant_id, route.part)]
    bounds = [route.level, switch, *(f.level for f in covering)]
    assert level in bounds
    assert all(level.rank <= bound.rank for bound in bounds)


@given(ROUTES, LEVELS, FALLBACKS)
def test_the_indexed_form_in_the_shim_agrees(route: Route, switch: Level, fallbacks: list[Fallback]) -> None:
    assert Caps.of(switch, fallbacks).apply(route) is effective(route, switch, fallbacks)


@given(st.lists(ROUTES, unique_by=lambda route: route.tenant_id), LEVELS, FALLBACKS)
def test_partitions_wait_as_long_as_one_of_their_tenants_does(
    routes: list[Route], switch: Level, fallbacks: list[Fallback]
) -> None:
    wait = {route.part for route in routes if effective(route, switch, fallbacks).waits}

    mask = Caps.of(switch, fallbacks).waiting({route.tenant_id: route for route in routes})
    assert mask == sum(1 << part for part in wait)


def test_a_tenant_without_a_route_reads_classic() -> None:
    assert effective(None, Level.LIMITLESS, []) is Level.CLASSIC


def test_a_fallback_of_the_reference_partition_covers_everybody() -> None:
    route = Route(TenantId("a"), 2, Level.LIMITLESS, 100, 1)

    assert effective(route, Level.LIMITLESS, [Fallback(FallbackScope.PART, "0", Level.CLASSIC, 1)]) is Level.CLASSIC
    assert effective(route, Level.LIMITLESS, [Fallback(FallbackScope.PART, "1", Level.CLASSIC, 1)]) is Level.LIMITLESS
