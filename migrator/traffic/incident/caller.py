"""Checks who calls the webhook: a token, a password, or a signature of the body under a shared secret. Pure.

Every comparison takes the same time wherever the first difference is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

SIGNATURE_AGE_S = 300
SHORTEST_SECRET = 16

_SIGNATURE = re.compile(r"^t=(\d{1,12}),v1=([0-9a-f]{64})$")


def proof(secret: str, headers: Mapping[str, str], body: bytes, now_s: float, *, password: bool = False) -> str | None:
    """Return by what a request proves itself, None when it does not.

    That is '' for the token (and, with *password*, HTTP's basic authentication with any user), and the signature for a
    fresh signature of the body: the same request again has the same one.

    Args:
        headers: by name in lower case; values as HTTP servers hand them over, in Latin-1.
    """
    given = headers.get("authorization", "")
    if given:
        scheme, _, value = given.partition(" ")
        said = value.strip().encode("latin-1", "replace")
        if scheme.lower() == "bearer":
            return "" if hmac.compare_digest(said, secret.encode()) else None
        if scheme.lower() == "basic" and password:
            return "" if hmac.compare_digest(_password(said), secret.encode()) else None
        return None
    match = _SIGNATURE.match(headers.get("x-migrator-signature", ""))
    if match is None:
        return None
    at, signature = match.groups()
    wanted = sign(secret, int(at), body)
    fresh = abs(now_s - int(at)) <= SIGNATURE_AGE_S
    return signature if hmac.compare_digest(signature, wanted) and fresh else None


def authorized(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Return whether a request carries the token, or a fresh signature of its body."""
    return proof(secret, headers, body, now_s) is not None


def sign(secret: str, at_s: int, body: bytes) -> str:
    """Return the signature of a request made at *at_s*."""
    return hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()


def signed_by_pagerduty(secret: str, header: str, body: bytes) -> bool:
    """Return whether a signature in X-PagerDuty-Signature is by *secret*; while PagerDuty changes it, there are two."""
    wanted = f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}".encode()
    given = [part.strip().encode("latin-1", "replace") for part in header.split(",")[:16]]
    return sum(hmac.compare_digest(one, wanted) for one in given) > 0


def _password(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
