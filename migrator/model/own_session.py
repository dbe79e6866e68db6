"""Is a session this tool's own? By its application_name, in one place: for the audit, the preflight and the runway."""

from __future__ import annotations

import re

_OWN = re.compile(r"migrator(?: .*|-(?:cli|incident|probe|rehearsal|serve)\b.*)?")
"""Every name that the tool connects under; a test holds the calls to it. Shims have `migrator-shim:` and a name."""


def is_own_application(name: str) -> bool:
    """Return whether the sessions of an application_name are this tool's; its demo's are an application's."""
    return _OWN.fullmatch(name) is not None
