"""Under a dossier's name lies all of it or nothing, and what lies there stays: files, and objects of S3."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from migrator.dossier.place import FilePlace, with_ending
from migrator.dossier.places import place
from migrator.dossier.s3 import S3Place
from migrator.errors import ClusterUnavailable, PreconditionFailed, UsageError

DATA = b"a dossier" * 1000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "assembled"
    made.write_bytes(DATA)
    return made


# -- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_put_once_and_never_replaced(file: Path, tmp_path: Path) -> None:
    target = FilePlace(tmp_path / "deep" / "er" / "Größe 1.dossier")

    assert target.put(file) == ("read-only",)
    file.write_bytes(b"another one")
    assert target.put(file) is None
    assert target.path.read_bytes() == DATA and target.path.stat().st_mode & 0o333 == 0
    assert [p.name for p in target.path.parent.iterdir()] == [target.path.name]


@pytest.mark.parametrize("moment", ["fsync", "link", "chmod"])
def test_a_writer_that_is_killed_leaves_nothing_under_the_name(file: Path, tmp_path: Path, moment: str) -> None:
    """The process ends at once, as after kill -9; the next one writes all of it."""
    target = FilePlace(tmp_path / "out" / "shop.dossier")
    script = (
        f"import os, pathlib\nos.{moment} = lambda *a, **k: os._exit(9)\n"
        "from migrator.dossier.place import FilePlace\n"
        f"FilePlace(pathlib.Path({str(target.path)!r})).put(pathlib.Path({str(file)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.returncode == 9, done.stderr
    assert not target.path.exists()
    assert target.put(file) == ("read-only",)
    assert target.path.read_bytes() == DATA


def test_a_file_system_without_links_is_written_too(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    target = FilePlace(tmp_path / "shop.dossier")
    assert target.put(file) == ("read-only",)
    assert target.put(file) is None
    assert target.path.read_bytes() == DATA


def test_where_nothing_can_be_written_the_reason_is_said(file: Path, tmp_path: Path) -> None:
    for path in (file / "shop.dossier", tmp_path):
        with pytest.raises(PreconditionFailed, match="a dossier cannot be written to"):
            FilePlace(path).probe()
    with pytest.raises(UsageError, match="cannot be read: no such file"), FilePlace(tmp_path / "none").opened():
        pass


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("s3://bucket/a/b.dossier", "s3://bucket/a/b.dossier"),
        ("s3://bucket/a/", "s3://bucket/a/shop.dossier"),
        ("/x/y.dossier", "/x/y.dossier"),
        ("/x/", "/x/shop.dossier"),
    ],
)
def test_a_name_means_a_place(name: str, found: str) -> None:
    assert place(name, plan="shop").name == found


@pytest.mark.parametrize("name", ["", "s3://", "s3://bucket", "s3://bucket/", "https://x/y", "/x/"])
def test_what_names_no_place_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="names no"):
        place(name)


def test_an_ending_stands_before_the_suffix() -> None:
    assert with_ending("a/shop.dossier", "-2") == "a/shop-2.dossier"
    assert with_ending("shop", "-2") == "shop-2"
    assert with_ending(".dossier", "-2") == ".dossier-2"


# -- S3 --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Stubber]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    client = boto3.client("s3", region_name="eu-central-1")
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


CHECKSUM = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
PUT = {"Bucket": "b", "Key": "shop.dossier", "Body": ANY, "IfNoneMatch": "*", "ChecksumSHA256": CHECKSUM,
       "ContentType": "application/x-tar"}  # fmt: skip


def test_an_object_is_written_by_one_request_encrypted_and_locked(file: Path, s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    now = datetime(2027, 1, 31, 12, 0, 0, 5, UTC)
    target = S3Place("b", "shop.dossier", "key-1", 365, client, now)
    stubber.add_response(
        "put_object",
        {"ChecksumSHA256": CHECKSUM, "VersionId": "v7", "ServerSideEncryption": "aws:kms"},
        {**PUT, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1", "ObjectLockMode": "COMPLIANCE",
         "ObjectLockRetainUntilDate": datetime(2028, 1, 31, 12, tzinfo=UTC)},
    )  # fmt: skip

    assert target.put(file) == ("encrypted: aws:kms", "version v7", "locked until 2028-01-31")
    stubber.assert_no_pending_responses()


def test_an_object_that_is_there_is_not_replaced(file: Path, s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    stubber.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
    assert S3Place("b", "shop.dossier", client=client).put(file) is None


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDenied", PreconditionFailed), ("NoSuchBucket", PreconditionFailed),
                        ("SlowDown", ClusterUnavailable), ("ConditionalRequestConflict", ClusterUnavailable)]
)  # fmt: skip
def test_what_s3_refuses_is_told_with_its_code(
    file: Path, s3: tuple[Any, Stubber], code: str, error: type[Exception]
) -> None:
    client, stubber = s3
    stubber.add_client_error("put_object", code, "secret words of AWS")
    with pytest.raises(error, match=code) as raised:
        S3Place("b", "shop.dossier", client=client).put(file)
    assert "secret words" not in str(raised.value)


def test_other_bytes_than_were_sent_are_noticed(file: Path, s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    stubber.add_response("put_object", {"ChecksumSHA256": "AAAA"}, PUT)
    with pytest.raises(PreconditionFailed, match="other bytes"):
        S3Place("b", "shop.dossier", client=client).put(file)


def test_a_probe_says_what_the_bucket_is(s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    lock = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    stubber.add_response("get_object_lock_configuration", lock, {"Bucket": "b"})
    stubber.add_client_error("put_object", "PreconditionFailed")  # an earlier probe lies there: the right was checked
    stubber.add_response("get_bucket_versioning", {"Status": "Enabled"}, {"Bucket": "b"})
    assert S3Place("b", "shop.dossier", client=client).probe() == ("versions", "Object Lock")


def test_what_may_not_be_asked_is_unknown(s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    stubber.add_client_error("get_object_lock_configuration", "AccessDenied")
    stubber.add_response("put_object", {}, {**PUT, "Key": "shop.dossier.probe", "ChecksumSHA256": ANY})
    stubber.add_client_error("get_bucket_versioning", "AccessDenied")
    assert S3Place("b", "shop.dossier", client=client).probe() == ("versions unknown", "Object Lock unknown")


def test_a_bucket_without_object_lock_keeps_nothing_for_days(s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    stubber.add_client_error("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")
    with pytest.raises(PreconditionFailed, match="no Object Lock"):
        S3Place("b", "shop.dossier", retain_days=365, client=client).probe()


def test_a_bucket_that_does_not_take_the_probe_is_refused(s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    stubber.add_client_error("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")
    stubber.add_client_error("put_object", "AccessDenied")
    with pytest.raises(PreconditionFailed, match=r"refuses s3://b/shop.dossier.probe \(AccessDenied\)"):
        S3Place("b", "shop.dossier", client=client).probe()


def test_an_object_is_read_whole(s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    answer = {"Body": StreamingBody(io.BytesIO(DATA), len(DATA))}
    stubber.add_response("get_object", answer, {"Bucket": "b", "Key": "shop.dossier"})
    with S3Place("b", "shop.dossier", client=client).opened() as file:
        file.seek(5)
        assert file.read() == DATA[5:]


def test_a_missing_object_is_said(s3: tuple[Any, Stubber]) -> None:
    client, stubber = s3
    stubber.add_client_error("get_object", "NoSuchKey")
    with pytest.raises(UsageError, match="there is no object s3://b/x"), S3Place("b", "x", client=client).opened():
        pass


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a pipe or a device"), FilePlace(tmp_path / "pipe").opened():
        pass
