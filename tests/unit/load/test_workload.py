"""A workload is read with every problem at once; what each arrival does follows from seed and number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import UsageError, WorkloadInvalid
from migrator.load.draw import MOST_VALUES, Deck, Weighted
from migrator.load.skew import deal
from migrator.load.workload import (
    Parameter,
    Sessions,
    Skew,
    Source,
    Statement,
    Transaction,
    Workload,
    from_json,
    to_json,
)
from migrator.load.written import parameter_numbers, parse
from migrator.model.tenant import TenantId, TenantSize

GOOD = """
name = "Größe"
peak_per_s = 120.5
[sessions]
transactions = 3
think_s = 0.25
[tenants]
only = ["1", "select"]
hot_times = 2
[tenants.weights]
"1" = 5
select = 1
[pools.orders]
sql = "SELECT tenant_id, id FROM orders"
[[transaction]]
name = "page"
weight = 3
by = "even"
[[transaction.statement]]
sql = "SELECT '$9', \\"$8\\" FROM orders /* $7 */ WHERE t = $1 AND id = $2 AND x = $3 -- $6"
parameters = ["tenant", { pool = "orders", column = 2 }, { values = ["a", 2, true] }]
[[transaction]]
name = "write"
writes = true
[[transaction.statement]]
sql = "INSERT INTO orders VALUES ($1, $2, $3, $4, $5, $6)"
parameters = ["tenant", "unique", "uuid", { integer = [1, 5] }, { text = 8 }, "null"]
[[transaction.statement]]
sql = "UPDATE orders SET x = $1"
samples = [["a"], ["b"]]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(WorkloadInvalid) as caught:
        parse(text, "w.toml", "w")
    return list(caught.value.problems)


def test_a_whole_workload() -> None:
    found = parse(GOOD, "w.toml", "w")

    assert (found.name, found.peak_per_s, found.sessions) == ("Größe", 120.5, Sessions(3, 0.25))
    assert (found.only, found.hot_times, found.weights) == (("1", "select"), 2.0, {"1": 5.0, "select": 1.0})
    page, write = found.transactions
    assert (page.weight, page.skew, page.pools, page.writes) == (3.0, Skew.EVEN, frozenset({"orders"}), False)
    assert write.writes and write.skew is Skew.WRITES and not write.pools
    assert [p.source for p in write.statements[0].parameters] == [
        Source.TENANT, Source.UNIQUE, Source.UUID, Source.INTEGER, Source.TEXT, Source.VALUE,
    ]  # fmt: skip
    assert write.statements[1].samples == (("a",), ("b",))
    assert from_json(json.loads(json.dumps(to_json(found.transactions)))) == tuple(
        Transaction(t.name, t.weight, t.statements, t.writes, t.skew) for t in found.transactions
    )


def test_every_problem_is_named_at_once() -> None:
    found = problems(
        """
        peek_per_s = 3
        peak_per_s = 0
        sessions = { transactions = 0, think_s = -1 }
        tenants = { by = "size", weights = { a = 0 } }
        [[transaction]]
        name = "x"
        weight = "many"
        [[transaction.statement]]
        sql = "SELECT $1, $2"
        parameters = ["tenant"]
        [[transaction.statement]]
        sql = "SELECT 1"
        parameters = [{ pool = "orders" }]
        [[transaction]]
        name = "x"
        """
    )
    for part in (
        "peek_per_s: no such key; did you mean peak_per_s?", "peak_per_s: must be more than 0",
        "sessions.transactions", "sessions.think_s", "tenants.by: must be one of rows, writes, even",
        "tenants.weights.a", "weight: must be a number", "its statement has $2, and 1 values are given",
        "its statement has no parameters, and 1 values", "no pool orders", "is there twice",
        "needs at least one [[transaction.statement]]",
    ):  # fmt: skip
        assert any(part in line for line in found), (part, found)


@pytest.mark.parametrize(
    "parameter",
    [
        '"tennant"', "{ integer = [5, 1] }", "{ integer = [1.5, 2] }", "{ text = 0 }", "{ values = [] }", "{}", "3",
        "{ value = [1] }", "{ values = [1], weight = 2 }", "{ pool = 'p', column = 0 }", "{ sequence = 'x' }",
        "{ text = true }",
    ],
)  # fmt: skip
def test_parameters_that_cannot_be(parameter: str) -> None:
    text = (
        "[pools.p]\nsql = 'SELECT 1'\n[[transaction]]\nname = 'x'\n[[transaction.statement]]\nsql = 'SELECT $1'\n"
        f"parameters = [{parameter}]\n"
    )
    assert len(problems(text)) == 1


@pytest.mark.parametrize(
    "text", ["", "x", "[[transaction]]", "transaction = 3", "tenants = 3\n", "pools = { a = 'SELECT 1' }"]
)
def test_nothing_is_no_workload(text: str) -> None:
    assert problems(text)


def test_parameters_are_seen_where_they_are() -> None:
    assert parameter_numbers("SELECT $1, '$2', \"$3\", $$ $4 $$, $a$ $5 $a$, a$6, $12 /* $7 */ -- $8") == {1, 12}


# -- drawing -----------------------------------------------------------------------------------------------------------

EVERYTHING = Transaction(
    "all",
    1,
    (
        Statement(
            "…",
            (
                Parameter(Source.TENANT),
                Parameter(Source.POOL, ("p", 2)),
                Parameter(Source.POOL, ("p", 3)),
                Parameter(Source.UNIQUE),
                Parameter(Source.UNIQUE),
                Parameter(Source.INTEGER, (1, 3)),
            ),
        ),
    ),
)
ROWS = {"p": {"a": [["a", "1", "x"], ["a", "2", "y"]], "b": [["b", "3", "z"]]}}


@given(st.integers(0, 2**32), st.integers(0, 1_000_000), st.integers(0, 2))
def test_a_draw_follows_from_seed_and_number(seed: int, number: int, turn: int) -> None:
    """And its rows of a pool are one row, of its own tenant."""
    decks = [Deck.of(seed, [EVERYTHING], [{"a": 1.0, "b": 2.0}], ROWS, turns=3) for _ in range(2)]
    drawn, again = (deck.draw(number, turn) for deck in decks)

    assert drawn == again
    tenant, second, third, *_, whole = drawn.values[0]
    assert tenant == drawn.tenant and [tenant, second, third] in ROWS["p"][tenant] and 1 <= whole <= 3
    assert decks[0].draw(number, 0).tenant == drawn.tenant, "all turns of a session are of one tenant"


def test_unique_numbers_are_unique() -> None:
    deck = Deck.of(1, [EVERYTHING], [{"a": 1.0}], ROWS, turns=2)
    seen = [value for number in range(200) for turn in range(2) for value in deck.draw(number, turn).values[0][3:5]]

    assert len(set(seen)) == len(seen) == 800
    assert max(seen) < 2**63 - 1 and MOST_VALUES >= 5


def test_weights_are_kept() -> None:
    deck = Deck.of(5, [EVERYTHING], [{"a": 1.0, "b": 9.0}], ROWS)
    heavy = sum(deck.draw(number).tenant == "b" for number in range(3000)) / 3000

    assert 0.87 < heavy < 0.93
    with pytest.raises(ValueError, match="nothing to draw"):
        Weighted.of({"a": 0.0})


def test_captured_values_stay_together() -> None:
    """Statements of one transaction take the same of their samples."""
    both = tuple(Statement("…", samples=tuple((n,) for n in range(10))) for _ in range(2))
    deck = Deck.of(1, [Transaction("t", 1, both)], [None], {})
    drawn = [deck.draw(number).values for number in range(100)]

    assert all(one == other for one, other in drawn) and len(set(drawn)) > 5


# -- tenants -----------------------------------------------------------------------------------------------------------


def size(name: str, rows: int, writes: int = 0) -> TenantSize:
    return TenantSize(TenantId(name), rows, writes=writes)


BY_TENANT = Statement("…", (Parameter(Source.TENANT),))
READS = Transaction("reads", 1, (BY_TENANT,))
WRITES = Transaction("writes", 1, (BY_TENANT,), writes=True)
SIZES = (size("small", 10, 1), size("large", 1000, 4), size("new", 5))


def dealt(workload: Workload, sizes: tuple[TenantSize, ...] = SIZES, **more: Any) -> Any:
    return deal(workload, sizes, more.get("unmirrored", ()), 100, more.get("pools", {}))


def test_reads_follow_rows_and_writes_follow_writes() -> None:
    found = dealt(Workload("w", (READS, WRITES)))

    assert found.tenants == ({"small": 10.0, "large": 1000.0, "new": 5.0}, {"small": 1.0, "large": 4.0})


def test_what_is_not_on_limitless_is_left_out_and_said() -> None:
    found = dealt(Workload("w", (READS,)), unmirrored={"new"})
    assert set(found.tenants[0]) == {"small", "large"} and "1 tenant is left out: not mirrored" in found.notes

    none = dealt(Workload("w", (READS,)), unmirrored={"new", "small", "large"})
    assert len(none.tenants[0]) == 3 and "no tenant is mirrored yet" in none.notes[0]


def test_without_writes_rows_count_and_without_both_all_are_alike() -> None:
    by_rows = dealt(Workload("w", (WRITES,)), (size("a", 3), size("b", 1)))
    alike = dealt(Workload("w", (READS,)), (size("a", 0), size("b", 0)))

    assert by_rows.tenants == ({"a": 3.0, "b": 1.0},) and "no recent writes" in by_rows.notes[0]
    assert alike.tenants == ({"a": 1.0, "b": 1.0},)


def test_hot_tenants_can_be_hotter() -> None:
    sizes = (size("hot", 10_000), *(size(f"t{n}", 10) for n in range(20)))
    found = dealt(Workload("w", (READS,), hot_times=3), sizes)

    assert found.tenants[0]["hot"] == 30_000 and found.tenants[0]["t1"] == 10


def test_tenants_without_rows_in_a_pool_cannot_do_it() -> None:
    pool = Statement("…", (Parameter(Source.POOL, ("p", 2)),))
    pools = {"p": {"small": [["small", "1"]]}}
    found = dealt(Workload("w", (Transaction("t", 1, (pool,)), READS)), pools=pools)

    assert found.tenants[0] == {"small": 10.0} and len(found.tenants[1]) == 3
    assert any("99% of the weight" in note for note in found.notes)
    session = Workload("w", (Transaction("t", 1, (pool,)), READS), sessions=Sessions(2))
    assert dealt(session, pools=pools).tenants == ({"small": 10.0},) * 2, "one tenant for all of a session"


def test_without_facts_pools_or_weights_say_who_there_is() -> None:
    pool = Transaction("t", 1, (Statement("…", (Parameter(Source.POOL, ("p", 2)),)),))
    assert dealt(Workload("w", (pool,)), (), pools=ROWS).tenants == ({"a": 2.0, "b": 1.0},)
    assert dealt(Workload("w", (READS,), weights={"x": 2.0}), ()).tenants == ({"x": 2.0},)
    with pytest.raises(UsageError, match="no tenant is known"):
        dealt(Workload("w", (READS,)), ())
    with pytest.raises(UsageError, match="there is no tenant smal"):
        dealt(Workload("w", (READS,), only=("smal",)))
    assert dealt(Workload("w", (Transaction("t", 1, (Statement("SELECT 1"),)),)), ()).tenants == (None,)
