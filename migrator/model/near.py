"""Suggests known names for one that does not exist. Pure; the one message for every unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 5
"""Names listed where none is near."""


def nearest(given: str, known: Iterable[str]) -> str | None:
    """Return the known name that *given* looks like, letter case aside; None when none does."""
    by_lower = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def unknown(what: str, given: Sequence[str], known: Sequence[str]) -> str:
    """Return the message about names that do not exist: each with what is near, else what there is.

    Args:
        what: the kind of thing, in the singular.
    """
    parts = []
    for name in given[:SHOWN]:
        near = nearest(name, known)
        parts.append(f"there is no {what} {name}" + (f"; did you mean {near}?" if near else ""))
    if len(given) > SHOWN:
        parts.append(f"and {len(given) - SHOWN} more are unknown")
    if known and not any("did you mean" in part for part in parts):
        more = ", …" if len(known) > SHOWN * 2 else ""
        parts.append(f"there are: {', '.join(known[: SHOWN * 2])}{more}")
    elif not known:
        parts.append("none is known yet")
    return "; ".join(parts)
