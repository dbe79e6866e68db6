"""Is a session this tool's own? By its application_name, in one place: for the audit, the preflight and the runway."""

from __future__ import annotations

import re
from collections.abc import Collection

_OWN = re.compile(r"migrator(?: .*|-(?:cli|incident|probe|rehearsal|serve)\b.*)")
"""Every name that the tool connects under; a test holds the calls to it. Shims have `migrator-shim:` and a name.
None is `migrator` alone, as programs that bring schemas up to date are called."""

SHIM = "migrator-shim:"
"""What a shim's sessions are called, before its process's name."""

LONGEST = 63
"""Bytes of an application_name that a server shows (NAMEDATALEN - 1)."""


def is_shim_of(application: str, processes: Collection[str]) -> bool:
    """Return whether the sessions of an application_name are those of a shim in one of *processes*.

    A server shows what it was told in ASCII, and the beginning of it: other bytes as \\xhh, before PostgreSQL 16 as ?.
    """
    name = application.removeprefix(SHIM)
    if name == application:
        return False
    if name in processes:
        return True
    may_differ = len(application) >= LONGEST or "\\x" in name or "?" in name
    return may_differ and any(application in _shown(f"{SHIM}{process}") for process in processes)


def _shown(name: str) -> tuple[str, str]:
    """Return *name* as a server of version 16 or later shows it, and as an earlier one does."""
    data = name.encode()
    newer = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data)
    whole = data[:LONGEST].decode(errors="ignore").encode()  # an earlier one cuts first, between two characters
    earlier = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in whole)
    return newer[:LONGEST], earlier


def is_own_application(name: str) -> bool:
    """Return whether the sessions of an application_name are this tool's; its demo's are an application's."""
    return _OWN.fullmatch(name) is not None
