"""What a transaction's marks allow to be said about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrator.model.route import WriteMode
from migrator.shim.marks import Identity, Marks, identity, touched

INTACT = Marks(xid=7, parts="6", begun="a1", deferrable=True, mode=WriteMode.DUAL, epoch=3, history="h")


@pytest.mark.parametrize(
    ("begun", "deferrable", "known"),
    [
        ("a1", True, Identity.SAME),
        ("a1", False, Identity.SAME),  # SET TRANSACTION NOT DEFERRABLE
        (None, True, Identity.UNKNOWN),  # RESET ALL, COMMIT AND CHAIN
        ("", True, Identity.UNKNOWN),
        ("a0", True, Identity.UNKNOWN),
        (None, False, Identity.OTHER),  # COMMIT; BEGIN
        ("a0", False, Identity.OTHER),
    ],
)
def test_which_transaction_it_is(begun: str | None, deferrable: bool, known: Identity) -> None:
    assert identity(replace(INTACT, begun=begun, deferrable=deferrable), "a1") is known


@pytest.mark.parametrize(
    ("parts", "mask"),
    [
        ("00", 0),
        ("6", 6),
        (str(2**63 - 2), 2**63 - 2),
        *((gone, None) for gone in (None, "", "0", "06", "-1", " 6", "6 ", "six", "6.0", "٦", "+6", str(2**63))),
    ],
)
def test_what_it_touched(parts: str | None, mask: int | None) -> None:
    assert touched(replace(INTACT, parts=parts), Identity.SAME) == mask


def test_a_transaction_that_is_not_known_may_have_touched_anything() -> None:
    assert touched(INTACT, Identity.UNKNOWN) is None
