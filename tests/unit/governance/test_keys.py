"""A token signs; its public key, which the plan holds, tells whether it did."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import NotAuthenticated
from migrator.governance import keys
from migrator.plan.governance import KEY

AT = datetime(2026, 11, 29, 20, 0, 0, 123456, tzinfo=UTC)
TOKEN, PUBLIC = keys.new_token()
SAID = keys.statement("shop", "cutover", "e" * 16, "Größe", AT)


def test_a_new_token_is_another_one_and_its_key_fits_into_a_plan() -> None:
    other, key = keys.new_token()
    assert (other, key) != (TOKEN, PUBLIC) and KEY.fullmatch(key)
    assert keys.key_of(f" {TOKEN}\n") == PUBLIC, "as a file or a shell hands it over"
    assert other not in key and keys.is_token(other) and not keys.is_token("hunter2")


def test_only_this_token_signs_and_only_what_was_said() -> None:
    signature = keys.sign(TOKEN, SAID)
    assert keys.is_signed(PUBLIC, SAID, signature)
    assert not keys.is_signed(keys.new_token()[1], SAID, signature)
    for other in (
        keys.statement("shop2", "cutover", "e" * 16, "Größe", AT),
        keys.statement("shop", "decommission", "e" * 16, "Größe", AT),
        keys.statement("shop", "cutover", "f" * 16, "Größe", AT),
        keys.statement("shop", "cutover", "e" * 16, "Grösse", AT),
        keys.statement("shop", "cutover", "e" * 16, "Größe", AT.replace(microsecond=123457)),
    ):
        assert not keys.is_signed(PUBLIC, other, signature)


@given(st.text(max_size=60))
def test_what_is_no_signature_or_key_is_no_proof_and_no_crash(text: str) -> None:
    assert not keys.is_signed(PUBLIC, SAID, text)
    assert not keys.is_signed(text, SAID, keys.sign(TOKEN, SAID))


@given(st.text(max_size=60))
def test_what_is_no_token_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        keys.key_of(f"migapp_x{text}")
    assert "migapp_x" not in str(refused.value)
