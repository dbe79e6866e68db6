"""On a board whose plan names approvers: each signs in as themselves, and two of them approve what two have to."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from migrator.control import votes
from migrator.control.incident import add_incident
from migrator.control.install import install
from migrator.control.phase import set_phase
from migrator.db.connect import connect
from migrator.governance.keys import new_token
from migrator.plan.load import digest, dump, shim_settings
from tests.fixtures.world import plan_of
from tests.integration.serve.served import TOKEN, hidden, serving, sign_in

pytestmark = [pytest.mark.pg, pytest.mark.once]

KEY = ec.generate_private_key(ec.SECP256R1())
ADA, ADA_KEY = new_token()
BY_PROXY = "/sign-in?next=/act"


def proxied(email: str, **more: object) -> dict[str, str]:
    said = {"iss": "https://id", "aud": "board", "email": email, "exp": time.time() + 600, **more}
    return {"X-Token": jwt.encode(said, KEY, algorithm="ES256", headers={"kid": "k1"})}


def approve(client: httpx.Client, own: dict[str, str], between: object = None) -> str:
    """Approve the cutover; return the page that says what became of it."""
    page = "/act/approve?gate=cutover"
    shown = client.post(page, data={"csrf": hidden(client.get(page).text, "csrf")}, headers=own).text
    assert "What it is about" in shown and "2 different people" in shown
    if callable(between):
        between()
    return client.post("/do", data={name: hidden(shown, name) for name in ("csrf", "number")}, headers=own).text


def test_two_approvers_approve_on_the_board_and_a_shared_token_does_not(classic_dsn: str, tmp_path: Path) -> None:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "k1"}]}))
    plan = plan_of(
        "shop", temporal={"address": "127.0.0.1:1"},
        governance={
            "authentication": "required", "four_eyes": ["cutover"],
            "approver": {"Ada": {"key": ADA_KEY}, "Bob": {"subject": "bob@shop"}},
            "oidc_header": "X-Token", "oidc_issuer": "https://id", "oidc_audience": "board",
            "oidc_jwks": f"file:{tmp_path}/jwks.json",
        },
    )  # fmt: skip
    with connect(classic_dsn, "test") as conn:
        install(conn, plan.name, digest(plan), dump(plan), shim_settings(plan))
        hint = "migrator approve cutover --as NAME"
        set_phase(conn, "cutover", "waiting", "waiting for an approval of cutover", (), hint)
        with serving(classic_dsn, MIGRATOR_BOARD_TOKEN=TOKEN) as served:
            own = {"Origin": served.url}
            with served.client(follow_redirects=True) as shared:
                sign_in(shared)
                assert "a name alone does not count" in approve(shared, own)
            with served.client(follow_redirects=True) as ada:
                assert "not the token of Ada" in sign_in(ada, "Ada", new_token()[0]).text
                assert "Eve is no approver" in sign_in(ada, "Eve", ADA).text
                sign_in(ada, "Ada", ADA)
                changed = approve(ada, own, lambda: add_incident(conn, "test", "it burnt", "eve"))
                assert "incidents: 0 → 1" in changed
                assert "a second approver has to" in approve(ada, own)
                assert "another person" in approve(ada, own)
            with served.client(follow_redirects=True) as bob:
                assert "no approver of this plan" in bob.get(BY_PROXY, headers=proxied("eve@shop")).text
                unverified = proxied("bob@shop", email_verified="false")
                assert "has not verified the address" in bob.get(BY_PROXY, headers=unverified).text
                assert "Approve a gate" in bob.get(BY_PROXY, headers=proxied("bob@shop")).text
                left = approve(bob, own)
                assert "the proxy names another person" in left, "who signed in has to be the one who asks"
                approve(bob, {**own, **proxied("bob@shop")})
        found = votes.votes(conn, "cutover")
        refused = conn.execute(
            "SELECT who FROM migrator.decision WHERE kind = 'approval.refused' ORDER BY id"
        ).fetchall()
        said = "".join(served.said)

    assert [(one.vote.approver, one.vote.how) for one in found] == [("Ada", "token"), ("Bob", "oidc")]
    assert refused == [("Ada",), ("Ada",), ("Eve",)]
    assert ADA not in said and "eyJ" not in said
