"""Levels of acknowledgement: what has to be true when a write returns. Every level commits durably on classic."""

from __future__ import annotations

from enum import StrEnum

from migrator.errors import UsageError


class Ack(StrEnum):
    """What a write that returned promises about later reads. The strongest comes first."""

    EVERYWHERE = "everywhere"  # every later read of every process sees it: it waited for the mirror where that matters
    SESSION = "session"  # reads that are given its token see it: nothing was waited for
    NONE = "none"  # no read is promised to see it before `shim.max_lag_s` is over


def level(name: str) -> Ack:
    """Return the level called *name*.

    Raises:
        UsageError: there is none.
    """
    try:
        return Ack(name)
    except ValueError:
        raise UsageError(f"there is no level of acknowledgement {name!r}; there are {', '.join(Ack)}") from None
