"""What brings RDS' certificates into the image: only those that the builder named by their checksum."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

PEM = b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
SUM = hashlib.sha256(PEM).hexdigest()


def run(tmp_path: Path, url: str, checksum: str) -> tuple[int, str, Path]:
    target = tmp_path / "image" / "rds.pem"
    command = [sys.executable, str(ROOT / "containers" / "rds-bundle"), url, checksum, str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, target


def test_the_bundle_is_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "bundle.pem").write_bytes(PEM * 3)
    checksum = hashlib.sha256(PEM * 3).hexdigest()

    code, said, target = run(tmp_path, (tmp_path / "bundle.pem").as_uri(), checksum.upper())

    assert code == 0 and "3 certificates" in said and target.read_bytes() == PEM * 3


@pytest.mark.parametrize(
    ("content", "checksum", "said"),
    [
        (PEM, "0" * 64, f"has the SHA-256 {SUM}"),
        (PEM, "", "needs RDS_CA_BUNDLE_SHA256"),
        (b"<html>", hashlib.sha256(b"<html>").hexdigest(), "no certificates"),
        (None, SUM, "cannot be read"),
    ],
)
def test_anything_else_ends_the_build(tmp_path: Path, content: bytes | None, checksum: str, said: str) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)

    code, text, target = run(tmp_path, path.as_uri(), checksum)

    assert code == 1 and said in text and not target.exists()


def test_an_image_without_them_says_so(tmp_path: Path) -> None:
    code, said, target = run(tmp_path, "", "")

    assert code == 0 and "NOTICE: this image has no certificates of RDS" in said and not target.exists()


def test_the_image_tells_libpq_where_they_are() -> None:
    text = (ROOT / "Dockerfile").read_text()

    assert text.count("/certificates/rds-global-bundle.pem") >= 1 and "PGSSLROOTCERT=" in text
