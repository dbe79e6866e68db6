"""Where sequences start on Limitless: beyond everything classic ever used, in the direction they count."""

from __future__ import annotations

import pytest

from migrator.decommission.sequences import SequenceFacts, must_move, restart_at
from migrator.errors import NoGo

BIG = 2**63 - 1


def test_above_the_last_value_and_above_the_column() -> None:
    assert restart_at(SequenceFacts("app", "s", used=100, column_max=70, limit=BIG), 1000) == 1101
    assert restart_at(SequenceFacts("app", "s", used=100, column_max=5000, limit=BIG), 1000) == 6001
    assert restart_at(SequenceFacts("app", "s", used=None, column_max=None, limit=BIG), 0) == 1


def test_one_that_counts_down_starts_below() -> None:
    facts = SequenceFacts("app", "s", used=-100, column_max=-700, limit=-BIG, increment=-2)

    assert restart_at(facts, 1000) == -1702
    assert not must_move(facts, -1702, 1000)
    assert must_move(SequenceFacts("app", "s", -1300, None, -BIG, -2), -1702, 1000)


def test_an_exhausted_sequence_is_a_blocker() -> None:
    with pytest.raises(NoGo, match="above its limit"):
        restart_at(SequenceFacts("app", "s", used=2**31 - 10, column_max=None, limit=2**31 - 1), 1000)
    with pytest.raises(NoGo, match="below its limit"):
        restart_at(SequenceFacts("app", "s", used=-10, column_max=None, limit=-100, increment=-1), 1000)


@pytest.mark.parametrize(
    ("used", "headroom", "moves"),
    [(100, 1000, False), (600, 1000, False), (601, 1000, True), (5000, 1000, True), (100, 0, False), (101, 0, True)],
)
def test_it_moves_again_when_half_of_its_headroom_is_gone(used: int, headroom: int, moves: bool) -> None:
    first = restart_at(SequenceFacts("app", "s", used=100, column_max=None, limit=BIG), headroom)

    assert must_move(SequenceFacts("app", "s", used=used, column_max=None, limit=BIG), first, headroom) is moves
