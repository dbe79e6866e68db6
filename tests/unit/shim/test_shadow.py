"""A shadow read counts as different only when both sides differ over the same rows: under any order of events."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from migrator.model.position import Snapshot
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.shadow import CONFIRMED, NOTED, Comparison, Ran, Verdict, note
from migrator.shim.shadow_answer import Answer, Incomparable, refused, returned
from migrator.shim.shadow_evidence import Begun

TENANT = TenantId("a")


@dataclass
class History:
    """Classic's value at each moment, and the moment Limitless is at. Every step of a comparison lets time pass."""

    values: list[int]
    paces: list[int]  # how many moments each step takes
    lag: list[int]  # how far Limitless is behind, at each look
    wrong: bool = False  # Limitless holds something else than classic at its moment
    now: int = 0
    held: int = 0  # the moment Limitless is at
    asked: int = 0
    journal: set[int] = field(default_factory=set)

    def pass_time(self) -> None:
        self.now = min(self.now + self.paces[self.asked % len(self.paces)], len(self.values) - 1)
        self.held = max(self.held, self.now - self.lag[self.asked % len(self.lag)])
        self.asked += 1

    def changed_since(self, moment: int) -> bool:
        return any(self.values[i] != self.values[i - 1] for i in range(moment + 1, self.now + 1))

    # -- what a comparison asks

    def ask(self, side: Side, tenant_id: TenantId, fn: Callable[[Any], object], ran: Ran) -> tuple[Answer, float]:
        self.pass_time()
        note(ran, "SELECT v FROM t WHERE tenant_id = %s", ("a",), None)
        value = self.values[self.now] if side is Side.CLASSIC else self.values[self.held] + 10 * self.wrong
        return returned(value), 1.0

    def begin(self, tenant_id: TenantId) -> Begun | None:
        self.pass_time()
        # The moment that Limitless has published stands in the snapshot's place.
        return Begun(tenant_id, {"base": self.held}, 1, Snapshot(1, 1))

    def wait(self, begun: Begun, timeout_s: float) -> Begun:
        self.pass_time()
        return begun

    def unchanged(self, begun: Begun, *, everything: bool) -> bool:
        return not self.changed_since(begun.said["base"])


HISTORIES = st.builds(
    History,
    st.lists(st.integers(0, 2), min_size=60, max_size=60),
    st.lists(st.integers(0, 3), min_size=1, max_size=7),
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
)


def compare(world: History) -> Verdict | None:
    closing = threading.Event()
    closing.set()  # no rest between tries
    return Comparison(world.ask, world, TENANT, lambda _: None).run(0.0, closing)


@given(HISTORIES)
def test_writes_beside_it_are_never_a_difference(world: History) -> None:
    assert compare(world) is not Verdict.DIFFERENT


@given(HISTORIES)
def test_what_limitless_does_not_hold_is_never_the_same(world: History) -> None:
    world.wrong = True
    assert compare(world) in (Verdict.DIFFERENT, Verdict.UNDECIDED)


def test_a_difference_over_rows_at_rest_is_found() -> None:
    assert compare(History([1] * 60, [1], [1], wrong=True)) is Verdict.DIFFERENT


@dataclass
class Scripted:
    """Answers in the order of a script."""

    classic: list[Answer | Exception]
    limitless: list[Answer | Exception]
    proofs: list[bool] = field(default_factory=lambda: [True] * 9)
    follows: list[bool] = field(default_factory=lambda: [True] * 9)
    statement: str = "SELECT v FROM t WHERE tenant_id = 'a'"
    everything: list[bool] = field(default_factory=list)

    def ask(self, side: Side, tenant_id: TenantId, fn: Callable[[Any], object], ran: Ran) -> tuple[Answer, float]:
        note(ran, self.statement, None, None)
        given = self.classic if side is Side.CLASSIC else self.limitless
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, Exception):
            raise answer
        return answer, 1.0

    def begin(self, tenant_id: TenantId) -> Begun | None:
        return Begun(tenant_id, {}, 1, Snapshot(1, 1)) if self.follows.pop(0) else None

    def wait(self, begun: Begun, timeout_s: float) -> Begun:
        return begun

    def unchanged(self, begun: Begun, *, everything: bool) -> bool:
        self.everything.append(everything)
        return self.proofs.pop(0)


def decide(script: Scripted) -> Verdict | None:
    closing = threading.Event()
    closing.set()
    return Comparison(script.ask, script, TENANT, lambda _: None).run(0.0, closing)


ONE, TWO, THREE = returned(1), returned(2), returned(3)


def test_one_sight_of_a_difference_is_not_enough() -> None:
    script = Scripted([ONE], [TWO, ONE])
    assert decide(script) is Verdict.SAME
    assert len(script.everything) == CONFIRMED - 1


def test_an_answer_that_classic_does_not_give_again_decides_nothing() -> None:
    assert decide(Scripted([ONE, TWO] * 9, [THREE])) is Verdict.UNDECIDED


def test_without_a_proof_nothing_is_decided() -> None:
    assert decide(Scripted([ONE], [TWO], proofs=[False] * 9)) is Verdict.UNDECIDED


def test_a_tenant_that_follows_no_more_decides_nothing() -> None:
    assert decide(Scripted([ONE], [TWO], follows=[False])) is None
    assert decide(Scripted([ONE], [TWO], follows=[True, False])) is Verdict.UNDECIDED


def test_an_error_that_limitless_alone_gives_is_a_difference() -> None:
    assert decide(Scripted([ONE], [refused("42883")])) is Verdict.DIFFERENT
    assert decide(Scripted([refused("42883")], [refused("42883")])) is Verdict.SAME


def test_a_side_that_does_not_answer_decides_nothing() -> None:
    assert decide(Scripted([ONE], [psycopg.OperationalError("gone")])) is Verdict.UNDECIDED
    assert decide(Scripted([Incomparable("Order")], [ONE])) is Verdict.UNDECIDED


def test_rows_in_another_order_are_no_difference() -> None:
    assert decide(Scripted([returned([(1,), (2,)])], [returned([(2,), (1,)])])) is Verdict.REORDERED


def test_what_is_another_one_each_time_decides_nothing() -> None:
    assert decide(Scripted([ONE], [TWO], statement="SELECT random() WHERE 'a' = 'a'")) is Verdict.UNDECIDED


def test_a_statement_that_does_not_name_the_tenant_needs_everybodys_rows_at_rest() -> None:
    """Else a tenant called 1 would be taken to be named by LIMIT 10."""
    for statement, everything in (
        ("SELECT v FROM t WHERE tenant_id = 'a'", False),
        ("SELECT v FROM t", True),
        ("SELECT v FROM ta WHERE x = 'ab'", True),
    ):
        script = Scripted([ONE], [TWO], statement=statement)
        assert decide(script) is Verdict.DIFFERENT
        assert script.everything == [everything] * CONFIRMED


def test_statements_beyond_a_bound_make_the_note_incomplete() -> None:
    ran = Ran()
    for _ in range(NOTED + 1):
        note(ran, "SELECT %s", ("a",), None)
    assert len(ran.statements) == NOTED and not ran.names(TENANT)
