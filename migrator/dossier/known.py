"""Which dossiers and keys this machine knows: a line for each that was written here, in a file of its home."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from migrator.model.dossier import Written

FILE = "dossiers.jsonl"


@dataclass(frozen=True, slots=True)
class Known:
    """A dossier that was written from here. fingerprint: '' where it was not signed."""

    plan: str
    place: str
    kind: str
    created_at: str
    digest: str
    fingerprint: str


def remember(home: Path, written: Written) -> None:
    """Note a dossier; a home that cannot be written to is none that anything is looked up in."""
    contents = written.manifest
    key = contents.key.fingerprint if contents.key else ""
    line = {
        "plan": contents.plan, "place": written.place, "kind": contents.kind,
        "created_at": contents.created_at.isoformat(), "digest": written.digest, "fingerprint": key,
    }  # fmt: skip
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        opened = os.open(home / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(opened, json.dumps(line).encode() + b"\n")
            os.fsync(opened)
        finally:
            os.close(opened)


def dossiers(home: Path) -> list[Known]:
    """Return the dossiers that were written from here, the newest first; a line that was cut off is left out."""
    try:
        lines = (home / FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            found.append(Known(**json.loads(line)))
    return found[::-1]


def fingerprints(home: Path) -> dict[str, str]:
    """Return the keys that signed here."""
    return {one.fingerprint: "signed earlier ones here" for one in dossiers(home) if one.fingerprint}
