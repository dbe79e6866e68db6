"""What a plan may say of approvers."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from migrator.governance.keys import new_token
from migrator.plan.governance import ACTS, Governance, act_of

ADA, BOB = new_token()[1], new_token()[1]
TWO: dict[str, Any] = {"Ada": {"key": ADA}, "Bob": {"key": BOB}}
OIDC = {"oidc_header": "X-Token", "oidc_issuer": "https://id", "oidc_audience": "board", "oidc_jwks": "file:/jwks.json"}


def governed(**values: Any) -> Governance:
    return Governance.model_validate({"authentication": "required", "approver": TWO, **values})


def test_without_a_word_a_name_is_enough() -> None:
    assert not Governance().binding and Governance().eyes("cutover") == 1


def test_two_people_for_what_is_named() -> None:
    found = governed(four_eyes=["cutover", "waves", "plan_change"])
    assert [found.eyes(g) for g in ("cutover", "wave-12", "plan_change", "audit")] == [2, 2, 2, 1]
    assert found.required and found.binding and act_of("wave-3") == "waves" and act_of("audit") in ACTS


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"approver": {}}, "audit needs 1 approver who may approve it, there are 0"),
        ({"approver": {"Ada": {"key": ADA}}, "four_eyes": ["audit"]}, "audit needs 2 approvers"),
        ({"approver": {**TWO, "Bob": {"key": BOB, "acts": ["audit"]}}, "four_eyes": ["cutover"]}, "cutover needs 2"),
        ({"approver": {"Ada": {"key": ADA}, "Bob": {"key": ADA}}}, "Ada and Bob have the same key"),
        ({"approver": {n: {"subject": "a@b", "key": k} for n, k in (("Ada", ADA), ("Bob", BOB))}, **OIDC}, "subject"),
        ({"approver": {"Ada": {"subject": "ada@shop"}}}, "known by OIDC alone"),
        ({"approver": {"Ada": {}}}, "needs a key, or the subject"),
        ({"approver": {"Ada and Bob": {"key": ADA}}}, "no name of an approver"),
        ({"approver": {" Ada": {"key": ADA}}}, "no name of an approver"),
        ({"approver": {"A\nda": {"key": ADA}}}, "no name of an approver"),
        ({"approver": {"Ada": {"key": "hunter2"}}}, "no public key (not shown)"),
        ({"approver": {"Ada": {"key": "ed25519:" + "A" * 42 + "="}}}, "no public key"),
        ({"four_eyes": ["everything"]}, "four_eyes"),
        ({"authentication": "none", "four_eyes": ["audit"]}, "four_eyes needs authentication"),
        ({"oidc_header": "X-Token"}, "OIDC also needs oidc_issuer, oidc_audience, oidc_jwks"),
        ({**OIDC, "oidc_jwks": "http://id/keys"}, "no JWKS"),
        (
            {"approver": {"Ada": {"key": "ed25519:" + "A" * 42 + "B="}}},
            "no public key",
        ),  # 43 A, otherwise
        ({"approval_valid_s": 0}, "approval_valid_s"),
        ({"approval_valid_s": float("inf")}, "a number with an end"),
        ({"approval_valid_s": 1e300}, "a hundred years"),
    ],
)
def test_what_cannot_work_is_said(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        governed(**values)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value).partition("input_value")[0]
