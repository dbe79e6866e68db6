"""What a shadow run found: of every statement what it cost on either side, and what is worse on Limitless. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from migrator.model.sqlstate import Fault, fault_of
from migrator.model.traffic_test import Pace, Shards, StatementResult
from migrator.shadow.agree import Compared
from migrator.shadow.prepare import Repeated, reads
from migrator.shadow.replay import Pair
from migrator.shadow.statistics import Limits, judge, percentiles


class Kind(StrEnum):
    """What is worse on Limitless, the gravest first."""

    DIFFERS = "differs"
    ERROR = "error_only_there"
    SLOWER = "slower"
    CROSSES = "crosses_shards"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is worse for one statement."""

    fingerprint: str
    kind: Kind
    text: str

    def to_json(self) -> dict[str, str]:
        return {"fingerprint": self.fingerprint, "kind": self.kind.value, "text": self.text}


@dataclass(frozen=True, slots=True)
class Told:
    """One statement with what the stored result does not hold.

    Attributes:
        logged_p50_ms: of classic, as its log had it when the application ran the statement.
        not_compared: why its results were not compared, or not all of them.
        artefacts: errors of writes that come from repeating them, by SQLSTATE: the row is there already.
        why: errors in words, by SQLSTATE.
    """

    result: StatementResult
    logged_p50_ms: float | None
    not_compared: tuple[str, ...]
    artefacts: Mapping[str, int] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    differ: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.result.fingerprint,
            "logged_p50_ms": self.logged_p50_ms,
            "not_compared": list(self.not_compared),
            "artefacts": dict(self.artefacts),
            "errors": dict(self.why),
            "differ": self.differ,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known besides the replay, by statement."""

    compared: Mapping[str, Compared]
    reasons: Mapping[str, tuple[str, ...]]
    shards: Mapping[str, Shards]
    apart_ms: float = 0.0


def tell(calls: Sequence[Repeated], pairs: Sequence[Pair], measured: Measured, limits: Limits) -> list[Told]:
    """Return every statement of *calls*, in the order of its first one; of some the run may not have come to any."""
    statements = {repeated.statement.fingerprint.id: repeated for repeated in calls}
    by_statement: dict[str, list[Pair]] = {name: [] for name in statements}
    for pair in pairs:
        by_statement[pair.repeated.statement.fingerprint.id].append(pair)
    judged = sum(map(reads, statements.values()))
    return [_told(statements[name], mine, measured, limits, judged) for name, mine in by_statement.items()]


def undecided(told: Sequence[Told]) -> frozenset[str]:
    """Return the statements of which it is open whether they are slower: more of their calls may tell."""
    return frozenset(
        one.result.fingerprint for one in told if one.result.pace is not None and one.result.pace.p50 is Pace.TOO_FEW
    )


def _told(first: Repeated, pairs: Sequence[Pair], measured: Measured, limits: Limits, judged: int) -> Told:
    statement = first.statement
    name = statement.fingerprint.id
    compared = measured.compared.get(name, Compared())
    both = [p for p in pairs if p.classic is not None and not p.classic.state and not p.limitless.state]
    warm = [p for p in both if p.warm]
    here = [p.classic.ms for p in warm if p.classic is not None]
    there = [p.limitless.ms for p in (warm if both else [p for p in pairs if p.warm and not p.limitless.state])]
    errors: Counter[str] = Counter()
    artefacts: Counter[str] = Counter()
    why: dict[str, str] = {}
    for pair in pairs:
        state = pair.limitless.state
        if state:
            (artefacts if _from_repeating(pair) else errors)[state] += 1
            why.setdefault(state, pair.limitless.why)
    logged = percentiles([p.repeated.call.ms for p in pairs if p.repeated.call.ms is not None])
    result = StatementResult(
        fingerprint=name,
        text=statement.fingerprint.text,
        calls=max(len(pairs), compared.compared),
        classic=percentiles(here),
        limitless=percentiles(there),
        classic_errors=dict(Counter(p.classic.state for p in pairs if p.classic is not None and p.classic.state)),
        limitless_errors=dict(errors),
        shards=measured.shards.get(name, Shards.UNKNOWN),
        compared=compared.compared,
        differing=compared.differing,
        pace=judge(here, there, limits=limits, judged=judged, apart_ms=measured.apart_ms) if both else None,
        write=not reads(first),
    )
    return Told(
        result=result,
        logged_p50_ms=logged.p50_ms if logged else None,
        not_compared=(*measured.reasons.get(name, ()), *compared.unknown),
        artefacts=dict(artefacts),
        why=why,
        differ=", ".join(compared.why),
    )


def _from_repeating(pair: Pair) -> bool:
    """Return whether an error comes of repeating a write: its row is there already, or another one locks it."""
    return (
        not reads(pair.repeated)
        and fault_of(pair.limitless.state) in (Fault.CONFLICT, Fault.DATA)
        and (pair.limitless.state[:2] in ("23", "40", "55"))
    )


def findings(told: Sequence[Told]) -> list[Finding]:
    """Return what is worse on Limitless, the gravest first."""
    found = [finding for one in told for finding in _of(one)]
    return sorted(found, key=lambda finding: list(Kind).index(finding.kind))


def _of(one: Told) -> list[Finding]:
    result, name = one.result, one.result.fingerprint
    found = []
    if result.differing:
        text = f"{result.differing} of {result.compared} results differ: {one.differ}"
        found.append(Finding(name, Kind.DIFFERS, text))
    only = {state: n for state, n in result.limitless_errors.items() if n > result.classic_errors.get(state, 0)}
    for state, number in only.items():
        text = f"{number} of {result.calls} calls fail on Limitless alone: {one.why.get(state, state)}"
        found.append(Finding(name, Kind.ERROR, text))
    if result.pace is not None and result.pace.any_slower:
        found.append(Finding(name, Kind.SLOWER, _slower(result)))
    if result.shards is Shards.MANY:
        found.append(Finding(name, Kind.CROSSES, "it visits several shards"))
    return found


def _slower(result: StatementResult) -> str:
    assert result.pace is not None and result.classic is not None and result.limitless is not None
    here, there = result.classic, result.limitless
    texts = [
        f"{name} {there_ms:.1f} ms, {here_ms:.1f} ms on classic"
        for name, pace, here_ms, there_ms in (
            ("p50", result.pace.p50, here.p50_ms, there.p50_ms),
            ("p99", result.pace.p99, here.p99_ms, there.p99_ms),
            ("p99.9", result.pace.p999, here.p999_ms, there.p999_ms),
        )
        if pace is Pace.SLOWER
    ]
    return "slower: " + "; ".join(texts)
