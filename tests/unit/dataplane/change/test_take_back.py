"""Every kind of change has its steps, and its way back."""

from __future__ import annotations

from migrator.dataplane.change.apply import STEPS
from migrator.dataplane.change.kinds import Kind
from migrator.dataplane.change.take_back import WAYS


def test_every_kind_has_steps_and_a_way_back() -> None:
    assert WAYS.keys() == set(Kind) == STEPS.keys()
    assert all(way.steps for way in WAYS.values())
