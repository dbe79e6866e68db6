"""The manifest as JSON, and back. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from migrator.model.dossier import FORMAT, KeyLine, LogLine, Manifest, Member
from migrator.model.shown import plain

MANIFEST, SIGNATURE, CHECKSUM = "manifest.json", "manifest.sig", "manifest.sha256"
PUBLIC_KEY, SUMS, READ_ME = "public-key.pem", "SHA256SUMS", "README.txt"
LOG, FACTS, REPORTS, PAGE = "log.jsonl", "facts.json", "reports.jsonl", "dossier.html"
MOST = 4096
"""Bytes of a manifest: AWS KMS signs no longer message with Ed25519 (kms:Sign, MessageType RAW)."""


def dumped(manifest: Manifest) -> bytes:
    """Return the bytes that are signed.

    Raises:
        ValueError: they are too many.
    """
    body = plain(manifest)
    members = ",\n".join(json.dumps(list(one.values())) for one in body.pop("members"))
    rest = json.dumps(body, separators=(",", ":"), sort_keys=True)
    made = f'{rest[:-1]},"members":[\n{members}\n]}}\n'.encode()
    if len(made) > MOST:
        raise ValueError(f"the manifest has {len(made)} bytes, more than {MOST}")
    return made


def parsed(data: bytes) -> Manifest:
    """Return the manifest.

    Raises:
        ValueError: it is none, or of another version of the format.
    """
    try:
        body: dict[str, Any] = json.loads(data)
        if body["format"] != FORMAT:
            raise ValueError(f"it is of format {body['format']}, and this version reads {FORMAT}")
        key = body["key"]
        made = Manifest(
            **{
                **body,
                "created_at": datetime.fromisoformat(body["created_at"]).astimezone(UTC),
                "log": _log(**body["log"]),
                "key": None if key is None else KeyLine(str(key["algorithm"]), str(key["fingerprint"])),
                "members": tuple(Member(str(name), int(size), str(sha)) for name, size, sha in body["members"]),
            }
        )
        if not all(type(text) is str for text in (made.plan, made.kind, made.authentication)):
            raise TypeError
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, UnicodeDecodeError,
            json.JSONDecodeError) as error:  # fmt: skip
        raise ValueError(f"it is no manifest ({type(error).__name__})") from None
    return made


def _log(entries: object, sealed: object, head: object, problem: object) -> LogLine:
    return LogLine(int(str(entries)), int(str(sealed)), str(head), str(problem))


def digest_of(data: bytes) -> str:
    """Return what stands for a dossier whose manifest has these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def checksum(data: bytes) -> bytes:
    """Return the member that stands in the place of a signature: it finds accidents, and no forgery."""
    return f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n".encode()


def sums(members: tuple[Member, ...]) -> bytes:
    """Return what `sha256sum --check` reads."""
    return "".join(f"{one.sha256}  {one.name}\n" for one in members).encode()
