"""Which sessions are this tool's, by their application_name. Pure.

Anybody may call a session anything, so this decides what is counted and shown, and nothing about rights. The servers of
a rehearsal's demo are an application's; a shim's sessions run the application's statements.
"""

from __future__ import annotations

import re

SHIM = "migrator-shim:"
"""What the shim's sessions are named: this and the name of the process."""

_OWN = re.compile(r"migrator(?: .+|-(?:cli|incident|probe|serve|rehearsal)\b.*)")


def is_own_session(application: str) -> bool:
    """Return whether a session of *application* is one of this tool's; a shim's is not."""
    return _OWN.fullmatch(application) is not None
