"""The settings of sessions: one value each, and only those that cannot be set are reported."""

from __future__ import annotations

from migrator.model.session import EVERYTHING, everything, refused


def test_no_setting_is_named_twice() -> None:
    names = [pin.name.lower() for pin in EVERYTHING]

    assert sorted(set(names)) == sorted(names)


def test_the_role_comes_first() -> None:
    """It decides what the others may be."""
    assert EVERYTHING[0].name == "role"


def test_a_bound_takes_the_place_of_none() -> None:
    assert "('statement_timeout', '30000', " in everything({"statement_timeout": "30000"})
    assert "('statement_timeout', '0', " in everything()


def test_what_the_role_may_not_set_is_named_with_its_value() -> None:
    rows = [("DateStyle", "SQL, DMY"), ("session_replication_role", "replica"), ("event_triggers", None)]

    assert refused(rows) == ["session_replication_role = replica"]
