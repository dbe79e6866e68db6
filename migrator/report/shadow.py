"""Renders a shadow run, from its stored report: as one HTML file, and as lines for a terminal.

Self-contained: no script, no font, no request. Texts of statements have no values in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.model.counted import counted
from migrator.model.traffic_test import Pace, Percentiles, ShadowResult, StatementResult, Writes
from migrator.report import words
from migrator.report.template import render

KINDS = {
    "differs": "results differ",
    "error_only_there": "fails on Limitless",
    "slower": "slower",
    "crosses_shards": "several shards",
}
"""Kinds of findings in words, the gravest first."""

WRITES = {
    Writes.ROLLED_BACK: "writes ran on Limitless alone, in no scratch schema, and were rolled back",
    Writes.LEFT_OUT: "writes were left out",
}
"""What was done with statements that write."""

PACES = {Pace.SLOWER: "slower", Pace.NOT_SLOWER: "not slower", Pace.TOO_FEW: "too few to say"}

_SIDES = {"classic": "classic", "limitless": "Limitless"}

LONGEST = 240
"""Characters of a statement's text that a terminal shows."""


@dataclass(frozen=True, slots=True)
class Line:
    """One statement on the page."""

    statement: StatementResult
    pace: Mapping[str, str]
    not_compared: str
    errors: str
    findings: tuple[tuple[str, str], ...]
    css: str


def page(body: Mapping[str, Any]) -> str:
    """Return the HTML page of *body*, a stored report of kind `shadow`.

    Raises:
        ValueError: it is none.
    """
    result = ShadowResult.from_json(body)
    found = body.get("findings", ())
    return render(
        "shadow.html",
        result=result,
        verdict=_verdict(result, found),
        css="bad" if found else "wait" if result.stopped or _open(result) or not result.statements else "good",
        writes=WRITES[result.writes],
        at=body.get("at", ""),
        who=body.get("who", ""),
        calls=f"{counted(sum(one.calls for one in result.statements), 'call')} of {counted(result.tenants, 'tenant')}",
        kinds=[(name, sum(f["kind"] == kind for f in found)) for kind, name in KINDS.items()],
        trips=_trips(body),
        lines=list(_lines(result, body)),
        left_out=list(body.get("left_out", {}).items()),
        notes=body.get("notes", ()),
    )


def _verdict(result: ShadowResult, found: Sequence[object]) -> str:
    """Return what was found, in a few words; of nothing, as far as the run can tell."""
    if found:
        return counted(len(found), "finding")
    if not result.statements:
        return "Nothing was repeated"
    if result.stopped:
        return "Stopped early, nothing found yet"
    if open_ := len(_open(result)):
        return f"Nothing found, {counted(open_, 'statement')} undecided"
    return "Nothing is worse on Limitless"


def _lines(result: ShadowResult, body: Mapping[str, Any]) -> Iterator[Line]:
    details = {one["fingerprint"]: one for one in body.get("details", ())}
    for one in sorted(result.statements, key=lambda s: _weight(s, body)):
        more = details.get(one.fingerprint, {})
        mine = _of(one.fingerprint, body)
        yield Line(
            statement=one,
            pace=_paces(one),
            not_compared=", ".join(more.get("not_compared", ())),
            errors="; ".join(more.get("errors", {}).values()),
            findings=mine,
            css="bad" if mine else "",
        )


def _paces(statement: StatementResult) -> dict[str, str]:
    pace = statement.pace
    return {} if pace is None else {"p50": PACES[pace.p50], "p99": PACES[pace.p99], "p999": PACES[pace.p999]}


def _open(result: ShadowResult) -> list[str]:
    """Return the statements of which the run cannot say whether they are slower: too few calls, or too uneven ones."""
    return [
        one.fingerprint
        for one in result.statements
        if not one.calls or (one.pace is not None and one.pace.p50 is Pace.TOO_FEW)
    ]


def _of(fingerprint: str, body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((KINDS[f["kind"]], f["text"]) for f in body.get("findings", ()) if f["fingerprint"] == fingerprint)


def _weight(statement: StatementResult, body: Mapping[str, Any]) -> tuple[int, int]:
    """Statements with the gravest finding first, of those the most called."""
    kinds = [f["kind"] for f in body.get("findings", ()) if f["fingerprint"] == statement.fingerprint]
    return min((list(KINDS).index(kind) for kind in kinds), default=len(KINDS)), -statement.calls


def _trips(body: Mapping[str, Any]) -> str:
    trips = body.get("round_trip_ms", {})
    shown = [f"{_SIDES.get(side, side)} {ms:.1f} ms" for side, ms in trips.items() if ms is not None]
    return f"a round trip took {', '.join(shown)}" if shown else ""


def lines(body: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return what a terminal shows before the table of statements, and behind it."""
    result = ShadowResult.from_json(body)
    calls = sum(one.calls for one in result.statements)
    before = [
        f"{counted(calls, 'call')} of {counted(len(result.statements), 'statement')} ({result.source}), "
        f"{counted(result.tenants, 'tenant')}, repeated in {words.seconds(result.seconds)}; {WRITES[result.writes]}",
    ]
    if trips := _trips(body):
        before.append(f"from here {trips}; what it takes longer to Limitless is not held against a statement")
    if result.stopped:
        before.append(f"stopped: {result.stopped}")
    after = [_verdict(result, body.get("findings", ())) + ("." if not body.get("findings") else ":")]
    texts = {one.fingerprint: one.text for one in result.statements}
    for found in body.get("findings", ()):
        after.append(f"- {found['fingerprint']} {KINDS[found['kind']]}: {found['text']}")
        after.append(f"  {words.cut(' '.join(texts[found['fingerprint']].split()), LONGEST)}")
    if open_ := _open(result):
        after.append(f"too few calls, or too uneven, to say whether slower: {', '.join(open_)}")
    for one in body.get("details", ()):
        if one["not_compared"]:
            after.append(f"not compared: {one['fingerprint']}: {', '.join(one['not_compared'])}")
    after += [f"{words.count(number)} not repeated: {why}" for why, number in body.get("left_out", {}).items()]
    after += [f"note: {note}" for note in body.get("notes", ())]
    return before, after


def rows(body: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the table of statements: its columns, and a row for each; latencies are classic → Limitless, in ms."""
    result = ShadowResult.from_json(body)
    names = ("statement", "calls", "p50 ms", "p99 ms", "errors", "shards", "same")
    return names, [
        (
            one.fingerprint,
            words.count(one.calls),
            _both(one.classic, one.limitless, "p50_ms"),
            _both(one.classic, one.limitless, "p99_ms"),
            words.count(sum(one.limitless_errors.values())),
            one.shards.value,
            f"{one.compared - one.differing}/{one.compared}" if one.compared else "–",
        )
        for one in sorted(result.statements, key=lambda s: _weight(s, body))
    ]


def _both(classic: Percentiles | None, limitless: Percentiles | None, name: str) -> str:
    return " → ".join("–" if side is None else f"{getattr(side, name):.1f}" for side in (classic, limitless))
