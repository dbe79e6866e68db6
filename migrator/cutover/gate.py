"""May this tenant's reads move to Limitless now, and if not, for which reasons?

Pure: facts in, verdicts out. Unknown is never clean: a tenant without a validation is a blocker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrator.model.facts import ReferenceFacts, TenantFacts
from migrator.model.phase import TenantState
from migrator.model.tenant import REFERENCE_PART, TenantId
from migrator.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class GateLimits:
    """max_lag_s: the partition's lag, and the age of its published position. max_age_s: of a clean validation."""

    max_lag_s: float
    max_age_s: float


def _late(lag_s: float, limits: GateLimits, problem: str) -> str:
    return f"lags {lag_s:.1f} s (limit {limits.max_lag_s:g} s)" + (f": {problem}" if problem else "")


def needs_validation(facts: TenantFacts | ReferenceFacts, limits: GateLimits) -> bool:
    """Return whether a validation right now could remove a blocker."""
    if isinstance(facts, TenantFacts) and facts.state is not TenantState.MIRRORED:
        return False
    return bool(facts.divergent) or facts.clean_age_s is None or facts.clean_age_s > limits.max_age_s


def _unclean(facts: TenantFacts | ReferenceFacts, limits: GateLimits, has: str, was: str) -> list[str]:
    """Return what validation has against it: at most one reason, which begins with *has* or *was*."""
    if facts.divergent:
        return [f"{has} {facts.divergent} divergent rows"]
    if facts.outdated:
        return [f"{was} last validated at other schemas than today's"]
    if facts.clean_age_s is None:
        return [f"{was} never validated"]
    if facts.clean_age_s > limits.max_age_s:
        return [f"{was} validated {facts.clean_age_s:.0f} s ago (limit {limits.max_age_s:g} s)"]
    return []


def reference_verdict(facts: ReferenceFacts | None, limits: GateLimits) -> Verdict:
    """Return go, or why nobody's reads may move; None stands for no reference tables."""
    who = "the reference tables"
    if facts is None:
        return Verdict()
    late = facts.lag_s > limits.max_lag_s
    found = [f"mirror partition {REFERENCE_PART} {_late(facts.lag_s, limits, facts.problem)}"] if late else []
    return Verdict((*found, *_unclean(facts, limits, f"{who} have", f"{who} were")))


def tenant_verdict(facts: TenantFacts, limits: GateLimits) -> Verdict:
    """Return go, or every reason why this tenant must stay on classic for now."""
    who = f"tenant {facts.tenant_id}"
    found = []
    if facts.held is not None:
        found.append(f"{who} is held on classic by {facts.held}; migrator tenant release {facts.tenant_id}")
    if facts.state is TenantState.QUARANTINED:
        found.append(f"{who} is quarantined: {facts.quarantine or 'Limitless refused one of its rows'}")
    elif facts.state is not TenantState.MIRRORED:
        found.append(f"{who} is {facts.state.value}, not mirrored")
    if facts.lag_s is None:
        found.append(f"{who}: its mirror partition has published no position")
    elif facts.lag_s > limits.max_lag_s:
        found.append(f"{who}: its mirror partition {_late(facts.lag_s, limits, facts.problem)}")
    found += _unclean(facts, limits, f"{who} has", f"{who} was")
    found += [f"{who} has fallen back to classic: {reason}" for reason in facts.fallbacks]
    return Verdict(tuple(found))


@dataclass(frozen=True, slots=True)
class WaveVerdict:
    """Who of a wave may go, and every reason why the others may not."""

    ready: tuple[TenantId, ...]
    blocked: tuple[TenantId, ...]
    verdict: Verdict


def wave_verdict(
    facts: Sequence[TenantFacts],
    limits: GateLimits,
    reference: ReferenceFacts | None = None,
    everywhere: Sequence[str] = (),
) -> WaveVerdict:
    """Return the verdicts of a whole wave, every blocker at once; one of the *reference* tables blocks everybody, and
    so does one that holds *everywhere*, whoever the tenant is."""
    ready: list[TenantId] = []
    blocked: list[TenantId] = []
    all_of_them = everybody = reference_verdict(reference, limits) + Verdict(tuple(everywhere))
    for tenant in facts:
        verdict = tenant_verdict(tenant, limits)
        (ready if verdict.go and everybody.go else blocked).append(tenant.tenant_id)
        all_of_them += verdict
    return WaveVerdict(tuple(ready), tuple(blocked), all_of_them)
