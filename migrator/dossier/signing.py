"""Signs manifests, and checks signatures: Ed25519 with a key by reference, or a key that stays in AWS KMS.

Names a key by the SHA-256 of its public half (DER, SubjectPublicKeyInfo), as
`openssl pkey -pubin -in public-key.pem -outform DER | sha256sum` does.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from migrator import settings
from migrator.errors import ClusterUnavailable, PreconditionFailed, UsageError
from migrator.model.dossier import KeyLine

KMS = "aws-kms:"
MAKE_ONE = "Make one with: openssl genpkey -algorithm ed25519 -out dossier-key.pem"
_LATER = ("Throttling", "ThrottlingException", "KMSInternalException", "DependencyTimeoutException",
          "KeyUnavailableException", "ServiceUnavailable")  # fmt: skip
_SPECS = {"ECC_NIST_EDWARDS25519": ("ed25519", "ED25519_SHA_512"), "ECC_NIST_P256": ("ecdsa-p256", "ECDSA_SHA_256")}
_FINGERPRINT = re.compile(r"^(?:sha256:)?([0-9a-f]{64})$")


class Signer(Protocol):
    """A key that signs."""

    @property
    def public_pem(self) -> bytes: ...
    @property
    def line(self) -> KeyLine: ...
    def sign(self, message: bytes) -> bytes: ...


def signer(reference: str | None) -> Signer | None:
    """Return the key that *reference* names: env:, file:, aws-secret: (a private key in PEM) or aws-kms: (its id or
    ARN). None without a reference: then nothing is signed.

    Raises:
        UsageError, PreconditionFailed: it is missing, or is no key that can sign; never its text.
        ClusterUnavailable: AWS cannot be asked now.
    """
    if reference is None:
        return None
    if reference.startswith(KMS):
        return KmsSigner(reference.removeprefix(KMS))
    return LocalSigner.of(reference, settings.secret(reference))


@dataclass(frozen=True)
class LocalSigner:
    """An Ed25519 key in this process' memory."""

    key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, reference: str, pem: str) -> LocalSigner:
        """Return the key in *pem*, which *reference* named. A variable may hold it in one line, with \\n in it."""
        try:
            key = serialization.load_pem_private_key(pem.replace("\\n", "\n").encode(), None)
        except TypeError:
            raise UsageError(f"the key that {reference} names has a password", hint=MAKE_ONE) from None
        except (ValueError, UnsupportedAlgorithm):
            raise UsageError(f"what {reference} names is no private key in PEM (not shown)", hint=MAKE_ONE) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(f"the key that {reference} names is not of Ed25519", hint=MAKE_ONE)
        return cls(key)

    @property
    def public_pem(self) -> bytes:
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(encoding, form)

    @property
    def line(self) -> KeyLine:
        return key_line(self.public_pem)

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)


@dataclass
class KmsSigner:
    """A key that never leaves AWS KMS: of spec ECC_NIST_EDWARDS25519 or ECC_NIST_P256, for SIGN_VERIFY."""

    key_id: str
    client: Any = field(default=None, repr=False)
    _public: tuple[bytes, str] | None = None

    def _kms(self) -> Any:
        if self.client is None:
            try:
                import boto3
            except ImportError:
                raise UsageError(
                    f"{KMS}{self.key_id} needs the AWS extra", hint="pip install 'migrator[aws]'"
                ) from None
            with asking_aws("AWS KMS", f"the key {self.key_id}", "kms:GetPublicKey and kms:Sign", _LATER):
                self.client = boto3.client("kms")
        return self.client

    def _known(self) -> tuple[bytes, str]:
        """Return the public key in PEM and the algorithm that AWS signs with."""
        if self._public is None:
            with asking_aws("AWS KMS", f"the key {self.key_id}", "kms:GetPublicKey", _LATER):
                answer = self._kms().get_public_key(KeyId=self.key_id)
            if answer["KeySpec"] not in _SPECS or answer["KeyUsage"] != "SIGN_VERIFY":
                raise PreconditionFailed(
                    f"the KMS key {self.key_id} is {answer['KeySpec']} for {answer['KeyUsage']}: it signs no dossier",
                    hint=f"Make one for SIGN_VERIFY of spec {' or '.join(_SPECS)}.",
                )
            public = serialization.load_der_public_key(answer["PublicKey"])
            pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            self._public = pem, _SPECS[answer["KeySpec"]][1]
        return self._public

    @property
    def public_pem(self) -> bytes:
        return self._known()[0]

    @property
    def line(self) -> KeyLine:
        return key_line(self.public_pem)

    def sign(self, message: bytes) -> bytes:
        algorithm = self._known()[1]
        raw = algorithm.startswith("ED25519")
        body = message if raw else hashlib.sha256(message).digest()
        with asking_aws("AWS KMS", f"the key {self.key_id}", "kms:Sign", _LATER):
            answer = self._kms().sign(
                KeyId=self.key_id, Message=body, MessageType="RAW" if raw else "DIGEST", SigningAlgorithm=algorithm
            )
        signature: bytes = answer["Signature"]
        return signature


def key_line(pem: bytes) -> KeyLine:
    """Return algorithm and fingerprint of a public key in PEM.

    Raises:
        ValueError: it is none, or of an algorithm that signs no dossier.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is no public key in PEM") from None
    if isinstance(key, Ed25519PublicKey):
        algorithm = "ed25519"
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        algorithm = "ecdsa-p256"
    else:
        raise ValueError("it is a key of an algorithm that signs no dossier")
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyLine(algorithm, f"sha256:{hashlib.sha256(der).hexdigest()}")


def is_signed(pem: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether *signature* of *message* was made with the private half of *pem*."""
    try:
        key = serialization.load_pem_public_key(pem)
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True


def wanted_fingerprint(text: str) -> str:
    """Return the fingerprint that a person gave: itself, or the file of a public key in PEM.

    Raises:
        UsageError: it is neither.
    """
    found = _FINGERPRINT.match(text.strip().lower().replace(" ", ""))
    if found:
        return f"sha256:{found.group(1)}"
    hint = "Give sha256: and 64 hexadecimal digits, or the file of a public key in PEM."
    try:
        return key_line(Path(text).read_bytes()).fingerprint
    except OSError:
        raise UsageError(f"{text!r} is no fingerprint of a key, and no file that can be read", hint=hint) from None
    except ValueError as error:
        raise UsageError(f"{text}: {error}", hint=hint) from None


class asking_aws:
    """Turns what the AWS client raises into this tool's errors: who, about what, and the right that it takes.

    Args:
        later: codes of errors after which the same may work.
    """

    def __init__(self, service: str, what: str, right: str, later: tuple[str, ...] = ()) -> None:
        self.service, self.what, self.right, self.later = service, what, right, later

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code in self.later:
                raise ClusterUnavailable(self.service, f"it answers {code}", "It is tried again by itself.") from None
            hint = f"The role needs {self.right} on it."
            raise PreconditionFailed(f"{self.service} refuses {self.what} ({code})", hint=hint) from None
        if isinstance(error, BotoCoreError):
            raise ClusterUnavailable(
                self.service, type(error).__name__, "Check region and credentials of this machine."
            ) from None
