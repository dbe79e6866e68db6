"""Numbers of things in words: "1 tenant is", "2 tenants are", "0 tenants are"."""

from __future__ import annotations


def counted(number: float, one: str, many: str = "") -> str:
    """Return *number* of what *one* names; *many* says it of several, or of none, where that is not *one* with an s.

    *one* and *many* may go on with a verb: `counted(n, "tenant is held", "tenants are held")`.
    """
    said = f"{number:,}"
    return f"{said} {one}" if number == 1 else f"{said} {many or several(one)}"


def several(one: str) -> str:
    """Return the plural of the last word of *one*."""
    if one.endswith(("s", "x", "ch", "sh")):
        return f"{one}es"
    if one.endswith("y") and one[-2:-1] not in "aeiou":
        return f"{one[:-1]}ies"
    return f"{one}s"
