"""An error that a router wrapped is known for what it was on the shard, and no other error is taken for one."""

from __future__ import annotations

import pytest

from migrator.model.wrapped import WRAPPER, Rule, learn, true_state

UNIQUE = 'duplicate key value violates unique constraint "purchase_ts00007_pkey"\nKey (id)=(7) already exists.'


@pytest.mark.parametrize(
    ("state", "message", "detail", "true"),
    [
        ("XX000", WRAPPER, UNIQUE, "23505"),
        ("XX000", WRAPPER, "value too long for type character varying(17)", "22001"),
        ("XX001", WRAPPER, 'insert or update on table "t" violates foreign key constraint "k"', "23503"),
        ("XX000", "aborting transaction participating in a distributed deadlock", None, "40P01"),
        ("XX000", WRAPPER, "disk on fire", "XX000"),  # nobody knows: the cluster's own
        ("XX000", "cache lookup failed", UNIQUE, "XX000"),  # not a wrapper's words
        ("23505", WRAPPER, 'null value in column "c" of relation "t" violates not-null constraint', "23505"),
        (None, None, None, None),
    ],
)
def test_documented_words_are_known(state: str | None, message: str | None, detail: str | None, true: str) -> None:
    assert true_state(state, message, detail) == true


def test_what_was_provoked_is_recognised_in_any_language() -> None:
    rules = learn(
        [
            ("23505", "HV000", "Fehler auf Knoten 3", "doppelter Schlüsselwert verletzt Unique-Constraint „a_3“"),
            ("23514", "HV000", "Fehler auf Knoten 4", "neue Zeile verletzt Check-Constraint „b“"),
        ]
    )

    assert true_state(
        "HV000", "Fehler auf Knoten 9", "doppelter Schlüsselwert verletzt Unique-Constraint „z“\n…", rules
    ) == ("23505")
    assert true_state("HV000", "Fehler auf Knoten 9", "etwas anderes", rules) == "HV000"
    assert true_state("42601", "Fehler auf Knoten 9", "neue Zeile verletzt Check-Constraint „b“", rules) == "42601"


def test_an_answer_that_two_causes_share_teaches_nothing() -> None:
    same = ("XX000", "remote statement failed", None)

    assert learn([("23505", *same), ("23514", *same)]) == ()
    assert learn([("23505", *same), ("23505", *same)]) == (Rule("XX000", "remote statement failed", "", "23505"),)


def test_nothing_is_learned_of_an_error_that_arrives_as_it_is() -> None:
    assert learn([("23505", "23505", WRAPPER, UNIQUE)]) == ()
