"""Who a proxy says a person is: a token (JWT) in a header, signed by the provider whose keys the plan names.

The signature is what counts, not the address that sent it. Only algorithms with a public key are taken, and only tokens
that expire, of this issuer and for this audience.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator.errors import NotAuthenticated
from migrator.governance.cast import Claim
from migrator.plan.governance import Governance

if TYPE_CHECKING:
    import jwt

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEYS_S = 300.0
"""Seconds that keys from a URL are kept; an unknown key asks again."""
FETCH_S = 5.0
LEEWAY_S = 30.0
"""Seconds by which the provider's clock may differ."""
LONGEST = 16_384
"""Characters of a token."""


def claim_of(governance: Governance, header: str) -> Claim:
    """Return who the token in *header* is about; blocks while keys are fetched.

    Raises:
        NotAuthenticated: it proves nothing, or it is about no approver of the plan.
    """
    import jwt

    text = header.strip()
    if text.lower().startswith("bearer "):
        text = text[7:].strip()
    try:
        if len(text) > LONGEST:
            raise jwt.InvalidTokenError("it is too long")
        said: dict[str, Any] = jwt.decode(
            text,
            _key(governance.oidc_jwks or "", text),
            algorithms=list(ALGORITHMS),
            audience=governance.oidc_audience,
            issuer=governance.oidc_issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud", governance.oidc_claim]},
        )
    except (jwt.PyJWTError, OSError, ValueError) as error:
        raise NotAuthenticated(
            f"the token that the proxy handed over proves nothing: {_why(error)} (the token is not shown)",
            hint="Sign in at the provider again. The plan says what is checked: governance.oidc_…",
        ) from None
    if governance.oidc_claim == "email" and str(said.get("email_verified", True)).lower() != "true":
        raise NotAuthenticated(
            "the provider has not verified the address that it names",
            hint="Anybody could have given it there. Have it verified, or name another claim: governance.oidc_claim.",
        )
    subject = said[governance.oidc_claim]
    names = [name for name, one in governance.approver.items() if one.subject is not None and one.subject == subject]
    if not names:
        raise NotAuthenticated("the person whom the provider names is no approver of this plan")
    return Claim(names[0], None, governance.oidc_issuer or "", str(subject), via="board")


def _why(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, OSError | ValueError) else str(error)


def _key(jwks: str, token: str) -> jwt.PyJWK:
    import jwt

    if not jwks.startswith("file:"):
        return _client(jwks).get_signing_key_from_jwt(token)
    found = jwt.PyJWKSet.from_dict(json.loads(Path(jwks.removeprefix("file:")).read_text(encoding="utf-8")))
    wanted = jwt.get_unverified_header(token).get("kid")
    for key in found.keys:
        if key.key_id == wanted:
            return key
    raise jwt.InvalidTokenError("it is signed with a key that the provider's list does not hold")


@lru_cache(maxsize=4)
def _client(url: str) -> jwt.PyJWKClient:
    import jwt

    return jwt.PyJWKClient(url, cache_jwk_set=True, lifespan=KEYS_S, timeout=FETCH_S)
