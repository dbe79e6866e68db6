"""Where sequences start on Limitless: above everything classic ever used."""

from __future__ import annotations

import pytest

from migrator.decommission.sequences import SequenceFacts, restart_at
from migrator.errors import NoGo

BIG = 2**63 - 1


def test_above_the_last_value_and_above_the_column() -> None:
    assert restart_at(SequenceFacts("app", "s", used=100, column_max=70, limit=BIG), 1000) == 1101
    assert restart_at(SequenceFacts("app", "s", used=100, column_max=5000, limit=BIG), 1000) == 6001
    assert restart_at(SequenceFacts("app", "s", used=None, column_max=None, limit=BIG), 0) == 1


def test_an_exhausted_or_descending_sequence_is_a_blocker() -> None:
    with pytest.raises(NoGo, match="above its limit"):
        restart_at(SequenceFacts("app", "s", used=2**31 - 10, column_max=None, limit=2**31 - 1), 1000)
    with pytest.raises(NoGo, match="counts down"):
        restart_at(SequenceFacts("app", "s", used=1, column_max=None, limit=BIG, increment=-1), 0)
