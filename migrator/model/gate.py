"""Which gates can a person approve?"""

from __future__ import annotations

import re

from migrator.errors import UsageError
from migrator.model.near import unknown

GATES = ("audit", "provision", "dual_write", "cutover", "decommission")
_WAVE = re.compile(r"wave-[1-9][0-9]{0,8}")


def gate_of(text: str) -> str:
    """Return the gate that *text* names: one of `GATES`, with dashes or underscores, or wave-N.

    Raises:
        UsageError: there is no such gate; names what is near.
    """
    if _WAVE.fullmatch(text):
        return text
    name = text.replace("-", "_")
    if name not in GATES:
        raise UsageError(unknown("gate", [text], [*GATES, "wave-N"]), hint=f"Gates: {', '.join(GATES)}, wave-N.")
    return name
