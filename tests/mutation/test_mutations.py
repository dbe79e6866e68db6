"""The table says what is true of the source, and every line in it is held by a test."""

from __future__ import annotations

import pytest

from tests.mutation.__main__ import try_all
from tests.mutation.mutation import Mutation
from tests.mutation.table import MUTATIONS
from tests.mutation.workshop import Verdict, judged


def test_the_table_fits_the_source() -> None:
    """Each text stands exactly once, each test exists, no name comes twice."""
    faults = [fault for mutation in MUTATIONS for fault in mutation.faults()]

    assert faults == []
    assert len({m.name for m in MUTATIONS}) == len(MUTATIONS) >= 30


def test_only_a_broken_promise_counts_as_noticed() -> None:
    """A module that cannot be imported, a test without an end or another exception proves nothing."""
    plain = Mutation("m", "f", "a", "b", (), "why")
    named = Mutation("m", "f", "a", "b", (), "why", says="LeaseLost")

    def verdict(mutation: Mutation, code: int | None, *failures: tuple[str, str]) -> Verdict:
        return judged(mutation, code, failures, "output")[0]

    assert verdict(plain, 0) is Verdict.SURVIVED
    assert verdict(plain, None) is Verdict.OTHERWISE
    assert verdict(plain, 2) is Verdict.OTHERWISE, "collection failed"
    assert verdict(plain, 1, ("test_a", "AssertionError: rows differ\nassert 1 == 2")) is Verdict.NOTICED
    assert verdict(plain, 1, ("test_a", "assert {} == {1: 2}")) is Verdict.NOTICED
    assert verdict(plain, 1, ("test_a", "Failed: DID NOT RAISE <class 'X'>")) is Verdict.NOTICED
    assert verdict(plain, 1, ("test_a", "NameError: name 'x' is not defined")) is Verdict.OTHERWISE
    assert verdict(named, 1, ("test_a", "migrator.errors.LeaseLost: taken over")) is Verdict.NOTICED
    assert verdict(named, 1, ("test_a", "AssertionError: something else")) is Verdict.OTHERWISE


IN_THE_LONG_RUN = {
    # Once removed without any test noticing.
    *("ring-holds", "fence-limitless-snapshot", "shim-heartbeat-first", "end-closed-positions", "mirror-delete-first"),
    # One of each promise; all of them take too long for every run: python -m tests.mutation
    *("capture-always", "mirror-cas-snapshot", "mirror-token-before", "copy-lease", "verdict-generation"),
    *("route-through-joining", "shim-waits", "end-triggers-always", "pin-synchronous-commit", "watch-loss"),
}


@pytest.mark.slow
def test_mutations_are_noticed() -> None:
    chosen = [m for m in MUTATIONS if m.name in IN_THE_LONG_RUN]
    assert len(chosen) == len(IN_THE_LONG_RUN)

    outcomes = try_all(chosen, 2)

    assert [f"{o.mutation.name}: {o.verdict} {o.detail}" for o in outcomes if o.verdict is not Verdict.NOTICED] == []
