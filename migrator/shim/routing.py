"""Chooses the side that answers a read. Pure."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from migrator.model.route import Level, WriteMode
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.token import SessionToken, Token
from migrator.shim.view import REFERENCE_BIT, View

__all__ = ["Choice", "Token", "choose"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The side of one read. `part` is set when it is Limitless by route."""

    side: Side
    why: str
    part: int | None = None


SETTLED = Choice(Side.LIMITLESS, "settled")
STALE, NEVER_MOVED, ROUTE, FALLBACK, PERCENTAGE, LAGS, NOT_THERE = (
    Choice(Side.CLASSIC, why)
    for why in (
        "routes are stale", "never moved", "route", "fallback", "percentage", "the mirror lags", "not there yet",
    )
)  # fmt: skip


@functools.cache
def _to_limitless(part: int) -> Choice:
    return Choice(Side.LIMITLESS, "route", part)


def moved(view: View, tenant_id: TenantId) -> bool:
    """Return whether a read may go to Limitless at all: `choose` may say so. What it says no to reads classic."""
    route = view.routes.get(tenant_id)
    return (route is not None and route.level is Level.LIMITLESS) or view.write_mode is WriteMode.LIMITLESS_ONLY


def choose(view: View, tenant_id: TenantId, now_s: float, draw: float, after: SessionToken | None = None) -> Choice:
    """Return the side for a read. *draw* is a random number from 0 to 1, for routes that move by percentage."""
    if view.write_mode is WriteMode.LIMITLESS_ONLY:
        return SETTLED
    if not view.valid(now_s):
        return STALE
    route = view.routes.get(tenant_id)
    if route is None:
        return NEVER_MOVED
    if view.caps.apply(route) is not Level.LIMITLESS:
        return ROUTE if route.level is not Level.LIMITLESS else FALLBACK
    if draw * 100 >= route.reads_pct:
        return PERCENTAGE
    if view.lagging & (1 << route.part | REFERENCE_BIT):
        return LAGS
    if after is not None and after.missing(view, route.part):
        return NOT_THERE
    return _to_limitless(route.part)
