"""Whatever an installation or a test brings is under a licence that was looked at."""

from __future__ import annotations

import json
import re
import subprocess
import sys

ALLOWED = {
    "Apache-2.0",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-0",
    "PSF-2.0",
}
"""Permissive all."""

SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "DFSG approved": "MIT",  # said beside the licence itself
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

# Others, each with the reason. Whoever is not here any more must leave.
EXCEPTIONS = {
    "psycopg": ("LGPL-3.0-only", "the driver itself, used as a library and not changed"),
    "psycopg-binary": ("LGPL-3.0-only", "its compiled part"),
    "psycopg-pool": ("LGPL-3.0-only", "what the shim is measured against"),
    "certifi": ("MPL-2.0", "a list of authorities, as it comes"),
    "hypothesis": ("MPL-2.0", "a tool of the tests"),
    "pathspec": ("MPL-2.0", "a tool of the build"),
}


def alternatives(text: str) -> set[frozenset[str]]:
    """Return what may be chosen between; of each, all must be kept."""
    return {
        frozenset(SPELLINGS.get(one.strip(" ()"), one.strip()) for one in re.split(r"\s+AND\s+|;", choice))
        if choice not in SPELLINGS
        else frozenset({SPELLINGS[choice]})
        for choice in re.split(r"\s+OR\s+", text)
    }


def installed() -> dict[str, str]:
    command = [sys.executable, "-m", "piplicenses", "--python", sys.executable, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {re.sub(r"[-_.]+", "-", p["Name"]).lower(): p["License"] for p in json.loads(done.stdout)}


def test_every_licence_is_allowed() -> None:
    found = installed()
    wrong = {
        name: text
        for name, text in found.items()
        if name != "migrator"
        and not any(choice <= ALLOWED for choice in alternatives(text))
        and alternatives(text) != {frozenset({EXCEPTIONS[name][0]}) if name in EXCEPTIONS else None}
    }

    assert len(found) > 50, "the environment was read"
    assert wrong == {}
    assert set(EXCEPTIONS) - found.keys() == set()


def test_licences_are_told_apart() -> None:
    assert alternatives("MIT OR GPL-3.0-only") == {frozenset({"MIT"}), frozenset({"GPL-3.0-only"})}
    assert alternatives("Apache-2.0 AND BSD-2-Clause") == {frozenset({"Apache-2.0", "BSD-2-Clause"})}
    assert alternatives("Mozilla Public License 2.0 (MPL 2.0)") == {frozenset({"MPL-2.0"})}
    assert alternatives("Apache Software License; MIT License") == {frozenset({"Apache-2.0", "MIT"})}
    assert alternatives("UNKNOWN") == {frozenset({"UNKNOWN"})}
