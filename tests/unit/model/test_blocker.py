"""A blocker is its text for everybody who reads it, and a value for code that decides."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter

from migrator.errors import NoGo
from migrator.model.blocker import Blocker, blockers, grouped
from migrator.model.gate import GateAnswer
from migrator.model.verdict import Verdict

HELD = Blocker("tenant.held", "7", "tenant 7 is held by ana")
LATE = Blocker("mirror.lags", "2", "mirror partition 2 lags 9.0 s", True)


def test_it_is_its_text() -> None:
    """Wherever texts were, texts are: in lines, JSON and errors."""
    assert HELD == "tenant 7 is held by ana" == HELD.text and type(HELD.text) is str
    assert json.dumps({"blockers": [HELD]}) == '{"blockers": ["tenant 7 is held by ana"]}'
    assert str(NoGo("gate", [HELD])) == "gate: no-go\n  - tenant 7 is held by ana"
    assert "; ".join([HELD, LATE]) == "tenant 7 is held by ana; mirror partition 2 lags 9.0 s"


def test_code_decides_by_what_it_carries() -> None:
    """Through verdicts, errors and copies."""
    verdict = Verdict((HELD,)) + Verdict((LATE,))

    assert [(b.code, b.subject, b.heals_by_itself) for b in verdict.blockers] == [
        ("tenant.held", "7", False),
        ("mirror.lags", "2", True),
    ]
    assert NoGo("gate", verdict.blockers).blockers[0].code == "tenant.held"  # type: ignore[attr-defined]
    for again in (copy.deepcopy(LATE), asdict(verdict)["blockers"][1]):
        assert (again, again.code, again.heals_by_itself) == (LATE, "mirror.lags", True)
    assert blockers("rows.divergent", "7", ["a", "b"])[1].subject == "7"


async def test_only_the_text_goes_through_temporal() -> None:
    """Histories hold what they always held; what is read from there has no code, and is a blocker all the same."""
    (payload,) = await pydantic_data_converter.encode([GateAnswer(blockers=(HELD, LATE), recheck_s=5)])
    assert json.loads(payload.data)["blockers"] == [HELD.text, LATE.text]

    old = Payload(metadata=payload.metadata, data=b'{"go": false, "blockers": ["x"], "unknown": 1}')
    (answer,) = await pydantic_data_converter.decode([old], [GateAnswer])

    assert answer == GateAnswer(blockers=(Blocker.read("x"),))
    assert (answer.blockers[0].code, answer.blockers[0].heals_by_itself) == ("", False)


def test_blockers_of_one_cause_are_one() -> None:
    """One code and one wording, whatever the subject and the figures; stored texts by their wording alone."""
    found = [
        Blocker("tenant.held", "a b", "tenant a b is held on classic by ana"),
        Blocker("mirror.lags", "1", "mirror partition 1 lags 9.0 s (limit 5 s)", True),
        Blocker("tenant.held", "--16", "tenant --16 is held on classic by ana"),
        Blocker("mirror.lags", "2", "mirror partition 2 lags 13.5 s (limit 5 s)", True),
        Blocker("tenant.held", "c", "tenant c is held on classic by bob"),
        'column "x" of table "app.a" is missing',
        'column "y" of table "app.b" is missing',
    ]

    assert [(cause.blockers[0].subject, len(cause.blockers)) for cause in grouped(found)] == [
        ("a b", 2), ("1", 2), ("c", 1), ("", 2),
    ]  # fmt: skip
    assert [b for cause in grouped(found) for b in cause.blockers if b not in found] == []
    assert grouped([]) == ()


def test_other_words_stay_lines_of_their_own() -> None:
    """Who holds it, which column: what has to be read is not hidden behind a count."""
    found = [Blocker("rights.differ", "", f"role web may {what}") for what in ("read", "write")]

    assert len(grouped(found)) == 2


def test_a_cause_names_whom_it_is_about() -> None:
    one, *_ = grouped([Blocker("tenant.held", str(n), f"tenant {n} is held") for n in range(1, 6)])

    assert one.line == "tenant 1 is held (and 4 more like it: 2, 3, 4, …)"
