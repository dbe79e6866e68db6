"""Formats numbers and durations, so that terminal, page and tables agree."""

from __future__ import annotations


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
    return f"{number:.0f}"


def seconds(value: float) -> str:
    """Return a duration: milliseconds below a second, minutes from two on."""
    if value < 0.0995:
        return f"{value * 1000:.0f} ms" if value >= 0.0095 else f"{value * 1000:.1f} ms"
    if value < 9.95:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {value % 60:02.0f} s"


def clock(value: float) -> str:
    """Return seconds since the start as minutes and seconds."""
    return f"{int(value // 60)}:{int(value % 60):02d}"


def tick(value: float) -> str:
    """Return a power of ten of seconds, for an axis."""
    if value < 0.1:
        return f"{value * 1000:g} ms"
    return f"{value:g} s" if value < 120 else f"{value / 60:.0f} min"


def cut(text: str, most: int) -> str:
    """Return *text*, or its first *most* characters and a sign that there is more."""
    return text if len(text) <= most else text[:most] + "…"
