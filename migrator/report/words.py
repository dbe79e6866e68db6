"""How is a number said? One place, so that the terminal, the page and the tables agree."""

from __future__ import annotations


def count(number: float) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\u202f")


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
    """Return a power of ten of seconds, as an axis says it."""
    if value < 0.1:
        return f"{value * 1000:g} ms"
    return f"{value:g} s" if value < 120 else f"{value / 60:.0f} min"
