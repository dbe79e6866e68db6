"""A proxy's token proves who asks only when the provider signed it, for us, and it has not expired."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from migrator.errors import NotAuthenticated
from migrator.plan.governance import Governance
from migrator.serve.oidc import claim_of

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
FINE = {"iss": "https://id", "aud": "board", "email": "ada@shop"}


def governance(tmp_path: Path) -> Governance:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]}))
    return Governance(
        approver={"Ada": {"subject": "ada@shop"}},
        oidc_header="X-Token", oidc_issuer="https://id", oidc_audience="board", oidc_jwks=f"file:{tmp_path}/jwks.json",
    )  # fmt: skip


def token(key: Any = KEY, algorithm: str = "ES256", kid: str = "k1", exp_s: float = 60, **changes: Any) -> str:
    said = {k: v for k, v in {**FINE, "exp": time.time() + exp_s, **changes}.items() if v is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid})


def test_the_person_whom_the_provider_names_is_an_approver(tmp_path: Path) -> None:
    for said in (token(), f"Bearer {token()}", token(aud=["other", "board"]), token(exp_s=-10)):
        claim = claim_of(governance(tmp_path), said)
        assert (claim.name, claim.issuer, claim.subject, claim.token) == ("Ada", "https://id", "ada@shop", None)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "rubbish",
        "x" * 20_000,
        token(OTHER),
        token(kid="k2"),
        token(iss="https://evil"),
        token(iss=None),
        token(aud="other"),
        token(aud=None),
        token(exp_s=-3600),
        token(exp=None),
        token(nbf=time.time() + 3600),
        token(email=None),
        token(email="eve@shop"),
        token(email=["ada@shop"]),
        token("a shared secret of 32 characters!!", "HS256"),
        token(None, "none"),
        token()[:-4] + "AAAA",
    ],
)
def test_anything_else_proves_nothing(tmp_path: Path, said: str) -> None:
    """Also a token that is signed with the public key as if it were a shared secret, or not at all."""
    with pytest.raises(NotAuthenticated) as refused:
        claim_of(governance(tmp_path), said)
    assert not said or said not in str(refused.value)


def test_keys_that_cannot_be_had_are_a_refusal(tmp_path: Path) -> None:
    found = governance(tmp_path)
    (tmp_path / "jwks.json").write_text("{")
    with pytest.raises(NotAuthenticated):
        claim_of(found, token())
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(NotAuthenticated):
        claim_of(found, token())
    nowhere = found.model_copy(update={"oidc_jwks": "http://127.0.0.1:1/jwks"})
    with pytest.raises(NotAuthenticated):
        claim_of(nowhere, token())
