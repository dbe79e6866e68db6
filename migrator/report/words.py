"""Formats numbers and durations, so that terminal, page and tables agree."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def count(number: float) -> str:
    """Return a whole number with commas between thousands, as every command prints it."""
    return f"{number:,.0f}"


def fixed(number: float, digits: int = 1) -> str:
    """Return a number with so many digits after the point."""
    return f"{number:,.{digits}f}"


def percent(ratio: float, digits: int = 0) -> str:
    """Return a ratio, 1 for all, in percent."""
    return f"{ratio:.{digits}%}"


def mebibytes(size: float) -> str:
    """Return a size in bytes as MiB."""
    return fixed(size / 2**20)


def short(number: float) -> str:
    """Return a number short enough for an axis: 1.2k, 3.4M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}".rstrip("0").rstrip(".") + suffix
    return two_digits(number) if number < 10 else f"{number:.0f}"


def two_digits(number: float) -> str:
    """Return a small number with its two leading digits: 100, 12, 0.53, 0.0012."""
    return f"{float(f'{number:.2g}'):g}"


def seconds(value: float) -> str:
    """Return a duration: milliseconds below a second, minutes from two on."""
    if value < 0.0995:
        return f"{value * 1000:.0f} ms" if value >= 0.0095 else f"{value * 1000:.1f} ms"
    if value < 9.95:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {value % 60:02.0f} s"


def seconds_long(value: float) -> str:
    """Return a duration of any length, in the unit that suits it: seconds to weeks."""
    if value < 90:
        return f"{value:.2g} s"
    if value < 3570:
        return f"{value / 60:.0f} min"
    for unit_s, name, most in ((3600.0, "hour", 48), (86_400.0, "day", 28), (604_800.0, "week", math.inf)):
        if value < unit_s * most:
            said = f"{value / unit_s:,.1f}".removesuffix(".0")
            return f"{said} {name}{'' if said == '1' else 's'}"
    return f"{value:g} s"


def date(moment: datetime) -> str:
    """Return a day as 4 May 2027, in UTC."""
    return moment.astimezone(UTC).strftime("%-d %B %Y")


def moment(at: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def clock(value: float) -> str:
    """Return seconds since the start as minutes and seconds."""
    return f"{int(value // 60)}:{int(value % 60):02d}"


def tick(value: float) -> str:
    """Return a power of ten of seconds, for an axis."""
    if value < 0.1:
        return f"{value * 1000:g} ms"
    return f"{value:g} s" if value < 120 else f"{value / 60:.0f} min"


def seconds_axis(value: float) -> str:
    """Return a duration for an axis of any length: 10 min, 3 h, 12 d."""
    for unit_s, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if value >= unit_s:
            return f"{value / unit_s:.3g} {name}"
    return tick(value)


_HIDDEN = {
    code: f"\\u{code:04x}"
    for code in (
        *(c for c in range(0x20) if c not in b"\n\r\t"),
        *range(0x7F, 0xA0),
        *(0x061C, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
}
"""Characters that are not seen, and those that turn the text after them round, as they are written down."""


def visible(text: str) -> str:
    """Return *text* with hidden characters named: two names that look the same are the same."""
    return text.translate(_HIDDEN)


def cut(text: str, most: int) -> str:
    """Return *text*, or its first *most* characters and a sign that there is more."""
    return text if len(text) <= most else text[:most] + "…"
