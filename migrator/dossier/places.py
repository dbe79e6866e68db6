"""Finds the place that a name means: a file, or an object of S3."""

from __future__ import annotations

from pathlib import Path

from migrator.dossier.place import FilePlace, Place
from migrator.dossier.s3 import S3Place
from migrator.errors import UsageError

S3 = "s3://"
ENDING = ".dossier"


def place(name: str, *, plan: str = "", kms_key: str | None = None, retain_days: float | None = None) -> Place:
    """Return the place that *name* names: s3://bucket/key, or a path. One that ends with / is a folder, in which a
    dossier of *plan* is named after it.

    Args:
        kms_key: S3 encrypts with it; None: as the bucket says. retain_days: S3 locks an object for so long.

    Raises:
        UsageError: it names none.
    """
    if name.endswith("/") and plan:
        name = f"{name}{plan}{ENDING}"
    if not name or name.endswith("/"):
        raise UsageError(f"{name!r} names no dossier", hint="Write a path, or s3://bucket/name.")
    if not name.startswith(S3):
        if "://" in name:
            raise UsageError(f"{name!r} names no dossier", hint="Write a path, or s3://bucket/name.")
        return FilePlace(Path(name).expanduser().absolute())
    bucket, _, key = name.removeprefix(S3).partition("/")
    if not bucket or not key:
        raise UsageError(f"{name!r} names no object", hint="Write s3://bucket/name.")
    return S3Place(bucket, key, kms_key, retain_days)
