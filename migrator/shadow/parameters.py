"""Reads the parameters of a statement as a server logs them: `Parameters: $1 = 'a', $2 = NULL`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BEGIN = re.compile(r"\$(\d+) = ")
_LABEL = re.compile(r"\s*(?:[^\W\d]|\s)*: ?(?=\$1 = )")
"""The word before them, in the language of the server."""
_CUT = "..."
"""Ends a value that log_parameter_max_length has cut, inside its quotes."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Values in their order. cut: one of them may have lost its end in the log."""

    values: tuple[str | None, ...]
    cut: bool


def read_parameters(detail: str) -> Parameters | None:
    """Return the parameters that the detail of a record holds; None when it holds other words, or is torn."""
    label = _LABEL.match(detail)
    if label is None:
        return None
    at, cut = label.end(), False
    values: list[str | None] = []
    while (match := _BEGIN.match(detail, at)) is not None:
        if int(match[1]) != len(values) + 1:
            return None
        at = match.end()
        if detail.startswith("NULL", at):
            values.append(None)
            at += len("NULL")
        elif detail.startswith("'", at):
            end = _quote_end(detail, at)
            if end is None:
                return None
            value = detail[at + 1 : end].replace("''", "'")
            cut = cut or value.endswith(_CUT)
            values.append(value)
            at = end + 1
        else:
            return None
        if not detail.startswith(", ", at):
            break
        at += 2
    return Parameters(tuple(values), cut) if values and not detail[at:].strip() else None


def _quote_end(text: str, begin: int) -> int | None:
    """Return where the quote that opens at *begin* is closed; a doubled one belongs to the value."""
    at = begin + 1
    while (at := text.find("'", at)) >= 0:
        if not text.startswith("'", at + 1):
            return at
        at += 2
    return None
