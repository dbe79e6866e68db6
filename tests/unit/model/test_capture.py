"""What is wrong with capture is said so that a person finds it, and the tool reinstalls its own only."""

from __future__ import annotations

import pytest

from migrator.model.capture import Difference


@pytest.mark.parametrize(
    ("found", "words", "ours"),
    [
        (Difference("changed", "table", "s.t", ("capture",)), "table s.t: capture's triggers were changed", True),
        (Difference("changed", "table", "s.t", ("capture", "name")), "table s.t was changed: capture, name", False),
        (Difference("changed", "type", "s.mood", ("labels",)), "type s.mood was changed: labels", False),
        (Difference("changed", "event trigger", "g", ("definition",)), "event trigger g was changed", True),
        (Difference("changed", "capture function", "f", ("definition",)), "capture function f was changed", True),
        (Difference("gone", "table", "s.t"), "table s.t is missing", False),
        (Difference("gone", "event trigger", "g"), "event trigger g is missing", True),
        (Difference("new", "table", "s.leaf"), "table s.leaf was added past the DDL guard", True),
        (Difference("asleep", "table", "s.t", ("a", "b")), "triggers a, b not enabled ALWAYS", True),
        (Difference("subscribed", "table", "s.t"), "a subscription feeds it", False),
        (Difference("narrow", "table", "s.t"), "may change keys", True),
        (Difference("key", "table", "s.t"), "no unique index on its key", False),
        (Difference("uncaptured", "table", "s.t"), "table s.t is not captured", True),
        (Difference("unguarded", "event trigger", "g"), "commands that change captured tables", True),
        (Difference("setting", "event trigger", "ALTER DATABASE SET"), "switched off by ALTER DATABASE SET", False),
    ],
)
def test_every_difference_has_words(found: Difference, words: str, ours: bool) -> None:
    assert words in found.text
    assert found.ours is ours
