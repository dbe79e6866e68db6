"""Dossiers as objects of Amazon S3. One request writes one object, so there is never half of one.

The request carries the SHA-256 of the bytes, which S3 compares, and a condition: it does nothing where the name is
taken (If-None-Match: *). Where the bucket has versions, the version is noted; where it has Object Lock, the object is
locked for as long as the plan says, else for as long as the bucket does.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from migrator.dossier.place import CHUNK, spooled, with_ending
from migrator.dossier.signing import asking_aws
from migrator.errors import PreconditionFailed, UsageError

MOST = 5 << 30
"""Bytes of one PutObject (AWS: Amazon S3 User Guide, uploading objects)."""
_TAKEN = ("PreconditionFailed",)
_LATER = (
    "ConditionalRequestConflict", "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling",
    "ThrottlingException", "503",
)  # fmt: skip
_PROBE = b"A dossier can be written here. This object may be deleted.\n"


@dataclass
class S3Place:
    """An object.

    Attributes:
        kms_key: encrypts it; None: the bucket's own encryption, which S3 always has.
        retain_days: it is locked for so long, in mode COMPLIANCE: no account may delete it before.
        client: a boto3 S3 client, made when it is needed.
    """

    bucket: str
    key: str
    kms_key: str | None = None
    retain_days: float | None = None
    client: Any = field(default=None, repr=False)
    now: datetime | None = None

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def beside(self, ending: str) -> S3Place:
        return replace(self, key=with_ending(self.key, ending))

    def probe(self) -> tuple[str, ...]:
        """Write a small object beside the dossier's name; where an earlier probe left it, S3 still checks the right."""
        locks = self._locks()
        if self.retain_days is not None and locks is False:
            raise PreconditionFailed(
                f"the bucket {self.bucket} has no Object Lock, so nothing is kept for {self.retain_days:g} days",
                hint="Name a bucket with Object Lock, or take decommission.dossier_retain_days out of the plan.",
            )
        beside = replace(self, key=f"{self.key}.probe", retain_days=None)
        beside._put(_PROBE, _PROBE)
        return (*self._versions(), {True: "Object Lock", False: "no Object Lock", None: "Object Lock unknown"}[locks])

    def put(self, file: Path) -> tuple[str, ...] | None:
        size = file.stat().st_size
        if size > MOST:
            raise PreconditionFailed(f"the dossier has {size:,} bytes, and S3 takes {MOST:,} at once")
        with file.open("rb") as body:
            return self._put(body, file)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        with asking_aws("Amazon S3", self.name, "s3:GetObject, and kms:Decrypt on its key", _LATER):
            answer = _quietly(("NoSuchKey", "404"), self._s3().get_object, Bucket=self.bucket, Key=self.key)
            if answer is None:
                raise UsageError(f"there is no object {self.name}")
            with spooled(iter(lambda: answer["Body"].read(CHUNK), b"")) as file:
                yield file

    # -- details -----------------------------------------------------------------------------------------------

    def _s3(self) -> Any:
        if self.client is None:
            try:
                import boto3
            except ImportError:
                raise UsageError(f"{self.name} needs the AWS extra", hint="pip install 'migrator[aws]'") from None
            with asking_aws("Amazon S3", self.name, "s3:PutObject", _LATER):
                self.client = boto3.client("s3")
        return self.client

    def _put(self, body: Any, bytes_of: bytes | Path) -> tuple[str, ...] | None:
        """Write the object; None where one of that name is there."""
        checksum = _sha256(bytes_of)
        more: dict[str, Any] = {}
        if self.kms_key is not None:
            more |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}
        until = None
        if self.retain_days is not None:
            until = ((self.now or datetime.now(UTC)) + timedelta(days=self.retain_days)).replace(microsecond=0)
            more |= {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        right = "s3:PutObject (with Object Lock s3:PutObjectRetention), and kms:GenerateDataKey on its key"
        with asking_aws("Amazon S3", self.name, right, _LATER):
            answer = _quietly(
                _TAKEN, self._s3().put_object, Bucket=self.bucket, Key=self.key, Body=body, IfNoneMatch="*",
                ChecksumSHA256=checksum, ContentType="application/x-tar", **more,
            )  # fmt: skip
        if answer is None:
            return None
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise PreconditionFailed(f"S3 stored other bytes under {self.name} than it was sent")
        notes = [f"encrypted: {answer['ServerSideEncryption']}"] if answer.get("ServerSideEncryption") else []
        notes += [f"version {answer['VersionId']}"] if answer.get("VersionId") else []
        notes += [f"locked until {until:%Y-%m-%d}"] if until else []
        return tuple(notes)

    def _locks(self) -> bool | None:
        """Return whether the bucket has Object Lock; None where that may not be asked."""
        from botocore.exceptions import ClientError

        try:
            with asking_aws("Amazon S3", f"the bucket {self.bucket}", "s3:PutObject", _LATER):
                answer = self._s3().get_object_lock_configuration(Bucket=self.bucket)
        except PreconditionFailed as refused:
            code = getattr(refused.__cause__ or refused.__context__, "response", {}).get("Error", {}).get("Code", "")
            if code == "ObjectLockConfigurationNotFoundError":
                return False
            if code in ("AccessDenied", "403") and isinstance(refused.__context__, ClientError):
                return None
            raise
        enabled: str = answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled", "")
        return enabled == "Enabled"

    def _versions(self) -> tuple[str, ...]:
        try:
            with asking_aws("Amazon S3", f"the bucket {self.bucket}", "s3:GetBucketVersioning", _LATER):
                answer = self._s3().get_bucket_versioning(Bucket=self.bucket)
        except PreconditionFailed:
            return ("versions unknown",)
        return ("versions",) if answer.get("Status") == "Enabled" else ("no versions",)


def _sha256(data: bytes | Path) -> str:
    digest = hashlib.sha256()
    if isinstance(data, bytes):
        digest.update(data)
    else:
        with data.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def _quietly(fine: tuple[str, ...], act: Any, **values: object) -> Any:
    """Return what *act* answers; None when AWS answers with one of the codes in *fine*."""
    from botocore.exceptions import ClientError

    try:
        return act(**values)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in fine:
            return None
        raise
