"""Tokens of approvers: a private Ed25519 key in text, of which the plan holds the public half. Pure.

An approver signs with it what they approve, on their own machine or in the memory of the board they signed in to. The
token itself is never kept or logged, and the signature can be checked with the plan alone.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from datetime import datetime

from migrator.errors import NotAuthenticated

PREFIX = "migapp_"
_BYTES = 32


def new_token() -> tuple[str, str]:
    """Return a new token and its public key."""
    token = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode().rstrip("=")
    return token, key_of(token)


def is_token(text: str) -> bool:
    """Return whether *text* looks like a token of an approver."""
    return text.strip().startswith(PREFIX)


def key_of(token: str) -> str:
    """Return the public key of *token*: "ed25519:" and Base64.

    Raises:
        NotAuthenticated: it is no token.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = _private(token).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return "ed25519:" + base64.b64encode(raw).decode()


def sign(token: str, statement: bytes) -> str:
    """Return the signature of *statement* with *token*, in Base64."""
    return base64.b64encode(_private(token).sign(statement)).decode()


def is_signed(key: str, statement: bytes, signature: str) -> bool:
    """Return whether *signature* is of *statement*, by the token of *key*."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("ed25519:"), validate=True))
        public.verify(base64.b64decode(signature, validate=True), statement)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def statement(plan: str, gate: str, evidence: str, approver: str, at: datetime) -> bytes:
    """Return what an approver signs: each field as its length in bytes, a colon, its text and a comma."""
    moment = f"{at.timestamp():.6f}"
    fields = ("migrator approval 1", plan, gate, evidence, approver, moment)
    return b"".join(b"%d:%b," % (len(text), text) for text in (field.encode() for field in fields))


def _private(token: str):  # type: ignore[no-untyped-def]  # the class is of a package that loads late
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text = token.strip()
    try:
        if not text.startswith(PREFIX):
            raise ValueError
        body = text.removeprefix(PREFIX)
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return Ed25519PrivateKey.from_private_bytes(raw)
    except (ValueError, binascii.Error):
        raise NotAuthenticated(
            "that is no token of an approver (not shown)", hint="One begins with migapp_: migrator approver token NAME"
        ) from None
