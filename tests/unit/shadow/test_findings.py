"""What counts as worse on Limitless, and what only looks so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from migrator.audit.catalog import Attribute, Catalog, Relation, RelationKind
from migrator.model.trace import Call
from migrator.model.traffic_test import LOST, Pace, Shards
from migrator.plan.schema import Tables
from migrator.shadow.again import MORE, more
from migrator.shadow.agree import Compared, chosen, reasons
from migrator.shadow.ask import Answer
from migrator.shadow.findings import Finding, Kind, Measured, Told, findings, tell, undecided
from migrator.shadow.prepare import Preparer, Repeated, Scope
from migrator.shadow.replay import Pair, split
from migrator.shadow.statistics import Limits

CATALOG = Catalog(search_path=("app",))
CATALOG.relations["app.t"] = Relation("app", "t", RelationKind.TABLE, {"tenant_id": Attribute("tenant_id", "int")})
PREPARER = Preparer(CATALOG, Tables(schemas=["app"]))
READ, WRITE = "SELECT * FROM t WHERE tenant_id = $1", "DELETE FROM t WHERE tenant_id = $1"
OK, FAILED = Answer(1.0), Answer(1.0, "42883", "function does not exist (42883)")


def repeated(sql: str, tenant: str = "1", session: str = "", at_s: float | None = None) -> Repeated:
    found = PREPARER.prepare(Call(sql, (tenant,), session=session, at_s=at_s), Scope({"1": 1, "2": 2}, True, False))
    assert isinstance(found, Repeated)
    return found


def pairs(sql: str, classic: Answer | None, limitless: Answer, count: int = 40) -> list[Pair]:
    return [Pair(repeated(sql), classic, limitless, warm=number > 0) for number in range(count)]


def told(
    done: Sequence[Pair], compared: Compared | None = None, shards: Shards = Shards.ONE
) -> tuple[Told, list[Finding]]:
    name = done[0].repeated.statement.fingerprint.id
    measured = Measured({name: compared} if compared else {}, reasons([p.repeated for p in done]), {name: shards})
    [one] = tell([p.repeated for p in done], done, measured, Limits())
    return one, findings([one])


def test_two_equal_sides_have_nothing() -> None:
    one, found = told(pairs(READ, OK, OK))

    assert found == []
    assert one.result.classic == one.result.limitless
    assert (one.result.calls, one.not_compared) == (40, ())


def test_an_error_that_classic_gives_as_often_is_none() -> None:
    assert told(pairs(READ, FAILED, FAILED))[1] == []
    one, [found] = told([*pairs(READ, FAILED, FAILED, 3), *pairs(READ, OK, FAILED, 2)])

    assert found.kind is Kind.ERROR and "function does not exist" in found.text
    assert (one.result.classic_errors, one.result.limitless_errors) == ({"42883": 3}, {"42883": 5})
    assert one.result.limitless is None


@pytest.mark.parametrize("state", ["23505", "23503", "40001", "55P03"])
def test_what_comes_of_repeating_a_write_is_no_error(state: str) -> None:
    one, found = told(pairs(WRITE, None, Answer(1.0, state, "words")))

    assert found == [] and one.artefacts == {state: 40} and one.result.limitless_errors == {}
    assert [f.kind for f in told(pairs(READ, OK, Answer(1.0, state, "words")))[1]] == [Kind.ERROR]


@pytest.mark.parametrize("state", ["0A000", "42P01", "42804", "22P02", "57014", LOST])
def test_what_does_not_come_of_it_is_one(state: str) -> None:
    assert [f.kind for f in told(pairs(WRITE, None, Answer(1.0, state, "words")))[1]] == [Kind.ERROR]


def test_latencies_of_failed_and_of_first_calls_do_not_count() -> None:
    slow = [Pair(repeated(READ), OK, Answer(9000.0), warm=False), *pairs(READ, OK, Answer(9000.0, "22012", "x"), 20)]
    one, found = told([*slow, *pairs(READ, OK, OK)])

    assert [f.kind for f in found] == [Kind.ERROR]
    assert one.result.limitless is not None and one.result.limitless.p999_ms == 1.0


def test_the_gravest_comes_first() -> None:
    different = Compared(compared=20, differing=2)
    different.why["other rows"] = 2
    one, found = told(pairs(READ, OK, Answer(50.0)), different, Shards.MANY)

    assert [f.kind for f in found] == [Kind.DIFFERS, Kind.SLOWER, Kind.CROSSES]
    assert found[0].text == "2 of 20 results differ: other rows"
    assert (one.result.compared, one.result.differing, one.result.calls) == (20, 2, 40)


def test_which_calls_are_compared() -> None:
    """Different ones, of each statement so many, by mirror partition; none that writes or may differ anyhow."""
    some = [repeated(READ, "1"), repeated(READ, "1"), repeated(READ, "2"), repeated(WRITE, "1")]
    found = chosen([*some, repeated(f"{READ} LIMIT 5")])

    assert {part: [c.call.values for c in calls] for part, calls in found.items()} == {1: [("1",)], 2: [("2",)]}


def test_calls_of_a_session_stay_in_their_order() -> None:
    calls = [repeated(READ, session=f"s{n % 3}", at_s=float(-n)) for n in range(30)]
    queues = split(calls, 4)

    assert sorted(c.call.at_s or 0.0 for queue in queues for c in queue) == [float(n) for n in range(-29, 1)]
    for name in ("s0", "s1", "s2"):
        [mine] = [q for q in queues if any(c.call.session == name for c in q)]
        times = [c.call.at_s or 0.0 for c in mine if c.call.session == name]
        assert times == sorted(times) and len(times) == 10
    assert {len(queue) for queue in split([repeated(READ)] * 40, 4)} == {10}


def test_a_statement_that_the_run_did_not_come_to_is_told_all_the_same() -> None:
    [one] = tell([repeated(READ)], [], Measured({}, {}, {}), Limits())

    assert (one.result.calls, one.result.classic, one.result.pace, one.result.write) == (0, None, None, False)
    assert findings([one]) == [] and undecided([one]) == frozenset()


def test_statements_are_repeated_more_often_until_they_are_decided() -> None:
    """A read with too few calls, in turns and in no session; not a write, not what is known, not what only fails."""
    few = [Pair(repeated(READ, str(1 + n % 2), session="s"), OK, OK, warm=n > 0) for n in range(5)]
    known = pairs("SELECT tenant_id FROM t WHERE tenant_id = $1", OK, OK)
    done = [
        *few,
        *known,
        *pairs(WRITE, None, OK, 5),
        *pairs("SELECT count(*) FROM t WHERE tenant_id = $1", OK, FAILED, 5),
    ]
    calls = [pair.repeated for pair in done]
    told_ = tell(calls, done, Measured({}, {}, {}), Limits())
    paces = [one.result.pace and one.result.pace.p50 for one in told_]

    assert paces == [Pace.TOO_FEW, Pace.NOT_SLOWER, None, None]
    again = more(calls, done, undecided(told_))
    assert len(again) == MORE and {one.call.sql for one in again} == {READ}
    assert [one.call.values for one in again[:4]] == [("1",), ("2",), ("1",), ("2",)]
    assert {one.call.session for one in again} == {""}
    assert more(calls, done, frozenset()) == []
