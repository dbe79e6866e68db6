"""Does what people said approve a gate? One place decides for commands, board and workflows. Pure.

A vote is what one person said about one gate, having seen evidence: facts about the migration, of which a digest is
kept. Two people who have to agree agree about the same evidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

AHEAD = timedelta(minutes=5)
"""By how much the clock of a classic that failed over may be behind the one that a vote was taken at."""


class How(StrEnum):
    """How it was known who a person is."""

    NONE = "none"  # the name that was given
    TOKEN = "token"  # signed with the person's key
    OIDC = "oidc"  # a proxy's token, signed by the provider


@dataclass(frozen=True, slots=True)
class Rules:
    """What the plan asks of an approval. eyes: how many different people."""

    authenticated: bool = False
    eyes: int = 1


@dataclass(frozen=True, slots=True)
class Vote:
    """What one person said. valid_until: None: for good."""

    approver: str
    how: How
    evidence: str
    at: datetime
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the votes approve. by: who agreed, the first one first; missing: what is not there yet, in a sentence."""

    by: tuple[str, ...] = ()
    missing: str = ""

    @property
    def approved(self) -> bool:
        return not self.missing

    @property
    def approver(self) -> str:
        """The name under which an approval is known: "Ada", or "Ada and Bob"."""
        return " and ".join(self.by)


def digest(facts: Mapping[str, str]) -> str:
    """Return the digest of evidence: 16 hexadecimal digits of SHA-256 over its canonical JSON."""
    text = json.dumps(dict(facts), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return what changed in evidence, a line for each fact."""
    return tuple(
        f"{name}: {before.get(name, 'not known')} → {now.get(name, 'not known')}"
        for name in [*before, *(n for n in now if n not in before)]
        if before.get(name) != now.get(name)
    )


def judge(votes: Iterable[Vote], rules: Rules, evidence: str, now: datetime) -> Verdict:
    """Return whether *votes* approve what *evidence* says, at *now*.

    Votes about other evidence, votes that have expired, votes of a moment that has not come (they would never expire),
    and where it is asked for votes of people who were not authenticated, do not count. A person counts once, however
    often they voted.
    """
    every = list(votes)
    counted = [v for v in every if v.evidence == evidence and not _expired(v, now) and v.at - now <= AHEAD]
    if rules.authenticated:
        counted = [v for v in counted if v.how is not How.NONE]
    by = tuple(dict.fromkeys(v.approver for v in sorted(counted, key=lambda v: v.at)))
    if len(by) >= rules.eyes:
        return Verdict(by)
    return Verdict(by, _missing(every, by, rules, evidence, now))


def _expired(vote: Vote, now: datetime) -> bool:
    return vote.valid_until is not None and now >= vote.valid_until


def _missing(votes: Sequence[Vote], by: tuple[str, ...], rules: Rules, evidence: str, now: datetime) -> str:
    if by:
        return f"{' and '.join(by)} approved it; a second approver has to approve the same evidence ({evidence})"
    if early := [v for v in votes if v.evidence == evidence and v.at - now > AHEAD]:
        last = max(early, key=lambda v: v.at)
        return f"the approval of {last.approver} is of {last.at:%Y-%m-%dT%H:%M:%SZ}, which has not come"
    if late := [v for v in votes if v.evidence == evidence and _expired(v, now)]:
        last = max(late, key=lambda v: v.at)
        return f"the approval of {last.approver} expired at {last.valid_until:%Y-%m-%dT%H:%M:%SZ}"
    if other := [v for v in votes if v.evidence != evidence]:
        last = max(other, key=lambda v: v.at)
        return f"{last.approver} approved other evidence ({last.evidence}; it is {evidence} now)"
    if rules.authenticated and votes:
        return "no one who approved it was authenticated"
    return "it has no approval"


def may_vote(votes: Iterable[Vote], rules: Rules, evidence: str, approver: str, now: datetime) -> str:
    """Return why *approver* may not vote now: they have, and another person has to; '' where they may."""
    verdict = judge(votes, rules, evidence, now)
    if approver in verdict.by and not verdict.approved:
        return f"{approver} approved it already: the second approval has to come from another person"
    return ""
