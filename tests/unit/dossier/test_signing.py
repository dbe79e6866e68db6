"""Keys by reference: which sign, which are refused, and that none is ever shown."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from migrator.dossier.read_me import VERIFY
from migrator.dossier.signing import KmsSigner, is_signed, key_line, signer, wanted_fingerprint
from migrator.dossier.verify import examine
from migrator.errors import ClusterUnavailable, MigratorError, PreconditionFailed, UsageError
from tests.fixtures.dossier import a_key, dossier, pem_of

DER, SPKI = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
PEM = serialization.Encoding.PEM


def test_a_key_that_openssl_makes_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint is what openssl and sha256sum say."""
    file = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(file)], check=True, capture_output=True)
    found = signer(f"file:{file}")
    assert found is not None

    assert is_signed(found.public_pem, found.sign(b"x"), b"x") and not is_signed(found.public_pem, b"no", b"x")
    said = subprocess.run(
        f"openssl pkey -in {file} -pubout -outform DER | sha256sum", shell=True, check=True, capture_output=True
    )
    assert found.line.fingerprint == f"sha256:{said.stdout.decode()[:64]}"
    monkeypatch.setenv("KEY", file.read_text().replace("\n", "\\n"))
    one_line = signer("env:KEY")
    assert one_line is not None and one_line.line == found.line


def refused(monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    monkeypatch.setenv("KEY", text)
    with pytest.raises(UsageError) as raised:
        signer("env:KEY")
    assert "genpkey" in raised.value.hint
    return str(raised.value)


def test_what_is_no_ed25519_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    other = rsa.generate_private_key(65537, 2048)
    plain = other.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    locked = other.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x"))

    assert "not of Ed25519" in refused(monkeypatch, plain.decode())
    assert "has a password" in refused(monkeypatch, locked.decode())
    assert refused(monkeypatch, "hunter2-hunter2") == "what env:KEY names is no private key in PEM (not shown)"


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY", raising=False)
    with pytest.raises(UsageError, match="the environment variable KEY is not set"):
        signer("env:KEY")
    assert signer(None) is None


def test_a_fingerprint_is_given_as_itself_or_as_a_public_key(tmp_path: Path) -> None:
    key = a_key()
    file = tmp_path / "public.pem"
    file.write_bytes(key.public_pem)
    digits = key.line.fingerprint.removeprefix("sha256:")
    for text in (key.line.fingerprint, digits, digits.upper(), str(file)):
        assert wanted_fingerprint(text) == key.line.fingerprint
    file.write_text(pem_of(key))
    for wrong in ("sha256:abc", str(tmp_path / "none"), str(file)):
        with pytest.raises(UsageError):
            wanted_fingerprint(wrong)


# -- AWS KMS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Stubber]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    client = boto3.client("kms", region_name="eu-central-1")
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


def public(der: bytes, spec: str, usage: str = "SIGN_VERIFY") -> dict[str, Any]:
    return {"KeyId": "k", "PublicKey": der, "KeySpec": spec, "KeyUsage": usage}


def test_kms_signs_with_a_key_that_stays_there(kms: tuple[Any, Stubber], tmp_path: Path) -> None:
    """Ed25519, of the manifest itself: no more than the 4,096 bytes that KMS signs."""
    client, stubber = kms
    key = a_key()
    der = key.key.public_key().public_bytes(DER, SPKI)
    stubber.add_response("get_public_key", public(der, "ECC_NIST_EDWARDS25519"), {"KeyId": "alias/d"})
    real = KmsSigner("alias/d", client)
    assert real.line == key.line

    class Played(KmsSigner):
        def sign(self, message: bytes) -> bytes:
            expected = {"KeyId": "alias/d", "Message": message, "MessageType": "RAW",
                        "SigningAlgorithm": "ED25519_SHA_512"}  # fmt: skip
            stubber.add_response("sign", {"Signature": key.sign(message)}, expected)
            return super().sign(message)

    stubber.add_response("get_public_key", public(der, "ECC_NIST_EDWARDS25519"), {"KeyId": "alias/d"})
    with dossier(tmp_path, Played("alias/d", client)).open("rb") as file:
        found = examine(file, only=key.line.fingerprint)
    assert found.intact and found.trusted
    stubber.assert_no_pending_responses()


def test_a_p256_key_of_kms_signs_a_digest(kms: tuple[Any, Stubber], tmp_path: Path) -> None:
    """And openssl says so too, by the command that such a dossier's README names."""
    client, stubber = kms
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    stubber.add_response("get_public_key", public(key.public_key().public_bytes(DER, SPKI), "ECC_NIST_P256"))
    stubber.add_response("sign", {"Signature": signature})
    signer_ = KmsSigner("k", client)
    assert is_signed(signer_.public_pem, signer_.sign(b"x"), b"x")
    assert key_line(signer_.public_pem).algorithm == "ecdsa-p256"
    assert not is_signed(signer_.public_pem, signature, b"y")
    for name, data in (("manifest.json", b"x"), ("manifest.sig", signature), ("public-key.pem", signer_.public_pem)):
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(VERIFY["ecdsa-p256"].split(), cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "Verified OK\n"


@pytest.mark.parametrize(
    ("spec", "usage"),
    [("RSA_2048", "SIGN_VERIFY"), ("ECC_NIST_P256", "KEY_AGREEMENT"), ("ECC_NIST_P384", "SIGN_VERIFY")],
)
def test_a_key_of_kms_for_something_else_is_refused(kms: tuple[Any, Stubber], spec: str, usage: str) -> None:
    client, stubber = kms
    stubber.add_response("get_public_key", public(b"x", spec, usage))
    with pytest.raises(PreconditionFailed, match="signs no dossier"):
        _ = KmsSigner("k", client).line


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDeniedException", PreconditionFailed), ("ThrottlingException", ClusterUnavailable),
                        ("DisabledException", PreconditionFailed)]
)  # fmt: skip
def test_what_kms_refuses_is_told(kms: tuple[Any, Stubber], code: str, error: type[MigratorError]) -> None:
    client, stubber = kms
    stubber.add_client_error("get_public_key", code, "words of AWS")
    with pytest.raises(error, match=code):
        _ = KmsSigner("k", client).line
