"""What the webhook answers: a status, a JSON object, headers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from migrator.errors import ClusterUnavailable, MigratorError, PreconditionFailed, UsageError
from migrator.traffic.incident.act import UNPROCESSABLE, Outcome
from migrator.traffic.incident.senders.sns import NotGenuine

SHOWN = 50
"""Alarms of one request that an answer, and the table of what arrived, list one by one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        word: the outcome, for the log.
        also: what the log says besides.
    """

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    word: str = ""
    also: Mapping[str, Any] = field(default_factory=dict)


def again_in(seconds: float) -> dict[str, str]:
    """Return the header that says when to try again."""
    return {"Retry-After": str(max(1, round(seconds)))}


def refused(error: Exception) -> Reply:
    """Return the answer to a request that failed with *error*. Nothing of a driver's or a server's text is in it."""
    match error:
        case NotGenuine():
            return Reply(403, {"error": str(error)}, word="not genuine", also={"reason": str(error)})
        case UsageError():
            return Reply(
                400, {"error": str(error), "hint": error.hint}, word="not understood", also={"reason": str(error)}
            )
        case PreconditionFailed():
            return Reply(409, {"error": str(error), "hint": error.hint}, word="refused", also={"reason": str(error)})
        case ClusterUnavailable():
            side = "classic" if error.side != "Amazon SNS" else error.side
            body = {"error": f"{side}: {error.why}", "hint": error.hint}
            return Reply(503, body, again_in(5), word=f"{side} unavailable", also={"reason": error.why})
        case TimeoutError():
            return Reply(503, {"error": "classic: no answer in time", "hint": "Try again: it is safe to repeat."},
                         again_in(5), word="classic unavailable", also={"reason": "no answer in time"})  # fmt: skip
        case MigratorError() | psycopg.Error():
            return Reply(500, {"error": type(error).__name__}, word="failed", also={"reason": type(error).__name__})
    return Reply(500, {"error": "unexpected"}, word="failed", also={"reason": type(error).__name__})


def of_outcomes(outcomes: Sequence[Outcome], left_out: int = 0) -> Reply:
    """Return the answer to alarms: each with what came of it, and what is to be said of all.

    A sender that tries again when told 503 has to be told so if anything is left that a repetition can do; what can
    never be done is an error only if nothing else was done.
    """
    statuses = {outcome.status for outcome in outcomes}
    done = [outcome for outcome in outcomes if outcome.status < 400]
    failed = sorted(status for status in statuses if status >= 400)
    if 503 in statuses:
        status = 503
    elif failed and not any(outcome.decision.action not in ("", "ignore") for outcome in done):
        status = 409 if 409 in failed else UNPROCESSABLE
    else:
        status = 202 if 202 in statuses else 200
    words = list(dict.fromkeys(outcome.word for outcome in sorted(outcomes, key=_weight)))
    body: dict[str, Any] = {
        "outcome": words[0] if words else "no alarm",
        "alarms": [_line(outcome) for outcome in outcomes[:SHOWN]],
    }
    if len(outcomes) > SHOWN:
        body["more"] = len(outcomes) - SHOWN
    if left_out:
        body["left_out"] = left_out
    if rollback := next((o.result for o in outcomes if o.result is not None), None):
        body["rollback"] = asdict(rollback)
    first = min(outcomes, key=_weight, default=None)
    also = {
        "alarms": len(outcomes),
        "firing": sum(outcome.decision.alarm.firing for outcome in outcomes),
        **({"alarm": first.decision.alarm.name, "target": first.decision.target} if first else {}),
        **({"left_out": left_out} if left_out else {}),
    }
    return Reply(status, body, again_in(2) if status == 503 else {}, word=body["outcome"], also=also)


def _weight(outcome: Outcome) -> int:
    """What a reader of one line wants first: what was done, then what failed, then what did nothing."""
    if outcome.status >= 400:
        return 1
    return 0 if outcome.decision.action not in ("", "ignore") else 2


def _line(outcome: Outcome) -> dict[str, Any]:
    decision = outcome.decision
    return {
        "alarm": decision.alarm.name, "state": decision.alarm.state, "rule": decision.rule, "action": decision.action,
        "target": decision.target, "outcome": outcome.word, "note": outcome.note,
    }  # fmt: skip
