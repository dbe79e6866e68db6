"""Chooses the side that answers a read. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.model.route import Level, WriteMode
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.view import REFERENCE_BIT, View


@dataclass(frozen=True, slots=True)
class Token:
    """Names one committed write: a read given it sees that write.

    Attributes:
        xid: its transaction on classic.
        parts: bit mask of the mirror partitions it touched.
        epoch, mark: the route epoch it saw, with its mark: the history of classic in which *xid* means something.
    """

    xid: int
    parts: int
    epoch: int = -1
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The side of one read. `part` is set when it is Limitless by route."""

    side: Side
    why: str
    part: int | None = None


def choose(view: View, tenant_id: TenantId, now_s: float, draw: float, after: Token | None = None) -> Choice:
    """Return the side for a read. *draw* is a random number from 0 to 1, for routes that move by percentage."""
    if view.write_mode is WriteMode.LIMITLESS_ONLY:
        return Choice(Side.LIMITLESS, "settled")
    if not view.valid(now_s):
        return Choice(Side.CLASSIC, "routes are stale")
    route = view.routes.get(tenant_id)
    if route is None:
        return Choice(Side.CLASSIC, "never moved")
    if view.caps.apply(route) is not Level.LIMITLESS:
        return Choice(Side.CLASSIC, "route" if route.level is not Level.LIMITLESS else "fallback")
    if draw * 100 >= route.reads_pct:
        return Choice(Side.CLASSIC, "percentage")
    if view.lagging & (1 << route.part | REFERENCE_BIT):
        return Choice(Side.CLASSIC, "the mirror lags")
    if after is not None and not (view.knows(after.epoch, after.mark) and not view.behind(after.xid, after.parts)):
        return Choice(Side.CLASSIC, "not there yet")
    return Choice(Side.LIMITLESS, "route", route.part)
