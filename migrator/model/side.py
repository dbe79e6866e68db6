"""The two sides."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """One of the two clusters."""

    CLASSIC = "classic"
    LIMITLESS = "limitless"

    @property
    def other(self) -> Side:
        return Side.LIMITLESS if self is Side.CLASSIC else Side.CLASSIC
